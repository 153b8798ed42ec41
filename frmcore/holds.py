"""Legal holds: subjects that must not be erased, why, and until when."""

from __future__ import annotations

from contextlib import contextmanager
from threading import RLock
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import asdict

from frmcore.errors import UnderHold
from frmcore.lists import checked_note, expiry
from frmcore.subjects import kept_form

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from frmcore._fast import Core, Erasure
    from frmcore.lists import Expiry
    from frmcore.policy import Policy
    from frmcore.subjects import Subject


class Hold(msgspec.Struct, frozen=True):
    """One subject under hold; of a private entity `value` is a hash. Times are epoch ms; `until` None: for good."""

    entity: str
    value: str
    reason: str = ""
    source: str = ""
    since: int | None = None
    until: int | None = None


class Holds:
    """The holds of an engine: `add`, `remove`, `get`, `len`, iteration. Each change is a recorded operation. O(1)."""

    def __init__(
        self, core: Core, policy: Callable[[], Policy], guard: Callable[[], None], settled: Callable[[], None]
    ) -> None:
        self._core, self._policy, self._guard, self._settled = core, policy, guard, settled
        self._changing = RLock()
        self._holds: dict[Subject, Hold] = {}

    def add(
        self, entity: str, value: str, *, reason: str = "", source: str = "", until: Expiry = None, command: str = ""
    ) -> None:
        """Holds a subject, or replaces what is said of its hold. `until`: a duration from now ("90d", a timedelta) or a
        time (epoch ms, an aware datetime, RFC 3339). Raises UnknownName, InvalidEvent, StoreError."""
        now = self._core.now()
        kept = kept_form(self._core, self._policy(), entity, value)
        said = checked_note("reason", reason), checked_note("source", source)
        self._record("add", Hold(entity, kept, *said, now, expiry("until", until, now)), command)

    def remove(self, entity: str, value: str, *, command: str = "") -> bool:
        """Ends a hold; False where there was none. Raises UnknownName, InvalidEvent, StoreError."""
        found = self.get(entity, value)
        if found is not None:
            self._record("remove", found, command)
        return found is not None

    def get(self, entity: str, value: str) -> Hold | None:
        """The hold of a subject that is in force. Raises UnknownName, InvalidEvent."""
        hold = self._holds.get((entity, kept_form(self._core, self._policy(), entity, value)))
        return hold if hold is not None and self._in_force(hold) else None

    def __iter__(self) -> Iterator[Hold]:
        return iter([hold for hold in list(self._holds.values()) if self._in_force(hold)])

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def held(self) -> list[tuple[str, str | bytes]]:
        """(entity, identifier) of every hold in force; of a private one its hash."""
        fields = (*self._policy().fields, *self._policy().derived)
        private = {field.entity for field in fields if field.type.private}
        return [(hold.entity, bytes.fromhex(hold.value) if hold.entity in private else hold.value) for hold in self]

    @contextmanager
    def none_on(self, subjects: Iterable[Subject], found: Erasure | None = None) -> Iterator[None]:
        """While this lasts no hold is added. Raises UnderHold where one of the subjects has one, or an event of theirs
        that was found is also that of another who has."""
        with self._changing:
            if found is not None and found.meets_hold:
                raise UnderHold(
                    "events of theirs name another subject that is under a legal hold as well, and must stay as they "
                    "are: erase when that hold has ended"
                )
            for entity, value in subjects:
                hold = self.get(entity, value)
                if hold is not None:
                    why = f" ({hold.reason})" if hold.reason else ""
                    raise UnderHold(
                        f"this {entity} is under a legal hold{why}: it can't be erased before the hold was removed"
                        + ("" if hold.until is None else ", or its time is past")
                    )
            yield

    def restore(self, operations: Iterable[dict[str, Any]]) -> None:
        """Takes up recorded changes, in order."""
        for content in operations:
            if "hold" in content:
                self._apply(content["hold"], content)

    def _record(self, action: str, hold: Hold, command: str) -> None:
        self._guard()
        content = {"hold": action, **asdict(hold), **({"command": command} if command else {})}
        with self._changing:
            self._core.record_hold(content)
            self._apply(action, content)
        self._settled()

    def _apply(self, action: str, content: dict[str, Any]) -> None:
        if action == "erased":
            return
        self._holds.pop((content["entity"], content["value"]), None)
        if action == "add":
            hold = Hold(**{name: content[name] for name in Hold.__struct_fields__})
            self._holds[hold.entity, hold.value] = hold

    def _in_force(self, hold: Hold) -> bool:
        now = self._core.now()
        return hold.until is None or now is None or hold.until > now
