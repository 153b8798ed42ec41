"""`frmcore reload`: another policy for a store."""

from __future__ import annotations

from frmcore.cli.arguments import PolicyFile, StorePath, Wait, private_key
from frmcore.cli.console import complain
from frmcore.commands import visiting
from frmcore.policy import load
from frmcore.store.inbox import WAIT_SECONDS


def reload(store: StorePath, policy: PolicyFile, wait: Wait = WAIT_SECONDS) -> None:
    """Put a policy in force in a store, between two decisions of the engine that has it open."""
    checked = load(policy)
    with visiting(store, private_key=private_key(), wait=wait) as visit:
        changed = visit.reload(checked)
    state = "in force" if changed else "in force already"
    complain(f"{store}: {checked.name} version {checked.version} is {state} ({checked.hash[:16]})")
