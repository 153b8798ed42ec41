"""List changes, reloads, holds and erasures for a store, from outside of its engine: through its inbox where an engine
has it open, with an engine of our own where none has."""

from __future__ import annotations

from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from frmcore.engine import Engine
from frmcore.erasure import Erased
from frmcore.errors import StoreLocked
from frmcore.limits import LIST_CHANGE_VALUES
from frmcore.policy.stored import contents, digest, digests
from frmcore.store import StoreOptions
from frmcore.store.inbox import WAIT_SECONDS, Command, Sender
from frmcore.store.view import viewing
from frmcore.subjects import parse_subject

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from frmcore.policy import Policy

KEEP_ALL = StoreOptions(keep_decisions="36500d")  # a short visit must not trim what the owner keeps


class Visit:
    """A store to be changed from outside; see `visiting`."""

    def __init__(self, engine: Engine | None, sender: Sender | None, wait: float) -> None:
        self._engine, self._sender, self._wait = engine, sender, wait

    def change_list(
        self,
        name: str,
        action: Literal["add", "remove"],
        values: Iterable[str],
        *,
        reason: str = "",
        source: str = "",
        owner: str = "",
        expires: int | str | None = None,
    ) -> int:
        """Adds values to a list or removes them; how many changed. Recorded in parts of 10,000 values, each whole.

        expires: epoch ms, RFC 3339, or a duration from when it is applied. Raises InvalidEvent, UnknownName,
        ReadOnlyList, StoreError."""
        said = (reason, source, owner, expires)
        return sum(self._do(Command(action, name, part, *said)) for part in _parts(iter(values), LIST_CHANGE_VALUES))

    def control(self, command: Command) -> None:
        """Switches, snoozes or resets. Raises UnknownName, InvalidEvent, StoreError."""
        self._do(command)

    def _do(self, command: Command) -> int:
        if self._engine is not None:
            return cast("int", self._engine.obey(command))  # all but an erasure count
        return self._sent(command, {})

    def _sent(self, command: Command, texts: dict[str, str]) -> int:
        assert self._sender is not None  # noqa: S101  a visit has an engine or a sender
        return self._sender.wait(self._sender.send(command, texts), self._wait)

    def reload(self, policy: Policy) -> bool:
        """Puts another policy in force; False where it is in force already. Raises PolicyError, StoreError."""
        if self._engine is None:
            texts = {digest(text): text for text in contents(policy).values()}
            return bool(self._sent(Command("reload", files=digests(policy)), texts))
        changed = self._engine.policy.hash != policy.hash
        if changed:
            self._engine.reload(policy)
        return changed

    def hold(
        self, subjects: Iterable[str], *, reason: str = "", source: str = "", until: int | str | None = None
    ) -> int:
        """Holds subjects, given as `account:a-17`; how many. Raises InvalidEvent, UnknownName, StoreError."""
        named = tuple(subjects)
        if self._engine is None:
            return self._sent(Command("hold", "", named, reason, source, expires=until), {})
        for entity, value in map(parse_subject, named):
            self._engine.holds.add(entity, value, reason=reason, source=source, until=until)
        return len(named)

    def release(self, subjects: Iterable[str]) -> int:
        """Ends holds; how many there were. Raises InvalidEvent, UnknownName, StoreError."""
        named = tuple(subjects)
        if self._engine is None:
            return self._sent(Command("release", "", named), {})
        return sum(self._engine.holds.remove(*parse_subject(given)) for given in named)

    def erase(self, subjects: Iterable[str], *, reason: str = "", source: str = "") -> Erased:
        """Erases subjects of one person, as `Engine.erase`. Raises UnderHold, InvalidEvent, UnknownName, StoreError."""
        named = tuple(subjects)
        first, *others = map(parse_subject, named)
        if self._engine is not None:
            return self._engine.erase(*first, *others, reason=reason, source=source)
        assert self._sender is not None  # noqa: S101  a visit has an engine or a sender
        token = self._sender.send(Command("erase", "", named, reason, source))
        answer = self._sender.answer(token, self._wait)
        return answer.erased or Erased(0, answer.told(), 0)


@contextmanager
def visiting(store: str | Path, *, private_key: bytes | None = None, wait: float = WAIT_SECONDS) -> Iterator[Visit]:
    """A store to be changed, whoever has it open: where an engine has, commands are left in its inbox, and take effect
    with its next flush; where none has, an engine of our own is opened and closed again.

    private_key: needed on a closed store with private fields. wait: seconds for the owner's answer to a command; after
    that StoreUnavailable is raised, and the command stays: it takes effect when an owner takes it. Raises StoreError.
    """
    folder = Path(store)
    try:
        engine = _opened(folder, private_key)
    except StoreLocked:
        with Sender(folder) as sender:
            yield Visit(None, sender, wait)
    else:
        with engine:
            yield Visit(engine, None, wait)


def _opened(store: Path, private_key: bytes | None) -> Engine:
    """An engine under the policy that the store has. Raises StoreLocked where another has it open."""
    with viewing(store) as view:
        policy, _ = view.policy()
    return Engine(store, policy=policy, private_key=private_key, store=KEEP_ALL)


def _parts(values: Iterator[str], most: int) -> Iterator[tuple[str, ...]]:
    while part := tuple(islice(values, most)):
        yield part
