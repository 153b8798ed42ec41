"""Memory is bounded: what is idle goes first, says so, and goes the same way wherever the operations are replayed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from engines import DAY, HOUR, KEYS, MINUTE, NOON, S, World, policy_text
from store_cases import killed

import frmcore
from frmcore._fast import record_content, record_head
from frmcore.store.layout import RecordType

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EVICTED = "is absent: its window reaches what was evicted to keep within limits.max_memory or limits.entities"
FEATURES = """
n: count(by=card, over="24h")
spent: sum(amount, by=card, over="24h")
pair: count(by=(card, account), over="7d")
ever: count(by=card)
before: since_last(by=card)
calm: count(by=account, over="24h")
"""
TIGHT = "limits: {max_memory: 16MiB, ids_min: 100}\n"


def sprayed(count: int, regular: int = 20) -> Iterator[dict[str, Any]]:
    """Made-up cards, each used once; every tenth payment is by one of a few that are always there."""
    for number in range(count):
        card = f"good{number // 10 % regular}" if number % 10 == 0 else f"made-up{number}"
        yield {
            "id": f"e{number}",
            "ts": NOON + 10 * number,
            "kind": "payment",
            "account": "a",
            "card": card,
            "amount": 5,
        }


def evictions(engine: frmcore.Engine) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []

    def hear(record: bytes) -> None:
        if record_head(record)[1] == RecordType.EVICT:
            found.append(record_content(record))

    engine.on_operation(hear)
    return found


def test_made_up_keys_stay_within_the_limit_and_regulars_stay_exact() -> None:
    world = World(FEATURES, more=TIGHT)
    heard = evictions(world.engine)
    uses: dict[str, int] = {}
    exact = 0
    for number, event in enumerate(sprayed(150_000)):
        decision = world.engine.decide(event)
        uses[event["card"]] = uses.get(event["card"], 0) + 1
        if event["card"].startswith("good"):
            assert decision.features["n"] in (uses[event["card"]], None)
            exact += decision.features["n"] is not None
            assert decision.features["calm"] == number + 1
        if number % 1_000 == 0:
            memory = world.engine.stats["memory"]
            assert memory["total"] <= memory["limit"] == 16 << 20
    assert exact >= 14_000  # 20 of 15,000 are the first of their card
    evicted = world.engine.stats["evicted"]
    assert evicted["card"] > 100_000
    assert evicted["card+account"] > 50_000
    assert evicted["account"] == 0
    assert heard
    assert {"windows", "ids"} == set(heard[0])


def test_what_was_given_up_is_absent_and_says_so() -> None:
    world = World(FEATURES)
    world.decide(0, card="old", amount=5)
    world.decide(HOUR, card="new", amount=5)
    core = world.engine._core
    signatures = [group.signature for group in core.groups() if group.entity != "account"]
    core.evict(dict.fromkeys(signatures, NOON + MINUTE))
    old = world.decide(2 * HOUR, card="old", amount=7)
    absent = {name for name, value in old.features.items() if value is None}
    assert absent == {"n", "spent", "pair", "ever", "before"}
    assert [note.partition(" ")[2] for note in old.notes] == [EVICTED] * 5
    assert old.features["calm"] == 3
    new = world.decide(2 * HOUR, card="new", amount=7)
    assert (new.features["n"], new.features["spent"], new.features["before"], new.notes) == (2, 12, HOUR, ())
    again = world.decide(DAY + 2 * MINUTE, card="old", amount=1)
    assert (again.features["n"], again.features["spent"], again.features["ever"]) == (2, 8, None)
    assert again.features["before"] == DAY + 2 * MINUTE - 2 * HOUR  # the last one is known, whatever was before
    stranger = world.decide(DAY + MINUTE, card="never seen")
    assert stranger.features["n"] == 1
    assert stranger.features["ever"] is None  # nobody can tell a new card from one that was evicted


def test_updates_of_evicted_events_change_nothing_that_is_there() -> None:
    world = World('paid: sum(amount, by=card, over="24h", where=status == "approved")')
    world.engine.decide(world.event(0, card="c", amount=5) | {"id": "old"})
    world.engine.decide(world.event(HOUR, card="c", amount=7) | {"id": "late"})
    world.engine.update("old", status="approved")
    world.engine.update("late", status="approved")
    [group] = world.engine._core.groups()
    world.engine._core.evict({group.signature: NOON + 2 * HOUR})
    world.engine.update("old", status="declined")
    world.engine.update("late", status="declined")
    world.engine.update("old", status="approved")
    assert world.value(3 * HOUR, card="c") is None
    assert world.value(DAY + 2 * HOUR + 1, card="c") == 0


def test_keys_of_an_entity_stay_within_their_limit() -> None:
    world = World(FEATURES, more="limits: {entities: {card: 1_000, card+account: 2_000}}\n")
    for number, event in enumerate(sprayed(20_000, regular=5)):
        world.engine.decide(event)
        if number % 100 == 0:
            kept = {group["entity"]: group["entities"] for group in world.engine.stats["groups"]}
            assert kept["card"] <= 1_000
            assert kept["card+account"] <= 2_000
    assert world.engine.decide(event | {"id": "more", "card": "good1"}).features["calm"] == 20_001
    assert world.engine.stats["evicted"]["account"] == 0


def test_records_take_half_of_the_memory_at_most() -> None:
    world = World('n: count(by=account, over="1m")', more="limits: {max_memory: 16MiB}\n")
    heard = evictions(world.engine)
    for number in range(60_000):
        world.engine.decide(world.event(number, note=f"{number:0200}"))
    memory = world.engine.stats["memory"]
    assert memory["records"] + memory["ids"] <= memory["limit"] // 2 + (1 << 20)
    assert heard
    assert heard[-1]["ids"] < 60_000
    with pytest.raises(frmcore.UnknownEvent):
        world.engine.update("e1", status="approved")
    with pytest.raises(frmcore.EventTooOld):
        world.engine.decide(world.event(0) | {"id": "e1"})
    world.engine.reload(policy_text('n: count(by=account, over="1m")'))
    for number in range(60_000, 61_000):
        world.engine.decide(world.event(number))
    assert world.engine.stats["ids"] > heard[-1]["ids"] + 500  # a reload lifts it


def test_batches_evict_as_single_decisions_do() -> None:
    one, many = (World(FEATURES, more=TIGHT) for _ in range(2))
    events = list(sprayed(60_000))
    single = [one.engine.decide(event).features["n"] for event in events]
    batched = [
        decision.features["n"]
        for start in range(0, len(events), 1_000)
        for decision in many.engine.decide_many(events[start : start + 1_000])
    ]
    assert single == batched
    assert one.engine.state_hash() == many.engine.state_hash()
    assert sum(one.engine.stats["evicted"].values()) > 0


def test_a_store_recovers_what_it_evicted(tmp_path: Path) -> None:
    text = policy_text(FEATURES, more=TIGHT)
    options = {"clock": None, "store": frmcore.StoreOptions(ring_bytes=1 << 22), **KEYS}
    engine = frmcore.Engine(tmp_path / "s", policy=text, **options)
    for number, event in enumerate(sprayed(60_000)):
        engine.decide(event)
        if number % 20_000 == 19_999:
            before = engine.state_hash(), engine.stats["evicted"]["card"] > 0
            engine.close()
            engine = frmcore.Engine(tmp_path / "s", policy=text, **options)
            assert before == (engine.state_hash(), number > 30_000)
    kinds = [RecordType(record_head(record)[1]) for _, _, record in engine.tail()]
    assert RecordType.EVICT in kinds
    engine.close()


def test_what_no_piece_holds_yet_is_replayed_from_before_the_eviction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("frmcore.store.checkpoint.PIECE_BYTES", 100)
    monkeypatch.setattr("frmcore.store.checkpoint.SPLIT_BYTES", 400)
    options = {"policy": policy_text('n: count(by=card, over="24h")'), "clock": None, **KEYS}
    store = frmcore.StoreOptions(flush_ms=60_000)
    engine = frmcore.Engine(tmp_path / "s", store=store, **options)
    for number in range(80):
        at, card = NOON + number // 40 * HOUR, f"c{number % 40}"
        engine.decide({"id": f"e{number}", "ts": at, "kind": "payment", "account": "a", "card": card})
    [group] = engine._core.groups()
    engine._core.evict({group.signature: NOON + MINUTE})  # before the last event of each: nobody is idle
    engine._store.flusher.checkpointer._owed = 2.0
    engine.flush()
    units = engine._store.flusher.checkpointer.units()
    assert 0 < sum(unit.written for unit in units) < len(units)
    before = engine.state_hash()
    killed(engine, tmp_path / "killed")
    engine.close()
    with frmcore.Engine(tmp_path / "killed", store=store, **options) as engine:
        assert [engine.features(card=f"c{number}")["n"] for number in range(40)] == [2] * 40
        assert engine.state_hash() == before


def test_who_closes_the_engine_from_a_hook_ends_it() -> None:
    """What was to be evicted behind that event is not there any more."""
    world = World('n: count(by=card, over="24h")', more="limits: {entities: {card: 1_000}}\n")
    heard: list[int] = []

    def hear(record: bytes) -> None:
        heard.append(record_head(record)[1])
        if len(heard) == 896:  # a look at what memory holds finds more than seven eighths of the cards
            world.engine.close()

    world.engine.on_operation(hear)
    for number in range(896):
        world.decide(number, card=f"c{number}")
    assert heard == [RecordType.DECISION] * 896
    with pytest.raises(frmcore.EngineClosed):
        world.decide(900, card="c")


def test_windows_are_exact_again_behind_what_was_evicted() -> None:
    """By brute force: keys come and go, evictions in between; every value that is there is the true one."""
    world = World('n: count(by=card, over="10m")')
    [group] = world.engine._core.groups()
    used: dict[str, list[int]] = {}
    told = absent = 0
    for number in range(4_000):
        at, card = number * 5 * S, f"c{number * number % 97}"
        used.setdefault(card, []).append(at)
        value = world.value(at, card=card)
        if value is None:
            absent += 1
        else:
            told += 1
            assert value == sum(at - 10 * MINUTE < each for each in used[card])
        if number % 500 == 499:
            world.engine._core.evict({group.signature: NOON + at - 5 * MINUTE})
    assert told > 10 * absent > 0
