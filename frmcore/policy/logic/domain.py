"""Sets of values: what a field or feature may be. Ordered values as intervals, others as sets or their complements."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor
from typing import Final

import msgspec


class Interval(msgspec.Struct, frozen=True):
    """From `low` to `high`; None is without end. The ends belong to it where they are `closed`."""

    low: Fraction | int | None = None
    high: Fraction | int | None = None
    low_closed: bool = True
    high_closed: bool = True

    def meet(self, other: Interval) -> Interval:
        low, low_closed = _tighter((self.low, self.low_closed), (other.low, other.low_closed), 1)
        high, high_closed = _tighter((self.high, self.high_closed), (other.high, other.high_closed), -1)
        return Interval(low, high, low_closed, high_closed)

    @property
    def is_empty(self) -> bool:
        if self.low is None or self.high is None:
            return False
        return self.low > self.high or (self.low == self.high and not (self.low_closed and self.high_closed))

    def whole(self) -> Interval:
        """The same whole numbers, with ends that belong to it."""
        low, high = self.low, self.high
        if low is not None:
            low = ceil(low) if self.low_closed else floor(low) + 1
        if high is not None:
            high = floor(high) if self.high_closed else ceil(high) - 1
        return Interval(low, high)


_End = tuple[Fraction | int | None, bool]


def _tighter(one: _End, other: _End, sign: int) -> _End:
    """Of two lower ends (sign 1) the greater, of two upper ends (sign -1) the less."""
    if one[0] is None or other[0] is None:
        return other if one[0] is None else one
    if one[0] == other[0]:
        return one[0], one[1] and other[1]
    return one if (one[0] - other[0]) * sign > 0 else other


class Domain(msgspec.Struct, frozen=True):
    """Some of: being absent, the values in `intervals`, the values in `among` (None: all) and not in `apart`.

    A subject is either ordered and has intervals, or it is not and has the others.
    """

    absent: bool
    intervals: tuple[Interval, ...] | None = None
    among: frozenset[object] | None = None
    apart: frozenset[object] = frozenset()

    def meet(self, other: Domain) -> Domain:
        absent = self.absent and other.absent
        if self.intervals is not None or other.intervals is not None:
            ours, theirs = self.intervals or (), other.intervals or ()
            found = (one.meet(another) for one in ours for another in theirs)
            return Domain(absent, tuple(each for each in found if not each.is_empty))
        apart = self.apart | other.apart
        if self.among is None or other.among is None:
            among = other.among if self.among is None else self.among
        else:
            among = self.among & other.among
        return Domain(absent, None, None if among is None else among - apart, apart)

    @property
    def is_empty(self) -> bool:
        if self.absent:
            return False
        return not self.intervals if self.intervals is not None else self.among is not None and not self.among


EVERY: Final = Interval()
