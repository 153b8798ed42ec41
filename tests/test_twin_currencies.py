"""Money in several currencies through a reload: what an event brought stands, whatever rates come later."""

from __future__ import annotations

from typing import Any

from twin.pair import Pair

NOON = 1_760_011_200_000
POLICY = """\
policy: currencies
version: 1
base: EUR
rates:
  USD: [{from: 2025-01-01, rate: "%s"}, {from: 2026-01-01, rate: "0.5"}]
event:
  id: id
  time: ts
  kind: kind
  fields:
    id: string
    ts: timestamp
    kind: {type: enum, values: [login, payment]}
    account: {entity: account}
    price: {type: money, currency: coin, path: price.units}
    coin: {type: string, path: price.coin}
    fee: {type: money, currency: coin, optional: true}
features:
  now: original(price)
  before: last(original(price), by=account)
%s
rules:
  - {id: r, when: price > money("5.00"), score: 1}
"""
MORE = """\
  kept: sum(price, by=account, over="1h")
  came: sum(original(price), by=account, on=payment, over="1h")
"""


def test_a_reload_reads_what_older_policies_recorded() -> None:
    """Under sanitizers it fails where a fact without a field is looked up among the fields."""
    pair = Pair(POLICY % ("0.9", ""), NOON + 1_000)
    told: dict[str, Any] = {"kind": "payment", "account": "a", "price": {"units": 1000, "coin": "USD"}}
    pair.decide({"id": "e1", "ts": NOON, **told})
    pair.reload(POLICY % ("0.8", MORE))
    found: Any = pair.decide({"id": "e2", "ts": NOON + 1, **told})
    values = {name: value for name, (_, value) in found["features"].items()}
    assert values == {"now": 1000, "before": 1000, "kept": 900 + 800, "came": 2000}
    again: Any = pair.decide({"id": "e1", "ts": NOON, **told})
    assert again["duplicate"]
    pair.explain("e1", None)
    pair.explain("e2", None)
