"""Erasing subjects: what goes, what stays, what refuses, and that no crash changes any of it."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from contextlib import suppress
from itertools import count
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from engines import HOUR, NOON, SCHEMA, World
from erase_cases import KEYS, NOW, POLICY, QUIET, Killed, Life, cut_off
from store_cases import SMALL, killed
from typer.testing import CliRunner

import frmcore
from frmcore import Engine, StoreOptions
from frmcore.cli import app
from frmcore.store.compact import compact
from frmcore.store.erase import eager
from frmcore.store.inspection import inspect
from frmcore.store.snapshot import restore_snapshot
from frmcore.store.verify import verify

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.mark.parametrize("seed", range(8))
def test_random_lives_with_erasures_and_crashes(seed: int, tmp_path: Path) -> None:
    live(Life(tmp_path, Random(seed)), 100)


@pytest.mark.soak
def test_random_lives_at_length(tmp_path: Path) -> None:
    for seed in range(1000, 1400):
        folder = tmp_path / str(seed)
        folder.mkdir()
        live(Life(folder, Random(seed)), 250)


def live(life: Life, steps: int) -> None:
    for _ in range(steps):
        life.disturb()
        life.step()
        if life.random.random() < 0.05:
            life.compare()
    life.crash()
    life.compare()
    life.engine.close()
    assert verify(life.folder).problems == []


def test_a_thread_that_decides_without_a_pause_does_not_outrun_an_erasure(tmp_path: Path) -> None:
    engine = Engine(tmp_path / "s", policy=SMALL, clock=None)
    over = threading.Event()

    def decide() -> None:
        for number in count():
            if over.is_set():
                return
            event = {"id": f"e{number}", "ts": NOW + number, "kind": "payment", "account": f"a{number % 1_000}"}
            engine.decide(event)

    thread = threading.Thread(target=decide)
    patience = threading.Timer(100, over.set)
    thread.start()
    patience.start()
    try:
        time.sleep(0.5)
        assert engine.erase("account", "a7").events > 0
        assert not over.is_set()
    finally:
        over.set()
        patience.cancel()
        thread.join()
        engine.close()


def test_erasures_of_several_engines_leave_the_interpreter_as_it_was() -> None:
    before = sys.getswitchinterval()
    first, second = eager(), eager()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert sys.getswitchinterval() < before
    second.__exit__(None, None, None)
    assert sys.getswitchinterval() == before


# -- nothing of it is left ---------------------------------------------------------------------------------------------
CANARIES = [b"subject-1", b"mail1@b.c", b"secret-1", b"told of e"]


def canary_store(path: Path) -> frmcore.Engine:
    """A subject in every corner: events, updates, later decisions, lists, holds, others' texts and features."""
    engine = Engine(path, policy=POLICY, clock=lambda: NOW + 3_600_000, store=QUIET, **KEYS)
    for number in range(40):
        who = number % 4
        engine.decide(
            {
                "id": f"e{number}", "ts": NOW + number * 1000, "kind": "payment", "account": f"subject-{who}",
                "payee": f"subject-{(who + 1) % 4 if number < 30 else 2}", "card": f"secret-{who}", "amount": 5,
                "device": "shared", "merchant": 40_000, "ip": "10.9.8.7", "email": f"mail{who}@b.c",
            }
        )  # fmt: skip
        if who == 1:
            engine.update(f"e{number}", remark=f"told of e{number}", label="fraud", by="subject-1's reviewer")
            engine.decide_again(f"e{number}", "later")
    engine.lists["blocked"].add_many(["subject-1", "subject-2"], reason="both")
    engine.lists["cards"].add("secret-1")
    engine.holds.add("account", "subject-1", reason="a case of subject-1")
    engine.flush()
    return engine


def everything(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


@pytest.mark.parametrize("flushed", [True, False])
def test_no_file_holds_an_erased_subject(tmp_path: Path, flushed: bool) -> None:
    store = tmp_path / "store"
    with canary_store(store) as engine:
        assert b"subject-1" in everything(store)
        engine.holds.remove("account", "subject-1")
        if flushed:
            engine.flush()
        erased = engine.erase(
            "account", "subject-1", ("card", "secret-1"), ("mailbox", "mail1@b.c"), reason="asked for"
        )
        assert erased.lists == ("blocked", "cards")
        assert erased.events == 20 - 2  # its own ten, and those that name it as payee
        ring = (store / "journal.ring").read_bytes()
        assert not [canary for canary in CANARIES if canary in ring]
        engine.snapshot(tmp_path / "after.snap")
    compact(store)
    restore_snapshot(tmp_path / "after.snap", tmp_path / "restored")
    for folder in (store, tmp_path / "restored"):
        assert verify(folder).problems == []
        assert not [canary for canary in CANARIES if canary in everything(folder)]
        assert b"subject-2" in everything(folder)


def test_nothing_that_is_printed_shows_it(tmp_path: Path) -> None:
    with canary_store(tmp_path / "store") as engine:
        engine.holds.remove("account", "subject-1")
        engine.erase("account", "subject-1", ("card", "secret-1"), ("mailbox", "mail1@b.c"))
        found = [engine.explain("e1"), engine.explain("e1", "first"), engine.explain("e2"), engine.stats]
        found += [engine.features(device="shared"), engine.features(merchant=40_000), list(engine.holds)]
        with pytest.raises(frmcore.EventErased) as caught:
            engine.update("e1", remark="x")
        found.append(caught.value)
        engine.flush()
        found += [record for _, _, record in engine.tail()]
    said = repr(found).encode()
    for command in (["tail"], ["export"], ["inspect", "--json"], ["explain", "e1"], ["hold", "list", "--json"]):
        name, *more = command
        place = (
            [name, *more[:1], str(tmp_path / "store"), *more[1:]]
            if name == "hold"
            else [name, str(tmp_path / "store"), *more]
        )
        said += CliRunner().invoke(app, place, env={"FRMCORE_PRIVATE_KEY": KEYS["private_key"].hex()}).output.encode()
    assert b"<erased>" in said
    assert b"subject-2" in said
    assert not [canary for canary in CANARIES if canary in said]


def test_what_an_old_decision_shows_instead(tmp_path: Path) -> None:
    with canary_store(tmp_path / "store") as engine:
        before = engine.explain("e2", "first").decision
        assert before.features["mail"] == "mail1@b.c"
        mine = engine.explain("e1", "first").decision
        engine.holds.remove("account", "subject-1")
        engine.erase("account", "subject-1")
        found = engine.explain("e1", "first")
        texts = ("account", "payee", "card", "device", "ip", "email", "mailbox")
        assert {found.fields[name] for name in texts} == {"<erased>"}
        assert (found.fields["merchant"], found.fields["amount"], found.fields["id"]) == ("<erased>", 5, "e1")
        assert found.decision.features["spent"] == mine.features["spent"]
        assert (found.decision.outcome, found.decision.score) == (mine.outcome, mine.score)
        assert "were erased" in found.decision.notes[0]
        after = engine.explain("e6", "first")  # another's, which showed its mail address
        assert after.decision.features["mail"] == after.decision.features["mail_or"] == "<erased>"
        assert after.fields["email"] == "mail2@b.c"
        assert "erased" in after.decision.notes[0]


# -- what it does to the state -----------------------------------------------------------------------------------------
@pytest.fixture(params=["memory", "store"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[frmcore.Engine]:
    path = None if request.param == "memory" else tmp_path / "store"
    with Engine(path, policy=POLICY, clock=lambda: NOW + 3_600_000, **KEYS) as opened:
        yield opened


def payment(number: int, account: str, **more: Any) -> dict[str, Any]:
    return {
        "id": f"p{number}", "ts": NOW + number, "kind": "payment", "account": account, "merchant": 40_000, "amount": 10,
        **more,
    }  # fmt: skip


def test_its_own_windows_go_and_others_stay(engine: frmcore.Engine) -> None:
    for number in range(80):  # large enough for trees
        engine.decide(payment(number, "ab"[number % 2], payee="ab"[number % 2 - 1], device="d", email=f"{number}@x.y"))
    erased = engine.erase("account", "a")
    assert (erased.events, erased.records) == (80, 80)
    assert set(engine.features(account="a").values()) == {0}
    assert engine.features(account="b")["spent"] == 400
    sold = engine.features(merchant=40_000)
    assert (sold["sold"], sold["sold_cells"], sold["accounts"]) == (800, 800, 2)
    assert engine.features(device="d")["mail"] == "<erased>"
    again = engine.decide(payment(100, "a"))
    assert (again.features["spent"], again.features["pair"], again.features["sold"]) == (10, 10, 810)


def test_a_repetition_gets_the_decision_of_then(engine: frmcore.Engine) -> None:
    first = engine.decide(payment(1, "a", email="x@y.z"))
    engine.erase("account", "a")
    for content in ({}, {"email": "other@y.z"}, {"amount": 11}):
        again = engine.decide(payment(1, "a", **content))
        assert again.duplicate
        assert (again.seq, again.outcome) == (first.seq, first.outcome)
    assert engine.features(merchant=40_000)["sold"] == 10
    for refused in (
        lambda: engine.update("p1", label="fraud"),
        lambda: engine.decide_again("p1", "later"),
        lambda: engine.update("p1", final="block"),
    ):
        with pytest.raises(frmcore.EventErased, match="needs a hold"):
            refused()


def test_a_window_that_is_added_later_lacks_erased_events_and_says_so(engine: frmcore.Engine) -> None:
    engine.decide(payment(1, "a"))
    engine.decide(payment(2, "b"))
    engine.erase("account", "a")
    engine.reload(
        POLICY.replace("version: 1", "version: 2").replace("rules:", '  fresh: count(by=merchant, over="2d")\nrules:')
    )
    found = engine.decide(payment(3, "b"))
    assert (found.features["fresh"], found.features["sold"]) == (2, 30)
    assert any("fresh is incomplete" in note for note in found.notes)


def test_lists_are_left_and_those_of_the_policy_are_named(tmp_path: Path) -> None:
    text = POLICY.replace("  words:", "  fixed: {of: account, values: [a]}\n  words:")
    with Engine(tmp_path / "store", policy=text, clock=None, **KEYS) as engine:
        engine.lists["blocked"].add_many(["a", "b"])
        engine.lists["words"].add("a")
        erased = engine.erase("account", "a")
        assert (erased.lists, erased.policy_lists, erased.events) == (("blocked",), ("fixed",), 0)
        assert list(engine.lists["blocked"]) == ["b"]
        assert list(engine.lists["words"]) == ["a"]  # a word is no account
    with Engine(tmp_path / "store", policy=text, clock=None, **KEYS) as engine:
        assert list(engine.lists["blocked"]) == ["b"]


NETS = POLICY.replace(
    "  words:",
    "  nets: {of: ip, match: network}\n  bad: {of: ip, match: network, values: [10.1.2.3, 10.2.0.0/16]}\n  words:",
)


@pytest.mark.parametrize("folder", [None, "store"])
@pytest.mark.parametrize(
    ("address", "wider", "policy_lists"),
    [
        ("10.1.2.3", ["10.1.2.0/24", "10.1.2.2/31"], ("bad",)),
        ("::ffff:10.1.2.3", ["10.1.2.2/31"], ("bad",)),
        ("10.2.3.4", ["10.2.0.0/16"], ()),
        ("2001:db8::7", ["2001:db8::/32", "2001:db8::6/127"], ()),
    ],
)
def test_a_network_of_one_address_is_that_address(
    address: str, wider: list[str], policy_lists: tuple[str, ...], folder: str | None, tmp_path: Path
) -> None:
    path = folder and tmp_path / folder
    with Engine(path, policy=NETS, clock=None, **KEYS) as engine:
        nets = engine.lists["nets"]
        nets.add_many([address, *wider])
        erased = engine.erase("ip", address)
        assert (erased.lists, erased.policy_lists) == (("nets",), policy_lists)
        assert (list(nets), address in nets) == (wider, True)  # a wider one holds the address, and tells nobody's
        nets.remove(wider[0])
        assert engine.erase("ip", address).lists == ()
        assert (address in nets) == (len(wider) > 1)
        before = engine.state_hash()
    if path:
        with Engine(path, policy=NETS, clock=None, **KEYS) as engine:
            assert (list(engine.lists["nets"]), engine.state_hash()) == (wider[1:], before)


def test_of_a_network_of_one_address_nothing_is_left(tmp_path: Path) -> None:
    store = tmp_path / "store"
    with Engine(store, policy=NETS, clock=None, **KEYS) as engine:
        engine.lists["nets"].add_many(["10.1.2.3", "10.1.2.2/31"], source="both")
        engine.flush()
        assert b"10.1.2.3/32" in everything(store)
        engine.erase("ip", "10.1.2.3")
        assert b"10.1.2.3" not in (store / "journal.ring").read_bytes()
    compact(store)
    assert b"10.1.2.3" not in everything(store).replace(b"values: [10.1.2.3,", b"")  # the policy's own
    assert b"10.1.2.2/31" in everything(store)


def test_an_entry_that_has_expired_goes_too_for_it_still_counts_for_late_events(tmp_path: Path) -> None:
    with Engine(tmp_path / "s", policy=SMALL, clock=None) as engine:
        engine.decide({"id": "e1", "ts": NOW, "kind": "login", "account": "other"})
        engine.lists["blocked"].add("a-17", expires=NOW + 10_000)
        engine.decide({"id": "e2", "ts": NOW + 20_000, "kind": "login", "account": "other"})
        assert engine.erase("account", "a-17").lists == ("blocked",)
        before = engine.state_hash()
    with Engine(tmp_path / "s", policy=SMALL, clock=None) as engine:
        assert engine.state_hash() == before
        assert engine.decide({"id": "e3", "ts": NOW + 5_000, "kind": "login", "account": "a-17"}).outcome == "allow"


def test_texts_in_cells_of_large_rings_go_without_harm_to_the_ring() -> None:
    world = World('home: first(country, by=account, over="1h", every="1s")')
    for number in range(200):
        world.decide(1_000 * number, card=f"c{number % 7}", country=f"D{number}")
    world.engine.erase("card", "c3")
    world.engine._core.check_rings()


def test_ids_that_hold_it_stay_and_are_counted(engine: frmcore.Engine) -> None:
    engine.decide({**payment(1, "a-17"), "id": "order of a-17"})
    engine.decide(payment(2, "a-17"))
    assert engine.erase("account", "a-17").telling_ids == 1


@pytest.mark.parametrize(("entity", "value"), [("card", "secret-1"), ("merchant", "40000"), ("ip", "10.9.8.7")])
def test_subjects_of_every_type(tmp_path: Path, entity: str, value: str) -> None:
    with canary_store(tmp_path / "store") as engine:
        engine.holds.remove("account", "subject-1")
        erased = engine.erase(entity, value)
        assert erased.events == {"card": 10, "merchant": 40, "ip": 40}[entity]
        assert engine.erase(entity, value).events == 0
        before = engine.state_hash()
    with Engine(tmp_path / "store", policy=POLICY, clock=None, **KEYS) as engine:
        assert engine.state_hash() == before


def test_mistakes_are_told_before_anything_is_done(engine: frmcore.Engine) -> None:
    for subject, error in (
        (("acount", "a"), frmcore.UnknownName), (("ip", "nonsense"), frmcore.InvalidEvent),
        (("account", ""), frmcore.InvalidEvent), (("merchant", "x"), frmcore.InvalidEvent),
    ):  # fmt: skip
        seq = engine.stats["seq"]
        with pytest.raises(error):
            engine.erase(*subject)
        assert engine.stats["seq"] == seq


# -- holds -------------------------------------------------------------------------------------------------------------
def test_a_hold_refuses_an_erasure_and_outlives_a_crash(tmp_path: Path) -> None:
    now = [NOW]
    options: dict[str, Any] = {"policy": POLICY, "clock": lambda: now[0], "store": QUIET, **KEYS}
    with Engine(tmp_path / "store", **options) as engine:
        engine.holds.add("account", "a", reason="case 7", source="court", until="1d")
        engine.holds.add("card", "secret-1")
        assert "secret-1" not in repr(list(engine.holds))
        killed(engine, tmp_path / "killed")
    with Engine(tmp_path / "killed", **options) as engine:
        assert [hold.entity for hold in engine.holds] == ["account", "card"]
        for subjects in ([("account", "a")], [("account", "b"), ("card", "secret-1")]):
            with pytest.raises(frmcore.UnderHold):
                engine.erase(*subjects[0], *subjects[1:])
        assert engine.holds.get("account", "a") is not None
        assert engine.holds.remove("card", "secret-1")
        assert not engine.holds.remove("card", "secret-1")
        now[0] += 86_400_000
        assert len(engine.holds) == 0
        engine.erase("account", "a")


def test_a_hold_on_another_subject_of_the_same_events_refuses_too(engine: frmcore.Engine) -> None:
    engine.lists["blocked"].add("a")
    engine.decide(payment(1, "a", card="c-1"))
    engine.decide(payment(2, "b", card="c-2"))
    for entity, value in (("card", "c-1"), ("merchant", "040000"), ("account", "c")):
        engine.holds.add(entity, value)
        if entity == "account":
            assert engine.erase("account", "a").events == 1
            return
        before = engine.state_hash()
        with pytest.raises(frmcore.UnderHold, match="another subject"):
            engine.erase("account", "a")
        assert "a" in engine.lists["blocked"]
        assert engine.state_hash() == before
        with pytest.raises(frmcore.UnderHold):
            engine.erase(entity, value.lstrip("0"))
        assert engine.holds.remove(entity, value)


# -- alerts and snoozes ------------------------------------------------------------------------------------------------
STEERED = (
    POLICY
    + """\
  - {id: burst, when: tries > 2, alert: {about: account, once: 12h, typology: burst}}
  - {id: there, when: tries > 2, alert: {about: ip, once: 12h, typology: burst}}
"""
)


def steered(folder: Path, policy: str = STEERED) -> frmcore.Engine:
    return Engine(folder, policy=policy, clock=lambda: NOW, store=QUIET, **KEYS)


def burst(engine: frmcore.Engine, account: str, first: int) -> None:
    for number in range(first, first + 4):
        event = {"id": f"e{number}", "ts": NOW + number, "kind": "payment", "account": account, "amount": 1}
        engine.decide(event | {"merchant": 40_000, "ip": "2001:db8::5e1f" if account == "subject-1" else "10.0.0.1"})


def alerted(engine: frmcore.Engine) -> list[tuple[str, str]]:
    return [(alert.about, str(alert.entity)) for alert in engine.alerts()]


def alert_counts(engine: frmcore.Engine) -> tuple[int, int]:
    erased, other = (len(engine.explain(ident).decision.alerts) for ident in ("e2", "e12"))
    return erased, other


def snooze(engine: frmcore.Engine) -> None:
    for whom in ("account:subject-1", "account:subject-2", "ip:2001:0DB8:0::5e1f"):
        engine.snooze("busy", whom, until="1h")


def test_a_snooze_for_a_value_of_an_enum_goes_with_it() -> None:
    kinds = SCHEMA.replace("kind: {type: enum,", "kind: {type: enum, entity: kind,")
    world = World(rules="  - {id: r, when: not missing(kind), outcome: review}\n", schema=kinds)
    world.decide()
    world.engine.snooze("r", "kind:payment", until=NOON + HOUR)
    world.engine.erase("kind", "payment")
    assert world.engine.controls.snoozes == ()
    assert world.decide(1).outcome == "review"


@pytest.mark.parametrize("reloaded", [False, True])
def test_of_alerts_and_snoozes_nothing_is_left(tmp_path: Path, reloaded: bool) -> None:
    """Under whatever policy they were made."""
    other = STEERED.replace("account: {entity: account}", "customer: {entity: account}").replace("account", "customer")
    other = other.replace("entity: customer", "entity: account").replace("of: customer", "of: account")
    with steered(tmp_path / "s") as engine:
        burst(engine, "subject-1", 0)
        burst(engine, "subject-2", 10)
        snooze(engine)
        assert alerted(engine)[:2] == [("account", "subject-1"), ("ip", "2001:db8::5e1f")]
        if reloaded:
            engine.reload(other)
        engine.erase("account", "subject-1", ("ip", "2001:db8::5e1f"))
        assert alerted(engine) == [("account", "subject-2"), ("ip", "10.0.0.1")]
        assert [snoozed.value for snoozed in engine.controls.snoozes] == ["subject-2"]
        assert alert_counts(engine) == (0, 2)
        before = engine.state_hash()
        killed(engine, tmp_path / "killed")
    for folder in (tmp_path / "s", tmp_path / "killed"):
        with steered(folder, other if reloaded else STEERED) as engine:
            assert engine.state_hash() == before
            assert alerted(engine) == [("account", "subject-2"), ("ip", "10.0.0.1")]
            assert alert_counts(engine) == (0, 2)
        compact(folder)
        assert b"subject-2" in everything(folder)
        assert not [canary for canary in (b"subject-1", b"5e1f", b"5E1F") if canary in everything(folder)]


@pytest.mark.parametrize("slices", range(0, 24, 3))
def test_alerts_after_an_erasure_that_was_cut_off_count(
    tmp_path: Path, slices: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = steered(tmp_path / "s")
    burst(engine, "subject-1", 0)
    snooze(engine)
    with monkeypatch.context() as patch:
        cut_off(patch, engine, slices)
        with suppress(Killed):
            engine.erase("account", "subject-1")
    burst(engine, "subject-1", 20)
    engine.snooze("busy", "account:subject-1", until="2h")
    engine.flush()
    before = engine.state_hash()
    killed(engine, tmp_path / "killed")
    engine.close()
    with steered(tmp_path / "killed") as engine:
        assert engine.state_hash() == before
        engine._store.eraser.later(lambda: None).result()
        assert engine.state_hash() == before
        engine.decide(
            {"id": "e30", "ts": NOW + 30, "kind": "payment", "account": "subject-1", "merchant": 1, "amount": 1}
        )
    with steered(tmp_path / "killed") as engine:
        assert alerted(engine).count(("account", "subject-1")) == 1


# -- stores ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("slices", range(0, 40, 3))
def test_an_erasure_that_was_cut_off_goes_on_at_the_next_opening(
    tmp_path: Path, slices: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = canary_store(tmp_path / "store")
    engine.holds.remove("account", "subject-1")
    with monkeypatch.context() as patch:
        cut_off(patch, engine, slices)
        with suppress(Killed):
            engine.erase("account", "subject-1")
        killed(engine, tmp_path / "killed")
    before, began = engine.state_hash(), bool(engine._store.eraser.pending())
    assert bool(inspect(tmp_path / "killed").erasures) == began
    with Engine(tmp_path / "killed", policy=POLICY, clock=None, store=QUIET, **KEYS) as again:
        assert again.state_hash() == before
        again._store.eraser.later(lambda: None).result()  # behind what an earlier opening left
        assert not again._store.eraser.pending()
        assert again.state_hash() == before
        if not began and again.features(account="subject-1")["spent"]:
            again.erase("account", "subject-1")
    engine.close()
    compact(tmp_path / "killed")
    assert inspect(tmp_path / "killed").erasures == []
    assert verify(tmp_path / "killed").problems == []
    assert b"subject-1" not in everything(tmp_path / "killed")


def test_snapshots_that_still_hold_it_are_named(tmp_path: Path) -> None:
    with canary_store(tmp_path / "store") as engine:
        engine.holds.remove("account", "subject-1")
        for name in ("one", "two", "one"):
            engine.snapshot(tmp_path / name)
        erased = engine.erase("account", "subject-1")
        assert [Path(each.file).name for each in erased.snapshots] == ["two", "one"]
        assert all(each.seq < erased.seq for each in erased.snapshots)


def test_by_other_processes(tmp_path: Path) -> None:
    store = str(tmp_path / "store")
    quick = StoreOptions(flush_ms=10, ring_bytes=1 << 20)
    canary_store(tmp_path / "store").close()

    def run(*words: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, list(words), env={"FRMCORE_PRIVATE_KEY": KEYS["private_key"].hex()})
        return result.exit_code, f"{result.output} {result.exception or ''}"

    with Engine(store, policy=POLICY, clock=None, store=quick, **KEYS):
        code, said = other(store, "erase", "account:subject-1")
        assert code == 1
        assert "under a legal hold (a case of subject-1)" in said
        assert other(store, "hold", "remove", "account:subject-1") == (0, "1 hold ended, 0 subjects had none\n")
        code, said = other(store, "erase", "account:subject-1", "card:secret-1")
        assert code == 0, said
        assert "18 events erased" in said
        assert other(store, "hold", "add", "account:subject-2", "--until", "2100-01-01T00:00:00Z")[0] == 0
    code, said = run("hold", "list", store)
    assert "account:subject-2" in said
    assert "under a legal hold" in run("erase", store, "account:subject-2")[1]
    code, said = run("erase", store, "subject-3")
    assert "account:a-17" in said
    assert "another subject" in run("erase", store, "account:subject-3")[1]  # it paid subject-2
    assert run("hold", "remove", store, "account:subject-2")[0] == 0
    assert "frmcore compact" in run("erase", store, "account:subject-3")[1]
    assert verify(tmp_path / "store").problems == []


def test_a_network_of_one_address_by_another_process(tmp_path: Path) -> None:
    store = str(tmp_path / "store")
    with Engine(store, policy=NETS, clock=None, store=StoreOptions(flush_ms=10), **KEYS) as engine:
        engine.lists["nets"].add_many(["10.1.2.3", "10.1.2.0/24"])
        code, said = other(store, "erase", "ip:10.1.2.3")
        assert (code, "nets" in said) == (0, True), said
        assert list(engine.lists["nets"]) == ["10.1.2.0/24"]


def other(store: str, name: str, *words: str) -> tuple[int, str]:
    """A command in another process; what it said."""
    command = [
        sys.executable,
        "-c",
        "from frmcore.cli import main; main()",
        name,
        *([words[0]] if name == "hold" else []),
        store,
    ]
    command += words[1:] if name == "hold" else words
    found = subprocess.run(command, check=False, capture_output=True, text=True)
    return found.returncode, found.stderr
