"""A backtest of R1, end to end from Parquet on one core: `python -m bench.history`."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any, Final

from bench.machine import machine, pinned
from bench.stream import Stream
from bench.world import FULL, HERE, RESULTS, World
from frmcore.history.backtest import Setup, backtest

MEMORY: Final = "1GB"
_AT_ONCE: Final = 100_000


def write(file: Path, count: int) -> None:
    """R1's events as one Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    events = Stream(count).events()
    first = pa.Table.from_pylist(list(islice(events, _AT_ONCE)))
    with pq.ParquetWriter(file, first.schema) as writer:
        writer.write_table(first)
        while part := list(islice(events, _AT_ONCE)):
            writer.write_table(pa.Table.from_pylist(part, first.schema))


def run(file: Path, policy: Path) -> None:
    """The process that is measured: nothing but the backtest, from the import to the last figure."""
    pinned()
    with backtest(policy, Setup([str(file)], memory=MEMORY)) as found:
        said = {"rate": round(found.rate), "seconds": round(found.seconds, 1), "decided": found.decided}
        print(json.dumps(said | {"peak_mb": round(found.memory_bytes / 1e6)}))


def measured(policy: Path, folder: Path, count: int) -> dict[str, Any]:
    file = folder / f"{count}.parquet"
    write(file, count)
    command = [sys.executable, "-m", "bench.history", "--run", str(file), str(policy)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=HERE.parent)
    found = {"events": count, "file_mb": round(file.stat().st_size / 1e6), **json.loads(done.stdout)}
    file.unlink()
    print(json.dumps(found))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, nargs="+", default=[1_000_000, 5_000_000])
    parser.add_argument("--run", type=Path, nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.run:
        run(*given.run)
        return
    world = World(FULL)
    runs = [measured(world.policy_file, world.folder(), count) for count in given.events]
    RESULTS.mkdir(exist_ok=True)
    result = {"machine": machine(), "memory": MEMORY, "runs": runs}
    (RESULTS / "history.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
