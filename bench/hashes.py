"""Writes what every benchmark decides in its small form into bench/baseline.json: `make bench-hashes`."""

from __future__ import annotations

from bench.cases import CASES
from bench.ratio import baseline, keep_baseline
from bench.world import SMOKE, World


def main() -> None:
    world, known = World(SMOKE), baseline()
    for name, make in CASES.items():
        bench = make(world)
        known.setdefault(name, {"ratio": 1.0, "noise": 1.0})["smoke"] = bench.hashed()
        bench.close()
    keep_baseline({name: known[name] for name in CASES})


if __name__ == "__main__":
    main()
