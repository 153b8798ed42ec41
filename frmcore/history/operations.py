"""What happens in a run, one after the other: what files and stores are turned into, and `replay` applies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from frmcore.history.cells import typed
from frmcore.plan import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from frmcore import Decision
    from frmcore.history.events import Events
    from frmcore.history.told import Listing, Listings, Update, Updates
    from frmcore.policy.tree import Policy


class Decide(NamedTuple):
    """An event to decide. `live`: the outcome that took effect then; `decision`: the one that a store has of it."""

    place: str
    time: int | None
    event: dict[str, Any]
    live: str | None = None
    decision: Decision | None = None
    point: str | None = None


class Again(NamedTuple):
    """A known event to decide at a later point, with what was told along."""

    place: str
    id: str
    point: str
    at: int
    told: dict[str, Any]
    decision: Decision | None = None


class Observe(NamedTuple):
    place: str
    event: dict[str, Any]


class Tell(NamedTuple):
    place: str
    id: str
    at: int
    told: dict[str, Any]


class Change(NamedTuple):
    """A list changes: `value` is added until `expires` (None: for good), or removed."""

    place: str
    list: str
    action: str
    value: str
    expires: int | None
    reason: str


class Broken(NamedTuple):
    """A row that is none."""

    place: str
    what: str


Operation = Decide | Again | Observe | Tell | Change | Broken


def merged(
    events: Events, updates: Updates | None, listings: Listings | None, policy: Policy, again: Mapping[str, str]
) -> Iterator[Operation]:
    """Files as operations, by their times. At one instant lists change first, then older events' updates are told, then
    the instant's events come, then what is told of them. again: update -> the point at which it has its event
    decided."""
    kinds = {update.name: update.type.kind for update in policy.updates}
    telling = _Ahead(_told(update, kinds, again) for update in (updates.rows() if updates else ()))
    listing = _Ahead((_due(entry), False, _listed(entry)) for entry in (listings.rows() if listings else ()))
    for row in events.rows():
        if row.time is not None:
            yield from listing.until(row.time, after=False)
            yield from telling.until(row.time, after=False)
        place = f"event {row.ordinal}"
        yield Broken(place, "no JSON object") if row.event is None else Decide(place, row.time, row.event, row.live)
    yield from telling.until(None, after=True)


class _Ahead:
    """Operations with the time each is due, handed out when that time is reached."""

    def __init__(self, due: Iterator[tuple[int, bool, Operation]]) -> None:
        self._due = due
        self._next = next(due, None)

    def until(self, time: int | None, after: bool) -> Iterator[Operation]:
        """Those due before the events of `time`; None: all that are left."""
        while self._next is not None and (time is None or (self._next[0], self._next[1]) <= (time, after)):
            yield self._next[2]
            self._next = next(self._due, None)


def _due(entry: Listing) -> int:
    return -(2**62) if entry.added is None else entry.added


def _listed(entry: Listing) -> Operation:
    if entry.list is None or entry.value is None:
        return Broken(f"list entry {entry.ordinal}", "an entry has a list and a value")
    return Change(f"list entry {entry.ordinal}", entry.list, "add", entry.value, entry.expires, entry.reason)


def _told(update: Update, kinds: Mapping[str, Kind], again: Mapping[str, str]) -> tuple[int, bool, Operation]:
    place = f"update {update.ordinal}"
    value = update.value
    if isinstance(value, str):
        value = typed(value, kinds.get(update.field, Kind.STRING))
    told = {update.field: value}
    point = update.point or again.get(update.field)
    if point:
        return update.due, update.after, Again(place, update.id, point, update.at, told)
    return update.due, update.after, Tell(place, update.id, update.at, told)
