"""A store by example: what survives, in which mode, and what an engine finds when it comes back."""

from __future__ import annotations

import os
import stat
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from serving import eventually
from store_cases import NOW, killed
from store_cases import SMALL as POLICY

import frmcore
from frmcore import StoreOptions
from frmcore._fast import crc32c, crc32c_by_table
from frmcore.policy import calls, load
from frmcore.store.flusher import WAITING_BYTES
from frmcore.store.layout import JOURNAL
from frmcore.store.verify import verify
from frmcore.store.view import viewing

if TYPE_CHECKING:
    from pathlib import Path

    from frmcore.plan import Zone

OPTIONS = StoreOptions(flush_ms=20, ring_bytes=1 << 20)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


def opened(path: Path, text: str = POLICY, **more: Any) -> frmcore.Engine:
    return frmcore.Engine(path, policy=text, **({"clock": Clock(), "store": OPTIONS} | more))


def event(number: int, account: str = "a", **more: Any) -> dict[str, Any]:
    return {"id": f"e{number}", "ts": NOW + number, "kind": "payment", "account": account} | more


def test_everything_is_there_again(tmp_path: Path) -> None:
    with opened(tmp_path / "s") as engine:
        for number in range(6):
            engine.decide(event(number))
        engine.update("e0", label="fraud")
        engine.lists["blocked"].add("b", reason="chargeback")
        before = engine.state_hash()
    with opened(tmp_path / "s") as engine:
        assert engine.state_hash() == before
        again = engine.decide(event(5))
        assert (again.duplicate, again.outcome, again.features["tries_1h"]) == (True, "review", 6)
        assert engine.decide(event(6, "b")).outcome == "block"
        assert engine.decide(event(7)).features["frauds"] == 1
        entry = engine.lists["blocked"].get("b")
        assert entry is not None
        assert entry.reason == "chargeback"
        assert engine.explain("e4").decision.outcome == "review"


def test_files_are_private(tmp_path: Path) -> None:
    with opened(tmp_path / "s") as engine:
        engine.decide(event(1))
        assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o700
        assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "s").iterdir()} == {0o600}


def test_durable_says_what_survives(tmp_path: Path) -> None:
    assert not frmcore.Engine(None, policy=POLICY, clock=Clock()).decide(event(1)).durable
    for durability in ("process", "power", "none"):
        options = StoreOptions(durability=durability, flush_ms=20, ring_bytes=1 << 20)  # type: ignore[arg-type]
        with opened(tmp_path / durability, store=options) as engine:
            assert engine.decide(event(1)).durable == (durability != "none")
            if durability == "power":
                assert engine.stats["store"]["synced"] == 1


def test_concurrent_callers_share_commits(tmp_path: Path) -> None:
    options = StoreOptions(durability="power", flush_ms=1_000, ring_bytes=1 << 20)
    with opened(tmp_path / "s", store=options) as engine:

        def caller(first: int) -> None:
            for number in range(first, first + 25):
                assert engine.decide(event(number)).durable

        threads = [threading.Thread(target=caller, args=(100 * i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert engine.stats["store"]["synced"] == 200
        assert engine.stats["store"]["commits"] < 150


def test_a_decision_that_memory_forgot_is_explained_under_its_policy(tmp_path: Path) -> None:
    text = POLICY + "limits: {ids_min: 10, ids_max: 10, horizon: 1h}\n"
    with opened(tmp_path / "s", text) as engine:
        for number in range(60):
            engine.decide(event(number, f"a{number % 3}"))
        engine.reload(text.replace("tries_1h > 3", "tries_1h > 300").replace("version: 1", "version: 2"))
        for number in range(60, 120):
            engine.decide(event(number))
        engine.flush()
        assert engine.explain("e30").decision.fired == ("busy",)
        with pytest.raises(frmcore.UnknownEvent):
            engine.update("e30", label="fraud")
    with opened(tmp_path / "s", text.replace("version: 1", "version: 3")) as engine:
        old = engine.explain("e30").decision
        assert (old.reasons, old.durable) == (["11 tries"], True)
        with pytest.raises(frmcore.UnknownEvent):
            engine.explain("e999")


def test_another_policy_at_open_is_a_reload(tmp_path: Path) -> None:
    with opened(tmp_path / "s") as engine:
        engine.decide(event(1))
        seq = engine.stats["seq"]
    with opened(tmp_path / "s", POLICY.replace("version: 1", "version: 2")) as engine:
        assert engine.policy.version == "2"
        assert engine.stats["seq"] == seq + 1
        assert engine.decide(event(2)).features["tries_1h"] == 2


def test_a_full_ring_loses_nothing_while_the_process_lives(tmp_path: Path) -> None:
    options = StoreOptions(flush_ms=60_000, ring_bytes=1 << 16)
    with opened(tmp_path / "s", store=options) as engine:
        with engine._store.flusher.paused():
            decisions = [engine.decide(event(number)) for number in range(1_000)]
            assert engine.stats["store"]["degraded"]
        durable = [decision.durable for decision in decisions]
        assert durable[0]
        assert not durable[-1]
        assert durable == sorted(durable, reverse=True)
        engine.flush()
        assert not engine.stats["store"]["degraded"]
        assert engine.decide(event(1_000)).durable
        before = engine.state_hash()
    with opened(tmp_path / "s") as engine:
        assert engine.state_hash() == before


def test_a_ring_that_fills_up_does_not_wait_for_the_next_flush(tmp_path: Path) -> None:
    with opened(tmp_path / "s", store=StoreOptions(flush_ms=60_000, ring_bytes=1 << 16)) as engine:
        for block in range(10):
            assert all(engine.decide(event(number)).durable for number in range(100 * block, 100 * (block + 1)))
            end = time.monotonic() + 30
            while (stats := engine.stats["store"])["ring_used"] > stats["ring_size"] // 2:
                assert time.monotonic() < end, "the flusher sleeps on"
                time.sleep(0.01)
        assert engine.stats["store"]["commits"] > 1


def test_lives_that_are_shorter_than_a_round_complete_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each life of 100 operations writes a fifth of the pieces: recovery never reads much more than five lives."""
    for name, size in (("ROUND_RECORDS", 500), ("PIECE_BYTES", 512), ("SPLIT_BYTES", 2_048)):
        monkeypatch.setattr(f"frmcore.store.checkpoint.{name}", size)
    store = StoreOptions(flush_ms=60_000, ring_bytes=1 << 20)
    pieces, behind = 0, 0
    for life in range(20):
        with opened(tmp_path / f"{life}", store=store) as engine:
            for number in range(100 * life, 100 * life + 100):
                engine.decide(event(number, f"a{number % 97}"))
            engine.flush()
            pieces = max(pieces, len(engine._store.flusher.checkpointer.units()))
            behind = engine.stats["seq"] - engine._store.flusher.checkpointer.oldest()
            killed(engine, tmp_path / f"{life + 1}")
    assert pieces > 20
    assert behind < 1_000


def test_busy_rings_give_up_what_no_window_reaches(tmp_path: Path) -> None:
    """Three keys have all events: sweeping alone, which looks at every key in turn, would not keep up, and replay does
    not sweep. Two minutes of an event each 100 ms are 400 entries a ring."""
    text = POLICY.replace('"1h"', '"1m"') + "limits: {horizon: 1m, ids_min: 100, ids_max: 200}\n"
    with opened(tmp_path / "s", text, clock=None, store=StoreOptions(flush_ms=60_000)) as engine:
        for number in range(60_000):
            engine.decide(event(number, f"a{number % 3}") | {"ts": NOW + 100 * number})
        engine.flush()
        killed(engine, tmp_path / "killed")
        live = sum(group["bytes"] for group in engine.stats["groups"])
    with opened(tmp_path / "killed", text, clock=None) as engine:
        recovered = sum(group["bytes"] for group in engine.stats["groups"])
    assert live < 64 * 1_200
    assert recovered < 64 * 1_200


NO_ROOM = StoreOptions(flush_ms=60_000, ring_bytes=1 << 16, spill_bytes=1 << 16)


def test_what_finds_no_room_in_the_spill_waits_in_memory_and_catches_up(tmp_path: Path) -> None:
    with opened(tmp_path / "s", store=NO_ROOM) as engine:
        with engine._store.flusher.paused():
            for number in range(3_000):
                decision = engine.decide(event(number))
                if number % 100 == 0:
                    engine.update(decision.event_id, label="fraud")
            engine.lists["blocked"].add("c-9", reason="test")
            assert engine.stats["store"]["waiting"] > 500
        assert not decision.durable
        engine.flush()
        assert not engine.stats["store"]["degraded"]
        assert engine.decide(event(4_000)).durable
        assert [seq for _, seq, _ in engine.tail()] == list(range(1, engine.stats["seq"] + 1))
        before = engine.state_hash()
    with opened(tmp_path / "s") as engine:
        assert engine.state_hash() == before


def test_what_was_spilled_is_taken_without_holding_anybody_up(tmp_path: Path) -> None:
    """A long outage leaves a great deal: it is handed over in blocks that are there already, and committed in parts."""
    with opened(tmp_path / "s", store=StoreOptions(flush_ms=60_000, ring_bytes=1 << 16)) as engine:
        flusher = engine._store.flusher  # type: ignore[union-attr]
        with flusher.paused():
            for number in range(5_000):
                engine.decide(event(number))
            blocks = engine._core.cut(take_spilled=True)["spilled"]
            assert len(blocks) > 5
            assert max(map(len, blocks)) < 2 * WAITING_BYTES
            flusher._spilled += blocks
        eventually(lambda: engine.stats["store"]["synced"] == 5_000)  # long before the next flush is due
        assert not engine.stats["store"]["degraded"]
        before = engine.state_hash()
    with opened(tmp_path / "s") as engine:
        assert engine.state_hash() == before


def test_what_finds_room_again_while_the_store_catches_up_stays_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others decide during each commit: into the spill, which has room by then, and beyond it again."""
    with opened(tmp_path / "s", store=NO_ROOM) as engine:
        flusher, database, numbers = engine._store.flusher, engine._store._database, iter(range(3_000, 6_000))
        commit, ring = database.commit, flusher._ring

        def meanwhile(changes: list[Any]) -> None:
            if ring.spilling and not ring.waiting:
                for number, _ in zip(numbers, range(600), strict=False):
                    engine.decide(event(number))
            commit(changes)
            committed.extend(bytes(change.key) for change in changes if change.table == JOURNAL)

        committed: list[bytes] = []
        with flusher.paused():
            for number in range(3_000):
                engine.decide(event(number))
            monkeypatch.setattr(database, "commit", meanwhile)
            engine.flush()
        assert committed == sorted(committed)
        assert next(numbers, 6_000) > 3_600
        engine.flush()
        assert [seq for _, seq, _ in engine.tail()] == list(range(1, engine.stats["seq"] + 1))
        before = engine.state_hash()
    with opened(tmp_path / "s") as engine:
        assert engine.state_hash() == before


def test_cells_of_many_events_come_back_from_a_checkpoint(tmp_path: Path) -> None:
    """As many cells as need a tree: its inner totals are not written, but added up anew."""
    text = POLICY.replace("features:", 'features:\n  cells: count(by=account, over="1h", every="1m")')
    with opened(tmp_path / "s", text, clock=None) as engine:
        for number in range(200):
            engine.decide(event(15_000 * number))
        engine._store.flusher.flush(whole=True)  # type: ignore[union-attr]
        before = engine.state_hash(), engine.features(account="a")
    with opened(tmp_path / "s", text, clock=None) as engine:
        engine._core.check_rings()
        assert (engine.state_hash(), engine.features(account="a")) == before
        assert before[1]["cells"] == 200


def test_a_reload_keeps_its_groups_over_a_restart(tmp_path: Path) -> None:
    """The new group would serve the old feature as well, but lacks what was forgotten."""
    text = POLICY + "limits: {ids_min: 20, ids_max: 20}\n"
    wider = text.replace("tries_1h:", 'more: count(by=account, over="2h")\n  tries_1h:')
    with opened(tmp_path / "s", text) as engine, pytest.MonkeyPatch.context() as patch:
        for number in range(100):
            engine.decide(event(number))
        patch.setattr("frmcore.store.store.is_needed", lambda *_: False)
        engine.reload(wider)
        before = engine.state_hash(), engine.features(account="a")
        assert before[1]["tries_1h"] == 100
    with opened(tmp_path / "s", wider) as engine:
        assert (engine.state_hash(), engine.features(account="a")) == before


def test_a_reload_keeps_the_marks_of_its_windows_over_a_restart(tmp_path: Path) -> None:
    """The new group holds events that start windows as well, but not the one that was forgotten."""
    since = 'since_start: count(by=account, since=kind == "login")\n  tries_1h:'
    text = POLICY.replace("tries_1h:", since) + "limits: {ids_min: 20, ids_max: 20}\n"
    wider = text.replace("since_start:", 'logins: first(kind, by=account, where=kind == "login")\n  since_start:')
    with opened(tmp_path / "s", text) as engine, pytest.MonkeyPatch.context() as patch:
        for number in range(100):
            engine.decide(event(number, kind="login" if number == 10 else "payment"))
        patch.setattr("frmcore.store.store.is_needed", lambda *_: False)
        engine.reload(wider)
        before = engine.state_hash(), engine.features(account="a")
        assert before[1]["since_start"] == 89
    with opened(tmp_path / "s", wider) as engine:
        assert (engine.state_hash(), engine.features(account="a")) == before


@pytest.mark.parametrize("filled", [False, True])
def test_an_id_that_was_forgotten_may_come_again(tmp_path: Path, filled: bool) -> None:
    text = POLICY + "limits: {ids_min: 20, ids_max: 20}\n"
    engine = opened(tmp_path / "s", text)
    for number in range(100):
        assert not engine.decide(event(number)).duplicate
    assert not engine.decide(event(0) | {"ts": NOW + 200}).duplicate
    for number in range(101, 105):
        engine.decide(event(number) | {"ts": NOW + 200 + number})
    if filled:
        text = text.replace("tries_1h:", 'more: count(by=account, over="2h")\n  tries_1h:')
        engine.reload(text)
        assert engine.features(account="a")["more"] == 105
    engine.update("e0", label="fraud")
    before = engine.state_hash()
    engine.flush()
    killed(engine, tmp_path / "killed")
    engine.close()
    with opened(tmp_path / "killed", text) as engine:
        assert engine.state_hash() == before
        assert engine.decide(event(0) | {"ts": NOW + 200}).duplicate


def test_what_was_forgotten_meanwhile_ends_the_journal_not_the_decisions(tmp_path: Path) -> None:
    forgetful = POLICY + "limits: {ids_min: 20, ids_max: 20}\n"
    engine = opened(tmp_path / "s", forgetful, store=NO_ROOM)
    with engine._store.flusher.paused():
        for number in range(1_500):
            assert not engine.decide(event(number)).duplicate
        waiting = engine.stats["store"]["waiting"]
    assert waiting > 0
    with pytest.raises(frmcore.StoreFull, match="were forgotten"):
        engine.flush()
    assert not engine.decide(event(2_000)).durable
    with pytest.raises(frmcore.StoreFull):
        engine.close()
    with opened(tmp_path / "s", forgetful) as engine:
        last = 1_500 - waiting
        assert engine.stats["seq"] == last
        assert engine.decide(event(last - 1)).duplicate
        assert not engine.decide(event(last)).duplicate
        assert engine.decide(event(2_000)).durable


@pytest.mark.parametrize("features", [True, False])
def test_what_recovery_needs_is_never_trimmed(features: bool, tmp_path: Path) -> None:
    text = POLICY if features else POLICY[: POLICY.index("features:")] + POLICY[POLICY.index("rules:") :]
    text = text.replace("tries_1h > 3", "tries_1h > 3" if features else "missing(amount)").replace("{tries_1h} ", "")
    text += "limits: {ids_min: 20, ids_max: 20, horizon: 1s}\n"
    with opened(tmp_path / "s", text) as engine:
        for number in range(200):
            engine.decide(event(1_000 * number))
            if number % 10 == 9:
                engine.flush()
        flusher = engine._store.flusher  # type: ignore[union-attr]
        flusher.flush(whole=True)
        flusher.trim(1_000, 1_000)
        first = next(seq for _, seq, _ in engine._store.tail(0))  # type: ignore[union-attr]
        assert 100 < first <= 181
        before = engine.state_hash()
    with opened(tmp_path / "s", text) as engine:
        assert engine.state_hash() == before
        assert engine.decide(event(199_000)).duplicate


def test_small_flushes_make_large_stretches(tmp_path: Path) -> None:
    count = 300
    with opened(tmp_path / "store") as engine:
        for number in range(count):
            engine.decide(event(number))
            engine.flush()
        left = engine.state_hash()
        with engine._store._database.reading() as reader:
            assert reader.count(JOURNAL) < 40
        assert [seq for _, seq, _ in engine.tail()] == list(range(1, count + 1))
        assert engine.explain("e3").decision.event_id == "e3"
    assert verify(tmp_path / "store").problems == []
    with opened(tmp_path / "store") as engine:
        assert engine.state_hash() == left
        engine._store.flusher.trim(0, 1_000)
        for number in range(count, count + 300):  # of a run whose first stretches are gone
            engine.decide(event(number))
            engine.flush()
    assert verify(tmp_path / "store").problems == []


def test_another_tzdata_changes_nothing_that_is_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recovery takes the zones that the policy was loaded with; then the new ones are another policy."""
    text = POLICY.replace('over="1h")', 'over="today", tz="Europe/Berlin")', 1)
    with opened(tmp_path / "store", text) as engine:
        assert engine.decide(event(1)).policy == load(text).hash
        before, left = engine.policy.hash, engine.state_hash()
    plain = calls.load_zone

    def later(name: str) -> Zone | None:
        zone = plain(name)
        return zone and zone._replace(offset_ms=tuple(offset + 3_600_000 for offset in zone.offset_ms))

    monkeypatch.setattr(calls, "load_zone", later)
    assert load(text).hash != before
    monkeypatch.setattr(frmcore.Engine, "reload", lambda *_: None)
    with opened(tmp_path / "store", text) as engine:
        assert (engine.policy.hash, engine.state_hash()) == (before, left)
    monkeypatch.undo()
    monkeypatch.setattr(calls, "load_zone", later)
    with opened(tmp_path / "store", text) as engine:
        assert engine.policy.hash != before
        assert engine.explain("e1").decision.policy == before
    with viewing(tmp_path / "store") as view:
        assert [policy.content["hash"] for policy in view.policies] == [before, load(text).hash]
        assert view.policy(0)[0].hash == before


def test_a_store_has_one_owner(tmp_path: Path) -> None:
    match = f"open in process {os.getpid()}"
    with opened(tmp_path / "s"), pytest.raises(frmcore.StoreLocked, match=match):
        opened(tmp_path / "s")
    opened(tmp_path / "s").close()


def test_a_private_key_is_asked_for_and_checked(tmp_path: Path) -> None:
    text = POLICY.replace("account: {entity: account}", "account: {entity: account, private: true}")
    with pytest.raises(frmcore.StoreUnavailable, match="private_key"):
        opened(tmp_path / "s", text)
    with opened(tmp_path / "t", text, private_key=b"k" * 16) as engine:
        engine.decide(event(1, "canary-4711"))
    with pytest.raises(frmcore.StoreUnavailable, match="not the one"):
        opened(tmp_path / "t", text, private_key=b"x" * 16)
    assert not any(b"canary-4711" in path.read_bytes() for path in (tmp_path / "t").iterdir())


def test_records_come_in_order(tmp_path: Path) -> None:
    with opened(tmp_path / "s") as engine:
        for number in range(10):
            engine.decide(event(number))
        engine.flush()
        assert [seq for _, seq, _ in engine._store.tail(4)] == [5, 6, 7, 8, 9, 10]  # type: ignore[union-attr]


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 63, 64, 1_000])
def test_crc32c(size: int) -> None:
    data = bytes(i * 37 % 251 for i in range(size))
    assert crc32c(data) == crc32c_by_table(data)
    assert crc32c(b"123456789") == 0xE3069283  # the check value of RFC 3720
    assert crc32c(data[3:], crc32c(data[:3])) == crc32c(data)
