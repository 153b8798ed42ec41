"""Tazama's rule 901: nine published cases of a debtor's transactions in a closed day."""

from __future__ import annotations

import json
from typing import Any

import pytest
from shared import POLICIES, SHARED, needs

POLICY = POLICIES / "tazama_901.yaml"
CASES = SHARED / "data" / "tazama" / "rule_901_cases.json"


def cases() -> list[Any]:
    """Those of rule 901, named; one empty case where the data is absent, so that the skip shows."""
    if not CASES.is_file():
        return [pytest.param({}, id="absent")]
    found = [case for case in json.loads(CASES.read_text())["cases"] if case["rule"] == "901"]
    return [pytest.param(case, id=case["case"]) for case in found]


def events_of(case: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """What happened before (or after: a future transaction is known too), and the trigger."""
    names = ("tenant", "debtor", "creditor", "status")
    events = [
        {"id": f"t-{i}", "ts": event["ts_ms"], **{name: event[name] for name in names}}
        for i, event in enumerate(case["events"])
    ]
    triggers = [event["trigger"] for event in case["events"]]
    return [event for event, trigger in zip(events, triggers, strict=True) if not trigger], events[triggers.index(True)]


def answer_of(case: dict[str, Any]) -> tuple[str, list[str]]:
    return "901" + case["expect"]["subRuleRef"], [case["expect"]["reason"]]


@needs("data/tazama")
@pytest.mark.parametrize("case", cases())
def test_the_engine(case: dict[str, Any]) -> None:
    import frmcore

    others, trigger = events_of(case)
    with frmcore.Engine(None, policy=POLICY) as engine:
        for event in others:
            engine.observe(event)
        decision = engine.decide(trigger)
        assert (decision.outcome, list(decision.reasons)) == answer_of(case)
        if case["expect"]["subRuleRef"] != ".x00":  # an exit counts nothing
            assert decision.features["transactions"] == case["expect"]["value"]


@needs("data/tazama")
@pytest.mark.parametrize("case", cases())
def test_the_twin(case: dict[str, Any]) -> None:
    from twin import Twin

    from frmcore.policy import load

    others, trigger = events_of(case)
    twin = Twin(load(POLICY), clock=lambda: 10**12)
    for event in others:
        twin.observe(event)
    decision = twin.decide(trigger)
    assert (decision.outcome, list(decision.reasons)) == answer_of(case)


@needs("data/tazama")
def test_all_nine_are_there() -> None:
    assert len(cases()) == 9
