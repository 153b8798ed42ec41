"""Time zones as tables of transitions: part of the plan, so that a decision does not depend on the machine's own.

They come from the `tzdata` package, never from the operating system: the same version gives the same tables anywhere,
and only names on its own list are ever opened.
"""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from frmcore.plan import Zone

if TYPE_CHECKING:
    from importlib.abc import Traversable
    from zoneinfo import ZoneInfo

_FIRST_S = 0  # 1970
_LAST_S = 4_102_444_800  # 2100
_STEP_S = 3 * 86_400  # the two nearest transitions of any zone since 1970 are a week less an hour apart


@lru_cache(maxsize=1)
def zone_names() -> frozenset[str]:
    """Every IANA name."""
    return frozenset((_tzdata() / "zones").read_text("ascii").split())


@lru_cache(maxsize=64)
def load_zone(name: str) -> Zone | None:
    """The zone's transitions from 1970 to 2100; before and after, its first and last offset. None for an unknown name.

    About 30 ms for a zone, then cached.
    """
    if name not in zone_names():
        return None
    from zoneinfo import ZoneInfo  # noqa: PLC0415

    with (_tzdata() / "zoneinfo").joinpath(*name.split("/")).open("rb") as file:
        zone = ZoneInfo.from_file(file, key=name)
    at_s, offsets = [-(2**62) // 1_000], [_offset(zone, _FIRST_S)]
    for second in range(_FIRST_S + _STEP_S, _LAST_S + _STEP_S, _STEP_S):
        offset = _offset(zone, second)
        if offset != offsets[-1]:
            at_s.append(_change(zone, second - _STEP_S, second))
            offsets.append(offset)
    return Zone(name, (-(2**62), *(at * 1_000 for at in at_s[1:])), tuple(offset * 1_000 for offset in offsets))


def _tzdata() -> Traversable:
    from importlib.resources import files  # noqa: PLC0415  10 ms that most policies never pay

    return files("tzdata")


def _offset(zone: ZoneInfo, second: int) -> int:
    delta = datetime.fromtimestamp(second, zone).utcoffset()
    assert delta is not None  # noqa: S101  a ZoneInfo always knows
    return delta.days * 86_400 + delta.seconds


def _change(zone: ZoneInfo, before: int, after: int) -> int:
    """The first second of the new offset, which holds at `after` and not at `before`."""
    old = _offset(zone, before)
    while after - before > 1:
        middle = (before + after) // 2
        before, after = (middle, after) if _offset(zone, middle) == old else (before, middle)
    return after
