"""What the owner counts of its requests: how many of each operation, how long, how they ended."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from typing import Any, Final

from frmcore.serve.calls import Batch

BOUNDS_US: Final = (10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000)
_BOUNDS_NS: Final = tuple(1_000 * bound for bound in BOUNDS_US)


class Histogram:
    """Durations in buckets. `counts` has one more than there are bounds: what was longer than all."""

    __slots__ = ("counts", "total_ns")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_US) + 1)
        self.total_ns = 0

    def record(self, ns: int, times: int) -> None:
        self.counts[bisect_left(_BOUNDS_NS, ns)] += times
        self.total_ns += ns * times


class RequestMeter:
    """Written by the owner's loop alone; the thread that answers /metrics may see a count that is a moment old."""

    def __init__(self) -> None:
        self.seconds: dict[str, Histogram] = {}
        self.errors: Counter[str] = Counter()
        self.refused = 0  # connections: too many, another user, no frames
        self.overdue = 0  # connections that were closed for having had their time

    def count(self, op: str, ns: int, times: int = 1) -> None:
        histogram = self.seconds.get(op)
        if histogram is None:
            histogram = self.seconds.setdefault(op, Histogram())
        histogram.record(ns, times)

    def count_error(self, result: Any) -> None:
        """Where a request's result is one."""
        error = error_in(result)
        if error is not None:
            self.errors[type(error).__name__] += 1


def error_in(result: Any) -> Exception | None:
    """What a request ended with instead of a result."""
    if isinstance(result, Batch):
        return result.error
    return result if isinstance(result, Exception) else None
