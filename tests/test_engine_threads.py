"""Several threads on one engine: nothing is lost, and the recorded order explains every decision."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from engines import NOON, World
from threads import THREADS, switching_often, together

import frmcore

__all__ = ["switching_often"]

pytestmark = pytest.mark.usefixtures("switching_often")

EACH = 5_000
FEATURES = """
    n: count(by=account, over="1h")
    s: sum(amount, by=card, over="10s", where=final != "block")
    c: count_distinct(card, by=account, over="1m")
"""
DFA = """  - {id: big, when: "s > money('50') and matches(note, '^n')", outcome: block}\n"""
RE2 = DFA + "  - {id: slow, when: 'matches(note, r\"^\\bn.*\\b[0-9]+$\")', score: 1}\n"


def event(number: int, random: Random) -> dict[str, Any]:
    return {
        "id": str(number), "ts": NOON + number // 4, "kind": "payment", "account": f"a{random.randrange(20)}",
        "card": f"c{random.randrange(50)}", "amount": random.randrange(2_000), "note": f"note {number}",
    }  # fmt: skip


@pytest.mark.parametrize(("rules", "each"), [(DFA, EACH), (RE2, EACH // 5)], ids=["dfa", "re2"])
def test_nothing_is_lost_and_a_replay_in_recorded_order_agrees(rules: str, each: int) -> None:
    """With a pattern that google-re2 runs, which lets go of the GIL in the middle of a decision."""
    world = World(FEATURES, rules)
    decided: dict[int, tuple[dict[str, Any], frmcore.Decision]] = {}

    def work(thread: int) -> None:
        random = Random(thread)
        for number in range(each):
            given = event(number * THREADS + thread, random)
            decision = world.engine.decide(given)
            decided[decision.seq] = given, decision

    together(work)
    assert sorted(decided) == list(range(1, THREADS * each + 1))
    replayed = World(FEATURES, rules)
    for seq in sorted(decided):
        given, decision = decided[seq]
        assert replayed.engine.decide(given).record == decision.record
    assert replayed.engine.state_hash() == world.engine.state_hash()


def test_one_event_from_all_threads_is_decided_once() -> None:
    world = World(FEATURES, DFA)
    found: list[frmcore.Decision] = []

    def work(thread: int) -> None:
        del thread
        for number in range(500):
            found.append(world.engine.decide(event(number, Random(number))))

    together(work)
    assert world.engine.stats["decisions"] == 500
    assert sum(not decision.duplicate for decision in found) == 500
    assert len({decision.record for decision in found}) == 500


@pytest.mark.parametrize("patterns", [DFA, RE2], ids=["dfa", "re2"])
def test_everything_at_once(patterns: str) -> None:
    """Deciding, telling, observing, reloading, listing and looking; the engine still counts right at the end."""
    lists = "lists:\n  cards: {of: card}\n"
    rules = patterns + "  - {id: c, when: card in cards, score: 1}\n"
    world = World(FEATURES, rules, lists)
    texts = [frmcore.load(world.text.replace('over="10s"', over)) for over in ('over="10s"', 'over="20s"')]

    def work(thread: int) -> None:
        random = Random(thread)
        for number in range(400):
            given = event(number * THREADS + thread, random)
            if thread == 0:
                world.engine.observe(given | {"status": "approved"})
            else:
                world.engine.decide(given)
            if number % 7 == 0:
                world.engine.update(given["id"], status="declined", final="block")
                world.engine.lists["cards"].add(given["card"])
            if number % 50 == thread * 10:
                world.engine.reload(texts[number // 50 % 2])
            if number % 20 == 0:
                world.engine.explain(given["id"]) if thread else world.engine.features(account="a1")
                world.engine.evaluate(given | {"id": "probe"})
                world.engine.state_hash()

    together(work)
    stats = world.engine.stats
    assert (stats["decisions"], stats["observed"], stats["ids"]) == (3 * 400, 400, 1_600)
    probe = world.engine.features(account="a1", at=NOON + 400)
    expected = sum(
        event(n * THREADS + t, r)["account"] == "a1" for t in range(THREADS) for r in [Random(t)] for n in range(400)
    )
    assert probe["n"] == expected
