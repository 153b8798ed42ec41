"""Later facts: the greatest (at, order of telling) wins, windows follow, evaluation and observation know them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from engines import DAY, HOUR, NOON, S, World

import frmcore

DECLINED = 'x: count(by=account, over="1d", where=status == "declined")'


def told(world: World, ident: str = "e1") -> object:
    return world.engine.explain(ident).fields["status"]


def test_the_latest_that_became_true_wins_whatever_was_told_last() -> None:
    world = World(DECLINED)
    world.decide(0)
    assert told(world) == "pending"
    world.engine.update("e1", at=NOON + 10, status="declined")
    world.engine.update("e1", at=NOON + 5, status="approved")
    assert told(world) == "declined"
    world.engine.update("e1", at=NOON + 10, status="approved")  # of equal times the one told later
    assert told(world) == "approved"
    world.engine.update("e1", at=NOON + 11, status="pending")
    assert told(world) == "pending"


def test_fields_of_one_event_are_told_apart() -> None:
    world = World(DECLINED)
    world.decide(0)
    world.engine.update("e1", at=NOON + 10, status="declined")
    world.engine.update("e1", at=NOON + 5, label="fraud", remark="ring of the north")
    fields = world.engine.explain("e1").fields
    assert (fields["status"], fields["label"], fields["remark"]) == ("declined", "fraud", "ring of the north")
    world.engine.update("e1", at=NOON + 6, label=None, remark="")
    fields = world.engine.explain("e1").fields
    assert (fields["label"], fields["remark"]) == (None, "")


def test_windows_follow_what_is_told() -> None:
    world = World(DECLINED)
    assert world.values([0, S]) == [0, 0]
    world.engine.update("e1", status="declined")
    assert world.value(2 * S) == 1
    world.engine.update("e2", status="declined")
    world.engine.update("e1", status="approved")
    assert world.value(3 * S) == 1
    world.engine.update("e2", status="approved")
    assert world.value(4 * S) == 0


@pytest.mark.parametrize(
    ("feature", "change", "before", "after"),
    [
        ('count(by=account, over="1d", where=final != "block", closed="left")', {"final": "block"}, 2, 1),
        ('share(label == "fraud", by=account, over="1d", closed="left")', {"label": "fraud"}, 0.0, 0.5),
        ('count_distinct(label, by=account, over="1d")', {"label": "legit"}, 0, 1),
        ('last(remark, by=account, over="1d")', {"remark": "ü"}, None, "ü"),
        ('sum(amount, by=account, over="1d", where=missing(label), closed="left")', {"label": "fraud"}, 30, 20),
        ('since_last(by=account, where=status == "declined")', {"status": "declined"}, None, 2 * S),
        ('count(by=account, since=status == "declined")', {"status": "declined"}, 3, 2),
    ],
)
def test_what_reads_updates(feature: str, change: dict[str, str], before: object, after: object) -> None:
    """Two events, then the first is told something; the window is read as of a third, undecided one."""
    world = World(f"x: {feature}")
    world.decide(0, amount=10)
    world.decide(S, amount=20)
    probe = world.event(2 * S, amount=40)
    assert world.engine.evaluate(probe).features["x"] == before
    world.engine.update("e1", **change)
    assert world.engine.evaluate(probe).features["x"] == after


def test_the_decision_itself_does_not_change() -> None:
    world = World(DECLINED, '  - {id: r, when: status == "pending", outcome: review}\n')
    first = world.decide(0)
    world.engine.update("e1", status="declined", final="block")
    found = world.engine.explain("e1")
    assert (found.decision.record, found.decision.outcome, found.final) == (first.record, "review", "block")


def test_times_in_all_forms() -> None:
    world = World(DECLINED)
    world.decide(0)
    world.engine.update("e1", at=datetime(2030, 1, 1, tzinfo=UTC), status="declined")
    world.engine.update("e1", at="2029-01-01T00:00:00+02:00", status="approved")
    assert told(world) == "declined"


def test_default_time_is_the_clock_and_without_a_clock_the_watermark() -> None:
    now = [NOON + HOUR]
    with_clock = World(DECLINED, clock=lambda: now[0])
    with_clock.decide(0)
    with_clock.engine.update("e1", status="declined")
    with_clock.engine.update("e1", at=NOON + HOUR - 1, status="approved")
    assert told(with_clock) == "declined"
    without = World(DECLINED)
    without.decide(0)
    without.decide(DAY)
    without.engine.update("e1", status="declined")
    without.engine.update("e1", at=NOON + DAY - 1, status="approved")
    assert told(without) == "declined"


def test_all_or_nothing() -> None:
    world = World(DECLINED)
    world.decide(0)
    state = world.engine.state_hash()
    with pytest.raises(frmcore.InvalidEvent, match="label"):
        world.engine.update("e1", status="declined", label="nonsense")
    assert world.engine.state_hash() == state


def test_observed_events_bring_what_is_known_of_them() -> None:
    features = (
        DECLINED + '\ny: count(by=account, over="1d", where=final == "block")\nz: sum(amount, by=account, over="1d")'
    )
    world = World(features)
    world.engine.observe(world.event(0, amount=5, status="declined", final="block"))
    world.engine.observe(world.engine.policy.Event(**world.event(1, amount=6, status="declined")))
    world.engine.observe(world.event(2, amount=7, status=None))
    assert dict(world.decide(3, amount=0).features) == {"x": 2, "y": 1, "z": 18}
    world.engine.update("e1", at=NOON - 1, status="approved")  # before it happened: the event's own word is later
    assert world.value(4) == 2
    world.engine.update("e1", status="approved")
    assert world.value(5) == 1
    assert world.engine.stats["observed"] == 3


def test_names_of_the_method_are_no_hindrance() -> None:
    schema_name = World(schema=World().text.split("rules:")[0].replace("    remark:", "    event_id:"))
    schema_name.decide(0)
    schema_name.engine.update("e1", event_id="elsewhere")
    assert schema_name.engine.explain("e1").fields["event_id"] == "elsewhere"
