"""What is asked about people over the socket: erasures, holds, alerts; and rules that are steered."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from threading import Event
from typing import TYPE_CHECKING

import pytest
from serving import NOON, POLICY, Raw, event, serving

import frmcore
import frmcore.aio
from frmcore.alerts import Alert
from frmcore.controls import Controls
from frmcore.erasure import Erased
from frmcore.serve import people

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from frmcore.client.client import Client

ALERTING = POLICY.replace(
    "  - {id: net,",
    "  - {id: told, when: amount > money('9'), outcome: review, alert: {about: account, once: 1d}}\n  - {id: net,",
)


@pytest.fixture
def both(tmp_path: Path) -> Iterator[tuple[frmcore.Engine, Client]]:
    with serving(tmp_path, path=tmp_path / "store", policy=ALERTING) as (engine, path), frmcore.connect(path) as client:
        yield engine, client


def test_a_subject_is_erased(both: tuple[frmcore.Engine, Client]) -> None:
    engine, client = both
    client.decide_many([event(1, card="c-7"), event(2, card="c-8", account="b"), event(3, account="c")])
    client.lists["blocked"].add("c-8")
    erased = client.erase("account", "a", ("card", "c-8"), reason="asked for", source="dsr-1")
    assert isinstance(erased, Erased)
    assert (erased.events, erased.lists, erased.seq) == (2, ("blocked",), engine.stats["seq"])
    assert client.features(account="a", at=NOON + 10)["spend"] == 0
    assert client.features(account="c", at=NOON + 10)["spend"] == 100
    with pytest.raises(frmcore.UnknownName, match='did you mean "account"'):
        client.erase("acount", "a")
    with pytest.raises(frmcore.InvalidEvent):
        client.erase("account", "")


def test_a_network_of_one_address_is_erased(both: tuple[frmcore.Engine, Client]) -> None:
    _, client = both
    client.lists["nets"].add_many(["10.0.0.7", "10.0.0.0/24"])
    assert client.erase("ip", "10.0.0.7").lists == ("nets",)
    assert list(client.lists["nets"]) == ["10.0.0.0/24"]


def test_holds_stand_against_it(both: tuple[frmcore.Engine, Client]) -> None:
    engine, client = both
    client.decide(event(1))
    client.holds.add("account", "a", reason="case 12", source="court", until=NOON + 10**9)
    assert client.holds.get("account", "a") == engine.holds.get("account", "a")
    assert client.holds.get("account", "b") is None
    assert (len(client.holds), list(client.holds)) == (1, list(engine.holds))
    with pytest.raises(frmcore.UnderHold, match="case 12"):
        client.erase("account", "a")
    assert client.holds.remove("account", "a")
    assert not client.holds.remove("account", "a")
    assert client.erase("account", "a").events == 1
    client.holds.add("card", "c-1", until=timedelta(days=2))
    assert next(iter(client.holds)).until == NOON + 1 + 2 * 86_400_000


def test_holds_and_alerts_come_in_pages(both: tuple[frmcore.Engine, Client], monkeypatch: pytest.MonkeyPatch) -> None:
    engine, client = both
    monkeypatch.setattr(people, "PAGE_VALUES", 3)
    monkeypatch.setattr(people, "PAGE_BYTES", 300)
    for number in range(8):
        client.holds.add("account", f"h-{number}")
        client.decide(event(number, account=f"x-{number}", amount=1_000))
    assert [hold.value for hold in client.holds] == [f"h-{number}" for number in range(8)]
    alerts = list(client.alerts())
    assert alerts == list(engine.alerts())
    assert [(alert.rule, alert.entity) for alert in alerts] == [("told", f"x-{number}") for number in range(8)]
    assert all(isinstance(alert, Alert) for alert in alerts)


def test_rules_are_steered(both: tuple[frmcore.Engine, Client]) -> None:
    engine, client = both
    client.lists["blocked"].add_many(f"c-{number}" for number in range(1, 6))
    assert client.decide(event(1, card="c-1")).outcome == "block"
    client.switch("rule", "listed", "shadow", reason="false alarms", by="ops")
    assert (found := client.decide(event(2, card="c-2"))).outcome == "allow"
    assert found.shadow == ("listed",)
    assert isinstance(client.controls, Controls)
    assert client.controls == engine.controls
    assert [(each.name, each.by) for each in client.controls.switches] == [("listed", "ops")]
    client.switch("rule", "listed", "on")
    client.snooze("listed", "account:a", until=timedelta(hours=1), by="ops")
    assert client.decide(event(3, card="c-3")).outcome == "allow"
    assert client.decide(event(4, card="c-4", account="b")).outcome == "block"
    client.unsnooze("listed", "account:a")
    assert client.decide(event(5, card="c-5")).outcome == "block"
    with pytest.raises(frmcore.UnknownName, match="listed"):
        client.switch("rule", "lsted", "off")
    with pytest.raises(frmcore.InvalidEvent, match="on, shadow or off"):
        client.switch("rule", "listed", "loud")  # type: ignore[arg-type]
    with pytest.raises(frmcore.InvalidEvent, match="a snooze ends"):
        client.snooze("listed", until=None)
    with pytest.raises(frmcore.UnknownName):
        client.reset_breaker("lsted")


def test_an_explanation_says_what_would_have_altered_it(both: tuple[frmcore.Engine, Client]) -> None:
    engine, client = both
    client.decide(event(1, amount=1_000))
    ours, theirs = client.explain("e-1"), engine.explain("e-1")
    assert ours.changes == theirs.changes
    assert [str(change) for change in ours.changes] == [str(change) for change in theirs.changes] != []
    assert ours.rules == theirs.rules


def test_a_long_operation_keeps_nobody_from_a_list(
    both: tuple[frmcore.Engine, Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, client = both
    go = Event()
    monkeypatch.setattr(engine, "snapshot", lambda _: go.wait(20))
    slow = Raw(client._pool.path)
    slow.send(2, "snapshot", "/nowhere/file")
    try:
        client.lists["blocked"].add("c-3")
        assert client.health()["ready"]
        assert client.decide(event(1, card="c-3")).outcome == "block"
    finally:
        go.set()
    assert slow.answer() == [2, None]


def test_subjects_of_another_form(both: tuple[frmcore.Engine, Client]) -> None:
    raw = Raw(both[1]._pool.path)
    for number, subject in enumerate(([], "account:a", [["account"]], [["account", 7]], [["account", "a"]] * 1_001), 2):
        assert raw.ask(number, "erase", subject)[2]["error"] == "ProtocolError"
    assert raw.ask(9, "holds", None, {"start": -1})[2]["error"] == "ProtocolError"
    assert raw.ask(10, "list_values", "blocked", {"start": -1})[2]["error"] == "ProtocolError"


def test_the_async_client(tmp_path: Path) -> None:
    async def work(path: Path) -> None:
        async with await frmcore.aio.connect(path) as client:
            await client.decide(event(1, amount=1_000))
            await client.hold("account", "a", reason="case", until=NOON + 10**9)
            with pytest.raises(frmcore.UnderHold):
                await client.erase("account", "a")
            assert await client.release("account", "a")
            assert [alert.rule async for alert in client.alerts()] == ["told"]
            assert (await client.erase("account", "a", reason="asked for")).events == 1
            await client.switch("rule", "told", "off", by="ops")
            await client.snooze("listed", until=NOON + 10**9)
            controls = await client.controls()
            assert [each.name for each in controls.switches] == ["told"]
            assert [each.rule for each in controls.snoozes] == ["listed"]
            await client.unsnooze("listed")
            with pytest.raises(frmcore.UnknownName):
                await client.reset_breaker("nothing")

    with serving(tmp_path, path=tmp_path / "store", policy=ALERTING) as (_, path):
        asyncio.run(work(path))
