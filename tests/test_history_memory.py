"""Whole runs from outside: a history larger than its memory, and Ctrl-C."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import polars as pl
import pytest
from engines import NOON

if TYPE_CHECKING:
    from pathlib import Path

POLICY = """\
policy: large
version: 1
event:
  id: id
  time: ts
  fields:
    id: string
    ts: timestamp
    account: {entity: account}
    note: string
limits: {ids_min: 1_000, ids_max: 10_000, horizon: 1m}
features:
  tries: count(by=account, over="10m")
rules:
  - {id: many, when: tries >= 3, outcome: block}
"""
COMMAND = "import sys; from frmcore.cli import main; sys.exit(main())"


def started(folder: Path, *args: str) -> subprocess.Popen[str]:
    spill = folder / "spill"
    spill.mkdir()
    environment = {**os.environ, "TMPDIR": str(spill)}
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, "backtest", str(folder / "policy.yaml"), str(folder / "history.parquet"),
         *args],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip


def history(folder: Path, count: int) -> int:
    """Events in the wrong order, of 450 bytes each, in a file that compresses well; their bytes."""
    (folder / "policy.yaml").write_text(POLICY)
    rows = pl.DataFrame({"n": range(count)}).select(
        id=pl.format("e{}", pl.col("n")), ts=NOON + 1_000 * pl.col("n").reverse(),
        account=pl.format("a{}", pl.col("n") % 997), note=pl.col("n").cast(pl.String).str.zfill(450),
    )  # fmt: skip
    rows.write_parquet(folder / "history.parquet")
    return count * 450


@pytest.mark.parametrize("count", [330_000, pytest.param(5_000_000, marks=pytest.mark.soak)])
def test_a_history_larger_than_its_memory_completes(tmp_path: Path, count: int) -> None:
    size = history(tmp_path, count)
    assert size > 1.1 * 128e6
    process = started(tmp_path, "--memory", "128MB")
    _, err = process.communicate()
    assert process.returncode == 0, err
    assert f"{count:,} decisions" in err
    (peak,) = re.findall(r"([0-9.,]+) (MiB|GiB)\b", err)
    megabytes = float(peak[0].replace(",", "")) * (1.048576 if peak[1] == "MiB" else 1_073.7)
    print(f"{size / 1e6:,.0f} MB of events, {megabytes:,.0f} MB at the peak")
    assert megabytes < 640  # 128 MB, the engine, batches at hand, and what Python and its libraries take themselves
    assert list((tmp_path / "spill").iterdir()) == []


@pytest.mark.parametrize("target", ["report.html", "decisions.parquet"])
def test_ctrl_c_shows_what_there_is_and_leaves_no_half_file(tmp_path: Path, target: str) -> None:
    history(tmp_path, 20_000)
    script = (
        "import sys, os, signal\n"
        "from frmcore.history.replay import Replay\n"
        "whole = Replay._count\n"
        "def stopped(self, n, progress):\n"
        "    if self._operations > 9_000: os.kill(os.getpid(), signal.SIGINT)\n"
        "    whole(self, n, progress)\n"
        "Replay._count = stopped\n"
        f"{COMMAND}"
    )
    (tmp_path / "spill").mkdir()
    args = [
        "backtest",
        str(tmp_path / "policy.yaml"),
        str(tmp_path / "history.parquet"),
        "--to",
        str(tmp_path / target),
    ]
    found = subprocess.run(
        [sys.executable, "-c", script, *args], capture_output=True, text=True, check=False,
        env={**os.environ, "TMPDIR": str(tmp_path / "spill")},
    )  # fmt: skip
    assert found.returncode == 130, found.stderr
    assert "interrupted at 2025-10-09T" in found.stderr
    assert re.search(r"(9|1[0-9]),[0-9]{3} decisions", found.stderr), found.stderr
    assert not list(tmp_path.glob("*.part")) and not (tmp_path / target).exists()
    assert list((tmp_path / "spill").iterdir()) == []
