"""Percentiles of single calls on R1: `python -m bench.percentiles --events 300000`.

First the headline, in blocks of a thousand calls that take turns: the floor, an engine in memory, one with a store.
Then closed and open loops with one and four threads, beside a flusher, checkpoints and snapshots. The garbage
collector is on.
"""

from __future__ import annotations

import argparse
import gc
import json
from contextlib import contextmanager, nullcontext
from itertools import count, islice
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Final

from bench.kernel import Histogram, batch_ns, clock_ns, closed_loop, open_loop
from bench.machine import machine
from bench.stream import R1, SMALL
from bench.world import RESULTS, Scale, World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import frmcore

PERCENTS: Final = (50, 90, 99, 99.9, 99.99)
CURVE: Final = [100 * (1 - 10 ** (-step / 8)) for step in range(1, 41)]  # evenly spread over the tail's magnitudes
BLOCK: Final = 1_000
TURN: Final = 100  # calls of a thread at once
RATES: Final = (10_000, 50_000)  # events a second
OPEN_SECONDS: Final = 4


def shown(times: Histogram) -> dict[str, Any]:
    """What is kept of a histogram, in ns."""
    return {
        "count": times.count,
        "mean": round(times.total_ns / max(1, times.count)),
        **{f"p{percent:g}": times.percentile(percent) for percent in PERCENTS},
        "max": times.max_ns,
        "curve": [[round(percent, 6), times.percentile(percent)] for percent in CURVE],
    }


class Percentiles:
    """One run over a stream of `warm + timed` events."""

    def __init__(self, warm: int, timed: int, *, small: bool = False) -> None:
        scale = Scale(SMALL if small else R1, warm, timed, 1, 1, (1, 1, 1), 1)
        self.world, self.warm = World(scale), warm
        self.timed = self.world.events[warm : warm + timed]

    def headline(self) -> dict[str, Any]:
        """The floor, memory and store by turns, a thousand calls each; and how many decisions a second that makes."""
        world = self.world
        memory, stored = world.warm(), world.warm(stored=True)
        calls: dict[str, Callable[[Any], Any]] = {
            "floor": world.floor.decide,
            "memory": memory.decide,
            "store": stored.decide,
        }
        times = {name: Histogram() for name in calls}
        for start in range(0, len(self.timed), BLOCK):
            for name, call in calls.items():
                closed_loop(call, world.decode, self.timed[start : start + BLOCK], times[name])
        memory.close()
        stored.close()
        return {name: shown(each) for name, each in times.items()}

    def rates(self) -> dict[str, float]:
        """Decisions a second on one core, of events that are there already; with a store, as it is used."""
        taken = {"decide": 0.0, "decide_many": 0.0}
        one, many = self.world.warm(stored=True), self.world.warm(stored=True)
        for start in range(0, len(self.timed), BLOCK):
            block = self.timed[start : start + BLOCK]
            events = [self.world.decode(each) for each in block]
            taken["decide"] += batch_ns(one.decide, events) * len(block)
            again = [self.world.decode(each) for each in block]
            taken["decide_many"] += batch_ns(many.decide_many, [again])
        one.close()
        many.close()
        return {name: round(len(self.timed) / ns * 1e9) for name, ns in taken.items()}

    def closed(self, *, stored: bool, threads: int, beside: bool = False) -> dict[str, Any]:
        engine = self.world.warm(stored=stored)
        source = iter(self.timed)  # the threads share it: events come in the order of their times, as from one queue
        found = [Histogram() for _ in range(threads)]

        def work(number: int) -> None:
            while part := list(islice(source, TURN)):  # the loop in C never lets go of the interpreter: others do here
                closed_loop(engine.decide, self.world.decode, part, found[number])

        with self._snapshots(engine) if beside else nullcontext():
            in_threads(work, threads)
        engine.close()
        return shown(summed(found))

    def open(self, rate: int, *, stored: bool, threads: int = 1, beside: bool = False) -> dict[str, Any]:
        """Each thread takes its part of the rate."""
        engine = self.world.warm(stored=stored)
        events = self.timed[: rate * OPEN_SECONDS]
        found = [Histogram() for _ in range(threads)]

        def work(number: int) -> None:
            open_loop(engine.decide, self.world.decode, events[number::threads], found[number], rate / threads)

        with self._snapshots(engine) if beside else nullcontext():
            in_threads(work, threads)
        engine.close()
        return shown(summed(found))

    @contextmanager
    def _snapshots(self, engine: frmcore.Engine) -> Iterator[None]:
        """One snapshot after the other, as long as it takes."""
        ended, folder = Event(), self.world.folder()

        def work() -> None:
            for number in count():
                engine.snapshot(folder / f"{number}.snap")
                (folder / f"{number}.snap").unlink()
                if ended.is_set():
                    return

        thread = Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def scenarios(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """What runs beside the decisions, and how they arrive."""
        for stored, place in ((False, "memory"), (True, "store")):
            for threads in (1, 4):
                yield f"closed, {place}, {_threads(threads)}", self.closed(stored=stored, threads=threads)
        yield "closed, store, snapshots, 1 thread", self.closed(stored=True, threads=1, beside=True)
        for rate in RATES:
            each = f"open {rate:,}/s"
            yield f"{each}, memory, 1 thread", self.open(rate, stored=False)
            yield f"{each}, store, 1 thread", self.open(rate, stored=True)
            yield f"{each}, store, 4 threads", self.open(rate, stored=True, threads=4)
        yield f"open {RATES[0]:,}/s, store, snapshots, 1 thread", self.open(RATES[0], stored=True, beside=True)


def _threads(count: int) -> str:
    return f"{count} thread" if count == 1 else f"{count} threads"


def in_threads(work: Callable[[int], None], threads: int) -> None:
    """`work(number)` in that many threads; in this one where one is enough."""
    if threads == 1:
        work(0)
        return
    started = [Thread(target=work, args=(number,)) for number in range(threads)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()


def summed(parts: list[Histogram]) -> Histogram:
    total = Histogram()
    for part in parts:
        total.add(part)
    return total


def line(name: str, times: dict[str, Any]) -> str:
    cells = "  ".join(f"{key} {times[key] / 1000:9,.2f}" for key in (*(f"p{percent:g}" for percent in PERCENTS), "max"))
    return f"{name:44} {cells} us"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--warm", type=int, default=200_000)
    parser.add_argument("--events", type=int, default=200_000)
    given = parser.parse_args()
    run = Percentiles(given.warm, given.events)
    result: dict[str, Any] = {"machine": machine(), "warm": given.warm, "events": given.events, "clock_ns": clock_ns()}
    result |= {"headline": run.headline(), "rates": {}, "scenarios": {}}
    for name, times in result["headline"].items():
        print(line(f"in turns: {name}", times), flush=True)
    _keep(result)
    for name, times in run.scenarios():
        result["scenarios"][name] = times
        print(line(name, times), flush=True)
        _keep(result)  # each takes its time: what was measured stays, whatever becomes of the rest
        gc.collect()
    result["rates"] = run.rates()
    print(result["rates"], flush=True)
    _keep(result)


def _keep(result: dict[str, Any]) -> None:
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "percentiles.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
