"""How a decision's cost grows with entities, features, rules, and events in a window: `python -m bench.growth`.

Each point is the median over rounds of the calling thread's time, as a ratio to the floor measured before each round.
"""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any, Final

from bench.cases.case import Bench, said
from bench.cases.growth import crowd, windows_of
from bench.cases.payments import Payments, policy_of
from bench.machine import machine
from bench.ratio import Rounds
from bench.world import FULL, RESULTS, World

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.cases.payments import Payments as Made

ENTITIES: Final = (1_000, 10_000, 100_000, 1_000_000, 5_000_000)
FEATURES: Final = (1, 5, 20, 60, 150)
RULES: Final = (1, 30, 100, 300, 1_000)
IN_WINDOW: Final = (1, 10, 100, 1_000, 10_000)
FILL: Final = 40_000


def rules_of(count: int) -> str:
    """Rules over a feature and two fields, of which few fire."""
    conditions = (
        "n > {} and amount > 99000",
        'merchant == "m{}" and amount > 90000',
        "spent > 9{}000000",
        "amount > 99{:03}",
    )
    return "".join(
        f"  - {{id: r{number}, when: '{conditions[number % 4].format(number)}', outcome: review, score: 1}}\n"
        for number in range(count)
    )


def entities(world: World, count: int) -> Made:
    return crowd(world, count)


def features(world: World, count: int) -> Made:
    return Payments(world, policy_of(windows_of(count)), FILL // 40).fill(FILL)


def rules(world: World, count: int) -> Made:
    two = {"n": 'count(by=account, over="1h")', "spent": 'sum(amount, by=account, over="1h")'}
    return Payments(world, policy_of(two, rules_of(count)), FILL // 40).fill(FILL)


def in_window(world: World, count: int) -> Made:
    """All events of the past that are still there lie in the one window of their account."""
    text = policy_of({"n": 'count(by=account, over="365d")', "spent": 'sum(amount, by=account, over="365d")'})
    return Payments(world, text, max(1, FILL // count)).fill(FILL)


SWEEPS: Final[dict[str, tuple[Callable[[World, int], Made], tuple[int, ...]]]] = {
    "entities": (entities, ENTITIES),
    "features": (features, FEATURES),
    "rules": (rules, RULES),
    "events in a window": (in_window, IN_WINDOW),
}


def point(world: World, make: Callable[[World, int], Made], count: int) -> dict[str, Any]:
    payments = make(world, count)
    bench = Bench(payments.engine.decide, payments.rounds(), said)
    bench.hashed()
    found = Rounds(world, bench).all().as_dict()
    payments.engine.close()
    return {"count": count, **found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entities", type=int, default=ENTITIES[-1], help="the most of them")
    given = parser.parse_args()
    world = World(FULL)
    result: dict[str, Any] = {"machine": machine()}
    for name, (make, counts) in SWEEPS.items():
        result[name] = []
        for count in counts:
            if name == "entities" and count > given.entities:
                continue
            result[name].append(point(world, make, count))
            print(f"{name} {count:,}: {result[name][-1]}", flush=True)
            RESULTS.mkdir(exist_ok=True)
            (RESULTS / "growth.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
