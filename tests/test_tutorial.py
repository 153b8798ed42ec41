"""docs/tutorial.md and docs/backtest.md: every command is run, in order, as a reader would, and files are written as
they stand there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from shared import ROOT
from typer.testing import CliRunner

from frmcore.cli import app

if TYPE_CHECKING:
    from pathlib import Path

BLOCK = re.compile(r"^```(\w+)(?: file=(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def run(command: str) -> str:
    first, *rest = shlex.split(command)
    if first == "frmcore":
        result = CliRunner().invoke(app, rest)
        assert result.exit_code == 0, f"{command}\n{result.output}\n{result.exception!r}"
        return result.output
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    known = {"python": sys.executable, "sed": "sed"}
    done = subprocess.run([known[first], *rest], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("name", ["tutorial.md", "backtest.md"])
def test_every_command_of_the_page(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "110")
    said: dict[str, str] = {}
    for kind, file, text in BLOCK.findall((ROOT / "docs" / name).read_text("utf-8")):
        if file:
            (tmp_path / file).write_text(text, "utf-8")
        elif kind == "console":
            for line in text.splitlines():
                if line.startswith("$ "):
                    last = said[line] = run(line[2:])
                elif line != "...":
                    assert " ".join(line.split()) in " ".join(last.split()), f"{line}\n\n{last}"
    assert len(said) >= 6
    for page in tmp_path.glob("*.html"):
        assert "</html>" in page.read_text("utf-8")
