"""The nearest known name: what an unknown one was probably meant to be."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_LENGTH_MAX: Final = 48  # the comparison is quadratic in the length, and nobody mistypes a hash
_COMPARED_MAX: Final = 64  # and 60 us: of more candidates those with the most pairs of letters in common are compared


def nearest(name: str, candidates: Iterable[str]) -> str:
    """A hint such as `did you mean "amount"?`, or "" where nothing is near. Case does not count."""
    if len(name) > _LENGTH_MAX:
        return ""
    from difflib import get_close_matches  # noqa: PLC0415  wanted only when something went wrong
    from heapq import nlargest  # noqa: PLC0415

    known = {candidate.lower(): candidate for candidate in candidates if len(candidate) <= _LENGTH_MAX}
    likely: Iterable[str] = known
    if len(known) > _COMPARED_MAX:
        pairs = _pairs(name.lower())
        likely = nlargest(_COMPARED_MAX, known, key=lambda candidate: len(pairs & _pairs(candidate)))
    found = get_close_matches(name.lower(), likely, n=1, cutoff=0.65)
    return f'did you mean "{known[found[0]]}"?' if found else ""


def _pairs(word: str) -> set[tuple[str, str]]:
    return set(pairwise(f"^{word}$"))
