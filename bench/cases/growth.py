"""What more costs: windows, entities, and entities that nobody has touched for long."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING, Any, Final

from bench.cases.case import Bench, case, said
from bench.cases.payments import RULE, Payments, policy_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.world import World

SHORT_IDS: Final = "limits: {horizon: 10m, ids_min: 10000}\n"  # so that memory holds entities, not ids
TWO: Final = {"n": 'count(by=account, over="7d")', "spent": 'sum(amount, by=account, over="7d")'}


def windows_of(count: int) -> dict[str, str]:
    """Sums over as many windows of different length, all over one ring."""
    return {f"w{number}": f'sum(amount, by=account, over="{number + 1}m")' for number in range(count)}


def crowd(world: World, accounts: int, features: dict[str, str] = TWO, rules: str = RULE) -> Payments:
    """Every account has one payment, told as history."""
    payments = Payments(world, policy_of(features, rules) + SHORT_IDS, accounts)
    for account in range(accounts):
        payments.engine.observe(payments.event(account))
    return payments


def _windows(count: int) -> Callable[[World], Bench]:
    def make(world: World) -> Bench:
        payments = Payments(world, policy_of(windows_of(count)), accounts=max(1, world.scale.warm // 40))
        payments.fill(world.scale.warm)
        return Bench(payments.engine.decide, payments.rounds(), said, close=payments.engine.close)

    return make


def _entities(which: int) -> Callable[[World], Bench]:
    def make(world: World) -> Bench:
        payments = crowd(world, world.scale.entities[which])
        return Bench(payments.engine.decide, payments.rounds(), said, close=payments.engine.close)

    return make


for size in (1, 5, 20, 60):
    case(f"windows_{size}")(_windows(size))
for index, label in enumerate(("1k", "100k", "5m")):
    case(f"entities_{label}")(_entities(index))


def _touched(world: World, accounts: Iterator[int]) -> Bench:
    payments = crowd(world, world.scale.entities[1])

    def rounds() -> Iterator[list[Any]]:
        while True:
            yield [payments.event(next(accounts)) for _ in range(world.scale.size)]

    return Bench(payments.engine.decide, rounds(), said, close=payments.engine.close)


@case("entity_hot")
def entity_hot(world: World) -> Bench:
    """Eight accounts in turn, of 100,000: everything of theirs is in the cache."""
    return _touched(world, cycle(range(8)))


@case("entity_cold")
def entity_cold(world: World) -> Bench:
    """Each account once before any comes again, in an order that no prefetcher guesses."""
    count = world.scale.entities[1]
    return _touched(world, (number * 61_803 % count for number in cycle(range(count))))
