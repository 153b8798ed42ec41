"""What trying a policy on the past takes, from the first byte of a Parquet file to the last figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from bench.cases.case import Bench, case
from frmcore.history.backtest import Setup
from frmcore.history.backtest import backtest as run
from frmcore.history.measures import measure

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bench.world import World


@case("backtest")
def backtest(world: World) -> Bench:
    """R1 over its first events; per event."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    file, count = world.folder() / "history.parquet", world.scale.warm
    pq.write_table(pa.Table.from_pylist([msgspec.json.decode(event) for event in world.events[:count]]), file)

    def rounds() -> Iterator[list[Path]]:
        while True:
            yield [file]

    def tried(history: Path) -> str:
        with run(world.policy, Setup([str(history)])) as found:
            figures = measure(found)
            return repr((found.decided, found.quality.duplicates, figures.outcomes, figures.rules, figures.overlap))

    return Bench(tried, rounds(), str, count, slow=True, waits=False)
