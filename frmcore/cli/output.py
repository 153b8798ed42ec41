"""What commands write to files: never half of one."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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


def keep_inputs(to: str | Path | None, *inputs: str | Path | None) -> None:
    """A usage error for a file to write that is one to read."""
    if to is None or not Path(to).is_file():
        return
    for path in inputs:
        if path is not None and Path(path).exists() and Path(to).samefile(path):
            raise typer.BadParameter(f"{to} would be replaced, and is read: name another file")


@contextmanager
def replacing(to: Path) -> Iterator[Path]:
    """The name of a file (0600) beside `to`, which becomes it at the end of the block, and is gone where that fails.

    What is no file, such as /dev/stdout or a named pipe, is written as it is; what a link leads to is replaced, not the
    link. What a killed run left is written over."""
    to = to.resolve()
    if to.exists() and not to.is_file():
        yield to
        return
    part = to.with_name(f".{to.name}.part")
    try:
        handle = os.open(part, os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(to)) from None
    with os.fdopen(handle, "wb") as mine:
        try:
            fcntl.flock(mine, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OSError(f"{to}: another command writes it; wait for that, or name another file") from None
        try:
            yield part
            part.replace(to)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


def whole(to: Path, make: Callable[[Path], None]) -> None:
    """Makes a file, and says so when it is complete."""
    with replacing(to) as part:
        make(part)
    complain(f"written: {to}")


def write(to: Path, run: Backtest, measures: Measures) -> None:
    """A report of a run in the form that the ending names."""
    from frmcore.history.backtest import currency_of  # noqa: PLC0415
    from frmcore.report import files, page  # noqa: PLC0415

    currency = currency_of(run.policy, run.amount)
    kinds: dict[str, Callable[[Path], None]] = {
        ".html": lambda path: page.write(path, run, measures),
        ".xlsx": lambda path: files.write_xlsx(path, files.in_major(measures.tables(), currency)),
        ".json": lambda path: files.write_json(path, measures.tables() | {"notes": measures.notes}),
        ".parquet": lambda path: files.write_decisions(path, run),
    }
    whole(to, kinds[to.suffix.lower()])
