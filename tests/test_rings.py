"""Rings: random streams against a list, then what grows, shrinks, leaves, and what it all costs."""

from __future__ import annotations

import gc
from random import Random
from statistics import median
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from windows_driver import INT_MAX, Drive, group_of, random_group
from windows_model import Entry, Model, Ring, Value

from frmcore._fast import _RingDoor
from frmcore.limits import MAX_MEMORY
from frmcore.plan import Agg, ColumnKind, Group, Limits, Query, Span

if TYPE_CHECKING:
    from collections.abc import Callable

DAY = 86_400_000
EVER = Limits(
    horizon_ms=DAY, ids_min=1, ids_max=1, ring_events_max=10**9, max_ahead_ms=1, max_memory=MAX_MEMORY, entities=()
)
AGG_OF = {
    ColumnKind.INT: Agg.STD,
    ColumnKind.FLOAT: Agg.MAX,
    ColumnKind.TRUTH: Agg.SHARE,
    ColumnKind.MEMBER: Agg.DISTINCT,
    ColumnKind.TEXT: Agg.LAST,
}
ALL_KINDS = list(AGG_OF)
KEPT = 2 * 65_536  # a table keeps one small page of overflow buckets


def duration(dst: int, agg: Agg, column: int = -1, over: int = DAY, *, right: bool = True) -> Query:
    return Query(dst, agg, column, Span.DURATION, over, 0, left=False, right=right)


def life(dst: int, agg: Agg, column: int = -1) -> Query:
    return Query(dst, agg, column, Span.LIFE, 0, 0, left=False, right=True)


# -- streams -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("part", range(8))
def test_random_streams(part: int) -> None:
    """Some 30,000 operations; a failure names its seed."""
    for seed in range(30 * part, 30 * part + 30):
        run(seed, operations=130, keys=3, check_every=1)


@pytest.mark.parametrize("seed", range(10_000, 10_100))
def test_large_rings(seed: int) -> None:
    """One or two rings that become trees of several levels."""
    run(seed, operations=1_500, keys=1 + seed % 2, check_every=200)


@pytest.mark.soak
def test_many_random_streams() -> None:
    for seed in range(100_000, 120_000):
        run(seed, operations=300, keys=1 + seed % 4, check_every=7)


def run(seed: int, operations: int, keys: int, check_every: int) -> None:
    """Random operations, then everything is retracted and swept, and nothing is left."""
    drive = Drive(Random(seed), keys=keys, check_every=check_every)
    empty = drive.door.stats()["bytes"]
    try:
        for _ in range(operations):
            drive.step()
        drive.retract_all()
        drive.door.check()
        drive.sweep_all()
        drive.door.check()
    except AssertionError as error:
        raise AssertionError(f"seed {seed}, operation {drive.done}: {error}") from error
    stats = drive.door.stats()
    left = {name: stats[name] for name in ("leaves", "latest", "texts", "text_bytes") if stats[name]}
    assert not left, f"seed {seed}: {left} left of nothing"
    assert stats["rings"] == 0 or drive.group.span_ms < 0, f"seed {seed}: rings left of nothing"  # such a cap lasts
    lost = stats["bytes"] - empty
    assert lost <= KEPT or stats["rings"], f"seed {seed}: {lost} bytes left of nothing"


class RingMachine(RuleBasedStateMachine):
    """The same operations, chosen and shrunk by Hypothesis."""

    @initialize(seed=st.integers(0, 10**6))
    def start(self, seed: int) -> None:
        self.drive = Drive(Random(seed), keys=2)

    @rule(times=st.integers(1, 40))
    def append(self, times: int) -> None:
        for _ in range(times):
            self.drive.append()

    @rule()
    def late(self) -> None:
        self.drive.late()

    @rule(times=st.integers(1, 40))
    def retract(self, times: int) -> None:
        for _ in range(times):
            self.drive.retract()

    @rule()
    def restore(self) -> None:
        self.drive.restore()

    @rule()
    def mark(self) -> None:
        self.drive.mark()

    @rule()
    def sweep(self) -> None:
        self.drive.sweep()

    @rule()
    def recover(self) -> None:
        self.drive.recover()

    @rule()
    def reload(self) -> None:
        self.drive.reload()

    @rule()
    def read(self) -> None:
        self.drive.read()
        self.drive.read_again()

    def teardown(self) -> None:
        if hasattr(self, "drive"):
            self.drive.door.check()
            self.drive.marks_door.check()


TestRingMachine = RingMachine.TestCase
TestRingMachine.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


# -- growing, shrinking, leaving ---------------------------------------------------------------------------------------
def columns_of(kinds: list[ColumnKind]) -> tuple[list[Query], list[ColumnKind]]:
    return [duration(c, AGG_OF[kind], c) for c, kind in enumerate(kinds)], kinds


def values_of(random: Random, kinds: list[ColumnKind]) -> tuple[Value, ...]:
    made: dict[ColumnKind, Callable[[], Value]] = {
        ColumnKind.INT: lambda: random.randint(-5, 5),
        ColumnKind.FLOAT: random.random,
        ColumnKind.TRUTH: lambda: random.randrange(2),
        ColumnKind.MEMBER: lambda: random.randrange(500),
        ColumnKind.TEXT: lambda: str(random.randrange(500)),
    }
    return tuple(made[kind]() for kind in kinds)


@pytest.mark.parametrize("order", ["forwards", "backwards", "random"])
def test_a_ring_of_20_000_entries_comes_and_goes(order: str) -> None:
    """Any order of arrival, any order of retraction; everything holds half way, and nothing is left."""
    random = Random(f"comes and goes {order}")
    queries, kinds = columns_of(ALL_KINDS)
    door, model = _RingDoor(group_of(queries, kinds), EVER), Model(group_of(queries, kinds), EVER)
    empty = door.stats()["bytes"]
    events = [(i * 1_000, i, values_of(random, kinds)) for i in range(20_000)]
    last = events[-1][0]
    arrival = {"forwards": events, "backwards": events[::-1], "random": random.sample(events, 20_000)}
    for time, seq, values in arrival[order]:
        door.insert(1, time, seq, values, last)
    model.rings[1] = Ring([Entry((time, seq), values) for time, seq, values in events])
    door.check()
    for at in (0, last, *random.sample(range(last), 20)):
        assert door.read(1, at, 10**6, last, 0, None) == model.read(1, at, 10**6, last, 0, None)
    random.shuffle(events)
    for count, (time, seq, values) in enumerate(events):
        assert door.remove(1, time, seq, values, last)
        if count % 4_000 == 3_999 or count > 19_950:
            door.check()
    stats = door.stats()
    assert not any(stats[name] for name in ("rings", "trees", "leaves", "nodes", "latest", "texts", "text_bytes"))
    assert stats["bytes"] <= empty + KEPT


def test_what_the_watermark_passes_is_swept() -> None:
    """Rings of every size, from an inline one to a tree: sweeping alone empties them all."""
    queries, kinds = columns_of(ALL_KINDS)
    door = _RingDoor(group_of(queries, kinds), EVER)
    empty = door.stats()["bytes"]
    random, seq = Random(3), 0
    for key, size in enumerate((1, 2, 3, 9, 17, 20, 32, 33, 40, 64, 100, 500, 4_000)):
        for i in range(size):
            seq += 1
            door.insert(key, i, seq, values_of(random, kinds), 4_000)
    door.check()
    for _ in range(100):
        door.sweep(10 * DAY, 64)
    door.check()
    assert door.stats()["rings"] == 0 and door.stats()["texts"] == 0
    assert door.stats()["bytes"] <= empty + KEPT


def test_a_life_ring_keeps_totals_only() -> None:
    """Its base is all that a sweep leaves, and it goes with the last event that is retracted."""
    queries = [life(0, Agg.COUNT), life(1, Agg.SUM, 0), life(2, Agg.FIRST, 1)]
    door = _RingDoor(group_of(queries, [ColumnKind.INT, ColumnKind.TEXT]), EVER)
    for i in range(1_000):
        door.insert(7, i, i + 1, (i, str(i)), i)
    for _ in range(100):
        door.sweep(10 * DAY, 64)
    door.check()
    assert door.stats()["leaves"] == 0 and door.stats()["texts"] == 2
    assert door.read(7, 10 * DAY, 5_000, 10 * DAY, 0)[0] == {0: 1_000, 1: 499_500, 2: "0"}
    for i in range(1_000):
        assert door.remove(7, i, i + 1, (i, str(i)), 10 * DAY)
    door.check()
    assert door.stats()["rings"] == 0 and door.stats()["texts"] == 0


def test_two_entries_a_month_apart_stay_inline() -> None:
    """32 bits hold 49 days; what is given up does not count."""
    door = _RingDoor(group_of([duration(0, Agg.COUNT, over=30 * DAY)], []), EVER)
    for i in range(24):
        door.insert(1, i * 30 * DAY, i + 1, (), i * 30 * DAY)
        door.check()
        assert door.stats()["trees"] == 0
    for i in range(4):
        door.insert(2, i * 60 * DAY, 100 + i, (), 3 * 60 * DAY - 10 * DAY)
    door.check()


def test_texts_go_with_their_rings() -> None:
    """A reload drops the rings of groups that are no more; they share their texts with those that stay."""
    for size in (1, 20, 100):
        group = group_of([life(0, Agg.LAST, 0), duration(1, Agg.COUNT)], [ColumnKind.TEXT])
        door = _RingDoor(group, EVER)
        for i in range(size):
            door.insert(1, i, i + 1, (f"text {i}",), i)
            door.insert(2, i, i + 1, (f"text {i}",), 10 * DAY)
        texts = door.texts
        assert texts.count > 0
        del door
        gc.collect()
        assert texts.count == 0


def test_a_hot_key_is_capped_and_says_so() -> None:
    """Whatever the limit: the newest stay, and windows that reach the others are absent."""
    for most in (1, 2, 31, 32, 33, 34, 100):
        queries = [duration(0, Agg.COUNT, over=1_000), duration(1, Agg.COUNT, over=most)]
        door = _RingDoor(group_of(queries, []), capped(most))
        for i in range(3 * most + 5):
            door.insert(1, i, i + 1, (), i)
        door.check()
        now = 3 * most + 5
        assert door.read(1, now, 10**6, now, 0) == ({0: None, 1: most - 1}, {0: 2}), most


def capped(most: int) -> Limits:
    return Limits(
        horizon_ms=DAY, ids_min=1, ids_max=1, ring_events_max=most, max_ahead_ms=1, max_memory=MAX_MEMORY, entities=()
    )


def test_a_capped_ring_that_was_retracted_stays_capped() -> None:
    door = _RingDoor(group_of([duration(0, Agg.COUNT)], []), capped(3))
    for i in range(5):
        door.insert(1, i, i + 1, (), i)
    for i in range(2, 5):
        assert door.remove(1, i, i + 1, (), 4)
    door.check()
    assert door.read(1, 5, 9, 4, 0) == ({0: None}, {0: 2})
    door.insert(1, 6, 10, (), 6)
    assert door.read(1, 7, 11, 6, 0) == ({0: None}, {0: 2})
    assert door.read(1, DAY + 6, 12, DAY + 6, 0) == ({0: 0}, {})
    for _ in range(5):
        door.sweep(4 * DAY, 64)
    assert door.stats()["rings"] == 0


# -- one state, whatever the way ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("seed", range(60))
def test_the_way_to_a_state_leaves_no_trace(seed: int) -> None:
    """The same events in another order, swept at other times, with others that came and went: one hash."""
    random = Random(seed)
    drive = Drive(random, keys=2)
    group = random_group(random, drive.scale)
    kinds, start = [column.kind for column in group.columns], drive.scale.start
    events = [
        (random.randrange(2), start + random.randint(0, 40 * drive.scale.step), i + 1, values_of(random, kinds))
        for i in range(random.choice((5, 40, 200)))
    ]
    last = max(event[1] for event in events)
    hashes = {state(random, group, events, last).fingerprint(last) for _ in range(4)}
    assert len(hashes) == 1, f"seed {seed}"
    fewer = state(random, group, events[1:], last)
    is_kept = group.life or Model(group, limits_of(group)).floor(events[0][1]) > fewer.line(last)
    assert (fewer.fingerprint(last) in hashes) != is_kept, f"seed {seed}"


def state(random: Random, group: Group, events: list[tuple[int, int, int, tuple[Value, ...]]], last: int) -> _RingDoor:
    door = _RingDoor(group, limits_of(group))
    kinds = [column.kind for column in group.columns]
    for key, time, seq, values in random.sample(events, len(events)):
        if random.random() < 0.3:
            passing = values_of(random, kinds)
            door.insert(key, time, seq, passing, time)
            door.remove(key, time, seq, passing, time)
        door.insert(key, time, seq, values, time if random.random() < 0.5 else last)
        if random.random() < 0.2:
            door.sweep(time, random.choice((1, 64)))
    for _ in range(random.choice((0, 3))):
        door.sweep(last, 64)
    door.check()
    return door


def limits_of(group: Group) -> Limits:
    return Limits(
        horizon_ms=1 + 20 * group.every_ms,
        ids_min=1,
        ids_max=1,
        ring_events_max=10**6,
        max_ahead_ms=1,
        max_memory=MAX_MEMORY,
        entities=(),
    )


# -- costs -------------------------------------------------------------------------------------------------------------
def loaded(size: int, queries: list[Query], kinds: list[ColumnKind]) -> _RingDoor:
    door = _RingDoor(group_of(queries, kinds), EVER)
    door.append_ns(1, 0, 10, 1, size)
    return door


@pytest.mark.parametrize("days", [100, 1])
def test_reading_a_window_is_logarithmic(days: int) -> None:
    """A hundred times the entries, from 2,000 to 200,000, add about two levels of a tree: thrice the cost is much.
    Windows cover the whole ring, or begin inside of it."""
    over = days * DAY // (1 if days > 1 else 10_000)
    queries = [duration(0, Agg.STD, 0, over=over), duration(1, Agg.DISTINCT, 1, over=over - 1)]
    small, large = (read_cost_of(size, queries) for size in (2_000, 200_000))
    assert large < 3 * small, f"{small:.0f} ns over 2,000 entries, {large:.0f} ns over 200,000"


def test_ten_windows_are_logarithmic() -> None:
    queries = [duration(i, Agg.STD, 0, over=1_000 * (i + 1)) for i in range(10)]
    small, large = (read_cost_of(size, queries) for size in (2_000, 200_000))
    assert large < 3 * small, f"{small:.0f} ns over 2,000 entries, {large:.0f} ns over 200,000"


def read_cost_of(size: int, queries: list[Query]) -> float:
    door, now = loaded(size, queries, [ColumnKind.INT, ColumnKind.MEMBER]), size * 10 - 1
    return min(door.read_ns(0, now, now, 300) for _ in range(7))


def test_appending_costs_the_same_whatever_is_there() -> None:
    """The mean over 20,000 appends to a ring of 200,000 entries against those to one of 2,000."""
    costs = []
    for size in (2_000, 200_000):
        door = loaded(size, [duration(0, Agg.SUM, 0)], [ColumnKind.INT])
        starts = [20_000 * r for r in range(5)]
        costs.append(median(door.append_ns(1, size * 10 + s, 1, size + 1 + s, 20_000) for s in starts))
    assert costs[1] < 3 * costs[0], costs


@pytest.mark.parametrize("columns", [0, 1, 2, 4])
def test_bytes_of_a_ring(columns: int) -> None:
    """An idle entity with one or two events of one value takes 96 bytes at most, and each event of a large ring 24 and
    8 for each further value. The half full nodes of a ring of 1,000 add up to 5 %."""
    kinds = [ColumnKind.INT] * columns
    queries = [duration(c, Agg.SUM, c) for c in range(columns)] or [duration(0, Agg.COUNT)]
    further = 8 * max(0, columns - 1)
    keys = 50_000
    for size in (1, 2):
        assert bytes_per(keys, keys * size, queries, kinds) <= 96 + 2 * further, size
    assert bytes_per(1, 100_000, queries, kinds) / 100_000 <= 24 + further
    assert bytes_per(1, 1_000, queries, kinds) / 1_000 <= 1.05 * (24 + further)


def test_bytes_of_deviations() -> None:
    """A value that `std` squares takes 24 bytes more a leaf: 50.8 an event of four such values in a ring of 100,000."""
    queries, kinds = [duration(c, Agg.STD, c) for c in range(4)], [ColumnKind.INT] * 4
    assert bytes_per(1, 100_000, queries, kinds) / 100_000 <= 51


def bytes_per(keys: int, size: int, queries: list[Query], kinds: list[ColumnKind]) -> float:
    """Bytes a key, of `size` events on so many keys."""
    door = _RingDoor(group_of(queries, kinds), EVER)
    empty = door.stats()["bytes"]
    door.append_ns(keys, 0, 0 if keys > 1 else 10, 1, size)
    return (door.stats()["bytes"] - empty) / keys


def test_cells_of_any_amounts_are_never_full() -> None:
    """One entry a cell, whatever is added: sums of 128 bits, squares of 192."""
    group = group_of([duration(0, Agg.STD, 0, over=100), duration(1, Agg.COUNT, over=100)], [ColumnKind.INT], every=10)
    door, model = _RingDoor(group, EVER), Model(group, EVER)
    random = Random(11)
    events = [(random.randrange(100), i, (random.choice((INT_MAX, -INT_MAX, INT_MAX - 1, 3)),)) for i in range(500)]
    for time, seq, values in events:
        for side in (door, model):
            side.insert(1, time, seq, values, 100)
    for time, seq, values in random.sample(events, 490):
        for side in (door, model):
            side.remove(1, time, seq, values, 100)
        assert door.read(1, 100, 10**6, 100, 0) == model.read(1, 100, 10**6, 100, 0)
    door.check()
