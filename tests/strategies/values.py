"""Random values of each type: ordinary ones, and those at which arithmetic breaks."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

WORDS = (
    "",
    "a",
    "b",
    "ab",
    "B",
    "aé",
    "ß",
    "é",
    "a.com",
    "x@y.com",
    "X.y+z@GMail.com",
    "раypal",
    "a  b",
    "12",
    "👍🏽",
    "😀c",
)
IPS = ("10.0.0.7", "10.0.0.8", "192.168.1.1", "::1", "2001:db8::7", "::ffff:10.0.0.7")
INTS = (0, 1, -1, 2, 3, 7, 10, 100, 12990, -12990, 2**31, 2**53 + 1, 2**62, 2**63 - 1, -(2**63) + 1)
FLOATS = (0.0, -0.0, 0.5, 1.0, -1.5, 2.5, 3.5, 1e-300, 1e300, -1e300, 1.7976931348623157e308, 0.1, 1e18, 9.3e18, 5e-324)


def an_int(random: Random) -> int:
    return random.choice(INTS) if random.random() < 0.5 else random.randrange(-50, 50)


def a_float(random: Random) -> float:
    return random.choice(FLOATS) if random.random() < 0.5 else random.uniform(-100, 100)


def a_decimal(random: Random, scale: int) -> Decimal:
    units = random.choice(INTS) if random.random() < 0.3 else random.randrange(-(10**6), 10**6)
    return Decimal(units).scaleb(-scale)


def a_time(random: Random) -> int:
    """From 1972 to 2097, often at a full hour: with what is added to it within the years that time zones know."""
    ms = random.randrange(6 * 10**10, 4 * 10**12)
    return ms - ms % 3_600_000 if random.random() < 0.3 else ms
