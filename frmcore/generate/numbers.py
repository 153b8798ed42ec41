"""Random numbers that are the same on every machine and every Python: IEEE + - * / and integers only.

`math.exp` and `math.log` may differ in the last bit between C libraries, and the methods of `random.Random` other than
`random()` have changed between versions; so draws are made from `random()` alone, and curves come from tables
built here.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Draw: TypeAlias = Callable[[], float]

T = TypeVar("T")

TABLE: Final = 4096  # quantiles a table: the rarest draw is one in 4,096
MASK64: Final = 2**64 - 1


def mix(number: int) -> int:
    """64 well-spread bits of a number (the finaliser of SplitMix64): attributes of account n without storing them."""
    number = (number + 1) * 0x9E3779B97F4A7C15 & MASK64
    number = (number ^ number >> 30) * 0xBF58476D1CE4E5B9 & MASK64
    number = (number ^ number >> 27) * 0x94D049BB133111EB & MASK64
    return number ^ number >> 31


def between(draw: Draw, low: int, high: int) -> int:
    """A whole number in [low, high]."""
    return low + int(draw() * (high - low + 1))


def pick(draw: Draw, items: Sequence[T]) -> T:
    return items[int(draw() * len(items))]


def exp(x: float) -> float:
    """e**x to 12 digits for |x| < 20: a series for x/256, squared eight times."""
    y = x / 256
    power = 1.0
    for n in (8, 7, 6, 5, 4, 3, 2, 1):
        power = 1 + y / n * power
    for _ in range(8):
        power *= power
    return power


@cache
def normal_quantiles() -> tuple[float, ...]:
    """The standard normal's quantiles at (i + 0.5) / TABLE, by integrating its density from -6 to 6."""
    step = 1 / 128
    density = [exp(-x * x / 2) for x in (i * step for i in range(-768, 768))]
    unit = sum(density) / TABLE
    quantiles: list[float] = []
    below = 0.0
    for i, height in enumerate(density):
        below += height
        while len(quantiles) < TABLE and below >= (len(quantiles) + 0.5) * unit:
            quantiles.append((i - 768) * step)
    return tuple(quantiles)


@cache
def log_normal(sigma: float) -> tuple[float, ...]:
    """Quantiles of a log-normal of median 1: index with `int(draw() * TABLE)`."""
    return tuple(exp(sigma * z) for z in normal_quantiles())


class Popularity:
    """Ranks in [0, count) under Zipf-Mandelbrot with exponent 0.8: P(rank) ~ (rank + q)**-0.8.

    Inverse of the continuous distribution, whose root is a fifth power. `flatness` is c = (q / (count + q))**0.2: the
    first rank is drawn (1 - c**5) / (5 * c**4 * (1 - c)) times as often as the average: 13 times at 0.4 (people), 156
    at 0.2 (merchants).
    """

    __slots__ = ("_flatness", "_least", "_scale")

    def __init__(self, count: int, flatness: float) -> None:
        self._flatness = flatness
        self._least = flatness * flatness * flatness * flatness * flatness
        self._scale = (count - 1e-6) / (1 - self._least)  # below count even where u rounds to 1

    def rank(self, u: float) -> int:
        """The rank at quantile u in [0, 1)."""
        x = self._flatness + u * (1 - self._flatness)
        return int((x * x * x * x * x - self._least) * self._scale)
