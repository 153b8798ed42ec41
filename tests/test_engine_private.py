"""Private values are hashed on entry: nothing that leaves the engine shows them."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec
import pytest
from engines import KEYS, SCHEMA, S, World

import frmcore

CANARY, ADDRESS = "canary-4111111111111111", "203.0.113.77"
PACKED = bytes([203, 0, 113, 77])
PRIVATE = SCHEMA.replace("card: {", "card: {private: true, ").replace("ip: {", "ip: {private: true, ")
DERIVED = PRIVATE.replace(
    "  updates:", "  derived:\n    lowered: {is: lower(card), entity: lowered}\n    bin_: {is: 'card[:6]'}\n  updates:"
)
FEATURES = """
    n: count(by=card, over="1h")
    cards: count_distinct(card, by=account, over="1h")
    same: count(by=account, over="1h", where=card == "canary-4111111111111111")
    lower_: count(by=lowered, over="1h")
    ips: count_distinct(ip, by=account, over="1h")
"""
RULES = """\
  - {id: listed, when: card in cards_, score: 1, reason: "listed after {n}"}
  - {id: equal, when: card == "canary-4111111111111111" or missing(card), score: 2}
  - {id: one_of, when: 'card in ("x", "canary-4111111111111111")', score: 4}
  - {id: bin_, when: bin_ == "canary", score: 8, reason: "bin {bin_}"}
  - {id: address, when: ip in ips_, score: 16}
"""
LISTS = "lists:\n  cards_: {of: card}\n  ips_: {of: ip}\n"


def world(**options: Any) -> World:
    return World(FEATURES, RULES, LISTS, DERIVED, **options)


def shown(value: object) -> bytes:
    """Whatever of an object can be read: bytes as they are, everything else as its repr. What a rule's own text says in
    double quotes is the policy's to say."""
    return value if isinstance(value, bytes) else repr(value).replace(f'"{CANARY}"', "").encode()


def test_no_record_repr_reason_explanation_or_error_shows_them() -> None:
    it = world()
    seen: list[bytes] = []
    it.engine.on_operation(seen.append)
    it.engine.lists["cards_"].add(CANARY, reason="stolen")
    it.engine.lists["ips_"].add(ADDRESS)
    event = it.event(card=CANARY, ip=ADDRESS)
    first = it.engine.decide(event)
    assert first.score == 31
    assert dict(first.features) == {"n": 1, "cards": 1, "same": 1, "lower_": 1, "ips": 1}
    found: list[object] = [
        first,
        first.to_dict(),
        first.values(),
        first.record,
        it.engine.explain("e1"),
        it.engine.stats,
    ]
    found += [
        it.engine.decide_again,
        list(it.engine.lists["cards_"]),
        it.engine.lists["cards_"].get(CANARY),
        it.engine.evaluate(event),
    ]
    found += [it.engine.observe(event), it.engine.features(card=CANARY), it.engine.lists["ips_"].get(ADDRESS), *seen]
    wrong = [
        lambda: it.engine.decide(event | {"amount": 5}),
        lambda: it.engine.decide(event | {"id": "w", "card": [CANARY]}),
        lambda: it.engine.decide(event | {"id": "w", "card": CANARY.encode()}),
        lambda: it.engine.decide(event | {"id": "w", "card": CANARY + "\ud800"}),
        lambda: it.engine.decide(event | {"id": "w", "card": CANARY * 1_000}),
        lambda: it.engine.decide(event | {"id": "w", "ip": ADDRESS + "/24"}),
        lambda: it.engine.decide_json(msgspec.json.encode(event | {"id": "w", "ip": f"x{ADDRESS}"})),
        lambda: it.engine.features(card=CANARY + "\ud800"),
        lambda: it.engine.lists["cards_"].add(CANARY + "\ud800"),
        lambda: it.engine.lists["ips_"].add(f"{ADDRESS}/24"),
        lambda: it.engine.update("e1", card=CANARY),
    ]
    for call in wrong:
        with pytest.raises(frmcore.FrmcoreError) as caught:
            call()
        found.append((caught.value, vars(caught.value)))
    for item in found:
        for secret in (CANARY.encode(), ADDRESS.encode()):
            assert secret not in shown(item)
    assert all(PACKED not in record for record in (first.record, *seen))


def test_what_an_explanation_says_instead() -> None:
    it = world()
    it.decide(card=CANARY)
    found = it.engine.explain("e1")
    assert {name: found.fields[name] for name in ("card", "lowered", "bin_", "ip")} == {
        "card": "private", "lowered": "private", "bin_": "canary", "ip": None,
    }  # fmt: skip
    assert found.rules[3].reason == "bin canary"


def test_hashes_depend_on_the_private_key_alone() -> None:
    def hidden(**keys: bytes) -> str:
        it = world(**keys)
        it.engine.lists["cards_"].add(CANARY)
        return next(iter(it.engine.lists["cards_"]))

    same = hidden()
    assert hidden(key=bytes(15) + b"x") == same
    assert hidden(private_key=bytes(15) + b"x") != same
    drawn = [frmcore.Engine(None, policy=world().text, clock=None) for _ in range(2)]
    for engine in drawn:
        engine.lists["cards_"].add(CANARY)
    assert len({next(iter(engine.lists["cards_"])) for engine in drawn}) == 2


def test_keys_have_sixteen_bytes() -> None:
    for name in KEYS:
        with pytest.raises(ValueError, match="16 secret bytes"):
            world(**{name: b"short"})


def test_they_still_work_as_keys_after_a_reload() -> None:
    it = world()
    it.decide(card=CANARY)
    it.engine.reload(it.text.replace("version: 1", "version: 2").replace('by=card, over="1h"', 'by=card, over="2h"'))
    decision = it.decide(S, card=CANARY)
    assert (decision.features["n"], decision.features["cards"], decision.features["lower_"]) == (2, 1, 2)
    with contextlib.suppress(frmcore.EventConflict):
        it.engine.decide({"id": "e1", "ts": 0, "kind": "payment", "account": "a", "card": "other"})
