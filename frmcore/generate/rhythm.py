"""How busy each ten minutes of a week are."""

from __future__ import annotations

from typing import Final

SLICE_MS: Final = 600_000
SLICES_WEEK: Final = 7 * 144
MONDAY_MS: Final = 1_767_571_200_000  # 2026-01-05T00:00:00Z, where a stream starts unless told otherwise

# One weight an hour (UTC; most people live an hour east of it): quiet nights, a lunch peak, a long evening.
_WORKDAY: Final = (4, 2, 1, 1, 2, 5, 10, 16, 20, 22, 24, 28, 27, 23, 22, 24, 29, 34, 36, 34, 28, 20, 13, 7)
_WEEKEND: Final = (7, 4, 2, 1, 1, 3, 6, 11, 18, 25, 31, 34, 33, 31, 30, 30, 30, 31, 32, 31, 27, 22, 16, 11)


def _week() -> tuple[int, ...]:
    hours = _WORKDAY * 5 + _WEEKEND * 2
    steps = range(6)  # straight lines between the hours
    return tuple(hours[h] * (6 - i) + hours[(h + 1) % 168] * i for h in range(168) for i in steps)


WEEK: Final = _week()
"""Weight of each slice of a week that starts on Monday, 00:00 UTC."""
