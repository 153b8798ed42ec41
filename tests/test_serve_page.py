"""docs/operations.md, as a new user follows it."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prometheus_client import REGISTRY
from serving import event, serving

import frmcore

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "operations.md").read_text("utf-8")
FRMCORE = [sys.executable, "-c", "from frmcore.cli import main; main()"]


def words(line: str) -> list[str]:
    """A line of the page as a command that runs here."""
    first, *rest = shlex.split(line.replace(":9464", ":0"))
    return {"frmcore": FRMCORE, "python3": [sys.executable]}[first] + rest


def run(line: str, folder: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        words(line), cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_from_nothing_to_live_numbers(tmp_path: Path) -> None:
    part = PAGE.partition("## From nothing")[2].partition("\n## ")[0]
    new, serve, ask, top = [line.strip() for line in part.splitlines() if re.match(r"    (frmcore|python3) ", line)]
    run(new, tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(words(serve), cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as owner:
        assert owner.stderr is not None
        next(line for line in owner.stderr if '"serving"' in line)
        try:
            events = (tmp_path / "shop" / "events.jsonl").read_text("utf-8").splitlines()
            assert run(ask, tmp_path).count("<Decision ") == len(events) > 10
            assert "starter version 1" in run(f"{top} --once --every 0.1", tmp_path)
        finally:
            owner.terminate()


def test_the_python_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 2
    monkeypatch.chdir(tmp_path)
    (tmp_path / "var" / "frm").mkdir(parents=True)
    with serving(tmp_path / "var" / "frm") as (engine, _):
        names: dict[str, Any] = {"frmcore": frmcore, "engine": engine, "event": event(1)}
        for block in blocks:
            exec(block, names)  # noqa: S102  the page's own
        assert names["decision"].outcome == "allow"
        assert REGISTRY.get_sample_value("frmcore_ids") == 1
        names["client"].close()
        collector = next(each for each in REGISTRY._collector_to_names if type(each).__name__ == "EngineCollector")
        REGISTRY.unregister(collector)
