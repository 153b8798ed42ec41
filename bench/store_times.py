"""How long a store takes, and how large it gets: `make store-times` (EVENTS=5000000 ENTITIES=1000000).

Decides events of random accounts, closes, opens after a crash, takes a snapshot, restores and verifies it.
Every line says what was measured; the last compares deciding with a store and without one in the same run.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import frmcore
from frmcore.policy import load
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
START, BLOCK = 1_760_000_000_000, 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--entities", type=int, default=50_000)
    given = parser.parse_args()
    policy = load(POLICY)
    with tempfile.TemporaryDirectory(prefix="frmcore-times-") as name:
        root = Path(name)
        engine = frmcore.Engine(root / "store", policy=policy, clock=None)
        with_store = decide(engine, policy.Event, given.events, given.entities, "with a store")
        timed("whole checkpoint and flush", given.entities, "entities", lambda: engine._store.flusher.flush(whole=True))
        decide(engine, policy.Event, BLOCK, given.entities, "after the checkpoint", first=given.events)
        expected = engine.state_hash()
        with engine._store.flusher.paused():
            shutil.copytree(root / "store", root / "crashed")
        timed("close", given.events, "events", engine.close)
        print(f"{'store on disk':32} {size(root / 'store' / 'state.mdb'):12,.1f} MB")
        engine = timed(
            "recovery after a crash", given.entities, "entities",
            lambda: frmcore.Engine(root / "crashed", policy=policy, clock=None),
        )  # fmt: skip
        assert engine.state_hash() == expected, "the recovered state is another one"
        timed("snapshot", given.events, "events", lambda: engine.snapshot(root / "a.snap"))
        engine.close()
        print(f"{'snapshot':32} {size(root / 'a.snap'):12,.1f} MB")
        timed("restore", given.events, "events", lambda: restore_snapshot(root / "a.snap", root / "there"))
        timed("verify", given.events, "events", lambda: verify(root / "there"))
    memory = frmcore.Engine(None, policy=policy, clock=None)
    without = decide(memory, policy.Event, given.events, given.entities, "without a store")
    print(f"{'with a store / without':32} {with_store / without:12.2f} times the time of a decision, p50")


def decide(engine: frmcore.Engine, event: Any, count: int, entities: int, what: str, first: int = 0) -> int:
    """Decides `count` events and prints the percentiles of single calls; the median in ns."""
    random, taken, clock = Random(first), [], time.perf_counter_ns
    started = time.perf_counter()
    made = 0.0
    for block in blocks(event, random, count, entities, first):
        before = time.perf_counter()
        for each in block:
            at = clock()
            engine.decide(each)
            taken.append(clock() - at)
        made += time.perf_counter() - before
    taken.sort()
    shown = ", ".join(
        f"p{p} {taken[min(len(taken) - 1, int(len(taken) * p / 100))] / 1000:.1f}" for p in (50, 99, 99.9)
    )
    print(f"{what:32} {count / made:12,.0f} decisions/s, {shown}, max {taken[-1] / 1000:.0f} us; "
          f"{time.perf_counter() - started:.1f} s with making up the events", flush=True)  # fmt: skip
    return taken[len(taken) // 2]


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
