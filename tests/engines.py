"""A small world for examples: one schema, features and rules of the test, events that fill in what they don't say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import frmcore

if TYPE_CHECKING:
    from collections.abc import Sequence

S, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
NOON = 1_760_011_200_000  # 2025-10-09T12:00:00Z, a Thursday
KEYS = {"key": bytes(16), "private_key": bytes(range(16))}

SCHEMA = """\
policy: examples
version: 1
event:
  id: id
  time: ts
  kind: kind
  retry_may_change: [note]
  fields:
    id: string
    ts: timestamp
    kind: {type: enum, values: [payment, login]}
    account: {entity: account}
    card: {entity: card, optional: true}
    device: {entity: device, optional: true}
    ip: {type: ip, entity: ip, optional: true}
    country: {type: string, optional: true}
    note: {type: string, optional: true}
    amount: {type: money, currency: EUR, optional: true}
    price: {type: decimal, scale: 2, optional: true}
    weight: {type: float, optional: true}
  updates:
    status: {type: enum, values: [pending, approved, declined], default: pending}
    label: {type: enum, values: [fraud, legit], optional: true}
    remark: {type: string, optional: true}
"""
NEVER = "  - {id: never, when: missing(id), score: 1}\n"


def policy_text(features: str = "", rules: str = "", more: str = "", schema: str = SCHEMA) -> str:
    lines = [line.strip() for line in features.strip().split("\n") if line.strip()]
    shown = "features:\n" + "".join(f"  {line}\n" for line in lines) if lines else ""
    return schema + more + shown + "rules:\n" + (rules or NEVER)


class World:
    """An engine without a clock, unless one is given; events get an id, a kind and an account where they bring none."""

    def __init__(
        self, features: str = "", rules: str = "", more: str = "", schema: str = SCHEMA, **options: Any
    ) -> None:
        self.text = policy_text(features, rules, more, schema)
        self.engine = frmcore.Engine(None, policy=self.text, **{"clock": None, **KEYS, **options})
        self.count = 0

    def event(self, at: int = 0, **fields: Any) -> dict[str, Any]:
        self.count += 1
        return {"id": f"e{self.count}", "ts": NOON + at, "kind": "payment", "account": "a", **fields}

    def decide(self, at: int = 0, **fields: Any) -> frmcore.Decision:
        return self.engine.decide(self.event(at, **fields))

    def value(self, at: int = 0, **fields: Any) -> Any:
        """Decides, and returns the value of the first feature."""
        return next(iter(self.decide(at, **fields).features.values()))

    def values(self, times: Sequence[int]) -> list[Any]:
        return [self.value(at) for at in times]
