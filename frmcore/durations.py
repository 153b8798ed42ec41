"""Durations and instants as text: `"10m"`, `"1.5h"`, `"2026-01-01T00:00:00Z"`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from frmcore.limits import TIME_MS_MAX

UNITS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}

_DURATION = re.compile(r"([0-9]{1,16})(?:\.([0-9]{1,9}))?(ms|s|m|h|d|w)")
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.([0-9]{1,9}))?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_duration(text: str) -> int | None:
    """`"10m"` -> 600000 ms. None where `text` is no duration: no unit, no whole milliseconds, out of bounds."""
    match = _DURATION.fullmatch(text)
    if match is None:
        return None
    whole, part, unit = match[1], match[2] or "", match[3]
    ms, rest = divmod(int(whole + part) * UNITS[unit], 10 ** len(part))
    return ms if rest == 0 and ms <= TIME_MS_MAX else None


def format_duration(ms: int) -> str:
    """Readable, to the two greatest units, the rest cut off: "3 min", "2 h 5 min", "4 days", "1.5 s"."""
    sign, ms = ("-", -ms) if ms < 0 else ("", ms)
    if ms < 1_000:
        return f"{sign}{ms} ms"
    if ms < 60_000:
        return f"{sign}{f'{ms // 1_000}.{ms % 1_000:03d}'.rstrip('0').rstrip('.')} s"
    if ms < 3_600_000:
        return sign + _two(ms // 60_000, "min", ms // 1_000 % 60, "s")
    if ms < 86_400_000:
        return sign + _two(ms // 3_600_000, "h", ms // 60_000 % 60, "min")
    days = ms // 86_400_000
    return sign + _two(days, "day" if days == 1 else "days", ms // 3_600_000 % 24, "h")


def _two(great: int, great_unit: str, small: int, small_unit: str) -> str:
    return f"{great} {great_unit} {small} {small_unit}" if small else f"{great} {great_unit}"


def format_timestamp(ms: int) -> str:
    """RFC 3339 in UTC, milliseconds where there are any: "2026-01-31T12:00:00Z". Outside of the years 1 to 9999, which
    it does not have, epoch milliseconds."""
    try:
        instant = _EPOCH + timedelta(milliseconds=ms)
    except OverflowError:
        return str(ms)
    return instant.replace(tzinfo=None).isoformat(timespec="milliseconds" if ms % 1_000 else "seconds") + "Z"


def parse_timestamp(text: str) -> int | None:
    """RFC 3339 with its offset (`Z` or `+02:00`) -> epoch ms. None where it is none, or finer than milliseconds."""
    match = _INSTANT.fullmatch(text)
    if match is None or (match[1] or "")[3:].strip("0"):
        return None
    fraction = (match[1] or "")[:3].ljust(3, "0")
    try:
        instant = datetime.fromisoformat(re.sub(r"\.[0-9]+", "", text).upper())
    except ValueError:  # the 30th of February
        return None
    return (instant - _EPOCH) // timedelta(milliseconds=1) + int(fraction)
