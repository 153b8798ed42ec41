"""Memory stays what a bounded population needs, however long it goes on; nothing leaks on paths that fail."""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING, Any

import pytest
from engines import NOON, World

import frmcore

if TYPE_CHECKING:
    from collections.abc import Callable

FEATURES = """
    n: count(by=account, over="10m")
    s: sum(amount, by=card, over="1m", where=status != "declined" and final != "block")
    c: count_distinct(card, by=account, over="5m")
    r: last(remark, by=account, over="10m")
"""
LIMITS = "limits: {horizon: 1m, ids_min: 500, ids_max: 20000}\nlists:\n  cards: {of: card}\n"
RULES = '  - {id: r, when: s > money("9") or card in cards, outcome: review, reason: "{s} by {r}"}\n'
ROUND, ROUNDS, ROUNDS_SOAK = 50_000, 6, 26  # 300,000 operations; in soak more than a million decisions
SPARE = 200  # blocks that come and go with the interpreter


def stream(world: World, start: int, count: int) -> None:
    """A decision, and now and then an update: 200 accounts, 300 cards, an event each 100 ms."""
    decide, update = world.engine.decide, world.engine.update
    for number in range(start, start + count * 4 // 5):
        decide({
            "id": f"e{number}", "ts": NOON + number * 100, "kind": "payment", "account": f"a{number * 7 % 200}",
            "card": f"c{number * 11 % 300}", "amount": number % 100, "note": "x" * (number % 50),
        })  # fmt: skip
        if number % 4 == 0:
            update(f"e{number}", status="declined", remark=f"r{number % 90}")


def blocks() -> int:
    gc.collect()
    return sys.getallocatedblocks()


@pytest.mark.parametrize("rounds", [ROUNDS, pytest.param(ROUNDS_SOAK, marks=pytest.mark.soak)])
def test_memory_is_flat(rounds: int) -> None:
    world = World(FEATURES, RULES, LIMITS)
    stream(world, 0, ROUND)
    before, bytes_before = blocks(), world.engine.stats["memory"]["total"]
    for number in range(1, rounds):
        stream(world, number * ROUND, ROUND)
        assert world.engine.stats["memory"]["total"] < bytes_before * 1.2 + (1 << 20)
    assert blocks() - before < SPARE
    assert world.engine.stats["decisions"] + world.engine.stats["updates"] == ROUND * rounds


def repeated(call: Callable[[int], object], times: int = 3_000) -> int:
    """Blocks left behind by calling it."""
    for number in range(times):
        call(number)
    before = blocks()
    for number in range(times, 2 * times):
        call(number)
    return blocks() - before


def refused(call: Callable[[], object]) -> None:
    try:
        call()
    except frmcore.FrmcoreError:
        return
    raise AssertionError("it was not refused")


def test_nothing_leaks_where_calls_fail_or_only_look() -> None:
    world = World(FEATURES, RULES, LIMITS)
    event: dict[str, Any] = world.event(card="c", amount=5)
    engine = world.engine
    engine.decide(event)
    looking: list[Callable[[int], object]] = [
        lambda number: refused(lambda: engine.decide(event | {"id": f"x{number}", "amount": "no"})),
        lambda number: refused(lambda: engine.decide(event | {"id": f"x{number}", "price": "1.234"})),
        lambda number: refused(lambda: engine.decide(event | {f"key {number}": 1}, strict=True)),
        lambda number: refused(lambda: engine.decide(event | {"amount": number + 6})),
        lambda number: refused(lambda: engine.decide_json(b'{"id": %d}' % number)),
        lambda number: refused(lambda: engine.update("e1", status=f"no {number}")),
        lambda number: refused(lambda: engine.update(f"x{number}", status="approved")),
        lambda number: engine.decide(event),
        lambda number: engine.evaluate(event | {"id": f"x{number}"}).to_dict(),
        lambda number: engine.explain("e1"),
        lambda number: engine.features(account=f"a{number}"),
        lambda number: engine.decide(engine.policy.Event(**event)).reasons,
        lambda number: engine.update("e1", remark=f"r{number}"),
        lambda number: engine.lists["cards"].add("c", reason=f"r{number}"),
    ]
    for place, call in enumerate(looking):
        times = 300 if place in (9, 10) else 3_000
        assert repeated(call, times) < SPARE, f"call {place} leaves blocks behind"
    assert engine.stats["ids"] == 1


def test_an_engine_gives_everything_back() -> None:
    policy = frmcore.load(World(FEATURES, RULES, LIMITS).text)

    def live(number: int) -> None:
        engine = frmcore.Engine(None, policy=policy, clock=None)
        engine.on_operation(lambda record: engine and record)  # a circle through the hook
        engine.lists["cards"].add("c")
        for at in range(20):
            engine.decide({"id": f"e{at}", "ts": NOON + at, "kind": "payment", "account": f"a{number}"})
        engine.reload(policy)

    assert repeated(live, 30) < SPARE
