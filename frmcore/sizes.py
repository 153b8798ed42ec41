"""Amounts of memory as text: `"4GB"`, `"512 MiB"`."""

from __future__ import annotations

import re
from typing import Final

UNITS: Final = {
    "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
}  # fmt: skip
_SIZE = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,6}))? ?([KMGT]i?B|B)")


def parse_size(text: str) -> int | None:
    """`"1.5GB"` -> 1500000000 bytes. None where `text` is no size: no unit, no whole bytes."""
    match = _SIZE.fullmatch(text)
    if match is None:
        return None
    whole, part, unit = match[1], match[2] or "", match[3]
    size, rest = divmod(int(whole + part) * UNITS[unit], 10 ** len(part))
    return size if rest == 0 else None
