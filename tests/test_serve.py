"""A client of an owner is an engine: the same calls, decisions, errors."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from random import Random
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest
from serving import NOON, POLICY, Owner, event, eventually, serving

import frmcore
import frmcore.aio
import frmcore.client.client
from frmcore.client.decision import Decision
from frmcore.errors import FrmcoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from frmcore.client.client import Client

JSON = b'{"id": "j-1", "ts": 1760011200000, "kind": "payment", "account": "b", "amount": 5}'


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with serving(tmp_path) as (_, path), frmcore.connect(path) as client:
        yield client


def outcome_of(call: Callable[[], Any]) -> Any:
    """What a call gives, or what it raises, as plain data."""
    try:
        result = call()
    except FrmcoreError as error:
        decision = getattr(error, "decision", None)
        return type(error).__name__, str(error), getattr(error, "field", None), decision and decision.to_dict()
    if isinstance(result, list):
        return [outcome_of(lambda each=each: each) for each in result]
    return result.to_dict() if hasattr(result, "to_dict") else result


def one_operation(random: Random, engine: Any) -> Callable[[], Any]:
    number = random.randrange(60)
    some = event(
        number,
        account=f"a{number % 7}",
        card=random.choice([None, f"c{number % 5}", "c-0"]),
        amount=random.choice([1, 5_000, 100_000, -3, "12", 2**63]) if random.random() < 0.2 else 100 + number,
        kind=random.choice(["payment", "payment", "login", "nonsense"]),
        price=random.choice([None, 12, "1.25", 0.5, 1.005, "x"]),
        weight=random.choice([None, 2.5, 3, "heavy"]),
        vip=random.choice([None, True, False, 1]),
        ip=random.choice([None, "10.0.0.1", "::1", "elsewhere"]),
    )
    some |= {"kind": "payment", "price": None, "weight": None, "vip": None, "ip": None} if random.random() < 0.6 else {}
    ident = f"e-{number}"
    at = random.choice([None, NOON + number, "2025-10-09T12:00:01Z", datetime(2025, 10, 9, 13, tzinfo=UTC), "soon"])
    status = random.choice(["approved", "declined", "lost"])
    return random.choice([
        lambda: engine.decide(some), lambda: engine.decide(some, "checkout"), lambda: engine.decide(some, "chekout"),
        lambda: engine.decide(some | {"more": 1}, strict=True), lambda: engine.evaluate(some),
        lambda: engine.decide_many([some, event(number + 100), event(number + 200)]),
        lambda: engine.observe(event(number + 300, status="approved")),
        lambda: engine.update(ident, at=at, status=status), lambda: engine.update(ident), lambda: engine.update("none"),
        lambda: engine.decide_again(ident, "answered", status=status), lambda: engine.features(account="a1"),
        lambda: engine.features(acount="a1"), lambda: engine.features(account="a2", card="c1", at=at),
        lambda: engine.lists["blocked"].add(f"c{number % 5}", reason="r", expires=random_expiry(number)),
        lambda: engine.lists["blocked"].remove("c1"), lambda: engine.lists["fixed"].add("c1"),
        lambda: engine.lists["nets"].add_many(["10.0.0.0/8", "10.0.0.1/8"]), lambda: engine.lists["bloked"],
        lambda: sorted(engine.lists["blocked"]), lambda: len(engine.lists["blocked"]),
        lambda: engine.lists["blocked"].get("c2"), lambda: "10.2.3.4" in engine.lists["nets"],
        lambda: engine.decide_json(JSON),
        lambda: engine.decide_json("{"), lambda: engine.decide_json(b'{"id": "\xff"}'), engine.state_hash,
        lambda: engine.explain(ident).rules, lambda: engine.explain(ident).features, lambda: engine.explain("none"),
    ])  # fmt: skip


def random_expiry(number: int) -> Any:
    return [None, "90d", timedelta(days=2), NOON + 1_000, "never"][number % 5]


@pytest.mark.parametrize("seed", range(4))
def test_the_same_calls_give_the_same(seed: int, tmp_path: Path) -> None:
    keys: dict[str, Any] = {"key": bytes(16), "private_key": bytes(16)}
    with (
        frmcore.Engine(None, policy=POLICY, clock=None, **keys) as engine,
        serving(tmp_path, **keys) as (_, path),
        frmcore.connect(path) as client,
    ):
        for step in range(400):
            place = f"{seed}.{step}"
            expected = outcome_of(one_operation(Random(place), engine))
            assert outcome_of(one_operation(Random(place), client)) == expected, place


class Late(dict[str, Any]):
    """A dict that holds nothing, and fetches its values when it is asked for them."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self._fields = fields

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __getitem__(self, name: str) -> Any:
        return self._fields[name]

    def keys(self) -> Any:
        return self._fields.keys()

    def get(self, name: str, default: Any = None) -> Any:
        return self._fields.get(name, default)


@pytest.mark.parametrize("kind", [Late, MappingProxyType])
def test_events_of_other_classes_are_what_they_say(kind: Any, tmp_path: Path) -> None:
    some = kind(event(1, price="1.25"))
    with frmcore.Engine(None, policy=POLICY, clock=None) as engine:
        expected = engine.decide(some).to_dict()
    with serving(tmp_path) as (_, path), frmcore.connect(path) as client:
        assert client.decide(some).to_dict() == expected
        assert client.decide_many([some])[0].duplicate


def test_a_decision_has_the_attributes_of_an_engines(client: Client) -> None:
    decision = client.decide(event(1, card="c-1"))
    names = {name for name in dir(frmcore.Decision) if not name.startswith("_")}
    assert names - set(dir(Decision)) == {"record", "plan", "book", "point_index", "values", "facts", "lose"}
    assert decision.time == NOON + 1
    assert decision.features["spend"] == 100
    assert not decision.fallback
    assert repr(decision) == "<Decision e-1 allow score=0>"


def test_a_struct_is_an_event_too(client: Client) -> None:
    kind = client.policy.Event
    decision = client.decide(kind(id="s-1", ts=NOON, kind="payment", account="a", amount=7, vip=True))
    assert (decision.features["spend"], decision.features["is_vip"]) == (7, True)


def test_many_are_decided_in_order(client: Client) -> None:
    decided = client.decide_many(event(number) for number in range(5_000))
    assert [each.features["spend"] for each in decided] == [100 * (number + 1) for number in range(5_000)]
    with pytest.raises(frmcore.InvalidEvent, match="amount"):
        client.decide_many([event(9_001), event(9_002, amount=None), event(9_003)])
    assert client.decide(event(9_001)).duplicate
    assert not client.decide(event(9_003)).duplicate


def test_threads_share_a_client(client: Client) -> None:
    with ThreadPoolExecutor(4) as pool:
        spends = [each.features["spend"] for each in pool.map(client.decide, (event(n, ts=NOON) for n in range(400)))]
    assert sorted(spends) == [100 * (number + 1) for number in range(400)]


def test_what_msgpack_can_not_carry_is_an_invalid_event(client: Client) -> None:
    for value in (object(), 2**70, "\ud800"):
        with pytest.raises(frmcore.InvalidEvent, match="amount"):
            client.decide(event(1, amount=value))


def test_values_of_wrong_types_are_refused_in_the_engines_words(tmp_path: Path) -> None:
    calls: list[Callable[[Any], Any]] = [
        lambda it: it.decide(event(2), 5), lambda it: it.evaluate(event(2), 5),
        lambda it: it.decide_many([event(2)], 5),
        lambda it: it.update(5, status="declined"), lambda it: it.update("e-1", by=5),
        lambda it: it.update("e-1", source=5), lambda it: it.decide_again("e-1", 5),
        lambda it: it.decide_again(5, "answered"), lambda it: it.explain(5), lambda it: it.explain("e-1", 5),
        lambda it: it.lists["blocked"].add(5), lambda it: it.lists["blocked"].remove(5),
        lambda it: it.lists["blocked"].get(5), lambda it: 5 in it.lists["blocked"],
        lambda it: it.lists["blocked"].add("c", reason=5), lambda it: it.lists["blocked"].add("c", source=5),
        lambda it: it.lists["blocked"].add("c", owner=5), lambda it: it.switch("rules", "listed", "on"),
        lambda it: it.switch("rule", 5, "on"), lambda it: it.switch("rule", "listed", 5),
        lambda it: it.switch("rule", "listed", "off", by=5), lambda it: it.snooze(5, until="1h"),
        lambda it: it.snooze("listed", 5, until="1h"), lambda it: it.reset_breaker(5),
        lambda it: it.erase("account", "a", reason=5), lambda it: it.holds.add("account", "a", source=5),
    ]  # fmt: skip
    with serving(tmp_path) as (engine, path), frmcore.connect(path) as client:
        engine.decide(event(1))
        for number, call in enumerate(calls):
            said = []
            for it in (engine, client):
                with pytest.raises(Exception) as caught:  # whatever the engine raises
                    call(it)
                said.append((caught.type, str(caught.value)))
            assert said[0] == said[1], number


def test_policies_are_reloaded_and_refused(client: Client, tmp_path: Path) -> None:
    assert client.policy.version == "1"
    client.reload(POLICY.replace("version: 1", "version: 2"))
    assert client.policy.version == "2"
    with pytest.raises(frmcore.PolicyError) as wrong:
        client.reload("policy: shop\nversion: 3\n")
    assert wrong.value.problems
    assert client.health()["policy"]["version"] == "2"
    with pytest.raises(ValueError, match="whole path"):
        client.snapshot("file")


def test_stats_count(client: Client) -> None:
    client.decide_many([event(1), event(2, card="c-1"), event(2, card="c-1")])
    stats = client.stats
    assert (stats["decisions"], stats["duplicates"], stats["outcomes"]["allow"]) == (2, 1, 2)
    assert ["checkout", "allow", 2] in stats["verdicts"]
    assert stats["fallbacks"] == {"given": 0, "reported": 0, "refused": 0, "dropped": 0, "waiting": 0}


def test_nested_events_and_structs_of_them(tmp_path: Path) -> None:
    policy = """
policy: nested
version: 1
event: {id: id, time: ts, fields: {id: string, ts: timestamp, card: {type: string, path: payment.card.id}}}
features: {shown: card}
"""
    with serving(tmp_path) as (engine, path), frmcore.connect(path) as client:
        engine.reload(policy)
        nested = client.decide({"id": "n-1", "ts": NOON, "payment": {"card": {"id": "c-9"}}})
        flat = client.decide(client.policy.Event(id="n-2", ts=NOON, card="c-8"))
        assert (nested.features["shown"], flat.features["shown"]) == ("c-9", "c-8")


IN_PROCESS = {  # what an engine has and no client: why
    "decision_of": "records stay with the owner", "explain_record": "records stay with the owner",
    "on_operation": "hooks are called in the engine's process", "on_store_failure": "hooks, likewise: see health()",
    "tail": "`frmcore tail` and the store's folder give it, beside the owner", "verdicts": "stats() has them",
    "decoded": "for the owner", "has_room": "for the owner", "obey": "for the owner", "settle": "for the owner",
    "unsettled": "for the owner", "waits": "for the owner",
    "book": "for backtests", "decide_columns": "for backtests", "observe_columns": "for backtests",
}  # fmt: skip
OTHERWISE_CALLED = {  # by asyncio's client: lists and holds have methods that would have to be awaited
    "add_to_list", "remove_from_list", "in_list", "list_entry", "list_values", "hold", "release", "held",
}  # fmt: skip


def public(kind: object) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


def test_clients_have_an_engines_methods() -> None:
    engine = public(frmcore.Engine(None, policy=POLICY))
    assert engine - public(frmcore.client.client.Client) == set(IN_PROCESS)
    assert engine - public(frmcore.aio.AsyncClient) == set(IN_PROCESS)
    assert public(frmcore.client.client.Client) - engine == {"health"}
    assert public(frmcore.aio.AsyncClient) - engine == {"health"} | OTHERWISE_CALLED


def test_many_are_observed_in_order(client: Client) -> None:
    client.observe_many(event(number) for number in range(1_000))
    assert client.features(account="a", at=NOON + 2_000)["spend"] == 100_000
    with pytest.raises(frmcore.InvalidEvent, match="amount"):
        client.observe_many([event(2_001), JSON, event(2_002, amount=None), event(2_003)])
    assert [client.stats["observed"], client.features(account="b", at=NOON + 1)["spend"]] == [1_002, 5]


# ---- the owner away ----------------------------------------------------------------------------------------------
def test_the_callers_choice_is_taken_and_told(tmp_path: Path) -> None:
    owner = Owner(tmp_path)
    with owner:
        client = frmcore.connect(owner.store, timeout=30)
        assert not client.decide(event(1)).fallback
        with pytest.raises(ValueError, match="allow, review, block"):
            client.decide(event(2), within_ms=20, otherwise="alow")
        owner.pause()
        slow = client.decide(event(2), within_ms=20, otherwise="block")
        assert (slow.fallback, slow.outcome, slow.event_id, slow.seq) == (True, "block", "e-2", 0)
        assert slow.to_dict()["fallback"]
        with pytest.raises(frmcore.OwnerUnavailable, match="20 ms"):
            client.decide(event(3), within_ms=20)
        owner.kill()
        away = client.decide(event(4), "checkout", within_ms=20, otherwise="block")
        assert (away.fallback, away.point) == (True, "checkout")
        json = client.decide_json(b'{"id": "e-5", "ts": 1760011200005}', within_ms=5, otherwise="allow")
        assert (json.event_id, json.outcome) == ("e-5", "allow")
        assert client._reporter.counts()["waiting"] == 3
        with pytest.raises(frmcore.OwnerUnavailable), frmcore.connect(owner.store, timeout=0.05) as other:
            other.health()
        owner.start().wait_ready()
        eventually(lambda: not client._reporter.counts()["waiting"])
        assert client.stats["fallbacks"] == {"given": 3, "reported": 2, "refused": 1, "dropped": 0, "waiting": 0}
        assert [client.explain(ident).final for ident in ("e-1", "e-2", "e-4")] == ["allow", "block", "block"]
        assert client.features(account="a", at=NOON + 10)["blocks"] == 2
        client.close()
        with pytest.raises(frmcore.EngineClosed):
            client.health()


def test_a_fork_connects_anew(client: Client) -> None:
    client.decide(event(1))
    child = os.fork()
    if not child:
        os._exit(0 if client.decide(event(1)).duplicate else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert client.decide(event(1)).duplicate


# ---- asyncio -----------------------------------------------------------------------------------------------------
def test_the_async_client(tmp_path: Path) -> None:
    async def work(path: Path) -> None:
        async with await frmcore.aio.connect(path) as client:
            decided = await asyncio.gather(*(client.decide(event(number)) for number in range(300)))
            assert sorted(each.features["spend"] for each in decided) == [100 * (n + 1) for n in range(300)]
            assert len(await client.decide_many([event(number) for number in range(1_000, 2_000)])) == 1_000
            with pytest.raises(frmcore.InvalidEvent, match="amount"):
                await client.decide(event(3_000, amount="x"))
            await client.update("e-1", status="declined")
            assert (await client.decide_again("e-2", "answered", status="declined")).fired == ("declined",)
            assert (await client.evaluate(event(4_000))).seq == 0
            await client.observe(event(4_001))
            assert await client.add_to_list("blocked", ["c-1", "c-2"], reason="r") == 2
            assert await client.in_list("blocked", "c-1")
            assert await client.remove_from_list("blocked", ["c-1"]) == 1
            assert (await client.decide_json('{"id":"j","ts":1,"kind":"login","account":"z","amount":1}')).late
            assert (await client.explain("e-1")).final == "allow"
            assert (await client.features(account="a"))["blocks"] == 0
            await client.reload(POLICY.replace("version: 1", "version: 4"))
            assert (await client.health())["policy"]["version"] == "4"
            assert (await client.stats())["updates"] == 1
            await client.flush()
            await client.observe_many(event(number) for number in range(5_000, 5_100))
            assert (await client.stats())["observed"] == 101
            assert len(await client.state_hash()) == 64
            assert (await client.policy()).version == "4"
            with pytest.raises(ValueError, match="whole path"):
                await client.snapshot("file")
            assert await client.lists() == {"blocked": False, "fixed": True, "nets": False}
            assert [value async for value in client.list_values("blocked")] == ["c-2"]
            entry = await client.list_entry("blocked", "c-2")
            assert entry is not None
            assert (entry.reason, await client.list_entry("blocked", "c-1")) == ("r", None)
            await client.hold("account", "a", reason="case 1")
            assert [each.value async for each in client.holds()] == ["a"]
            held = await client.held("account", "a")
            assert held is not None
            assert held.reason == "case 1"
            assert await client.release("account", "a")
            assert await client.held("account", "a") is None

    with serving(tmp_path) as (_, path):
        asyncio.run(work(path))


def test_the_async_client_falls_back(tmp_path: Path) -> None:
    async def work(path: Path) -> None:
        client = await frmcore.aio.connect(path)
        given = await client.decide(event(1), within_ms=30, otherwise="review")
        assert (given.fallback, given.outcome) == (True, "review")
        with pytest.raises(frmcore.OwnerUnavailable):
            await client.decide(event(2), within_ms=10)
        with serving(tmp_path):
            assert (await client.decide(event(3))).outcome == "allow"

            async def reported() -> bool:
                return (await client.stats())["fallbacks"]["reported"] == 1

            for _ in range(500):
                if await reported():
                    break
                await asyncio.sleep(0.01)
            assert await reported()
            assert (await client.explain("e-1")).final == "review"
        await client.close()

    asyncio.run(work(tmp_path / "socket"))
