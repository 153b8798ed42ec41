"""How long a store takes, and how large it gets: `make store-times` (EVENTS=5000000 ENTITIES=1000000).

Decides events of random accounts, closes, opens after a crash, takes a snapshot, erases an account, compacts, restores
and verifies the snapshot.
Every line says what was measured. The last ones compare deciding in memory, with a store at rest, with its flusher,
with whole checkpoints, and during snapshots: in one run, the ways in turn, so that the machine's moods hit all alike.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path
from random import Random
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import frmcore
from bench.world import flusher_of
from frmcore.policy import Policy, load
from frmcore.store.checkpoint import PIECES_MAX
from frmcore.store.compact import compact
from frmcore.store.snapshot import restore_snapshot
from frmcore.store.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

POLICY = """
policy: store-times
version: 1
event:
  id: id
  time: ts
  fields:
    id: string
    ts: timestamp
    account: {entity: account}
    card: {entity: card}
    amount: {type: money, currency: EUR}
features:
  card_1h: count(by=card, over="1h")
  spent_24h: sum(amount, by=account, over="24h")
  usual_30d: mean(amount, by=account, over="30d", closed="left")
rules:
  - {id: many, when: card_1h > 20, outcome: block}
  - {id: unusual, when: amount > 50 * usual_30d, outcome: review}
"""
START, BLOCK, TURNS, WARM = 1_760_000_000_000, 10_000, 12, 2  # the first turns of each way are not counted
PACED = 10  # events decided at once beside an erasure, two thousand a second


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--entities", type=int, default=50_000)
    given = parser.parse_args()
    policy = load(POLICY)
    with tempfile.TemporaryDirectory(prefix="frmcore-times-") as name:
        root = Path(name)
        engine = frmcore.Engine(root / "store", policy=policy, clock=None)
        decide(engine, policy.Event, given.events, given.entities, "with a store")
        timed("whole checkpoint and flush", given.entities, "entities", lambda: flusher_of(engine).flush(whole=True))
        decide(engine, policy.Event, BLOCK, given.entities, "after the checkpoint", first=given.events)
        expected = engine.state_hash()
        with flusher_of(engine).paused():
            shutil.copytree(root / "store", root / "crashed")
        timed("close", given.events, "events", engine.close)
        print(f"{'store on disk':32} {size(root / 'store' / 'state.mdb'):12,.1f} MB")
        engine = timed(
            "recovery after a crash", given.entities, "entities",
            lambda: frmcore.Engine(root / "crashed", policy=policy, clock=None),
        )  # fmt: skip
        assert engine.state_hash() == expected, "the recovered state is another one"
        timed("snapshot", given.events, "events", lambda: engine.snapshot(root / "a.snap"))
        erase_beside(engine, policy.Event, given.events, given.entities)
        engine.close()
        timed("compact", given.events, "events", lambda: compact(root / "crashed"))
        print(f"{'snapshot':32} {size(root / 'a.snap'):12,.1f} MB")
        timed("restore", given.events, "events", lambda: restore_snapshot(root / "a.snap", root / "there"))
        timed("verify", given.events, "events", lambda: verify(root / "there"))
        in_turn(root, policy, given.events, given.entities)


def decide(engine: frmcore.Engine, event: Any, count: int, entities: int, what: str, first: int = 0) -> None:
    """Decides `count` events and prints the percentiles of single calls."""
    random, taken = Random(first), list[int]()
    started = time.perf_counter()
    for block in blocks(event, random, count, entities, first):
        decide_block(engine, block, taken)
    show(what, taken, f"; {time.perf_counter() - started:.1f} s with making up the events")


def decide_block(engine: frmcore.Engine, block: list[Any], taken: list[int]) -> None:
    clock, call = time.perf_counter_ns, engine.decide
    for each in block:
        at = clock()
        call(each)
        taken.append(clock() - at)


def show(what: str, taken: list[int], more: str = "") -> None:
    """Percentiles of the calls' nanoseconds."""
    taken.sort()
    shown = ", ".join(
        f"p{p} {taken[min(len(taken) - 1, int(len(taken) * p / 100))] / 1000:.1f}" for p in (50, 99, 99.9)
    )
    rate = len(taken) / (sum(taken) / 1e9)
    print(f"{what:32} {rate:12,.0f} decisions/s, {shown}, max {taken[-1] / 1000:.0f} us{more}", flush=True)


def erase_beside(engine: frmcore.Engine, event: Any, first: int, entities: int) -> None:
    """Erases one account while a thread decides some thousand events a second; the percentiles of its calls say how
    long it was held."""
    over, taken = Event(), list[int]()

    def work() -> None:
        for block in blocks(event, Random(2), 1_000 * BLOCK, entities, first + BLOCK):
            for start in range(0, BLOCK, PACED):
                if over.wait(PACED / 2_000):
                    return
                decide_block(engine, block[start : start + PACED], taken)

    decider = Thread(target=work)
    decider.start()
    timed("erase of one account", first, "events", lambda: engine.erase("account", "a1"))
    over.set()
    decider.join()
    show("deciding during the erasure", taken)


def in_turn(root: Path, policy: Policy, count: int, entities: int) -> None:
    """The deciding thread beside everything that a store does in the background, each way a block in turn."""
    ways: dict[str, Way] = {
        "in memory": Way(frmcore.Engine(None, policy=policy, clock=None)),
        "store, nothing in background": Way(engine_at(root / "rest", policy, flush_ms=60_000, ring_bytes=1 << 31)),
        "store, flusher": Way(engine_at(root / "flusher", policy)),
        "store, flusher, checkpoints": Way(engine_at(root / "checkpoints", policy), checkpoint),
        "store, flusher, snapshots": Way(engine_at(root / "snapshots", policy), lambda e: e.snapshot(root / "b.snap")),
    }
    filling = max(0, count - TURNS * BLOCK)
    for block in blocks(policy.Event, Random(1), filling, entities, 0):
        for way in ways.values():
            way.engine.decide_many(block)
    for number, block in enumerate(blocks(policy.Event, Random(1), TURNS * BLOCK, entities, filling)):
        for way in ways.values():
            way.run(block, warm=number < WARM)
    for name, way in ways.items():
        show(f"{name}", way.taken, f", {way.rounds} rounds of it" if way.work else "")
        way.engine.close()


class Way:
    """An engine, and what goes on in the background while it decides a block."""

    def __init__(self, engine: frmcore.Engine, work: Callable[[frmcore.Engine], None] | None = None) -> None:
        self.engine, self.work, self.rounds = engine, work, 0
        self.taken: list[int] = []

    def run(self, block: list[Any], *, warm: bool) -> None:
        taken = [] if warm else self.taken
        if self.work is None:
            decide_block(self.engine, block, taken)
            return
        over = Event()
        thread = Thread(target=self._work, args=(over,))
        thread.start()
        decide_block(self.engine, block, taken)
        over.set()
        thread.join()

    def _work(self, over: Event) -> None:
        assert self.work is not None
        while not over.is_set():
            self.work(self.engine)
            self.rounds += 1


def checkpoint(engine: frmcore.Engine) -> None:
    """As a flush comes to write when it owes as many pieces as one may."""
    flusher_of(engine).checkpointer._owed = float(PIECES_MAX)
    engine.flush()


def engine_at(folder: Path, policy: Policy, **options: Any) -> frmcore.Engine:
    return frmcore.Engine(folder, policy=policy, clock=None, store=frmcore.StoreOptions(**options))


def blocks(event: Any, random: Random, count: int, entities: int, first: int) -> Iterator[list[Any]]:
    for start in range(first, first + count, BLOCK):
        yield [
            event(
                id=f"e{number}",
                ts=START + number * 20,
                account=f"a{random.randrange(entities)}",
                card=f"c{random.randrange(entities)}",
                amount=random.randrange(100, 100_000),
            )
            for number in range(start, min(start + BLOCK, first + count))
        ]


def timed(what: str, count: int, unit: str, action: Callable[[], Any]) -> Any:
    started = time.perf_counter()
    result = action()
    seconds = time.perf_counter() - started
    print(f"{what:32} {seconds:12.2f} s, {count / seconds:,.0f} {unit}/s", flush=True)
    return result


def size(path: Path) -> float:
    return path.stat().st_blocks * 512 / 1e6


if __name__ == "__main__":
    main()
