"""Random groups of windows, and a stream of operations that drives rings and their model side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from windows_model import Model, Value

from frmcore._fast import _RingDoor
from frmcore.limits import MAX_MEMORY
from frmcore.plan import Agg, CalendarUnit, Column, ColumnKind, Group, Limits, Lookup, Query, Segment, Span
from frmcore.policy.zones import load_zone

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

INT_MAX = 2**63 - 1
HOUR, DAY = 3_600_000, 86_400_000
ZONES = ("UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia")
CALENDAR_HOURS = {CalendarUnit.DAY: 24, CalendarUnit.WEEK: 7 * 24, CalendarUnit.MONTH: 31 * 24}
OF_KIND = {
    ColumnKind.INT: (Agg.SUM, Agg.MEAN, Agg.STD, Agg.MIN, Agg.MAX, Agg.FIRST, Agg.LAST),
    ColumnKind.FLOAT: (Agg.MIN, Agg.MAX, Agg.FIRST, Agg.LAST),
    ColumnKind.TRUTH: (Agg.SHARE,),
    ColumnKind.MEMBER: (Agg.DISTINCT,),
    ColumnKind.TEXT: (Agg.FIRST, Agg.LAST),
}
OF_NONE = (Agg.COUNT, Agg.SINCE_LAST, Agg.SINCE_FIRST)
NOT_FOR_LIFE = (Agg.MIN, Agg.MAX, Agg.DISTINCT)


class Scale(NamedTuple):
    """Times of one run: where it starts, the steps between events, the windows, how late an event may be."""

    start: int
    step: int
    over: int
    late: int


SCALES = (
    Scale(0, 3, 40, 60),
    Scale(-500, 3, 200, 300),
    Scale(1_700_000_000_000, 60_000, HOUR, 3 * HOUR),
    Scale(1_700_000_000_000, 8 * HOUR, 9 * DAY, 12 * DAY),
    Scale(-3_000 * DAY, 20 * DAY, 200 * DAY, 300 * DAY),  # gaps beyond 32 bits of milliseconds
    Scale(8_640_000_000_000_000 - 9 * DAY, 1_000, DAY, DAY),
)


# -- groups ------------------------------------------------------------------------------------------------------------
def random_group(random: Random, scale: Scale, *, marks: bool = False) -> Group:
    """A group that `lower` might make: its windows, and the columns and span that they need."""
    every = random.choice((0, 0, 0, max(1, scale.over // 8)))
    kinds = random_kinds(random)
    queries = []
    for dst in range(random.choice((1, 3, 8))):
        column = random.randrange(-1, len(kinds))
        agg = random.choice(OF_NONE if column < 0 else OF_KIND[kinds[column]])
        queries.append(random_query(random, scale, dst, agg, column, every, marks))
    return group_of(queries, kinds, every)


def random_kinds(random: Random) -> list[ColumnKind]:
    plain = random.choice(([ColumnKind.INT, ColumnKind.TRUTH], list(ColumnKind)))  # the first lets cells merge
    return [random.choice(plain) for _ in range(random.randrange(4))]


def random_query(random: Random, scale: Scale, dst: int, agg: Agg, column: int, every: int, marks: bool) -> Query:
    spans = [Span.DURATION, Span.DURATION]
    if agg not in NOT_FOR_LIFE and (not every or random.random() < 0.2):
        spans.append(Span.LIFE)
    if not every and -1_000 <= scale.start < 2 * 10**12:
        spans.append(Span.CALENDAR)
    if marks and not every:
        spans += [Span.SINCE] * 3
    span = random.choice(spans)
    unit, over, delay = CalendarUnit.DAY, 0, 0
    if span is Span.DURATION:
        over = random.randint(1, scale.over) if not every else every * random.randint(1, random.choice((9, 90)))
    elif span is Span.CALENDAR:
        unit = random.choice(list(CalendarUnit))
        over = random.randint(1, 5) if unit is CalendarUnit.DAY else 1
    elif span is Span.SINCE:
        over = random.choice((0, random.randint(1, scale.over)))
    if span in (Span.DURATION, Span.LIFE) and random.random() < 0.3:
        delay = random.randint(1, scale.over // 4) if not every else every * random.randint(1, 3)
    return Query(
        dst, agg, column, span, over, delay, left=random.random() < 0.4, right=random.random() < 0.7, unit=unit,
        zone=random.randrange(len(ZONES)), ddof=random.randrange(2) if agg is Agg.STD else 0,
        divisor=random.choice((1, 1, 100)) if agg in (Agg.MEAN, Agg.STD) else 1,
    )  # fmt: skip


def group_of(queries: list[Query], kinds: list[ColumnKind], every: int = 0, signature: str = "group") -> Group:
    spans = [span_of(query) for query in queries]
    return Group(
        signature=signature, entity="account", kinds=None, keys=(0,), where=-1, code=Segment(0, 0),
        columns=tuple(column_of(c, kind, queries, every) for c, kind in enumerate(kinds)), every_ms=every,
        span_ms=-1 if -1 in spans else max(spans, default=0),
        life=any(query.span is Span.LIFE for query in queries), reads_updates=False, reads_decision=False,
        marks_group=-1, lookups=(Lookup((0,), tuple(queries)),),
    )  # fmt: skip


def marks_of() -> Group:
    return group_of([Query(0, Agg.COUNT, -1, Span.LIFE, 0, 0, False, True)], [], 0, "marks")


def span_of(query: Query) -> int:
    if query.span is Span.CALENDAR:
        return (CALENDAR_HOURS[query.unit] * query.over_ms + 25) * HOUR + query.delay_ms
    if query.span is Span.SINCE and query.over_ms == 0:
        return -1
    return query.over_ms + query.delay_ms


def column_of(index: int, kind: ColumnKind, queries: list[Query], every: int) -> Column:
    asked = {query.agg for query in queries if query.column == index}
    sums = bool(asked & {Agg.SUM, Agg.MEAN, Agg.STD, Agg.SHARE})
    apart = {Agg.MIN, Agg.MAX} | ({Agg.FIRST, Agg.LAST} if every else set())
    return Column(0, kind, Agg.STD in asked, sums, bool(asked & apart), str(index))


# -- streams -----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Event:
    key: int
    time: int
    seq: int
    values: tuple[Value, ...]


class Drive:
    """Rings, their model, and what was recorded. `check_every`: operations between two checks of all invariants."""

    def __init__(self, random: Random, *, keys: int = 3, check_every: int = 1) -> None:
        self.random, self.keys, self.check_every = random, keys, check_every
        self.scale = random.choice(SCALES)
        self.group = random_group(random, self.scale, marks=random.random() < 0.5)
        limits = self.random_limits()
        self.door = _RingDoor(self.group, limits, [zone for name in ZONES if (zone := load_zone(name))])
        self.model = Model(self.group, limits, ZONES)
        self.marks_door, self.marks_model = _RingDoor(marks_of(), limits), Model(marks_of(), limits)
        self.watermark = self.oldest = self.scale.start
        self.seq = random.choice((0, 0, 2**40, 2**63 - 10_000))
        self.events: list[Event] = []
        self.marks: list[Event] = []
        self.gone: list[Event] = []
        self.wide = random.random() < 0.2  # values at the ends of their range
        self.evictions = random.choice((0, 0, 1, 4))
        self.done = 0

    def random_limits(self) -> Limits:
        horizon = self.random.choice((1, max(1, self.scale.late // 10), self.scale.late, 40 * self.scale.late))
        ring = self.random.choice((1, 3, 20, 31, 32, 33, 60, 10**6, 10**6, 10**6))
        return Limits(
            horizon_ms=horizon,
            ids_min=1,
            ids_max=1,
            ring_events_max=ring,
            max_ahead_ms=1,
            max_memory=MAX_MEMORY,
            entities=(),
        )

    def step(self) -> None:
        weights: dict[Callable[[], None], float] = {
            self.append: 30, self.late: 10, self.retract: 8, self.restore: 3, self.mark: 4,
            self.read: 25, self.read_again: 8, self.sweep: 8, self.reload: 0.3, self.recover: 0.5,
            self.evict: self.evictions,
        }  # fmt: skip
        self.random.choices(list(weights), list(weights.values()))[0]()
        self.done += 1
        if self.done % self.check_every == 0:
            self.door.check()
            self.marks_door.check()

    # -- values --------------------------------------------------------------------------------------------------
    def values(self) -> tuple[Value, ...]:
        return tuple(self.value(column.kind) for column in self.group.columns)

    def value(self, kind: ColumnKind) -> Value:
        random = self.random
        match kind:
            case ColumnKind.TRUTH:
                return random.randrange(2)
            case ColumnKind.FLOAT:
                return random.choice((0.0, -0.0, 1.5, -1.5, 1e308, -5e-324, random.uniform(-9, 9)))
            case ColumnKind.TEXT:
                return random.choice(("", "a", "b", "ß" * 40, str(random.randrange(30))))
            case ColumnKind.MEMBER:
                return random.choice((random.randrange(4), random.randrange(30), -INT_MAX - 1, random.getrandbits(60)))
        if self.wide:
            return random.choice((INT_MAX, -INT_MAX, INT_MAX - random.randrange(9), random.randint(-INT_MAX, INT_MAX)))
        return random.randint(-9, 30)

    # -- operations ----------------------------------------------------------------------------------------------
    def append(self) -> None:
        usual, long = (self.random.randint(0, times * self.scale.step) for times in (1, 5))
        step = self.random.choice((0, 0, 1, usual, long))
        self.enter(min(self.watermark + step, 8_640_000_000_000_000))

    def late(self) -> None:
        self.enter(self.late_time())

    def late_time(self) -> int:
        if self.events and self.random.random() < 0.3:
            return self.random.choice(self.events[-40:]).time
        return self.watermark - self.random.randint(0, self.random.choice((9, self.scale.late // 9, self.scale.late)))

    def enter(self, time: int) -> None:
        self.seq += self.random.choice((1, 1, 1, 7))
        self.insert(Event(self.random.randrange(self.keys), time, self.seq, self.values()))

    def insert(self, event: Event) -> None:
        self.watermark = max(self.watermark, event.time)
        self.oldest = min(self.oldest, event.time)
        self.events.append(event)
        for side in (self.door, self.model):
            side.insert(event.key, event.time, event.seq, event.values, self.watermark)

    def retract(self) -> None:
        if self.events:
            recent = self.random.choice((3, 40, len(self.events)))
            event = self.events.pop(self.random.randrange(max(0, len(self.events) - recent), len(self.events)))
            self.gone.append(event)
            for side in (self.door, self.model):
                side.remove(event.key, event.time, event.seq, event.values, self.watermark)

    def restore(self) -> None:
        """Told anew, with other values."""
        if self.gone:
            event = self.gone.pop(self.random.randrange(len(self.gone)))
            self.insert(Event(event.key, event.time, event.seq, self.values()))

    def mark(self) -> None:
        if self.marks and self.random.random() < 0.3:
            event = self.marks.pop(self.random.randrange(len(self.marks)))
            for side in (self.marks_door, self.marks_model):
                side.remove(event.key, event.time, event.seq, (), self.watermark)
            return
        self.seq += 1
        event = Event(self.random.randrange(self.keys), self.late_time(), self.seq, ())
        self.oldest = min(self.oldest, event.time)
        self.marks.append(event)
        for side in (self.marks_door, self.marks_model):
            side.insert(event.key, event.time, event.seq, (), self.watermark)

    def read(self) -> None:
        late = self.random.random() < 0.4
        time = self.late_time() if late else self.watermark + self.random.randint(0, self.scale.step)
        itself = self.values() if self.random.random() < 0.8 else None
        self.compare(self.random.randrange(self.keys), time, self.seq + 1, itself)

    def read_again(self) -> None:
        """As of an event's own place. Of a group with cells the event is taken out while it is read."""
        if not self.events:
            return
        event = self.random.choice(self.events[-60:])
        sides = (self.door, self.model) if self.group.every_ms else ()
        place = event.time, event.seq, event.values, self.watermark
        lifted = [side for side in sides if side.lift(event.key, *place)]
        self.compare(event.key, event.time, event.seq, event.values)
        for side in lifted:
            side.lower(*place)

    def compare(self, key: int, time: int, seq: int, itself: tuple[Value, ...] | None) -> None:
        ours = self.door.read(key, time, seq, self.watermark, self.oldest, itself, 0, self.marks_door)
        theirs = self.model.read(key, time, seq, self.watermark, self.oldest, itself, 0, self.marks_model)
        for dst, query in enumerate(self.group.lookups[0].queries):
            pair = (exact(ours[0][dst]), ours[1].get(dst)), (exact(theirs[0][dst]), theirs[1].get(dst))
            place = f"at ({time}, {seq}), watermark {self.watermark}"
            assert pair[0] == pair[1], f"{pair[0]} instead of {pair[1]}: {query} {place}"

    def sweep(self) -> None:
        """Only rings may change by it, never an answer."""
        before = self.door.fingerprint(self.watermark)
        self.door.sweep(self.watermark, self.random.choice((1, 64, 200)))
        self.marks_door.sweep(self.watermark, self.random.choice((1, 64)))
        assert self.door.fingerprint(self.watermark) == before, "a sweep changed the logical state"

    def evict(self) -> None:
        until = self.late_time()
        for side in (self.door, self.model) if self.random.random() < 0.7 else (self.marks_door, self.marks_model):
            side.evict(until)

    def reload(self) -> None:
        limits = self.random_limits()
        for side in (self.door, self.model, self.marks_door, self.marks_model):
            side.adopt(limits, self.watermark)

    def recover(self) -> None:
        """The state as it comes back from a checkpoint is the same, and goes on alike."""
        before = self.door.fingerprint(self.watermark)
        self.door.recover(self.model.limits, self.random.randrange(3), self.watermark)
        assert self.door.fingerprint(self.watermark) == before, "a recovery changed the logical state"

    # -- endings -------------------------------------------------------------------------------------------------
    def retract_all(self) -> None:
        while self.events:
            event = self.events.pop(self.random.randrange(len(self.events)))
            self.door.remove(event.key, event.time, event.seq, event.values, self.watermark)

    def sweep_all(self) -> None:
        """As of a time when everything, a cap's place too, is past."""
        far = self.watermark + self.model.limits.horizon_ms + max(0, self.group.span_ms) + 2 * self.group.every_ms + 2
        for _ in range(10):
            self.door.sweep(far, 64)


def exact(value: Value | None) -> tuple[str, str]:
    return type(value).__name__, value.hex() if isinstance(value, float) else str(value)
