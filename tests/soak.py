"""Runs of engine against twin by seed. `python tests/soak.py operations 1000000`, `python tests/soak.py programs 100000`;
`--seed S` replays one run."""

from __future__ import annotations

import argparse
import sys
from random import Random

from strategies.operations import STARTS, Stream, first_policy
from strategies.programs import event, program
from twin.pair import Pair

OPERATIONS = 80  # of one run: the twin reads every event again for every feature
PROGRAMS, EVENTS = 25, 20  # of one policy, for each of them


def run(seed: int, operations: int = OPERATIONS) -> None:
    """One random policy under a random stream. Raises with the seed where engine and twin disagree."""
    random = Random(seed)
    policy = first_policy(random)
    pair = Pair(policy.text, random.choice(STARTS))
    stream = Stream(random, policy, pair)
    for number in range(operations):
        try:
            stream.step()
        except Exception as error:
            raise AssertionError(f"seed {seed}, operation {number}: {error}\n{stream.policy.text}") from error


def run_programs(seed: int) -> None:
    """PROGRAMS random expressions over EVENTS random events each."""
    random = Random(seed)
    text = program(random, PROGRAMS)
    pair = Pair(text, 4 * 10**12)
    for number in range(EVENTS):
        given = event(random, number)
        try:
            pair.both(lambda side, given=given: side.decide(given), given)
        except Exception as error:
            raise AssertionError(f"seed {seed}, event {number}: {error}\n{text}") from error


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("operations", "programs"))
    parser.add_argument("count", type=int, help="operations, or programs")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    given = parser.parse_args()
    each = OPERATIONS if given.what == "operations" else PROGRAMS
    for seed in range(given.seed, given.seed + max(1, given.count // each)):
        (run if given.what == "operations" else run_programs)(seed)
        if seed % 100 == 99:
            print(f"\r{given.what}: {(seed + 1 - given.seed) * each:,}", end="", file=sys.stderr)
    print(f"\n{given.what}: {given.count:,} without a difference", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
