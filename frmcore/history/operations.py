"""What happens in a run, one after the other: what files and stores are turned into, and `replay` applies."""

from __future__ import annotations

from heapq import merge
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from frmcore.history.batches import Span
from frmcore.history.cells import typed
from frmcore.plan import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from frmcore import Decision
    from frmcore.history.batches import Batch
    from frmcore.history.events import Events
    from frmcore.history.told import Listing, Listings, Update, Updates
    from frmcore.policy.tree import Policy


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


Single = Again | Observe | Tell | Change | Broken
Operation = Span | Single


class _Due(NamedTuple):
    """An operation, and when: before the events of that instant, or `after` them."""

    time: int
    after: bool
    operation: Operation


def merged(
    events: Events, updates: Updates | None, listings: Listings | None, policy: Policy, again: Mapping[str, str]
) -> Iterator[Operation]:
    """Files as operations, by their times. At one instant lists change first, then older events' updates are told, then
    the instant's events come, then what is told of them. again: update -> the point at which it has its event
    decided."""
    kinds = {update.name: update.type.kind for update in policy.updates}
    told = (_told(update, kinds, again) for update in (updates.rows() if updates else ()))
    due = _Ahead(merge(map(_listed, listings.rows()), told, key=itemgetter(0, 1)) if listings else told)
    for batch in events.batches():
        yield from _cut(batch, due)
    yield from (operation for operation in due.rest() if not isinstance(operation, Change))


def _cut(batch: Batch, due: _Ahead) -> Iterator[Operation]:
    """A batch, cut where something happens between its events, and around those that stand alone. What may come behind
    its last event waits for the next batch, which may have events of the same instant."""
    first, end = 0, len(batch)
    while first < end:
        alone, place = batch.together(first), due.place(batch, first)
        last = min(alone, place)
        if first < last:
            yield Span(batch, first, last)
        if place == last < end:
            yield due.take()
        elif last < end:
            single = batch.alone[last]
            yield Broken(batch.place(last), "no JSON object") if single is None else Span(single, 0, 1)
            last += 1
        first = last


class _Ahead:
    """Operations in the order in which they are due, the next one at hand."""

    def __init__(self, due: Iterator[_Due]) -> None:
        self._due = due
        self._next = next(due, None)

    def place(self, batch: Batch, first: int) -> int:
        """The row of a batch before which the next one is due."""
        return len(batch) if self._next is None else batch.due(first, self._next.time, after=self._next.after)

    def take(self) -> Operation:
        assert self._next is not None  # noqa: S101
        operation, self._next = self._next.operation, next(self._due, None)
        return operation

    def rest(self) -> Iterator[Operation]:
        while self._next is not None:
            yield self.take()


def _listed(entry: Listing) -> _Due:
    due = -(2**62) if entry.added is None else entry.added
    place = f"list entry {entry.ordinal}"
    if entry.list is None or entry.value is None:
        return _Due(due, False, Broken(place, "an entry has a list and a value"))
    return _Due(due, False, Change(place, entry.list, "add", entry.value, entry.expires, entry.reason))


def _told(update: Update, kinds: Mapping[str, Kind], again: Mapping[str, str]) -> _Due:
    place = f"update {update.ordinal}"
    value = update.value
    if isinstance(value, str):
        value = typed(value, kinds.get(update.field, Kind.STRING))
    told = {update.field: value}
    point = update.point or again.get(update.field)
    if point:
        return _Due(update.due, update.after, Again(place, update.id, point, update.at, told))
    return _Due(update.due, update.after, Tell(place, update.id, update.at, told))
