"""The nearest known name: what an unknown one was probably meant to be."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_LENGTH_MAX: Final = 48  # the comparison is quadratic in the length, and nobody mistypes a hash


def nearest(name: str, candidates: Iterable[str]) -> str:
    """A hint such as `did you mean "amount"?`, or "" where nothing is near. Case does not count."""
    if len(name) > _LENGTH_MAX:
        return ""
    known = {candidate.lower(): candidate for candidate in candidates if len(candidate) <= _LENGTH_MAX}
    found = get_close_matches(name.lower(), known, n=1, cutoff=0.65)
    return f'did you mean "{known[found[0]]}"?' if found else ""
