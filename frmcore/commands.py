"""List changes and reloads for a store, from outside of its engine: through its inbox where an engine has it open, with
an engine of our own where none has."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from frmcore.engine import Engine
from frmcore.errors import StoreLocked
from frmcore.limits import LIST_CHANGE_VALUES
from frmcore.policy import Policy, load
from frmcore.policy.stored import contents, digest, digests
from frmcore.store import StoreOptions
from frmcore.store.inbox import WAIT_SECONDS, Command, Sender
from frmcore.store.view import viewing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

KEEP_ALL = StoreOptions(keep_decisions="36500d")  # a short visit must not trim what the owner keeps


def change_list(
    store: str | Path,
    name: str,
    action: Literal["add", "remove"],
    values: Iterable[str],
    *,
    reason: str = "",
    source: str = "",
    owner: str = "",
    expires: int | str | None = None,
    private_key: bytes | None = None,
    wait: float = WAIT_SECONDS,
) -> int:
    """Adds values to a list of a store or removes them, whoever has it open; how many changed. On a live store they
    take effect with the owner's next flush, in parts of 10,000 values, each whole.

    expires: epoch ms, RFC 3339, or a duration from when it is applied. private_key: needed on a closed store with
    private fields. wait: seconds for the owner's answer. Raises InvalidEvent, UnknownName, ReadOnlyList, StoreError;
    StoreUnavailable when the owner does not answer in time: the command stays, and takes effect when it does.
    """
    commands = (
        Command(action, name, part, reason, source, owner, expires) for part in _parts(iter(values), LIST_CHANGE_VALUES)
    )
    try:
        engine = _opened(Path(store), private_key)
    except StoreLocked:
        with Sender(Path(store)) as sender:
            return sum(sender.wait(sender.send(command), wait) for command in commands)
    with engine:
        return sum(engine.lists[name].obey(command, "") for command in commands)


def reload_store(
    store: str | Path,
    policy: str | Path | Policy,
    *,
    private_key: bytes | None = None,
    wait: float = WAIT_SECONDS,
) -> bool:
    """Puts another policy in force in a store, whoever has it open; False where it is in force already. Raises
    PolicyError, before anything is sent, and as `change_list`."""
    policy = policy if isinstance(policy, Policy) else load(policy)
    try:
        engine = _opened(Path(store), private_key)
    except StoreLocked:
        texts = {digest(text): text for text in contents(policy).values()}
        with Sender(Path(store)) as sender:
            return bool(sender.wait(sender.send(Command("reload", files=digests(policy)), texts), wait))
    with engine:
        if engine.policy.hash == policy.hash:
            return False
        engine.reload(policy)
        return True


def _opened(store: Path, private_key: bytes | None) -> Engine:
    """An engine under the policy that the store has. Raises StoreLocked where another has it open."""
    with viewing(store) as view:
        policy, _ = view.policy()
    return Engine(store, policy=policy, private_key=private_key, store=KEEP_ALL)


def _parts(values: Iterator[str], most: int) -> Iterator[tuple[str, ...]]:
    while part := tuple(islice(values, most)):
        yield part
