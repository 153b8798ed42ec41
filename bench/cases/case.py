"""What a benchmark is."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.world import World


@dataclass
class Bench:
    """`call(each)` for each of a round is timed. What a round needs is made before it, by `rounds`."""

    call: Callable[[Any], Any]
    rounds: Iterator[list[Any]]
    say: Callable[[Any], str]  # what a call's result was, for the hash
    weight: int = 1  # operations of one call
    slow: bool = False  # few rounds
    waits: bool = True  # a slow one: for threads, processes, disks, so that its time is the clock's
    close: Callable[[], None] = lambda: None

    def hashed(self) -> str:
        """Runs one round untimed, so that everything is warm; the hash of what it gave."""
        digest = hashlib.sha256()
        for each in next(self.rounds):
            digest.update(self.say(self.call(each)).encode())
        return digest.hexdigest()[:16]


CASES: Final[dict[str, Callable[[World], Bench]]] = {}


def case(name: str) -> Callable[[Callable[[World], Bench]], Callable[[World], Bench]]:
    """Adds a benchmark under `name`, which `baseline.json` knows it by."""

    def add(make: Callable[[World], Bench]) -> Callable[[World], Bench]:
        CASES[name] = make
        return make

    return add


def said(decision: Any) -> str:
    """All that a caller acts on, of a decision."""
    return repr((decision.outcome, decision.score, decision.fired, decision.lists, dict(decision.features)))
