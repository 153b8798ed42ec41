"""Runs of engine against twin by seed: `python tests/soak.py operations 1000000`, `... programs 100000`.

`--seed S` starts at that seed: a failure says which one replays it.
"""

from __future__ import annotations

import argparse
import sys
from random import Random

from strategies.operations import STARTS, Stream, first_policy
from strategies.programs import event, program
from twin.pair import Pair

OPERATIONS = 80  # of one run: the twin reads every event again for every feature
HOT_OPERATIONS, HOT = 240, 4  # every fourth run has few keys and large rings
PROGRAMS, EVENTS = 25, 20  # of one policy, for each of them


def run(seed: int) -> int:
    """One random policy under a random stream; how many operations it took. Raises where engine and twin disagree."""
    random = Random(seed)
    hot = seed % HOT == 0
    policy = first_policy(random, hot)
    pair = Pair(policy.text, random.choice(STARTS))
    stream = Stream(random, policy, pair, hot)
    for number in range(HOT_OPERATIONS if hot else OPERATIONS):
        try:
            stream.step()
        except Exception as error:
            raise AssertionError(f"seed {seed}, operation {number}: {error}\n{stream.policy.text}") from error
    return number + 1


def run_programs(seed: int) -> int:
    """PROGRAMS random expressions over EVENTS random events each; how many programs."""
    random = Random(seed)
    text = program(random, PROGRAMS)
    pair = Pair(text, 4 * 10**12)
    for number in range(EVENTS):
        given = event(random, number)
        try:
            pair.decide(given)
        except Exception as error:
            raise AssertionError(f"seed {seed}, event {number}: {error}\n{text}") from error
    return PROGRAMS


def runs(what: str, count: int, seed: int = 0) -> None:
    """Runs from `seed` on until `count` operations or programs were compared."""
    done = 0
    while done < count:
        done += run(seed) if what == "operations" else run_programs(seed)
        seed += 1
        if seed % 100 == 0:
            print(f"{what}: {done:,}", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("operations", "programs"))
    parser.add_argument("count", type=int, help="operations, or programs")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    given = parser.parse_args()
    runs(given.what, given.count, given.seed)
    print(f"{given.what}: {given.count:,} without a difference")


if __name__ == "__main__":
    main()
