"""Each aggregate alone: one window of an hour over the payments of accounts, some tens in each; one rule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bench.cases.case import Bench, case, said
from bench.cases.payments import Payments, policy_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.world import World

AGGREGATES: Final = {
    "count": 'count(by=account, over="1h")',
    "sum": 'sum(amount, by=account, over="1h")',
    "mean": 'mean(amount, by=account, over="1h")',
    "min": 'min(amount, by=account, over="1h")',
    "max": 'max(amount, by=account, over="1h")',
    "std": 'std(amount, by=account, over="1h")',
    "count_distinct": 'count_distinct(merchant, by=account, over="1h")',
    "share": 'share(amount > 50000, by=account, over="1h")',
    "first": 'first(merchant, by=account, over="1h")',
    "last": 'last(merchant, by=account, over="1h")',
    "since_first": "since_first(by=account)",
    "since_last": "since_last(by=account)",
    "sum_since": "sum(amount, by=account, since=amount > 99000)",
    "sum_cells": 'sum(amount, by=account, over="30d", every="1h")',
}


def _alone(text: str) -> Callable[[World], Bench]:
    def make(world: World) -> Bench:
        payments = Payments(world, policy_of({"alone": text}), accounts=max(1, world.scale.warm // 40))
        payments.fill(world.scale.warm)
        return Bench(payments.engine.decide, payments.rounds(), said, close=payments.engine.close)

    return make


for name, text in AGGREGATES.items():
    case(f"aggregate_{name}")(_alone(text))
