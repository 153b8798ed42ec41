"""A benchmark against the floor, round by round in one run, and against what it took before.

Machines differ and are busy by turns; the floor, measured just before every round, meets the same weather. Times are
those of the calling thread, so that being put aside does not count; only what waits (a store, a child process) has
the clock's. What is kept and compared is the median over the rounds of (time of an operation / time of the floor),
and how far these ratios spread.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any, Final

from bench.kernel import batch_ns
from bench.world import HERE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.cases import Bench
    from bench.world import World

BASELINE: Final = HERE / "baseline.json"
SLIP: Final = 0.15  # what a benchmark may lose, beyond noise


@dataclass(frozen=True, slots=True)
class Measured:
    """One benchmark in one run."""

    ns: float  # of an operation, the median over the rounds
    floor_ns: float
    ratio: float  # the median of the rounds' ratios
    noise: float  # half of their interquartile range, as a part of the ratio

    def as_dict(self) -> dict[str, float]:
        return {name: float(f"{getattr(self, name):.4g}") for name in ("ns", "floor_ns", "ratio", "noise")}


class Rounds:
    """Runs a benchmark round by round, the floor just before each."""

    def __init__(self, world: World, bench: Bench) -> None:
        self.world, self.bench = world, bench
        self.count = world.scale.slow_rounds if bench.slow else world.scale.rounds
        self.times: list[float] = []
        self.floors: list[float] = []

    def prepared(self) -> list[Any]:
        """What the next round is about."""
        batch = next(self.bench.rounds)
        self.floors.append(self.world.floor_ns(len(self.floors)))
        return batch

    def run(self, batch: list[Any]) -> None:
        taken = batch_ns(self.bench.call, batch, wall=self.bench.slow and self.bench.waits)
        self.times.append(taken / self.bench.weight)

    def measured(self) -> Measured:
        return measured(self.times, self.floors)

    def all(self) -> Measured:
        for _ in range(self.count):
            self.run(self.prepared())
        return self.measured()


def measured(times_ns: Sequence[float], floors_ns: Sequence[float]) -> Measured:
    """From the time of an operation and of the floor in each round."""
    ratios = [time / floor for time, floor in zip(times_ns, floors_ns, strict=True)]
    middle = median(ratios)
    quarters = quantiles(ratios, n=4) if len(ratios) > 1 else [middle] * 3
    return Measured(median(times_ns), median(floors_ns), middle, (quarters[2] - quarters[0]) / 2 / middle)


def slip(found: Measured, before: dict[str, Any]) -> float:
    """By how much the ratio grew beyond the noise of both runs; 0.2 is a fifth, below 0 is none."""
    noise = (1 + found.noise) * (1 + before["noise"]) - 1
    return found.ratio / float(before["ratio"] * (1 + noise)) - 1


def complaint(name: str, found: Measured, before: dict[str, Any]) -> str | None:
    """What to say of a benchmark that slipped; None where it did not."""
    lost = slip(found, before)
    if lost <= SLIP:
        return None
    return (
        f"{name} slipped: {found.ratio:.3g} floors an operation, {before['ratio']:.3g} before; {lost:.0%} beyond noise "
        f"({found.noise:.0%} now, {before['noise']:.0%} then), {SLIP:.0%} is allowed. "
        f"{found.ns:,.0f} ns, the floor {found.floor_ns:,.0f} ns"
    )


def baseline() -> dict[str, dict[str, Any]]:
    """Name to ratio, noise and the hash of the smoke run."""
    return dict(json.loads(BASELINE.read_text())) if BASELINE.exists() else {}


def keep_baseline(content: dict[str, dict[str, Any]]) -> None:
    lines = (f"  {json.dumps(name)}: {json.dumps(content[name])}" for name in sorted(content))
    BASELINE.write_text("{\n" + ",\n".join(lines) + "\n}\n")
