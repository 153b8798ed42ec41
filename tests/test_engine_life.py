"""An engine's life: counts, hooks, the hash of its state, closing, forking."""

from __future__ import annotations

import os
import signal
import struct
import sys
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from engines import MINUTE, NOON, S, World, policy_text

import frmcore

if TYPE_CHECKING:
    from collections.abc import Callable

FEATURES = """
    n: count(by=account, over="1h")
    d: count(by=account, over="1h", where=status == "declined")
    last_: last(remark, by=account)
"""
MORE = (
    "lists:\n  cards: {of: card}\n  nets: {of: ip, match: network}\npoints:\n  first_: {}\n  second_: {after: first_}\n"
)
RULES = "  - {id: c, when: card in cards, outcome: block}\n  - {id: n, when: ip in nets, score: 1}\n"


def world(**options: Any) -> World:
    return World(FEATURES, RULES, MORE, **options)


# -- counts --------------------------------------------------------------------------------------------------------
def test_stats() -> None:
    it = world()
    event = it.event()
    it.engine.decide(event)
    it.engine.decide(event)
    it.decide(-1)
    it.engine.lists["cards"].add("c")
    it.decide(1, card="c")
    it.engine.observe(it.event(2))
    it.engine.update("e1", status="declined")
    it.engine.decide_again("e1", "second_")
    for wrong in ({"amount": 1.5}, {"amount": "x"}, {"kind": "?"}):
        with pytest.raises(frmcore.InvalidEvent):
            it.decide(3, **wrong)
    with pytest.raises(frmcore.EventConflict):
        it.engine.decide(event | {"amount": 1})
    stats = it.engine.stats
    wanted = {
        "decisions": 3, "decided_again": 1, "observed": 1, "updates": 1, "duplicates": 1, "conflicts": 1, "late": 1,
        "too_old": 0, "ahead": 0, "invalid": {"amount": 2, "kind": 1}, "overflows": 0,
        "outcomes": {"allow": 2, "review": 0, "block": 1},
        "ids": 4, "forgotten": 0, "seq": 7, "watermark": NOON + 2, "policy": it.engine.policy.hash,
    }  # fmt: skip
    assert {name: stats[name] for name in wanted} == wanted
    assert {group["entity"] for group in stats["groups"]} == {"account"}
    assert stats["memory"]["total"] == sum(
        size for name, size in stats["memory"].items() if name not in {"total", "limit"}
    )
    assert all(size > 0 for name, size in stats["memory"].items() if name != "lookups")


# -- hooks ---------------------------------------------------------------------------------------------------------
TYPES = {1: "decision", 2: "again", 3: "observed", 4: "update", 5: "list", 6: "policy"}
HEAD = struct.Struct("<QqqqIIIIHHBBBB")


def head(record: bytes) -> tuple[int, str, int]:
    """Sequence, type and time of a record."""
    fields = HEAD.unpack_from(record)
    assert fields[4] == len(record)
    return fields[0], TYPES[fields[10]], fields[1]


def test_hooks_see_every_operation_in_order() -> None:
    it = world(clock=lambda: NOON + MINUTE)
    seen: list[bytes] = []
    it.engine.on_operation(seen.append)
    decision = it.decide(0)
    it.engine.lists["cards"].add_many(["c", "d"], reason="why", expires="1h")
    it.engine.update("e1", by="anna", source="case-1", status="declined", final="block", remark="ü")
    again = it.engine.decide_again("e1", "second_")
    it.engine.observe(it.event(S))
    it.engine.lists["nets"].add("10.0.0.0/8")
    it.engine.lists["cards"].remove("c")
    it.engine.reload(it.text.replace("version: 1", "version: 2"))
    kinds = ["decision", "list", "update", "again", "observed", "list", "list", "policy"]
    assert [head(record)[:2] for record in seen] == list(enumerate(kinds, 1))
    assert (seen[0], seen[3]) == (decision.record, again.record)
    content = [msgspec.msgpack.decode(seen[number][HEAD.size :]) for number in (1, 2, 7)]
    assert content[0]["list"] == "cards"
    assert [(entry["value"], entry["reason"], entry["expires"]) for entry in content[0]["entries"]] == [
        ("c", "why", NOON + MINUTE + 60 * MINUTE), ("d", "why", NOON + MINUTE + 60 * MINUTE),
    ]  # fmt: skip
    assert content[1] == {
        "id": "e1", "by": "anna", "source": "case-1", "fields": {"status": "declined", "final": "block", "remark": "ü"},
    }  # fmt: skip
    assert content[2]["hash"] == it.engine.policy.hash


def test_hooks_see_nothing_of_what_was_refused_evaluated_or_repeated() -> None:
    it = world()
    event = it.event()
    it.engine.decide(event)
    seen: list[bytes] = []
    it.engine.on_operation(seen.append)
    it.engine.decide(event)
    it.engine.evaluate(it.event())
    for wrong in (
        lambda: it.decide(amount="x"),
        lambda: it.engine.update("e1", status="x"),
        lambda: it.engine.lists["nets"].add("x"),
    ):
        with pytest.raises(frmcore.InvalidEvent):
            wrong()
    assert seen == []


def test_several_hooks_and_one_that_calls_the_engine() -> None:
    it = world()
    order: list[str] = []

    def calls(record: bytes) -> None:
        order.append(f"calls {head(record)[1]}")
        if head(record)[1] == "decision":
            it.engine.lists["cards"].add("c")

    it.engine.on_operation(calls)
    it.engine.on_operation(lambda record: order.append(f"second {head(record)[1]}"))
    it.decide()
    assert order == ["calls decision", "calls list", "second list", "second decision"]


def test_what_a_hook_raises_comes_through_after_the_operation() -> None:
    """The operation is recorded: the hook is told, not asked."""
    it = world()

    def broken(record: bytes) -> None:
        raise OSError(len(record))

    it.engine.on_operation(broken)
    with pytest.raises(OSError, match=r"[0-9]+"):
        it.decide()
    assert it.engine.stats["decisions"] == 1


def test_an_update_is_told_in_the_form_in_which_it_could_be_told_again() -> None:
    schema = (
        World().text.split("rules:")[0]
        + "    fee: {type: decimal, scale: 3, optional: true}\n    part: {type: float, optional: true}\n"
    )
    it = World(schema=schema)
    seen: list[bytes] = []
    it.engine.on_operation(seen.append)
    it.decide()
    told = {"fee": "12345678901.125", "part": 10**30, "label": None, "final": "review"}
    it.engine.update("e1", **told)
    fields = msgspec.msgpack.decode(seen[1][HEAD.size :])["fields"]
    assert fields == {"fee": "12345678901.125", "part": 1e30, "label": None, "final": "review"}
    it.engine.update("e1", **fields)


# -- the hash of the state -----------------------------------------------------------------------------------------
CHANGES: list[Callable[[World], object]] = [
    lambda it: it.decide(S),
    lambda it: it.decide(-S),
    lambda it: it.engine.observe(it.event(S)),
    lambda it: it.engine.update("e1", status="declined"),
    lambda it: it.engine.update("e1", remark="x"),
    lambda it: it.engine.update("e1", final="allow"),
    lambda it: it.engine.decide_again("e1", "second_"),
    lambda it: it.engine.lists["cards"].add("c"),
    lambda it: it.engine.lists["cards"].add("c", expires=NOON + S),
    lambda it: it.engine.lists["nets"].add("10.0.0.0/8"),
]


def test_every_change_changes_the_hash_and_the_same_changes_give_the_same() -> None:
    hashes = []
    for change in CHANGES:
        twice = []
        for _ in range(2):
            it = world()
            it.decide(0, card="c")
            before = it.engine.state_hash()
            change(it)
            twice.append(it.engine.state_hash())
            assert twice[-1] != before
        assert twice[0] == twice[1]
        hashes.append(twice[0])
    assert len(set(hashes)) == len(hashes)


def test_equal_after_a_replay() -> None:
    """What an engine was told, told again in recorded order, gives the same state; other keys give another hash."""

    def play(**options: Any) -> str:
        it = World(FEATURES, RULES, MORE, **options)
        for number in range(300):
            it.decide(number * S % 7_000, account=f"a{number % 7}", card=f"c{number % 11}")
            if number % 5 == 0:
                it.engine.update(f"e{number // 2 + 1}", status="declined", remark=f"r{number}")
            if number % 50 == 0:
                it.engine.lists["cards"].add(f"c{number}")
        return it.engine.state_hash()

    assert play() == play()
    assert play() != play(key=bytes(15) + b"x")


# -- the end -------------------------------------------------------------------------------------------------------
def calls(engine: frmcore.Engine) -> list[Callable[[], object]]:
    event = {"id": "x", "ts": NOON, "kind": "payment", "account": "a"}
    return [
        lambda: engine.decide(event),
        lambda: engine.evaluate(event),
        lambda: engine.decide_json(b"{}"),
        lambda: engine.decide_json(b"{"),
        lambda: engine.decide_many([event]),
        lambda: engine.decide_again("e1", "second_"),
        lambda: engine.observe(event),
        lambda: engine.update("e1", status="approved"),
        lambda: engine.explain("e1"),
        lambda: engine.features(account="a"),
        lambda: engine.reload(policy_text()),
        lambda: engine.on_operation(print),
        lambda: engine.stats,
        engine.state_hash,
        lambda: engine.lists["cards"].add("c"),
        lambda: "10.0.0.1" in engine.lists["nets"],
        lambda: len(engine.lists["cards"]),
    ]


def test_a_closed_engine_says_so() -> None:
    it = world()
    decision = it.decide(card="c")
    with it.engine as engine:
        assert engine is it.engine
    for call in calls(it.engine):
        with pytest.raises(frmcore.EngineClosed, match="open a new one"):
            call()
    it.engine.close()
    assert decision.reasons == []
    assert dict(decision.features) == {"n": 1, "d": 0, "last_": None}


@pytest.mark.skipif(sys.platform == "win32", reason="no fork on this system")
def test_a_forked_child_is_refused_and_the_parent_goes_on() -> None:
    it = world()
    it.decide()
    child = os.fork()
    if child == 0:  # nothing of pytest may run in here
        signal.alarm(20)
        refused = 0
        for call in calls(it.engine):
            try:
                call()
            except frmcore.EngineForked as error:
                refused += "open it in the child" in str(error)
            except BaseException:
                os._exit(99)
        own = world()
        own.decide()
        os._exit(refused)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == len(calls(it.engine))
    assert it.value(1) == 2
