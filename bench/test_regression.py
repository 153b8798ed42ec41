"""Every benchmark as a ratio to the floor of the same run, against bench/baseline.json."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bench.cases import CASES
from bench.ratio import SLIP, Rounds, baseline, complaint, slip
from bench.world import AGAIN

if TYPE_CHECKING:
    from bench.world import World

KNOWN = baseline()


@pytest.mark.parametrize("name", CASES)
def test_no_slip(
    benchmark: Any, world: World, results: dict[str, dict[str, Any]], request: pytest.FixtureRequest, name: str
) -> None:
    known = None if request.config.getoption("--rebase") else KNOWN.get(name)
    bench = CASES[name](world)
    try:
        print(f"\n{name}: {bench.hashed()}", flush=True)
        rounds = Rounds(world, bench)
        benchmark.pedantic(rounds.run, setup=lambda: ((rounds.prepared(),), {}), rounds=rounds.count)
        found = rounds.measured()
        for _ in range(AGAIN):
            if known is None or slip(found, known) <= SLIP:
                break
            found = min(found, Rounds(world, bench).all(), key=lambda each: each.ratio)
    finally:
        bench.close()
    results[name] = found.as_dict()
    benchmark.extra_info.update(results[name])
    said = complaint(name, found, known) if known is not None else None
    if said:
        pytest.fail(said, pytrace=False)
