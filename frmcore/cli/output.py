"""Reports and tables to files: never half of one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from frmcore.cli.console import complain

if TYPE_CHECKING:
    from frmcore.history.backtest import Backtest
    from frmcore.history.measures import Measures

ENDINGS: Final = (".html", ".xlsx", ".json", ".parquet")


def check_target(to: Path | None) -> None:
    """A usage error before the work, not after it."""
    if to is None:
        return
    if to.suffix.lower() not in ENDINGS:
        raise typer.BadParameter(f"--to {to}: the ending says what it is: {', '.join(ENDINGS)}")
    if not to.parent.is_dir():
        raise typer.BadParameter(f"--to {to}: there is no folder {to.parent}")


def whole(to: Path, make: Callable[[Path], None]) -> None:
    """Makes a file (0600) beside its place, and moves it there when it is complete."""
    part = to.with_name(f".{to.name}.part")
    try:
        os.close(os.open(part, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW, 0o600))
        make(part)
        part.replace(to)
    finally:
        part.unlink(missing_ok=True)
    complain(f"written: {to}")


def write(to: Path, run: Backtest, measures: Measures) -> None:
    """A report of a run in the form that the ending names."""
    from frmcore.report import files, page  # noqa: PLC0415

    kinds: dict[str, Callable[[Path], None]] = {
        ".html": lambda path: page.write(path, run, measures),
        ".xlsx": lambda path: files.write_xlsx(path, measures.tables()),
        ".json": lambda path: files.write_json(path, measures.tables() | {"notes": measures.notes}),
        ".parquet": lambda path: files.write_decisions(path, run),
    }
    whole(to, kinds[to.suffix.lower()])
