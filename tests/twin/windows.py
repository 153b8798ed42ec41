"""Windows and aggregates, recomputed from the full list of recorded events each time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

from frmcore.plan import CalendarUnit, Kind
from frmcore.policy.tree import Calendar, Duration
from twin.evaluate import EPOCH, evaluate, local
from twin.groups import GroupKey, group_key, marks_key
from twin.records import Event, Facts
from twin.values import Value, int64

if TYPE_CHECKING:
    from collections.abc import Sequence

    from frmcore.policy.tree import Aggregate, Policy


class Entry(NamedTuple):
    """An event as a window sees it: its time (floored to its cell), its sequence, its value."""

    time: int
    seq: int
    value: Value

    @property
    def place(self) -> tuple[int, int]:
        return self.time, self.seq


@dataclass(frozen=True)
class Window:
    """The entries it holds, in order, without the event that reads. `start` None: everything counts."""

    start: int | None
    end: int
    entries: tuple[Entry, ...]
    time: int  # of the reading event, floored to its cell
    holds_reader: bool  # would an event at the reader's own place belong to it


class Reader:
    """Reads windows for one event as of its place (time, seq), with all that is known now."""

    def __init__(self, policy: Policy, events: Sequence[Event], reader: Event) -> None:
        self.policy = policy
        self.reader = reader
        self.others = [event for event in events if event.seq != reader.seq]

    def window(self, aggregate: Aggregate) -> Window | None:
        """None where the key that is looked up is absent."""
        key = tuple(self.reader.values[name] for name in aggregate.lookup)
        if None in key:
            return None
        time = floored(self.reader.time, aggregate.every_ms)
        end = time - aggregate.delay_ms
        mark = self.mark(aggregate, key)
        start = earliest(aggregate, time)
        entries = [
            entry
            for entry in self.entries(group_key(self.policy, aggregate), key, aggregate)
            if self.before_end(entry, end, aggregate)
            and (start is None or entry.time > start or (closed_left(aggregate) and entry.time == start))
            and (mark is None or entry.place > mark or (closed_left(aggregate) and entry.place == mark))
        ]
        if mark is not None:
            start = mark[0] if start is None else max(start, mark[0])
        return Window(start, end, tuple(sorted(entries)), time, closed_right(aggregate) and not aggregate.delay_ms)

    def before_end(self, entry: Entry, end: int, aggregate: Aggregate) -> bool:
        """At the right end entries count when they were recorded before the event; in the past and in a cell always."""
        if entry.time != end:
            return entry.time < end
        whole = aggregate.delay_ms > 0 or aggregate.every_ms > 0
        return closed_right(aggregate) and (whole or entry.seq < self.reader.seq)

    def mark(self, aggregate: Aggregate, key: tuple[Value, ...]) -> tuple[int, int] | None:
        """The place of the last event before this one that met `since`."""
        if aggregate.since is None:
            return None
        here = (self.reader.time, self.reader.seq)
        marks = self.entries(marks_key(group_key(self.policy, aggregate)), key, None)
        return max((mark.place for mark in marks if mark.place < here), default=None)

    def entries(self, group: GroupKey, key: tuple[Value, ...], aggregate: Aggregate | None) -> list[Entry]:
        """Every member of the group filed under the key, with the value that the aggregate looks at."""
        found = []
        for event in self.others:
            if tuple(event.values[name] for name in group.by) != key:
                continue
            facts = Facts(self.policy, event)
            if member(group, event, facts):
                found.append(Entry(floored(event.time, group.every_ms), event.seq, value_of(aggregate, facts)))
        return found

    def itself(self, aggregate: Aggregate) -> Entry | None:
        """The event that is being decided, as a virtual entry; None if it does not belong to the group."""
        group = group_key(self.policy, aggregate)
        facts = Facts(self.policy, self.reader, deciding=True)
        filed = tuple(self.reader.values[name] for name in aggregate.by)
        looked_up = tuple(self.reader.values[name] for name in aggregate.lookup)
        if filed != looked_up or not member(group, self.reader, facts):
            return None
        return Entry(floored(self.reader.time, group.every_ms), self.reader.seq, value_of(aggregate, facts))

    def aggregate(self, aggregate: Aggregate, window: Window) -> Value:
        if aggregate.function in ("first", "last", "since_last", "since_first"):
            here = (window.time, self.reader.seq)
            return of_earlier(aggregate, window, [entry for entry in window.entries if entry.place < here])
        entries = list(window.entries)
        own = self.itself(aggregate) if window.holds_reader else None
        return of_all(aggregate, [*entries, own] if own else entries)


def member(group: GroupKey, event: Event, facts: Facts) -> bool:
    return bool(
        (group.on is None or event.kind in group.on)
        and None not in (event.values[name] for name in group.by)
        and (group.where is None or evaluate(group.where, facts))
    )


def value_of(aggregate: Aggregate | None, facts: Facts) -> Value:
    return None if aggregate is None or aggregate.value is None else evaluate(aggregate.value, facts)


def floored(time: int, every_ms: int) -> int:
    return time - time % every_ms if every_ms else time


def closed_left(aggregate: Aggregate) -> bool:
    return aggregate.closed in ("left", "both")


def closed_right(aggregate: Aggregate) -> bool:
    return aggregate.closed in ("right", "both")


def earliest(aggregate: Aggregate, time: int) -> int | None:
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
def of_earlier(aggregate: Aggregate, window: Window, entries: list[Entry]) -> Value:
    if not entries:
        return None
    entry = entries[0] if aggregate.function in ("first", "since_first") else entries[-1]
    return entry.value if aggregate.function in ("first", "last") else window.time - entry.time


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
