"""Same inputs, same decisions, bit for bit: whatever the hash seed, the batch, the keys, the threads."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import decisions_hash
from decisions_hash import POLICY, line, stream

import frmcore

EVENTS = 200_000
RUNS = (("0", 1), ("1", 7), ("random", 1_000))  # PYTHONHASHSEED, batch; each draws its own secret keys


def hash_of_run(run: tuple[str, int]) -> str:
    seed, batch = run
    command = [sys.executable, decisions_hash.__file__, str(EVENTS), str(batch)]
    path = os.pathsep.join([str(Path(frmcore.__file__).parents[1]), *sys.path])
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": path}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def test_one_hash_of_all_decisions() -> None:
    with ThreadPoolExecutor(2) as pool:
        hashes = set(pool.map(hash_of_run, RUNS))
    assert len(hashes) == 1
    assert len(hashes.pop().strip()) == 64


def decide_some(engine: frmcore.Engine, seed: int) -> list[tuple[dict[str, Any], str, Any]]:
    """What one thread does: (event, point, decision) of each."""
    made = []
    for number, event in enumerate(islice(stream(seed), 3_000)):
        made.append((event, "", engine.decide(event)))
        if number % 9 == 0 and event["kind"] == "payment":
            made.append(
                (event, "answered", engine.decide_again(event["id"], "answered", at=event["ts"], status="approved"))
            )
    return made


def test_what_four_threads_decided_is_replayed_in_recorded_order() -> None:
    with frmcore.Engine(None, policy=POLICY, clock=None) as engine, ThreadPoolExecutor(4) as pool:
        made = [each for part in pool.map(lambda seed: decide_some(engine, seed), range(4)) for each in part]
    recorded = sorted((each for each in made if not each[2].duplicate), key=lambda each: each[2].seq)
    assert [each[2].seq for each in recorded] == list(range(1, len(recorded) + 1))
    with frmcore.Engine(None, policy=POLICY, clock=None) as engine:
        for event, point, decision in recorded:
            if point:
                replayed = engine.decide_again(event["id"], point, at=event["ts"], status="approved")
            else:
                replayed = engine.decide(event)
            assert line(replayed) == line(decision), event
