"""What goes to stderr: messages, progress; and texts made fit for a terminal."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from frmcore.report.latency import Latency

if TYPE_CHECKING:
    from collections import Counter
    from types import TracebackType

err: Final = Console(stderr=True, highlight=False)
SHOWN_EVERY_S: Final = 0.2


def plain(text: str) -> str:
    """Text from events or policies may hold what steers a terminal: it is shown escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def counted(count: int, what: str) -> str:
    """`1 hold`, `2,000 holds`."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def complain(message: str) -> None:
    err.print(Text(plain(message)), soft_wrap=True)


class Meter:
    """A progress bar with events/s, latency of the decisions and outcome counts. Redrawn a few times a second."""

    def __init__(self, total: int | None) -> None:
        self.latency = Latency()
        bar = (BarColumn(20), TaskProgressColumn()) if total else ()
        told = TextColumn("{task.description}")
        self._progress = Progress(*bar, TimeElapsedColumn(), told, console=err, disable=not err.is_terminal)
        self._task = self._progress.add_task("", total=total)
        self._began = self._shown = monotonic()

    @property
    def seconds(self) -> float:
        return monotonic() - self._began

    def __enter__(self) -> Meter:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._progress.stop()

    def show(self, done: int, outcomes: Counter[str], *, at_once: bool = False) -> None:
        """`done`: events so far."""
        now = monotonic()
        if now - self._shown < SHOWN_EVERY_S and not at_once:
            return
        self._shown = now
        rate = done / max(now - self._began, 1e-9)
        p50, p99 = (micros(self.latency.percentile(percent)) for percent in (50, 99))
        counts = "  ".join(f"{plain(outcome)} {n:,}" for outcome, n in outcomes.items())
        text = f"{rate:,.0f} events/s  p50 {p50}  p99 {p99}  {counts}"
        self._progress.update(self._task, completed=done, description=text)


def micros(ns: int) -> str:
    """A latency for people: 850 ns is 0.85 us."""
    return f"{ns / 1000:.2f} us" if ns < 10_000 else f"{ns / 1000:,.0f} us"
