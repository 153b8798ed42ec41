"""How far a long run on a store is."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Final

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from frmcore.cli.console import err

if TYPE_CHECKING:
    from types import TracebackType

SHOWN_AFTER_S: Final = 1.0
SHOWN_EVERY_S: Final = 0.1


class Bar:
    """A bar on a terminal's stderr, once the run takes more than a second. Called with (done, all). `unit`: what is
    done, to show how many of them a second."""

    def __init__(self, what: str, unit: str = "") -> None:
        columns = (
            TextColumn(what),
            BarColumn(30),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
        )
        self._unit, self._began = unit, monotonic()
        self._progress = Progress(*columns, console=err, transient=True, disable=not err.is_terminal)
        self._task = self._progress.add_task("", total=None)
        self._next = monotonic() + SHOWN_AFTER_S
        self._started = False

    def __call__(self, done: int, total: int | None) -> None:
        now = monotonic()
        if now < self._next:
            return
        self._next = now + SHOWN_EVERY_S
        if not self._started:
            self._progress.start()
            self._started = True
        rate = f"{done / (now - self._began):,.0f} {self._unit}/s" if self._unit else ""
        self._progress.update(self._task, completed=done, total=total, description=rate)

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._started:
            self._progress.stop()


def size_of(count: float) -> str:
    """Bytes for people: 1536 is 1.5 KiB."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:,.1f} {unit}"
        count /= 1024
    return f"{count:,.1f} TiB"
