"""Once: duplicates, conflicts, what a retry may change; how ids are forgotten, and what is too old then."""

from __future__ import annotations

import pytest
from engines import HOUR, MINUTE, NOON, S, World

import frmcore

COUNT = 'n: count(by=account, over="1h")'
SMALL = "limits: {horizon: 10m, ids_min: 3, ids_max: 5}\n"


def test_a_duplicate_gets_the_first_decision() -> None:
    world = World(COUNT)
    event = world.event(amount=5)
    first = world.engine.decide(event)
    world.decide(1)
    again = world.engine.decide(dict(event))
    assert (again.duplicate, again.record, again.features) == (True, first.record, first.features)
    assert world.value(2) == 3
    assert (world.engine.stats["duplicates"], world.engine.stats["decisions"]) == (1, 3)


def test_other_content_is_a_conflict_with_the_first_decision() -> None:
    world = World(COUNT)
    event = world.event(amount=5)
    first = world.engine.decide(event)
    for change in ({"amount": 6}, {"ts": NOON + 1}, {"card": "c"}, {"amount": None}, {"account": "b"}, {"weight": 0.0}):
        with pytest.raises(frmcore.EventConflict, match=f"'e1' is known, but {next(iter(change))} differs") as caught:
            world.engine.decide(event | change)
        assert caught.value.decision is not None
        assert caught.value.decision.record == first.record
    assert world.engine.stats["conflicts"] == 6


def test_a_retry_may_change_what_the_policy_lists() -> None:
    world = World('x: last(note, by=account, over="1h")')
    event = world.event(note="first")
    world.engine.decide(event)
    assert world.engine.decide(event | {"note": "second"}).duplicate
    assert world.engine.decide(event | {"note": None}).duplicate
    assert world.value(1) == "first"


def test_observing_twice_and_deciding_what_was_observed() -> None:
    world = World(COUNT)
    event = world.event()
    world.engine.observe(event)
    world.engine.observe(event)
    with pytest.raises(frmcore.EventConflict) as caught:
        world.engine.decide(event)
    assert caught.value.decision is None
    assert world.value(1) == 2


def test_observing_what_was_decided_changes_nothing() -> None:
    world = World(COUNT)
    event = world.event()
    world.engine.decide(event)
    state = world.engine.state_hash()
    world.engine.observe(event | {"status": "approved"})
    assert world.engine.state_hash() == state


def test_ids_are_remembered_for_the_horizon() -> None:
    """Above ids_min the oldest go as soon as the watermark has passed them by the horizon; those inside it stay."""
    world = World(COUNT, more="limits: {horizon: 10m, ids_min: 1, ids_max: 1000}\n")
    early = world.event(0)
    world.engine.decide(early)
    for at in range(1, 21):
        world.decide(at * 30 * S)
    assert world.engine.decide(early).duplicate  # ten minutes later to the millisecond
    world.decide(10 * MINUTE + 1)
    with pytest.raises(frmcore.EventTooOld, match="time up to which ids were forgotten"):
        world.engine.decide(early)
    assert world.engine.stats["ids"] == world.engine.stats["seq"] - world.engine.stats["forgotten"]


def test_ids_max_forgets_inside_the_horizon_and_ids_min_keeps_beyond_it() -> None:
    world = World(COUNT, more=SMALL)
    events = [world.event(at * S) for at in range(8)]
    for event in events:
        world.engine.decide(event)
    assert world.engine.stats["ids"] == 5
    for event in events[:3]:
        with pytest.raises(frmcore.EventTooOld):
            world.engine.decide(event)
    assert all(world.engine.decide(event).duplicate for event in events[3:])
    world.decide(24 * HOUR)
    world.decide(48 * HOUR)
    assert world.engine.stats["ids"] == 3


def test_a_new_event_at_or_before_the_floor_is_too_old_and_one_after_it_is_not() -> None:
    world = World(COUNT, more=SMALL)
    for at in range(8):
        world.decide(at * S)
    state = world.engine.state_hash()
    with pytest.raises(frmcore.EventTooOld) as caught:
        world.decide(2 * S)
    assert isinstance(caught.value, frmcore.InvalidEvent)
    assert caught.value.field == "ts"
    assert world.engine.state_hash() == state
    assert world.decide(2 * S + 1).late
    assert world.engine.stats["too_old"] == 1


def test_an_update_of_a_forgotten_event_names_an_unknown_event() -> None:
    world = World(COUNT, more=SMALL)
    for at in range(8):
        world.decide(at * S)
    with pytest.raises(frmcore.UnknownEvent):
        world.engine.update("e1", status="approved")
    with pytest.raises(KeyError):
        world.engine.explain("e1")


def test_facts_are_kept_as_long_as_a_feature_that_reads_updates_looks_back() -> None:
    world = World(
        'x: count(by=account, over="1h", where=status == "declined")', more="limits: {horizon: 10m, ids_min: 1}\n"
    )
    world.decide(0)
    world.decide(HOUR + 10 * MINUTE)
    world.engine.update("e1", status="declined")
    world.decide(HOUR + 10 * MINUTE + 1)
    with pytest.raises(frmcore.UnknownEvent):
        world.engine.update("e1", status="approved")
