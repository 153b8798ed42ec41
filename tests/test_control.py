"""Dates, groups, switches, snoozes, breakers, the holdout, alerts: what they do, that they last, who can use them."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from engines import DAY, HOUR, MINUTE, NOON, SCHEMA, World, policy_text
from typer.testing import CliRunner

import frmcore
from frmcore._fast import record_head
from frmcore.cli import app
from frmcore.errors import InvalidEvent, UnknownName
from frmcore.store.archive import Archive
from frmcore.store.layout import RecordType
from frmcore.store.view import viewing

if TYPE_CHECKING:
    from pathlib import Path

FIRES = "when: weight > 0.0"
BIG = f"  - {{id: big, group: g, {FIRES}, outcome: block, score: 5}}\n"
LIMITED = f"  - {{id: big, {FIRES}, outcome: block, breaker: {{share: 50%, over: 1h, min: 4}}}}\n"
COUNT = 'n: count(by=account, over="1h")'


# -- dates, groups -----------------------------------------------------------------------------------------------------
def test_a_rule_counts_from_its_first_instant_to_before_its_last() -> None:
    world = World(rules=f"  - {{id: a, {FIRES}, score: 1, from: 2025-10-09T12:00:00Z, until: 2025-10-10}}\n")
    found = [world.decide(at, weight=1.0).score for at in (-1, 0, 12 * HOUR - 1, 12 * HOUR)]
    assert found == [0, 1, 1, 0]
    assert world.engine.explain("e1").rules[0].state == "off"
    assert world.engine.explain("e2").rules[0].state == "fired"


def test_a_rule_out_of_its_dates_is_neither_unknown_nor_in_shadow() -> None:
    world = World(rules=f"  - {{id: a, {FIRES}, score: 1, until: 2025-01-01, if_unknown: fires, mode: shadow}}\n")
    for decision in (world.decide(), world.decide(weight=1.0)):
        assert (decision.fired, decision.shadow, decision.unknown) == ((), (), ())


def test_of_a_group_that_takes_the_greatest_score_the_others_count_for_nothing() -> None:
    rules = f"""\
  - {{id: a, group: g, {FIRES}, score: -7}}
  - {{id: b, group: g, when: weight > 1.0, score: -3}}
  - {{id: c, group: g, when: weight > 2.0, score: 20}}
  - {{id: d, group: h, {FIRES}, score: 1}}
  - {{id: e, group: h, {FIRES}, score: 2}}
"""
    world = World(rules=rules, more="groups: {g: {score: max}}\nscore: {block: 23}\n")
    decisions = [world.decide(weight=weight) for weight in (1.0, 2.0, 3.0)]
    assert [decision.score for decision in decisions] == [-4, 0, 23]
    assert decisions[2].outcome == "block"


# -- switches ----------------------------------------------------------------------------------------------------------
def test_a_group_is_switched_and_back() -> None:
    world = World(rules=BIG, more="groups: {g: {enabled: false}}\n")
    found = [world.decide(weight=1.0).outcome]
    for state in ("on", "shadow", "off"):
        world.engine.switch("group", "g", state, reason="why", by="ann")
        found.append(world.decide(weight=1.0).outcome)
    assert found == ["allow", "block", "allow", "allow"]
    assert world.engine.controls.switches == ()  # off is what the policy says


def test_the_lesser_of_rule_and_group_counts() -> None:
    world = World(rules=BIG)
    world.engine.switch("group", "g", "shadow")
    world.engine.switch("rule", "big", "off")
    assert world.decide(weight=1.0).shadow == ()
    world.engine.switch("rule", "big", "on")
    decision = world.decide(weight=1.0)
    assert (decision.shadow, decision.notes) == (("big",), ("big is in shadow: it was switched there",))


def test_a_switch_holds_over_a_reload_that_leaves_the_rule_as_it_is() -> None:
    world = World(rules=BIG)
    world.engine.switch("rule", "big", "off")
    world.engine.reload(world.text.replace("version: 1", "version: 2"))
    assert world.decide(weight=1.0).outcome == "allow"
    world.engine.reload(world.text.replace("weight > 0.0", "weight > 0.5"))
    assert world.decide(weight=1.0).outcome == "block"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("rule", "bigg", "off"), "no rule 'bigg'; did you mean \"big\"?"),
        (("group", "x", "off"), "no group 'x'; known: g"),
        (("list", "big", "off"), "expected rule or group, got 'list'"),
        (("rule", "big", "gone"), "expected on, shadow or off, got 'gone'"),
        (("rule", "dead", "on"), "rule dead is off in the policy: change its mode there"),
    ],
)
def test_what_can_not_be_switched_says_why(arguments: tuple[str, str, str], said: str) -> None:
    world = World(rules=BIG + f"  - {{id: dead, {FIRES}, score: 1, mode: 'off'}}\n")
    before = world.engine.state_hash()
    with pytest.raises((UnknownName, InvalidEvent)) as error:
        world.engine.switch(*arguments)  # type: ignore[arg-type]
    assert said in str(error.value)
    assert world.engine.state_hash() == before


# -- snoozes -----------------------------------------------------------------------------------------------------------
def test_a_snooze_is_for_one_entity_until_then() -> None:
    world = World(rules=BIG, clock=lambda: NOON)
    world.engine.snooze("big", "account:a", until="2m", reason="a known shop", by="ann")
    assert [world.decide(at, weight=1.0).outcome for at in (0, 2 * MINUTE - 1, 2 * MINUTE)] == [
        "allow",
        "allow",
        "block",
    ]
    assert world.decide(weight=1.0, account="b").outcome == "block"
    (snooze,) = world.engine.controls.snoozes
    assert (snooze.entity, snooze.until, snooze.reason, snooze.by) == (
        "account:a",
        NOON + 2 * MINUTE,
        "a known shop",
        "ann",
    )


def test_a_snooze_for_all_ends_when_it_is_ended() -> None:
    world = World(rules=BIG, clock=lambda: NOON)
    world.engine.snooze("big", until="2d")
    assert world.decide(weight=1.0).notes == ("big is in shadow: it is snoozed",)
    world.engine.unsnooze("big")
    assert world.decide(weight=1.0).outcome == "block"
    with pytest.raises(UnknownName, match="big is not snoozed"):
        world.engine.unsnooze("big")


def test_snoozes_go_by_addresses_in_any_spelling_and_by_private_values_in_secret() -> None:
    schema = "    pan: {entity: pan, optional: true, private: true}\n  updates:\n"
    from engines import SCHEMA

    world = World(rules=BIG, schema=SCHEMA.replace("  updates:\n", schema), clock=lambda: NOON)
    world.engine.snooze("big", "ip:::ffff:10.0.0.7", until="1h")
    world.engine.snooze("big", "pan:4111", until="1h")
    assert world.decide(weight=1.0, ip="10.0.0.7").shadow == ("big",)
    assert world.decide(weight=1.0, pan="4111").shadow == ("big",)
    assert world.decide(weight=1.0, pan="4112").fired == ("big",)
    assert "4111" not in repr(world.engine.controls)


@pytest.mark.parametrize(
    ("entity", "until", "said"),
    [
        ("a-17", "1h", "expected a field and its value, such as account:a-17"),
        ("note:x", "1h", "no field with an entity 'note'"),
        ("ip:x", "1h", "expected an IPv4 or IPv6 address"),
        ("account:a", None, "a snooze ends"),
        ("account:a", "soon", "until: expected a duration"),
    ],
)
def test_a_snooze_that_is_none(entity: str, until: str | None, said: str) -> None:
    with pytest.raises((UnknownName, InvalidEvent), match=said):
        World(rules=BIG, clock=lambda: NOON).engine.snooze("big", entity, until=until)


def test_snoozes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("frmcore.controls.SNOOZES_MAX", 2)
    world = World(rules=BIG, clock=lambda: NOON)
    for account in "ab":
        world.engine.snooze("big", f"account:{account}", until="1h")
    with pytest.raises(InvalidEvent, match="2 snoozes are in force"):
        world.engine.snooze("big", "account:c", until="1h")


# -- breakers ----------------------------------------------------------------------------------------------------------
def test_a_breaker_trips_once_loudly_after_the_decision_that_was_too_much(caplog: pytest.LogCaptureFixture) -> None:
    world = World(rules=LIMITED)
    records: list[bytes] = []
    world.engine.on_operation(records.append)
    with caplog.at_level(logging.WARNING, "frmcore.engine"):
        found = [world.decide(number, weight=float(number % 4 > 0)).outcome for number in range(6)]
    assert found == ["allow", "block", "block", "block", "allow", "allow"]
    assert world.engine.stats["tripped"] == ["big"]
    assert caplog.text.count("big dropped to shadow: it fired for 3 of 4 decisions") == 1
    assert len(records) == 7
    assert world.decide(weight=1.0).notes == ("big is in shadow: its breaker tripped",)
    (tripped,) = world.engine.controls.tripped
    assert (tripped.rule, tripped.fired, tripped.decisions, tripped.at) == ("big", 3, 4, NOON + 3)


def test_a_breaker_that_was_reset_counts_anew() -> None:
    world = World(rules=LIMITED)
    for _ in range(5):
        world.decide(weight=1.0)
    world.engine.reset_breaker("big", by="ann")
    assert [world.decide(weight=1.0).outcome for _ in range(5)] == ["block"] * 4 + ["allow"]
    world.engine.reload(world.text.replace("share: 50%", "share: 60%"))
    assert world.decide(weight=1.0).outcome == "block"
    with pytest.raises(UnknownName, match="has not tripped"):
        world.engine.reset_breaker("big")


def test_a_breaker_forgets_what_is_older_than_its_span() -> None:
    world = World(rules=LIMITED)
    for at in (0, 1, 2):
        world.decide(at, weight=1.0)
    assert [world.decide(HOUR + at, weight=1.0).outcome for at in range(4)] == ["block"] * 4
    assert world.decide(HOUR + 4, weight=1.0).outcome == "allow"


# -- the holdout -------------------------------------------------------------------------------------------------------
def test_the_holdout_lets_through_what_rules_would_stop_but_for_excepted_groups() -> None:
    rules = f"""\
  - {{id: big, {FIRES}, outcome: block, score: 50, actions: [freeze]}}
  - {{id: watched, group: sanctions, when: weight > 1.0, outcome: review, score: 5, actions: [report]}}
"""
    more = "holdout: {share: 100%, by: account, except: [sanctions]}\nscore: {review: 50, block: 55}\n"
    world = World(rules=rules, more=more)
    decisions = [world.decide(weight=weight) for weight in (0.0, 1.0, 2.0)]
    assert [each.outcome for each in decisions] == ["allow", "allow", "review"]
    assert [each.intended for each in decisions] == ["allow", "block", "block"]
    assert [each.actions for each in decisions] == [(), (), ("report",)]
    assert [each.score for each in decisions] == [0, 50, 55]
    assert all(each.holdout and each.probability == 1.0 for each in decisions)
    assert world.engine.explain("e2").final == "allow"


def test_the_holdout_is_stable_of_the_right_size_and_weighs_up() -> None:
    world = World(rules=BIG, more="holdout: {share: 20%, by: card}\n")
    decisions = [world.decide(weight=1.0, card=f"c{number}") for number in range(2_000)]
    held = [each for each in decisions if each.holdout]
    assert 330 < len(held) < 470
    assert {(each.holdout, each.outcome, each.probability) for each in decisions} == {
        (True, "allow", 0.2),
        (False, "block", 0.8),
    }
    without = world.decide(weight=1.0)
    assert (without.holdout, without.probability, without.outcome) == (False, 1.0, "block")


# -- alerts ------------------------------------------------------------------------------------------------------------
ALERTING = "  - {id: many, when: n > 1, alert: {about: account, once: 2h, typology: burst}}\n"


def test_an_alert_is_raised_once_about_an_entity_with_its_evidence() -> None:
    world = World(COUNT, ALERTING)
    found = [world.decide(at).alerts for at in (0, 1, 2, 2 * HOUR, 2 * HOUR + 1)]
    assert [len(alerts) for alerts in found] == [0, 1, 0, 0, 1]
    (alert,) = found[1]
    assert (alert.rule, alert.about, alert.entity, alert.typology) == ("many", "account", "a", "burst")
    assert (alert.event_id, alert.time, alert.evidence) == ("e2", NOON + 1, ("e2", "e1"))
    assert found[4][0].evidence == ("e5", "e4")


def test_evidence_does_not_depend_on_how_far_rings_were_swept() -> None:
    """Of a life long window what lies before the horizon is folded sooner or later: it is evidence in neither case."""
    alerting = ALERTING.replace("once: 2h", "once: 1ms")
    found = []
    for key in range(4):
        world = World("n: count(by=account)", alerting, more="limits: {horizon: 1s}\n", key=bytes([key] * 16))
        times = [1_500 * (number // 7) + number for number in range(120)]
        alerts = [world.decide(at, account=f"a{number % 5}").alerts for number, at in enumerate(times)]
        found.append([alert.evidence for each in alerts for alert in each])
    assert found[0]
    assert all(each == found[0] for each in found)


def test_an_alert_about_an_enum_is_remembered_by_its_label() -> None:
    kinds = SCHEMA.replace(
        "kind: {type: enum, values: [payment, login]}", "kind: {type: enum, entity: kind, values: [VALUES]}"
    )
    rule = "  - {id: r, when: not missing(kind), alert: {about: kind, once: 1d}}\n"
    world = World(rules=rule, schema=kinds.replace("VALUES", "payment, login"))
    assert world.decide(kind="payment").alerts
    world.engine.reload(policy_text(rules=rule, schema=kinds.replace("VALUES", "payout, payment, login")))
    assert [alert.entity for alert in world.decide(1, kind="payout").alerts] == ["payout"]
    assert world.decide(2, kind="payment").alerts == ()


def test_an_event_from_before_the_last_alert_raises_none() -> None:
    world = World(COUNT, ALERTING)
    for at in (0, 1):
        world.decide(at)
    world.decide(-5 * HOUR)
    assert world.decide(-5 * HOUR + 1).alerts == ()


def test_what_only_looks_remembers_no_alert() -> None:
    world = World(COUNT, ALERTING)
    world.decide()
    event = world.event(1)
    assert len(world.engine.evaluate(event).alerts) == len(world.engine.decide(event).alerts) == 1
    assert world.engine.decide(event).alerts[0].event_id == "e2"  # a retry: as it was
    assert world.decide(2).alerts == ()


@pytest.mark.parametrize("nonsense", [{"until": {}}, {"time": "now"}, {"rule": 7}, {"about": 1}, {"key": []}], ids=repr)
def test_a_recorded_alert_that_makes_no_sense_is_refused_as_it_is_read(nonsense: dict[str, object]) -> None:
    """Not when the state is hashed, or the next one is raised: a store opens, or it is damaged."""
    world = World(COUNT, ALERTING)
    recorded = {"rule": "many", "about": "account", "key": b"a", "time": NOON, "until": NOON + HOUR}
    world.engine._core.restore_alerts([{"alerts": [recorded]}])
    with pytest.raises(TypeError):
        world.engine._core.restore_alerts([{"alerts": [{**recorded, **nonsense}]}])
    assert world.engine.state_hash()


# -- a store -----------------------------------------------------------------------------------------------------------
def stored(folder: Path, text: str) -> frmcore.Engine:
    return frmcore.Engine(folder, policy=text, clock=lambda: NOON)


def test_a_store_keeps_switches_snoozes_trips_and_alerts(tmp_path: Path) -> None:
    rules = LIMITED + BIG.replace("id: big", "id: other") + ALERTING
    text = policy_text(COUNT, rules, "groups: {g: {enabled: false}}\n")
    event = {"ts": NOON, "kind": "payment", "account": "a", "weight": 1.0}
    with stored(tmp_path / "s", text) as engine:
        for number in range(6):
            engine.decide({**event, "id": f"e{number}"})
        engine.switch("group", "g", "on", by="ann")
        engine.snooze("other", "account:b", until="2d")
        controls, state, alerts = engine.controls, engine.state_hash(), list(engine.alerts())
    assert [alert.event_id for alert in alerts] == ["e1"]
    with stored(tmp_path / "s", text) as engine:
        assert (engine.controls, engine.state_hash(), list(engine.alerts())) == (controls, state, alerts)
        assert engine.decide({**event, "id": "e9"}).fired == ("other", "many")
        assert engine.decide({**event, "id": "e10", "account": "b"}).shadow == ("big", "other")
    with viewing(tmp_path / "s") as view:
        archive = Archive(view)
        assert list(archive.alerts()) == alerts
        assert [said["rule"] for said in archive.controls()["tripped"]] == ["big"]


@pytest.mark.parametrize("lost", [1, 2])
def test_a_crash_between_a_decision_and_what_follows_from_it_loses_nothing(tmp_path: Path, lost: int) -> None:
    """The records of what follows are made anew from the decision's own."""
    text = policy_text(COUNT, LIMITED + ALERTING.replace("n > 1", "n > 3"))
    live, copy = tmp_path / "live", tmp_path / "copy"
    engine = frmcore.Engine(live, policy=text, clock=lambda: NOON, store=frmcore.StoreOptions(flush_ms=60_000))
    records: list[bytes] = []
    engine.on_operation(records.append)
    for number in range(4):
        engine.decide({"id": f"e{number}", "ts": NOON, "kind": "payment", "account": "a", "weight": 1.0})
    assert [record_head(record)[1] for record in records] == [1, 1, 1, 1, RecordType.CONTROL, RecordType.ALERT]
    state = engine.state_hash()
    shutil.copytree(live, copy)
    engine.close()
    ring = bytearray((copy / "journal.ring").read_bytes())
    start = ring.index(records[-lost]) - 16  # the head of its frame: as if it had not been written
    ring[start:] = bytes(len(ring) - start)
    ring[256:272] = bytes(16)  # and the machine has started anew since
    (copy / "journal.ring").write_bytes(ring)
    with stored(copy, text) as engine:
        assert engine.state_hash() == state
        assert [record for _, _, record in engine.tail()][-2:] == records[-2:]
        assert [alert.event_id for alert in engine.alerts()] == ["e3"]


# -- the command line --------------------------------------------------------------------------------------------------
def beside(*arguments: str) -> str:
    """In a process of its own, while an engine has the store open."""
    call = [sys.executable, "-c", "from frmcore.cli import main; main()", *arguments]
    return subprocess.run(call, check=True, capture_output=True, text=True, env={**os.environ, "COLUMNS": "160"}).stdout


def said(*arguments: str) -> str:
    """Here, where no engine has the store open."""
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "160"})
    assert result.exit_code == 0, result.output
    return result.output


def test_the_command_line_steers_a_store(tmp_path: Path) -> None:
    store, policy = str(tmp_path / "s"), policy_text(COUNT, BIG + ALERTING)
    event = {"ts": NOON, "kind": "payment", "account": "a", "weight": 1.0}
    with stored(tmp_path / "s", policy) as engine:
        beside("switch", store, "group", "g", "off", "--reason", "case 12", "--by", "ann")
        assert engine.decide({**event, "id": "e1"}).outcome == "allow"
        assert engine.controls.switches[0].reason == "case 12"
        engine.switch("group", "g", "on")
        engine.snooze("big", "account:a", until="4h")
        assert engine.decide({**event, "id": "e2"}).shadow == ("big",)
    assert "snoozed for account:a until 2025-10-09 16:00:00" in " ".join(said("inspect", store).split())
    assert "burst" in said("alerts", store)
    assert '"evidence":["e2","e1"]' in said("alerts", store, "--json")
    recorded = said("tail", store)
    assert '"type":"alert"' in recorded
    assert '"control":"snooze"' in recorded
    said("snooze", store, "big", "account:a", "--end")
    with stored(tmp_path / "s", policy) as engine:
        assert engine.decide({**event, "id": "e3"}).outcome == "block"
    said("switch", store, "rule", "big", "shadow")
    with stored(tmp_path / "s", policy) as engine:
        assert engine.decide({**event, "id": "e4"}).shadow == ("big",)


@pytest.mark.parametrize(
    "arguments",
    [("switch", "s", "rules", "big", "off"), ("switch", "s", "rule", "big", "dead"), ("snooze", "s", "big")],
)
def test_wrong_usage(arguments: tuple[str, ...]) -> None:
    assert CliRunner().invoke(app, arguments).exit_code == 2


def test_days_are_not_hours() -> None:
    """A once of days covers late evenings: the span is exact, not a calendar's."""
    world = World(COUNT, ALERTING.replace("2h", "1d").replace("n > 1", "n > 0"))
    assert [len(world.decide(at).alerts) for at in (0, DAY - 1, DAY)] == [1, 0, 1]
