"""The nearest known name: what an unknown one was probably meant to be."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_LENGTH_MAX: Final = 48  # the comparison is quadratic in the length, and nobody mistypes a hash


def nearest(name: str, candidates: Iterable[str]) -> str:
    """A hint such as `did you mean "amount"?`, or "" where nothing is near. Case does not count.

    Microseconds a candidate; milliseconds for those of the same start or end, which alone can be near.
    """
    if len(name) > _LENGTH_MAX:
        return ""
    name, known = name.lower(), {}
    for candidate in candidates:
        folded = candidate.lower()
        alike = folded[:1] == name[:1] or folded[-2:] == name[-2:]
        if alike and len(folded) <= _LENGTH_MAX:
            known[folded] = candidate
    found = get_close_matches(name, known, n=1, cutoff=0.65)
    return f'did you mean "{known[found[0]]}"?' if found else ""
