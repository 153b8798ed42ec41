"""`frmcore reload`: another policy for a store."""

from __future__ import annotations

from frmcore.cli.arguments import PolicyFile, StorePath, Wait, private_key
from frmcore.cli.console import complain
from frmcore.commands import reload_store
from frmcore.policy import load
from frmcore.store.inbox import WAIT_SECONDS


def reload(store: StorePath, policy: PolicyFile, wait: Wait = WAIT_SECONDS) -> None:
    """Put a policy in force in a store, between two decisions of the engine that has it open."""
    checked = load(policy)
    changed = reload_store(store, checked, private_key=private_key(), wait=wait)
    state = "in force" if changed else "in force already"
    complain(f"{store}: {checked.name} version {checked.version} is {state} ({checked.hash[:16]})")
