"""Sets of code points as sorted, disjoint, inclusive ranges; and the byte sequences that encode them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Range = tuple[int, int]
Ranges = tuple[Range, ...]

LAST: Final = 0x10FFFF
ANY: Final[Ranges] = ((0, LAST),)
DIGIT: Final[Ranges] = ((0x30, 0x39),)
UPPER: Final[Ranges] = ((0x41, 0x5A),)
LOWER: Final[Ranges] = ((0x61, 0x7A),)
ALPHA: Final = UPPER + LOWER
ALNUM: Final = DIGIT + ALPHA
WORD: Final[Ranges] = (*DIGIT, *UPPER, (0x5F, 0x5F), *LOWER)
PERL: Final[dict[str, Ranges]] = {"d": DIGIT, "s": ((9, 10), (12, 13), (32, 32)), "w": WORD}
POSIX: Final[dict[str, Ranges]] = {
    "alnum": ALNUM,
    "alpha": ALPHA,
    "ascii": ((0, 0x7F),),
    "blank": ((9, 9), (32, 32)),
    "cntrl": ((0, 0x1F), (0x7F, 0x7F)),
    "digit": DIGIT,
    "graph": ((0x21, 0x7E),),
    "lower": LOWER,
    "print": ((0x20, 0x7E),),
    "punct": ((0x21, 0x2F), (0x3A, 0x40), (0x5B, 0x60), (0x7B, 0x7E)),
    "space": ((9, 13), (32, 32)),
    "upper": UPPER,
    "word": WORD,
    "xdigit": (*DIGIT, (0x41, 0x46), (0x61, 0x66)),
}
# Simple case folding joins two other characters to ASCII letters: KELVIN SIGN and LATIN SMALL LETTER LONG S.
_FOLDED_BEYOND_ASCII: Final = {"k": 0x212A, "s": 0x17F}


def union(ranges: Iterable[Range]) -> Ranges:
    """Any ranges, in order and merged."""
    merged: list[Range] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return tuple(merged)


def negate(ranges: Ranges) -> Ranges:
    """Every other code point."""
    gaps = []
    start = 0
    for low, high in union(ranges):
        if start < low:
            gaps.append((start, low - 1))
        start = high + 1
    return (*gaps, (start, LAST)) if start <= LAST else tuple(gaps)


def fold_ascii(ranges: Ranges) -> Ranges:
    """With every character of the same simple case folding. `ranges` hold ASCII only."""
    chars = [chr(code) for low, high in ranges for code in range(low, high + 1)]
    folded = {ord(other) for char in chars for other in (char, char.lower(), char.upper())}
    folded |= {_FOLDED_BEYOND_ASCII[char.lower()] for char in chars if char.lower() in _FOLDED_BEYOND_ASCII}
    return union((code, code) for code in folded)


# Lowest and highest code point, lowest and highest lead byte, continuation bytes.
_LENGTHS: Final = (
    (0, 0x7F, 0, 0x7F, 0),
    (0x80, 0x7FF, 0xC2, 0xDF, 1),
    (0x800, 0xFFFF, 0xE0, 0xEF, 2),
    (0x10000, LAST, 0xF0, 0xF4, 3),
)
_CONTINUATION: Final = (0x80, 0xBF)


def utf8_sequences(ranges: Ranges) -> Iterator[tuple[Range, ...]]:
    """Sequences of byte ranges that match the encodings of `ranges`, exactly so on valid UTF-8.

    A whole length is one sequence ("E0-EF, 80-BF, 80-BF"): it takes in ill-formed encodings, which never come.
    """
    for low, high in ranges:
        for first, last, lead, lead_last, more in _LENGTHS:
            start, end = max(low, first), min(high, last)
            if (start, end) == (first, last):
                yield ((lead, lead_last), *[_CONTINUATION] * more)
            elif start <= end:
                yield from _split(start, end, more)


def _split(low: int, high: int, more: int) -> Iterator[tuple[Range, ...]]:
    """Cuts a range of encodings of one length where the bytes before a continuation byte differ."""
    for index in range(1, more + 1):
        mask = (1 << 6 * index) - 1
        if low & ~mask != high & ~mask:
            if low & mask:
                yield from _split(low, low | mask, more)
                yield from _split((low | mask) + 1, high, more)
                return
            if high & mask != mask:
                yield from _split(low, (high & ~mask) - 1, more)
                yield from _split(high & ~mask, high, more)
                return
    yield tuple(zip(_encode(low), _encode(high), strict=True))


def _encode(code: int) -> bytes:
    return chr(code).encode("utf-8", "surrogatepass")
