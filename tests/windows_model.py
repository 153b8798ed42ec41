"""Rings and window queries by brute force: a list of entries, read anew for every window. The reference of rings."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

from frmcore.plan import Agg, CalendarUnit, ColumnKind, Span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from frmcore.plan import Group, Limits, Query

Value = int | float | str
Place = tuple[int, int]

LATE, CAPPED, LOST, OVERFLOW, EVICTED = 1, 2, 3, 4, 6  # the notes of record.pxi
FAR = 1 << 62
NEVER = -1 << 63
SINGLES = (Agg.FIRST, Agg.LAST, Agg.SINCE_LAST, Agg.SINCE_FIRST)


class Entry(NamedTuple):
    place: Place
    values: tuple[Value, ...]


class Bounds(NamedTuple):
    """The window is lo <= place < hi."""

    lo: Place
    hi: Place


@dataclass
class Base:
    """What a life ring gave up; of its ends the places, and the entries unless they were retracted."""

    entries: list[Entry] = field(default_factory=list)
    first: Entry | None = None
    last: Entry | None = None
    first_place: Place = (0, 0)
    last_place: Place = (0, 0)

    def add(self, entry: Entry) -> None:
        if not self.entries or entry.place <= self.first_place:
            self.first, self.first_place = entry, entry.place
        if not self.entries or entry.place >= self.last_place:
            self.last, self.last_place = entry, entry.place
        self.entries.append(entry)

    def remove(self, entry: Entry) -> None:
        self.entries.remove(entry)
        self.first = None if entry.place == self.first_place else self.first
        self.last = None if entry.place == self.last_place else self.last


@dataclass
class Ring:
    """`entries` are those that are retained, in order."""

    entries: list[Entry] = field(default_factory=list)
    base: Base = field(default_factory=Base)
    capped: Place | None = None
    since: int = NEVER  # up to this time entries may lack


class Model:
    """The rings of one group. Gives up at once what RingStore gives up when it is convenient."""

    def __init__(self, group: Group, limits: Limits, zones: Sequence[str] = ()) -> None:
        self.group, self.limits, self.zones = group, limits, zones
        self.given_up = -FAR
        self.evicted = NEVER
        self.rings: dict[int, Ring] = {}
        self.lifted: Ring | None = None
        self.merges = group.every_ms > 0 and not group.life and all(c.sums and not c.extremes for c in group.columns)

    def line(self, watermark: int) -> int:
        if self.group.span_ms < 0:
            return self.given_up
        line = self.floor(watermark - self.limits.horizon_ms) - self.group.span_ms - 1
        return max(self.given_up, line)

    def adopt(self, limits: Limits, watermark: int) -> None:
        self.given_up = self.line(watermark)
        self.limits = limits

    def floor(self, time: int) -> int:
        return time - time % self.group.every_ms if self.group.every_ms else time

    # -- evictions -----------------------------------------------------------------------------------------------
    def evict(self, until: int) -> None:
        """Rings without an entry behind `until` are gone; of cells whole ones only."""
        until = self.floor(until + 1) - 1 if self.group.every_ms else until
        self.evicted = max(self.evicted, until)

    def is_void(self, ring: Ring, watermark: int) -> bool:
        line = self.line(watermark)
        signs = [ring.entries[-1].place[0]] if ring.entries else []
        signs += [ring.base.last_place[0]] if ring.base.entries else []
        signs += [ring.capped[0]] if ring.capped is not None and ring.capped[0] > line else []
        return max(signs, default=NEVER) <= (self.evicted if self.group.life else max(self.evicted, line))

    def living(self, key: int, watermark: int) -> Ring:
        """The ring as it may be read."""
        ring = self.settled(key, watermark)
        if self.evicted == NEVER or ring is self.lifted or not self.is_void(ring, watermark):
            return ring
        return Ring(since=self.evicted)

    def lift(self, key: int, time: int, seq: int, values: tuple[Value, ...], watermark: int) -> bool:
        ring = self.living(key, watermark)
        entry = Entry((self.floor(time), seq), values)
        if ring.since >= entry.place[0] or entry not in [*ring.entries, *ring.base.entries]:
            return False
        (ring.entries if entry in ring.entries else ring.base).remove(entry)
        self.lifted = ring
        return True

    def lower(self, time: int, seq: int, values: tuple[Value, ...], watermark: int) -> None:
        assert self.lifted is not None
        ring, self.lifted = self.lifted, None
        self.enter(ring, Entry((self.floor(time), seq), values), watermark)

    # -- changes -------------------------------------------------------------------------------------------------
    def insert(self, key: int, time: int, seq: int, values: tuple[Value, ...], watermark: int) -> None:
        ring = self.settled(key, watermark)
        entry = Entry((self.floor(time), seq), values)
        if entry.place[0] <= self.line(watermark) and not self.group.life:
            return
        if self.evicted != NEVER and self.is_void(ring, watermark):
            ring = self.rings[key] = Ring(since=self.evicted)
        if entry.place[0] > ring.since:
            self.enter(ring, entry, watermark)

    def enter(self, ring: Ring, entry: Entry, watermark: int) -> None:
        if self.group.life and ring.base.entries and entry.place < ring.base.last_place:
            ring.base.add(entry)
        elif entry.place[0] <= self.line(watermark) or (ring.capped is not None and self.unit(entry) <= ring.capped):
            self.give_up(ring, entry)
        else:
            is_new = self.unit(entry) not in map(self.unit, ring.entries)
            ring.entries = sorted([*ring.entries, entry])
            if is_new:
                self.cap(ring)

    def remove(self, key: int, time: int, seq: int, values: tuple[Value, ...], watermark: int) -> None:
        ring = self.living(key, watermark)
        entry = Entry((self.floor(time), seq), values)
        if entry.place[0] <= ring.since:
            return
        if entry in ring.entries:
            ring.entries.remove(entry)
        elif entry in ring.base.entries:
            ring.base.remove(entry)

    def settled(self, key: int, watermark: int) -> Ring:
        """The ring, after everything at or before the line left it."""
        ring = self.rings.setdefault(key, Ring())
        line = self.line(watermark)
        while ring.entries and ring.entries[0].place[0] <= line:
            self.give_up(ring, ring.entries.pop(0))
        return ring

    def give_up(self, ring: Ring, entry: Entry) -> None:
        if self.group.life:
            ring.base.add(entry)

    def cap(self, ring: Ring) -> None:
        kept = sorted({self.unit(entry) for entry in ring.entries})
        excess = len(kept) - self.limits.ring_events_max
        if excess > 0:
            last = kept[excess - 1]
            ring.capped = last if ring.capped is None else max(last, ring.capped)
            while ring.entries and self.unit(ring.entries[0]) <= last:
                self.give_up(ring, ring.entries.pop(0))

    def unit(self, entry: Entry) -> Place:
        """What counts as one: an entry, or a cell of merged ones."""
        return (entry.place[0], 0) if self.merges else entry.place

    # -- bounds --------------------------------------------------------------------------------------------------
    def bounds(self, query: Query, time: int, seq: int, mark: Place | None) -> Bounds:
        end = self.floor(time) - query.delay_ms
        hi = (end, 0)
        if query.right:
            hi = (end + 1, 0) if query.delay_ms or self.group.every_ms else (time, seq)
        return Bounds(self.start(query, end, mark), hi)

    def start(self, query: Query, end: int, mark: Place | None) -> Place:
        open_by = 0 if query.left else 1
        match query.span:
            case Span.DURATION:
                return (end - query.over_ms + open_by, 0)
            case Span.CALENDAR:
                return (local_start(end, query.unit, query.over_ms, self.zones[query.zone]) + open_by, 0)
            case Span.LIFE:
                return (-FAR, 0)
        starts = [(-FAR, 0)] if mark is None else [(mark[0], mark[1] + open_by)]
        if query.over_ms:
            starts.append((end - query.over_ms + open_by, 0))
        return max(starts)

    def problem(self, query: Query, ring: Ring, bounds: Bounds, place: Place, watermark: int, oldest: int) -> int:
        line = self.line(watermark)
        if query.span is Span.LIFE:
            return self.life_problem(ring, bounds.hi, line)
        if bounds.lo[0] <= line and self.floor(oldest) <= line and place[0] < watermark:
            return LATE
        return CAPPED if ring.capped is not None and ring.capped >= bounds.lo else 0

    def life_problem(self, ring: Ring, hi: Place, line: int) -> int:
        base = ring.base
        if base.entries and hi[0] <= line and base.first_place[0] <= line:
            return LATE
        return CAPPED if base.entries and base.last_place >= hi else 0

    def mark(self, key: int, place: Place, watermark: int) -> tuple[Place | None, int]:
        """The last entry before the place, and why it can't be told (a lost one's place is given)."""
        ring = self.living(key, watermark)
        problem = self.life_problem(ring, place, self.line(watermark))
        if problem:
            return None, problem
        earlier = [entry.place for entry in ring.entries if entry.place < place]
        if earlier:
            return max(earlier), 0
        if not ring.base.entries:
            return (None, 0) if ring.since == NEVER else ((ring.since, 1 << 64), EVICTED)
        return ring.base.last_place, 0 if ring.base.last else LOST

    # -- reading -------------------------------------------------------------------------------------------------
    def read(
        self,
        key: int,
        time: int,
        seq: int,
        watermark: int,
        oldest: int,
        itself: tuple[Value, ...] | None = None,
        lookup: int = 0,
        marks: Model | None = None,
    ) -> tuple[dict[int, Value | None], dict[int, int]]:
        values: dict[int, Value | None] = {}
        notes: dict[int, int] = {}
        ring = self.living(key, watermark)
        mark, trouble = marks.mark(key, (time, seq), watermark) if marks else (None, 0)
        for query in self.group.lookups[lookup].queries:
            value, note = None, 0
            if query.span is Span.SINCE and trouble:
                note = trouble if trouble not in (LOST, EVICTED) or not self.is_cut(query, time, mark) else 0
            known = None if trouble else mark
            if not note:
                bounds = self.bounds(query, time, seq, known)
                note = self.problem(query, ring, bounds, (time, seq), watermark, oldest)
                if not note and bounds.lo[0] <= ring.since and self.lacks(query, ring, bounds):
                    note = EVICTED
                if not note:
                    value, note = self.answer(query, ring, bounds, time, itself)
            values[query.dst] = value
            if note:
                notes[query.dst] = note
        return values, notes

    def lacks(self, query: Query, ring: Ring, bounds: Bounds) -> bool:
        """A last entry that is there is the last one, whatever was evicted before it."""
        if query.agg not in (Agg.LAST, Agg.SINCE_LAST):
            return True
        known = [entry.place for entry in ring.entries if entry.place < bounds.hi]
        return not known and not (query.span is Span.LIFE and ring.base.entries)

    def is_cut(self, query: Query, time: int, mark: Place | None) -> bool:
        """Does `over` start the window at or after a mark that was lost?"""
        assert mark is not None
        return query.over_ms > 0 and (time - query.over_ms + (0 if query.left else 1), 0) >= mark

    def answer(
        self, query: Query, ring: Ring, bounds: Bounds, time: int, itself: tuple[Value, ...] | None
    ) -> tuple[Value | None, int]:
        inside = sorted(e for e in [*ring.base.entries, *ring.entries] if bounds.lo <= e.place < bounds.hi)
        if query.agg in SINGLES:
            return self.single(query, ring, inside, time)
        rows = [entry.values for entry in inside]
        if itself is not None and query.right and query.delay_ms == 0:
            rows.append(itself)
        return total(query, self.group, rows)

    def single(self, query: Query, ring: Ring, inside: list[Entry], time: int) -> tuple[Value | None, int]:
        if not inside:
            return None, 0
        is_first = query.agg in (Agg.FIRST, Agg.SINCE_FIRST)
        entry = inside[0] if is_first else inside[-1]
        if ring.base.entries and query.span is Span.LIFE:
            if is_first and ring.base.first is None:
                return None, LOST
            if not is_first and ring.base.last is None and inside[-1] in ring.base.entries:
                return None, LOST
        if query.agg in (Agg.SINCE_FIRST, Agg.SINCE_LAST):
            return self.floor(time) - entry.place[0], 0
        return plain(entry.values[query.column]), 0


# -- aggregates --------------------------------------------------------------------------------------------------------
def plain(value: Value) -> Value:
    """Windows know one zero."""
    return value + 0.0 if isinstance(value, float) else value


def total(query: Query, group: Group, rows: list[tuple[Value, ...]]) -> tuple[Value | None, int]:
    if query.agg is Agg.COUNT:
        return len(rows), 0
    column = [plain(row[query.column]) for row in rows]
    if query.agg is Agg.DISTINCT:
        return len(set(column)), 0
    if query.agg in (Agg.MIN, Agg.MAX):
        assert group.columns[query.column].kind in (ColumnKind.INT, ColumnKind.FLOAT)
        return (min if query.agg is Agg.MIN else max)(column, default=None), 0
    return of_integers(query, [int(value) for value in column])


def of_integers(query: Query, values: list[int]) -> tuple[Value | None, int]:
    """As docs/design.md says; Python's float() of an int and its sqrt round once."""
    n, summed, squares = len(values), sum(values), sum(value * value for value in values)
    if query.agg is Agg.SUM:
        return (summed, 0) if abs(summed) < 1 << 63 else (None, OVERFLOW)
    if n == 0 or (query.agg is Agg.STD and query.ddof and n == 1):
        return None, 0
    if query.agg is Agg.STD:
        spread = float(n * squares - summed * summed)
        root = math.sqrt(spread / (float(n) * float(n - 1))) if query.ddof else math.sqrt(spread) / float(n)
        return root / float(query.divisor), 0
    return float(summed) / float(n) / float(query.divisor), 0


# -- calendar ----------------------------------------------------------------------------------------------------------
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def local_start(time: int, unit: CalendarUnit, days: int, zone: str) -> int:
    """The first instant of the local day (of `days`), week or month of `time`."""
    today = local_date(time, zone)
    day = {
        CalendarUnit.DAY: today - timedelta(days=days - 1),
        CalendarUnit.WEEK: today - timedelta(days=today.weekday()),
        CalendarUnit.MONTH: today.replace(day=1),
    }[unit]
    noon = (datetime(day.year, day.month, day.day, 12, tzinfo=UTC) - EPOCH) // timedelta(milliseconds=1)
    low = noon - 3 * 86_400_000  # surely before the day, whatever the zone; days never run backwards over midnight here
    high = noon + 3 * 86_400_000
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if local_date(middle, zone) < day else (low, middle)
    return high


def local_date(time: int, zone: str) -> date:
    return (EPOCH + timedelta(milliseconds=time)).astimezone(ZoneInfo(zone)).date()
