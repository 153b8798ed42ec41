"""river: rolling statistics over time, an object for each window and key. It has no maxima and no distinct values."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from math import sqrt
from typing import Any, Final

from bench.peers.batch import WINDOWS

HAS: Final = ("count", "sum", "mean", "std")
COVERED: Final = tuple(number for number, (_, _, aggregate, _) in enumerate(WINDOWS) if aggregate in HAS)


class River:
    """`decide(event)` -> the covered features, in order."""

    def __init__(self) -> None:
        from river import stats, utils

        kinds: dict[str, Any] = {
            "count": stats.Sum,
            "sum": stats.Sum,
            "mean": stats.Mean,
            "std": lambda: stats.Var(ddof=0),
        }

        def made(aggregate: str, over: int) -> Any:
            return lambda: utils.TimeRolling(kinds[aggregate](), timedelta(milliseconds=over))

        self._windows: list[tuple[str, str, Any]] = [
            (key, aggregate, defaultdict(made(aggregate, over)))
            for _, key, aggregate, over in (WINDOWS[number] for number in COVERED)
        ]

    def decide(self, event: dict[str, Any]) -> tuple[Any, ...]:
        at = datetime.fromtimestamp(event["ts"] / 1000, UTC).replace(tzinfo=None)
        found = []
        for key, aggregate, windows in self._windows:
            window = windows[event[key]]
            window.update(1 if aggregate == "count" else event["amount"], t=at)
            value = window.get()
            found.append(sqrt(max(0.0, value)) if aggregate == "std" else value)
        return tuple(found)
