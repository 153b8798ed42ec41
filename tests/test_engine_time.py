"""Late events, the clock guard, and what limits take away."""

from __future__ import annotations

import pytest
from engines import DAY, HOUR, MINUTE, NOON, S, World

import frmcore

COUNT = 'n: count(by=account, over="1h")'


def test_late_events_count_where_they_belong() -> None:
    world = World(COUNT)
    assert world.values([0, 2 * HOUR, 30 * MINUTE, 0]) == [1, 1, 2, 2]
    assert world.value(HOUR - 1) == 4
    assert [world.decide(at).late for at in (0, 2 * HOUR, 2 * HOUR + 1, 2 * HOUR)] == [True, False, False, True]
    assert world.engine.stats["late"] == 5


def test_an_event_later_than_the_horizon_reads_absent_with_a_note() -> None:
    world = World(COUNT, more="limits: {horizon: 1h}\n")
    world.decide(0)
    world.decide(10 * HOUR)
    late = world.decide(5 * HOUR)
    assert late.features["n"] is None
    assert late.notes == (
        "n is absent: the event is later than limits.horizon, and its window reaches events that were given up",
    )
    assert world.decide(9 * HOUR).features["n"] == 1


def test_a_full_ring_says_so() -> None:
    world = World(COUNT, more="limits: {ring_events_max: 3}\n")
    assert world.values([0, 1, 2, 3]) == [1, 2, 3, 4]
    capped = world.decide(4)
    assert capped.features["n"] is None
    assert "ring_events_max" in capped.notes[0]
    assert world.value(2 * HOUR) == 1


def test_the_clock_guards_against_the_future() -> None:
    now = [NOON]
    world = World(COUNT, clock=lambda: now[0])
    assert world.value(5 * MINUTE) == 1
    with pytest.raises(frmcore.InvalidEvent, match="300001 ms ahead of the clock") as caught:
        world.decide(5 * MINUTE + 1)
    assert caught.value.field == "ts"
    now[0] += 1
    assert world.value(5 * MINUTE + 1) == 2
    assert (world.engine.stats["ahead"], world.engine.stats["decisions"]) == (1, 2)


def test_a_time_in_seconds_is_refused_where_a_clock_tells_that_it_is() -> None:
    world = World(COUNT, clock=lambda: NOON)
    with pytest.raises(frmcore.InvalidEvent, match="is it in seconds") as caught:
        world.engine.decide(world.event() | {"ts": NOON // 1_000})
    assert caught.value.field == "ts"
    assert "is of 1970-01-21T08:53:31.200Z" in str(caught.value)
    world.engine.decide(world.event() | {"ts": 5})
    World(COUNT).decide(NOON // 1_000 - NOON)  # without a clock it may be history


def test_max_ahead_of_the_policy_and_of_the_engine() -> None:
    def ahead(most: int, **options: int | None) -> None:
        world = World(COUNT, more="limits: {max_ahead: 1m}\n", clock=lambda: NOON, **options)
        world.decide(most)
        with pytest.raises(frmcore.InvalidEvent):
            world.decide(most + 1)

    ahead(MINUTE)
    ahead(10 * S, max_ahead=10_000)
    ahead(0, max_ahead=0)
    for wrong in (-1, 2**63):
        with pytest.raises(ValueError, match="max_ahead"):
            World(COUNT, max_ahead=wrong)


def test_without_a_clock_history_has_no_future() -> None:
    world = World(COUNT)
    assert world.values([0, 1_000 * DAY, 100_000 * DAY]) == [1, 1, 1]


def test_the_system_clock_is_the_default() -> None:
    with pytest.raises(frmcore.InvalidEvent, match="ahead of the clock"):
        World(COUNT, clock=frmcore.engine.system_clock).decide(100_000 * DAY)


def test_what_a_clock_raises_comes_through_and_changes_nothing() -> None:
    def broken() -> int:
        raise OSError("no clock")

    world = World(COUNT, clock=broken)
    with pytest.raises(OSError, match="no clock"):
        world.decide()
    assert world.engine.stats["seq"] == 0


def test_times_before_the_epoch() -> None:
    world = World(COUNT)
    assert [
        world.engine.decide(world.event() | {"ts": ts}).features["n"] for ts in (-8_640_000_000_000_000, -1, 0)
    ] == [1, 1, 2]
