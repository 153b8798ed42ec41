"""Bytes of R1's stream in memory, and of each thing that is kept: `python -m bench.memory`."""

from __future__ import annotations

import argparse
import json
from itertools import islice
from pathlib import Path
from typing import Any, Final

from bench.kernel import batch_ns
from bench.machine import machine
from bench.peers.memory import frmcore_bytes
from bench.stream import R1
from bench.world import RESULTS, Scale, World

LIMITS: Final = {"stream": "", "by horizon": "limits: {ids_min: 10_000}"}  # ids are kept as long as 24 h ask, no longer


def stream_bytes(count: int, limits: str) -> dict[str, Any]:
    """What R1's events leave behind, with its listed values: by the engine's accounting, and what the system sees."""
    world = World(Scale(R1, 0, 1, 1, 1, (1, 1, 1), 1))
    file = world.policy_file
    file.write_text(f"{file.read_text()}\n{limits}\n")
    engine = world.engine()
    lists, before = engine.stats["memory"]["total"], _resident()
    world.stream.count = count
    events = world.stream.json()
    while part := list(islice(events, 10_000)):
        batch_ns(lambda each: engine.decide(world.decode(each)), part)
    found = {"events": count, "lists": lists, "resident": _resident() - before, **engine.stats["memory"]}
    engine.close()
    return found


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--entities", type=int, default=5_000_000)
    given = parser.parse_args()
    world = World(Scale(R1, 0, 1, 1, 1, (1, 1, 1), 1))
    result = {
        "machine": machine(),
        **{name: stream_bytes(given.events, limits) for name, limits in LIMITS.items()},
        "each": frmcore_bytes(world, given.entities, 1_000_000),
        "entities": given.entities,
    }
    print(json.dumps(result, indent=1))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "memory.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
