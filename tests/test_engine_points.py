"""Decision points and deciding again: in order, once a point, as of the event's own place."""

from __future__ import annotations

import pytest
from engines import MINUTE, S, World

import frmcore

POINTS = """
points:
  checkout: {on: payment, score: {review: 10}}
  answered: {after: checkout, score: {block: 30}}
  shipped: {after: answered}
  entry: {on: login}
"""
FEATURES = """
    declined: count(by=account, over="1h", where=status == "declined")
    seen: count(by=account, over="1h")
    blocked: count(by=account, over="1h", where=final == "block", closed="left")
"""
RULES = """\
  - {id: any, point: checkout, when: amount > 1.00, score: 10}
  - {id: refused, point: answered, when: status == "declined", score: 30, reason: "{declined} declined"}
  - {id: both, when: account == "b", outcome: review}
""".replace("1.00", 'money("1")')


def world() -> World:
    return World(FEATURES, RULES, POINTS)


def test_each_kind_has_its_point_and_its_rules() -> None:
    it = world()
    first = it.decide(amount=500)
    assert (first.point, first.fired, first.outcome) == ("checkout", ("any",), "review")
    login = it.decide(kind="login", account="b")
    assert (login.point, login.fired, login.outcome) == ("entry", ("both",), "review")
    assert it.engine.decide(it.event(kind="login"), "entry").point == "entry"


def test_a_point_decides_only_its_kinds() -> None:
    it = world()
    it.decide(amount=500)
    state = it.engine.state_hash()
    for call in (it.engine.decide, it.engine.evaluate):
        with pytest.raises(
            frmcore.InvalidEvent, match="point 'entry' decides events of kind login, and this one is of kind payment"
        ) as caught:
            call(it.event(), "entry")
        assert caught.value.field == "kind"
    assert it.engine.state_hash() == state


def test_deciding_again_knows_what_was_told_and_reads_windows_of_its_own_place() -> None:
    it = world()
    it.decide(0)
    it.decide(10 * S)
    again = it.engine.decide_again("e1", "answered", status="declined")
    assert (again.point, again.outcome, again.score, again.fired) == ("answered", "block", 30, ("refused",))
    assert dict(again.features) == {"declined": 1, "seen": 1, "blocked": 0}
    assert again.reasons == ["1 declined"]
    assert (again.duplicate, again.seq, again.time) == (False, 3, it.engine.explain("e1", "checkout").decision.time)


def test_its_outcome_is_the_final_one_from_then_on() -> None:
    it = world()
    it.decide(0)
    it.engine.decide_again("e1", "answered", status="declined")
    assert it.decide(S).features["blocked"] == 1
    it.engine.update("e1", final="allow")
    assert it.decide(2 * S).features["blocked"] == 0
    assert it.engine.explain("e1").final == "allow"


def test_deciding_again_twice_gives_the_first_answer() -> None:
    it = world()
    it.decide(0)
    again = it.engine.decide_again("e1", "answered", status="declined")
    state = it.engine.state_hash()
    repeated = it.engine.decide_again("e1", "answered", status="declined")
    unsaid = it.engine.decide_again("e1", "answered")
    assert (repeated.duplicate, repeated.record) == (True, again.record)
    assert (unsaid.duplicate, unsaid.record) == (True, again.record)
    with pytest.raises(frmcore.EventConflict) as caught:
        it.engine.decide_again("e1", "answered", status="approved")
    assert caught.value.decision is not None
    assert caught.value.decision.record == again.record
    assert it.engine.state_hash() == state


def test_points_have_an_order() -> None:
    it = world()
    it.decide(0)
    it.decide(1, kind="login")
    with pytest.raises(frmcore.InvalidEvent, match="'shipped' comes after 'answered'"):
        it.engine.decide_again("e1", "shipped")
    with pytest.raises(frmcore.InvalidEvent, match="'answered' comes after 'checkout'"):
        it.engine.decide_again("e2", "answered")
    it.engine.decide_again("e1", "answered")
    assert it.engine.decide_again("e1", "shipped").point == "shipped"


def test_the_event_itself_returns_the_decision_of_each_point() -> None:
    it = world()
    event = it.event(amount=500)
    first = it.engine.decide(event)
    it.engine.decide_again("e1", "answered", status="declined")
    assert it.engine.decide(event).record == first.record
    assert it.engine.decide_again("e1", "checkout").record == first.record
    assert it.engine.explain("e1").decision.point == "answered"
    assert it.engine.explain("e1", "checkout").decision.record == first.record


def test_a_known_event_at_another_first_point_is_decided_again_and_evaluating_that_records_nothing() -> None:
    """The point without `on` takes any kind that asks for it by name."""
    it = World(FEATURES, RULES, POINTS.replace("{on: login}", "{}"))
    event = it.event()
    it.engine.decide(event)
    state = it.engine.state_hash()
    seen = it.engine.evaluate(event, "entry")
    assert (seen.point, seen.seq, seen.duplicate) == ("entry", 0, False)
    assert it.engine.state_hash() == state
    again = it.engine.decide(event, "entry")
    assert (again.point, again.seq) == ("entry", 2)
    assert it.engine.decide(event, "entry").duplicate


def test_late_stays_what_it_was_when_the_event_came() -> None:
    it = world()
    it.decide(0)
    it.decide(-MINUTE)
    it.decide(MINUTE)
    assert not it.engine.decide_again("e1", "answered").late
    assert it.engine.decide_again("e2", "answered").late
