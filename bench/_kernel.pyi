from collections.abc import Callable, Iterable
from typing import Any, final

@final
class Histogram:
    count: int
    total_ns: int
    max_ns: int

    def record(self, ns: int) -> None: ...
    def add(self, other: Histogram) -> None: ...
    def percentile(self, percent: float) -> int: ...

@final
class Answer:
    event_id: str
    outcome: str
    fired: tuple[str, ...]
    score: int
    seq: int

@final
class Floor:
    def __init__(self, event_class: type, entities: tuple[int, ...], listed: tuple[int, ...], ids: int) -> None: ...
    def decide(self, event: Any) -> Answer: ...

def closed_loop(
    call: Callable[[Any], Any],
    make: Callable[[Any], Any],
    sources: Iterable[Any],
    times: Histogram,
    sink: Callable[[Any], object] | None = None,
) -> None: ...
def open_loop(
    call: Callable[[Any], Any], make: Callable[[Any], Any], sources: list[Any], times: Histogram, per_second: float
) -> None: ...
def batch_ns(call: Callable[[Any], Any], events: list[Any], wall: bool = False) -> float: ...
def clock_ns(rounds: int = 100_000) -> float: ...
