"""A small policy for one question at a time: payments of accounts, one a tick, spread evenly over them."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any, Final

from frmcore.policy import load

if TYPE_CHECKING:
    from collections.abc import Iterator

    import frmcore
    from bench.world import World

START_MS: Final = 1_760_000_000_000
TICK_MS: Final = 20
SCHEMA: Final = """
policy: payments
version: 1
event:
  id: id
  time: ts
  fields:
    id: string
    ts: timestamp
    account: {entity: account}
    merchant: string
    amount: int
  updates:
    status: {type: enum, values: [pending, approved, declined], default: pending}
"""
RULE: Final = "  - {id: much, when: amount > 99990, outcome: review, score: 1}\n"


def policy_of(features: dict[str, str], rules: str = RULE) -> str:
    shown = "".join(f"  {name}: {text}\n" for name, text in features.items())
    return f"{SCHEMA}features:\n{shown}rules:\n{rules}"


class Payments:
    """An engine and a stream for it; the same for the same seed."""

    def __init__(self, world: World, text: str, accounts: int, *, stored: bool = False) -> None:
        self.world, self.accounts = world, accounts
        self.policy = load(text)
        self.engine: frmcore.Engine = world.engine(self.policy, stored=stored)
        self.random, self.made = Random(7), 0

    def event(self, account: int) -> Any:
        self.made += 1
        return self.policy.Event(
            id=f"p{self.made}",
            ts=START_MS + self.made * TICK_MS,
            account=f"a{account}",
            merchant=f"m{self.random.randrange(500)}",
            amount=self.random.randrange(100_000),
        )

    def any_event(self) -> Any:
        return self.event(self.random.randrange(self.accounts))

    def fill(self, count: int) -> Payments:
        """Decides that many events of random accounts."""
        for _ in range(count):
            self.engine.decide(self.any_event())
        return self

    def rounds(self) -> Iterator[list[Any]]:
        while True:
            yield [self.any_event() for _ in range(self.world.scale.size)]
