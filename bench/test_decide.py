"""How long a decision takes on the demo's stream, and the rules of the reference workload alone.

Each benchmark prints a hash of what it decided, so that nothing can be optimised away.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import frmcore
from frmcore.generate import Update, generate

if TYPE_CHECKING:
    from collections.abc import Iterator

ROUND = 1_000
DEMO = Path(frmcore.__file__).parent / "generate" / "card_payments.yaml"


@pytest.fixture(scope="module")
def events() -> list[dict[str, Any]]:
    return [record for record in generate(40_000, 1) if not isinstance(record, Update)]


def rounds(events: list[Any]) -> Iterator[tuple[tuple[list[Any]], dict[str, Any]]]:
    """Fresh events for every round: deciding one twice would measure duplicates."""
    for start in range(0, len(events), ROUND):
        yield (events[start : start + ROUND],), {}


@pytest.mark.parametrize("form", ["mapping", "struct"])
def test_decide(benchmark: Any, events: list[dict[str, Any]], form: str) -> None:
    with frmcore.Engine(None, policy=DEMO, clock=None) as engine:
        names = {field.name for field in engine.policy.fields}
        kept = [{name: value for name, value in event.items() if name in names} for event in events]
        given = [engine.policy.Event(**event) for event in kept] if form == "struct" else kept
        batches = rounds(given)
        decided = hashlib.sha256()

        def decide(batch: list[Any]) -> None:
            for event in batch:
                decided.update(engine.decide(event).outcome.encode())

        benchmark.pedantic(decide, setup=lambda: next(batches), rounds=len(given) // ROUND)
        benchmark.extra_info["decisions"] = decided.hexdigest()
        print(f"\n{form}: {decided.hexdigest()[:16]}")
