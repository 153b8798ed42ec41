"""An event may come as a Struct, a dict, any mapping or JSON: the decision is the same, to the byte."""

from __future__ import annotations

import json
from collections import ChainMap, UserDict, defaultdict
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from engines import KEYS, NOON, World, policy_text

import frmcore

if TYPE_CHECKING:
    from collections.abc import Callable

FEATURES = """
    attempts: count(by=card, over="1h")
    spent: sum(amount, by=account, over="1d")
    subnets: count_distinct(ip, by=account, over="1h")
"""
RULES = '  - {id: big, when: spent > money("100"), score: 7, reason: "{spent} in a day"}\n'
POLICY = frmcore.load(policy_text(FEATURES, RULES))
EVENT = {
    "id": "e1", "ts": NOON, "kind": "payment", "account": "ä-1", "card": "c", "ip": "::ffff:10.0.0.1", "amount": 12_990,
    "price": 1.25, "weight": 0.5, "note": "\U0001f600",
}  # fmt: skip


class Other(msgspec.Struct):
    """A Struct that is not the policy's own."""

    id: str
    ts: int
    kind: str
    account: str
    card: str
    ip: str
    amount: int
    price: float
    weight: float
    note: str


FORMS: dict[str, Callable[[frmcore.Engine], frmcore.Decision]] = {
    "dict": lambda engine: engine.decide(EVENT),
    "Struct": lambda engine: engine.decide(engine.policy.Event(**EVENT)),
    "another Struct": lambda engine: engine.decide(Other(**EVENT)),  # type: ignore[arg-type]
    "MappingProxyType": lambda engine: engine.decide(MappingProxyType(EVENT)),
    "UserDict": lambda engine: engine.decide(UserDict(EVENT)),
    "ChainMap": lambda engine: engine.decide(ChainMap({}, EVENT)),
    "defaultdict": lambda engine: engine.decide(defaultdict(str, EVENT)),
    "JSON bytes": lambda engine: engine.decide_json(msgspec.json.encode(EVENT)),
    "JSON text": lambda engine: engine.decide_json(json.dumps(EVENT)),
    "JSON with text for numbers": lambda engine: engine.decide_json(json.dumps(EVENT | {"price": "1.25"})),
    "JSON with other keys": lambda engine: engine.decide_json(json.dumps(EVENT | {"more": [1, {"a": None}]})),
    "many": lambda engine: engine.decide_many([EVENT])[0],
    "many of JSON": lambda engine: engine.decide_many(iter([msgspec.json.encode(EVENT)]))[0],
    "strict": lambda engine: engine.decide(EVENT, strict=True),
    "with other keys": lambda engine: engine.decide({**EVENT, "more": object(), 7: 7}),  # type: ignore[dict-item]
    "with nulls": lambda engine: engine.decide({**EVENT, "device": None, "country": None}),
}


def decided(form: str) -> frmcore.Decision:
    return FORMS[form](frmcore.Engine(None, policy=POLICY, clock=None, **KEYS))


@pytest.mark.parametrize("form", FORMS)
def test_forms_agree(form: str) -> None:
    assert decided(form).record == decided("dict").record


def test_what_a_decision_holds() -> None:
    decision = decided("dict")
    assert decision.to_dict() == {
        "event_id": "e1", "point": "default", "outcome": "allow", "score": 7, "fired": ["big"], "shadow": [],
        "unknown": [], "actions": [], "alerts": [], "reasons": ["129.90 EUR in a day"],
        "features": {"attempts": 1, "spent": 12_990, "subnets": 1}, "lists": [], "policy": POLICY.hash, "seq": 1,
        "duplicate": False, "late": False, "durable": False, "notes": [], "intended": "allow", "holdout": False,
        "probability": 1.0,
    }  # fmt: skip
    assert repr(decision) == "<Decision e1 allow score=7 fired=big>"
    assert decision.time == NOON
    with pytest.raises(TypeError):
        decision.features["spent"] = 0  # type: ignore[index]


def test_evaluating_is_deciding_without_a_trace() -> None:
    world = World(FEATURES, RULES)
    state = world.engine.state_hash()
    seen = world.engine.evaluate(EVENT)
    assert world.engine.state_hash() == state
    decision = world.engine.decide(EVENT)
    assert (seen.seq, decision.seq) == (0, 1)
    assert {**seen.to_dict(), "seq": 1} == decision.to_dict()
    assert world.engine.evaluate(EVENT).duplicate


def test_deciding_many_keeps_what_came_before_a_refused_event() -> None:
    world = World(FEATURES)
    events: list[Any] = [world.event(), world.event(amount="?"), world.event()]
    with pytest.raises(frmcore.InvalidEvent):
        world.engine.decide_many(events)
    assert world.engine.stats["decisions"] == 1
    assert [decision.duplicate for decision in world.engine.decide_many([events[0], events[2]])] == [True, False]


def test_a_decision_is_made_by_engines_alone() -> None:
    with pytest.raises(TypeError, match="comes from Engine"):
        frmcore.Decision()
