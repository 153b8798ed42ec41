"""A recorder of latencies: log-linear buckets, as in HdrHistogram."""

from __future__ import annotations

from typing import Final

SUB_BITS: Final = 6
SUB: Final = 1 << SUB_BITS  # buckets for each power of two: a percentile is at most 1/64 above the true one


class Latency:
    """Counts of durations in nanoseconds. Up to 128 ns a bucket is 1 ns wide, then it doubles with each power of two.

    `record` is O(1) and allocates nothing but the bucket of a magnitude not met before; 64 buckets a power of two, so a
    few hundred counts hold any run. Percentiles are the upper end of their bucket; `max_ns` is exact.
    """

    def __init__(self) -> None:
        self.count = 0
        self.total_ns = 0
        self.max_ns = 0
        self._counts: dict[int, int] = {}

    def record(self, ns: int) -> None:
        self.count += 1
        self.total_ns += ns
        self.max_ns = max(self.max_ns, ns)
        shift = ns.bit_length() - SUB_BITS - 1
        bucket = ns if shift <= 0 else (shift << SUB_BITS) + (ns >> shift)
        self._counts[bucket] = self._counts.get(bucket, 0) + 1

    def percentile(self, percent: float) -> int:
        """The least recorded duration, in ns, that `percent` of all did not exceed; 0 when nothing was recorded."""
        wanted = percent / 100 * self.count
        seen = 0
        for bucket in sorted(self._counts):
            seen += self._counts[bucket]
            if seen >= wanted:
                return min(_upper_end(bucket), self.max_ns)
        return self.max_ns


def _upper_end(bucket: int) -> int:
    if bucket < 2 * SUB:
        return bucket
    shift = (bucket >> SUB_BITS) - 1
    return ((bucket - (shift << SUB_BITS) + 1) << shift) - 1
