"""Windows and aggregates, recomputed from the full list of recorded events each time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

from frmcore.plan import CalendarUnit, Kind
from frmcore.policy.tree import Calendar, Duration
from twin.evaluate import EPOCH, local
from twin.records import Event, Facts
from twin.values import Value, int64

if TYPE_CHECKING:
    from collections.abc import Iterator

    from frmcore.policy.tree import Aggregate, Expr, Policy
    from twin.base import Key, Place
    from twin.groups import Group, Members


class Entry(NamedTuple):
    """An event as a window sees it: its time (floored to its cell), its sequence, its value."""

    time: int
    seq: int
    value: Value

    @property
    def place(self) -> tuple[int, int]:
        return self.time, self.seq


@dataclass(frozen=True)
class Bounds:
    """Where a window lies. An open end is None; `mark`: the place of the event that `since` found."""

    start: int | None
    left: bool
    end: int
    right: bool
    mark: Place | None

    @property
    def first(self) -> Place | None:
        """The first place that belongs to it; None: every place."""
        marks = [] if self.mark is None else [(self.mark[0], self.mark[1] + (0 if self.left else 1))]
        starts = [] if self.by_over is None else [self.by_over]
        return max(starts + marks, default=None)

    @property
    def by_over(self) -> Place | None:
        """The first place whatever its mark."""
        return None if self.start is None else (self.start + (0 if self.left else 1), 0)


class Reader:
    """Reads windows for one event as of its place (time, seq), with all that is known now."""

    def __init__(self, policy: Policy, reader: Event, counts_itself: bool) -> None:
        self.counts_itself = counts_itself
        self.policy = policy
        self.reader = reader

    def bounds(self, aggregate: Aggregate, group: Group) -> Bounds:
        time = floored(self.reader.time, aggregate.every_ms)
        left, right = aggregate.closed in ("left", "both"), aggregate.closed in ("right", "both")
        return Bounds(start_of(aggregate, time), left, time - aggregate.delay_ms, right, self.mark(aggregate, group))

    def mark(self, aggregate: Aggregate, group: Group) -> Place | None:
        """The place of the last event before this one that met `since`."""
        if group.marks is None:
            return None
        here = (self.reader.time, self.reader.seq)
        marks = self.entries(group.marks, self.key(aggregate.lookup), None)
        return max((mark.place for mark in marks if mark.place < here), default=None)

    def key(self, names: tuple[str, ...]) -> tuple[Value, ...]:
        return tuple(self.reader.values[name] for name in names)

    def window(self, aggregate: Aggregate, group: Group, bounds: Bounds) -> list[Entry]:
        """The entries that belong to it, in order, without the event that reads."""
        found = self.entries(group, self.key(aggregate.lookup), aggregate.value)
        return sorted(
            (entry for entry in found if after_start(entry, bounds) and self.before_end(entry, bounds, aggregate)),
            key=lambda entry: entry.place,
        )

    def before_end(self, entry: Entry, bounds: Bounds, aggregate: Aggregate) -> bool:
        """At the right end entries count when they were recorded before the event; in the past and in a cell always."""
        if entry.time != bounds.end:
            return entry.time < bounds.end
        return bounds.right and (aggregate.delay_ms > 0 or aggregate.every_ms > 0 or entry.seq < self.reader.seq)

    def entries(self, group: Group, key: tuple[Value, ...], value: Expr | None) -> list[Entry]:
        """Every other member filed under the key, with the value that is looked at."""
        every = group.members.every_ms
        return [
            Entry(floored(event.time, every), event.seq, seen(value, facts))
            for event, facts in members_of(self.policy, group, key)
            if event.seq != self.reader.seq
        ]

    def itself(self, aggregate: Aggregate, members: Members) -> Entry | None:
        """The event that is being decided, as a virtual entry; None if it does not belong."""
        facts = Facts(self.policy, self.reader, deciding=True)
        if self.key(aggregate.by) != self.key(aggregate.lookup) or not belongs(members, self.reader, facts):
            return None
        return Entry(floored(self.reader.time, members.every_ms), self.reader.seq, seen(aggregate.value, facts))

    def lacks(self, aggregate: Aggregate, group: Group, bounds: Bounds) -> bool:
        """May forgotten events belong to the window. A last entry after them is the last one all the same."""
        gap = max((one.gap for one in (group, group.marks) if one is not None and one.gap is not None), default=None)
        if gap is None or (bounds.first is not None and bounds.first[0] > gap):
            return False
        entries = self.window(aggregate, group, bounds) if aggregate.function in ("last", "since_last") else []
        return not entries or entries[-1].time <= gap

    def aggregate(self, aggregate: Aggregate, group: Group, bounds: Bounds) -> Value:
        entries = self.window(aggregate, group, bounds)
        if aggregate.function in ("first", "last", "since_last", "since_first"):
            return of_earlier(aggregate, entries, floored(self.reader.time, aggregate.every_ms))
        counts_itself = self.counts_itself and bounds.right and not aggregate.delay_ms
        own = self.itself(aggregate, group.members) if counts_itself else None
        return of_all(aggregate, [*entries, own] if own else entries)


def seen(value: Expr | None, facts: Facts) -> Value:
    """A value as a window keeps it: -0.0 counts as 0.0."""
    found = None if value is None else facts.of(value)
    return found + 0.0 if isinstance(found, float) else found


def after_start(entry: Entry, bounds: Bounds) -> bool:
    after = bounds.start is None or entry.time > bounds.start or (bounds.left and entry.time == bounds.start)
    return after and (bounds.mark is None or entry.place > bounds.mark or (bounds.left and entry.place == bounds.mark))


def members_of(policy: Policy, group: Group, key: Key) -> Iterator[tuple[Event, Facts]]:
    """The events that are filed under the key and meet the filter, in recorded order."""
    where = group.members.where
    for event in group.filed.get(key, ()):
        facts = Facts(policy, event)
        if where is None or facts.of(where):
            yield event, facts


def belongs(members: Members, event: Event, facts: Facts) -> bool:
    return bool(
        (members.on is None or event.kind in members.on)
        and None not in (event.values[name] for name in members.by)
        and (members.where is None or facts.of(members.where))
    )


def floored(time: int, every_ms: int) -> int:
    return time - time % every_ms if every_ms else time


def start_of(aggregate: Aggregate, time: int) -> int | None:
    """Where a window of an event at `time` starts by its `over`; None: it has none."""
    if isinstance(aggregate.over, Duration):
        return time - aggregate.delay_ms - aggregate.over.ms
    if isinstance(aggregate.over, Calendar):
        return calendar_start(aggregate.over, time)
    return None


def calendar_start(over: Calendar, time: int) -> int:
    """The first instant of the local day, week (Monday) or month."""
    today = local(time, over.zone).date()
    day = {
        CalendarUnit.DAY: today - timedelta(days=over.count - 1),
        CalendarUnit.WEEK: today - timedelta(days=today.weekday()),
        CalendarUnit.MONTH: today.replace(day=1),
    }[over.unit]
    return first_instant(day, over.zone)


def first_instant(day: date, zone: str) -> int:
    """Midnight, or the moment after the gap where clocks skip midnight; of a midnight that comes twice the first."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone))
    ms = (midnight - EPOCH) // timedelta(milliseconds=1)
    hour = 3_600_000
    if local(ms, zone).date() == day:
        return ms
    return next(at for at in range(ms, ms + 3 * hour, 60_000) if local(at, zone).date() == day)


# -- aggregates --------------------------------------------------------------------------------------------------
def of_earlier(aggregate: Aggregate, entries: list[Entry], time: int) -> Value:
    if not entries:
        return None
    entry = entries[0] if aggregate.function in ("first", "since_first") else entries[-1]
    return entry.value if aggregate.function in ("first", "last") else time - entry.time


def of_all(aggregate: Aggregate, entries: list[Entry]) -> Value:
    count = len(entries)
    if aggregate.function == "count":
        return count
    values = [entry.value for entry in entries]
    if aggregate.function == "count_distinct":
        return len(set(values))
    if aggregate.function == "share":
        return float(sum(bool(value) for value in values)) / float(count) if count else None
    if aggregate.function in ("min", "max"):
        numbers = [value for value in values if isinstance(value, int | float)]
        return (min if aggregate.function == "min" else max)(numbers, default=None)
    return of_integers(aggregate, [int(value) for value in values if value is not None])


def of_integers(aggregate: Aggregate, values: list[int]) -> Value:
    """Sums are exact; mean and deviation round as docs/design.md says: float() of an int rounds once."""
    assert aggregate.value is not None
    n, total, squares = len(values), sum(values), sum(value * value for value in values)
    if aggregate.function == "sum":
        return int64(total)
    if n == 0:
        return None
    unit = float(10**aggregate.value.type.scale) if aggregate.value.type.kind is Kind.DECIMAL else 1.0
    if aggregate.function == "mean":
        return float(total) / float(n) / unit
    spread = float(n * squares - total * total)
    if aggregate.ddof == 0:
        return math.sqrt(spread) / float(n) / unit
    return math.sqrt(spread / (float(n) * float(n - 1))) / unit if n > 1 else None
