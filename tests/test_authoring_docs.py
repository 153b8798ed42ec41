"""docs/authoring.md is a test: its files are written, its commands run in order, what they print is compared.

`...` on a line of its own stands for any lines. Every row of its tables of cells is a condition that loads.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from frmcore import limits
from frmcore.authoring import case_reader, expectations
from frmcore.cli import main
from frmcore.policy.tables import reader

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

ROOT: Final = Path(__file__).parents[1]
TEXT: Final = (ROOT / "docs" / "authoring.md").read_text("utf-8")
BLOCK: Final = re.compile(r"^```(?P<info>[^\n]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)


def frmcore(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """What a command prints, stdout and stderr together."""
    said = io.StringIO()
    monkeypatch.setattr(sys, "argv", ["frmcore", *arguments])
    with redirect_stdout(said), redirect_stderr(said), suppress(SystemExit):
        main()
    return said.getvalue()


def pytest_says(folder: Path) -> str:
    line = [sys.executable, "-m", "pytest", "-rA", "-p", "no:cacheprovider", "-p", "frmcore.authoring.pytest_plugin"]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(line, cwd=folder, env=env, check=False, capture_output=True, text=True).stdout


def squeezed(text: str) -> str:
    return re.sub(r"\n{2,}", "\n", text.strip("\n"))


def check(said: str, expected: str) -> None:
    """The parts between lines of `...` stand there in this order, the first one at the start, the last at the end."""
    parts = [part.strip("\n") for part in re.split(r"^\.\.\.$", expected.strip("\n"), flags=re.MULTILINE)]
    at = 0
    for part in parts:
        found = said.find(part, at)
        assert found >= 0, f"{part}\n--- is not in what follows in\n{said}"
        assert at or found == 0 or not parts[0], said
        at = found + len(part)
    assert at == len(said) or not parts[-1], said


def test_every_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    ran = 0
    for block in BLOCK.finditer(TEXT):
        info, body = block["info"], block["body"]
        if " file=" in info:
            Path(info.partition("file=")[2]).write_text(body)
            continue
        assert info == "console", info
        command, _, expected = body.partition("\n")
        program, *arguments = command.removeprefix("$ ").split()
        said = pytest_says(tmp_path) if program == "pytest" else frmcore(arguments, monkeypatch)
        kept = "\n".join(line for line in said.split("\n") if not line.startswith("wrote begun.csv"))
        check(squeezed(kept), squeezed(expected))
        ran += 1
    assert ran == 10


def tables() -> Iterator[tuple[str, list[str]]]:
    """(header's first cell, first cells of the rows)."""
    for part in re.findall(r"(?:^\|.*\n)+", TEXT, re.MULTILINE):
        rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in part.strip().split("\n")]
        yield rows[0][0], [row[0] for row in rows[2:]]


def names(cells: list[str]) -> list[str]:
    return [name for cell in cells for name in re.findall(r"`(\w+)", cell)]


def test_every_key_is_documented() -> None:
    found = dict(tables())
    assert sorted(names(found["key of a test"])) == sorted(case_reader._CASE_KEYS)
    assert sorted(names(found["key of a table"])) == sorted(reader._OWN)
    expected = {*expectations._KEYS, *expectations.STATES}
    assert set(names(found["`expect`"])) == expected


def test_bounds_are_as_documented() -> None:
    rows = re.findall(r"^\| [^|]+ \| ([0-9,]+)(?: bytes)? \| `(\w+)` \|$", TEXT, re.MULTILINE)
    assert len(rows) == 7
    for most, name in rows:
        assert int(most.replace(",", "")) == getattr(limits, name), name
