"""What frmcore answers, in the form that peers do; nobody is timed before it has answered the same."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from bench.peers.rules import FLAGS, OUTCOMES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import frmcore

CLOSE: Final = 1e-6  # mean and deviation, which others compute from floats that were added up


class Mismatch(Exception):
    """A peer that answers otherwise is not timed."""


def answer_of(decision: frmcore.Decision) -> tuple[Any, ...]:
    """(outcome, score, features, flags); the gap of a first event is -1."""
    features = tuple(-1 if value is None else value for value in decision.features.values())
    return OUTCOMES.index(decision.outcome), decision.score, features, tuple(name in decision.lists for name in FLAGS)


def check(
    decide: Callable[[Any], tuple[Any, ...]], events: Sequence[dict[str, Any]], answers: Sequence[tuple[Any, ...]]
) -> None:
    """Raises Mismatch at the first event that is answered otherwise."""
    for number, (event, expected) in enumerate(zip(events, answers, strict=True)):
        found = decide(event)
        if not same(found, expected):
            raise Mismatch(f"event {number}: {found}, frmcore says {expected}")


def same(found: tuple[Any, ...], expected: tuple[Any, ...]) -> bool:
    return (
        found[0] == expected[0]
        and found[1] == expected[1]
        and tuple(map(bool, found[3])) == expected[3]
        and all(math.isclose(a, b, rel_tol=CLOSE, abs_tol=1e-3) for a, b in zip(found[2], expected[2], strict=True))
    )
