"""Commands of other processes: applied once, in order, by the engine that has the store open; answered."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from store_cases import POLICY, PRIVATE_KEY, SECOND, event, killed, opened

import frmcore
from frmcore import StoreOptions
from frmcore._fast import record_content, record_head
from frmcore.commands import visiting
from frmcore.errors import InvalidEvent, ReadOnlyList, StoreFull, StoreLocked, StoreUnavailable, UnknownName
from frmcore.policy import load
from frmcore.policy.stored import contents, digest, digests
from frmcore.store.database import Put
from frmcore.store.inbox import Command, Result, Sender
from frmcore.store.layout import INBOX, OPERATIONS, RecordType
from frmcore.store.verify import verify

if TYPE_CHECKING:
    from pathlib import Path

QUICK = StoreOptions(flush_ms=10, ring_bytes=1 << 16)
OTHER = """
import sys
from frmcore.commands import visiting
store, name, action, value, wait = sys.argv[1:]
with visiting(store, wait=float(wait)) as visit:
    try:
        print(visit.change_list(name, action, value.split(",")))
    except Exception as error:
        print(type(error).__name__, error)
"""


def other(store: Path, name: str, action: str, value: str, wait: float = 10.0) -> str:
    """Another process's attempt at a list."""
    command = [sys.executable, "-c", OTHER, str(store), name, action, value, str(wait)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def sent(store: Path, *commands: Command, texts: dict[str, str] | None = None) -> list[bytes]:
    """Left while nobody has the store open."""
    with Sender(store) as sender:
        return [sender.send(command, texts) for command in commands]


def results(engine: frmcore.Engine) -> dict[bytes, Result]:
    import msgspec

    with engine._store._database.reading() as reader:
        return {
            key[1:]: msgspec.msgpack.decode(value, type=Result)
            for key, value in reader.items(INBOX)
            if key.startswith(b"r")
        }


def process(engine: frmcore.Engine) -> None:
    engine._store._inbox.process()


def list_records(engine: frmcore.Engine) -> list[dict[str, Any]]:
    engine.flush()
    with engine._store._database.reading() as reader:
        records = [value for _, value in reader.items(OPERATIONS)]
    return [record_content(record) for record in records if record_head(record)[1] == RecordType.LIST]


# -- two processes -----------------------------------------------------------------------------------------------------
def test_a_card_is_blocked_now_by_another_process(tmp_path: Path) -> None:
    with opened(tmp_path / "store", store=QUICK) as engine:
        assert engine.decide(event(1)).outcome == "allow"
        assert other(tmp_path / "store", "blocked", "add", "a2,a3") == "2"
        assert engine.decide(event(2)).outcome == "block"
        assert other(tmp_path / "store", "blocked", "remove", "a2,a4") == "1"
        assert engine.decide(event(7)).outcome == "allow"
        assert other(tmp_path / "store", "bocked", "add", "a2").startswith(
            "UnknownName the policy has no list 'bocked'"
        )
        assert other(tmp_path / "store", "nets", "add", "10.0.0.1/8").startswith("InvalidEvent")
        assert engine.state_hash()
        process(engine)
        assert results(engine) == {}  # each was fetched
    assert verify(tmp_path / "store").problems == []
    with opened(tmp_path / "store") as engine:
        assert list(engine.lists["blocked"]) == ["a3"]


def test_who_does_not_get_an_answer_is_told_what_happens(tmp_path: Path) -> None:
    with opened(tmp_path / "store") as engine:  # does not flush by itself
        said = other(tmp_path / "store", "blocked", "add", "a9", wait=0.1)
        assert "StoreUnavailable" in said
        assert "takes effect as soon as" in said
        assert "a9" not in engine.lists["blocked"]
        process(engine)
        assert "a9" in engine.lists["blocked"]


@pytest.mark.parametrize("durability", ["process", "power", "none"])
def test_in_every_mode(tmp_path: Path, durability: Any) -> None:
    """With "power" the change waits for a commit, which the thread that applies it must make itself."""
    options = StoreOptions(durability=durability, flush_ms=10, ring_bytes=1 << 16)
    opened(tmp_path / "store", store=options).close()
    reload = load(SECOND)
    texts = {digest(text): text for text in contents(reload).values()}
    commands = (Command("add", "blocked", ("a1",)), Command("reload", files=digests(reload)))
    sent(tmp_path / "store", *commands, texts=texts)
    with opened(tmp_path / "store", store=options) as engine:
        until = time.monotonic() + 10
        while len(results(engine)) < 2 and time.monotonic() < until:
            time.sleep(0.01)
        assert [result.error for result in results(engine).values()] == ["", ""]
        assert "a1" in engine.lists["blocked"]
        assert engine.policy.version == "2"
        engine.decide(event(1))


# -- once --------------------------------------------------------------------------------------------------------------
def test_commands_that_wait_are_applied_in_order(tmp_path: Path) -> None:
    opened(tmp_path / "store").close()
    actions = [("add", ("x", "y")), ("remove", ("x",)), ("add", ("z",)), ("remove", ("y", "nope"))]
    tokens = sent(tmp_path / "store", *(Command(action, "blocked", values) for action, values in actions))  # type: ignore[arg-type]
    with opened(tmp_path / "store") as engine:
        process(engine)
        assert list(engine.lists["blocked"]) == ["z"]
        assert [results(engine)[token].changed for token in tokens] == [2, 1, 1, 1]
        assert [content["command"] for content in list_records(engine)] == [token.hex() for token in tokens]


@pytest.mark.parametrize("flushed", [True, False])
def test_a_crash_between_applying_and_answering_applies_nothing_twice(
    tmp_path: Path, flushed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(tmp_path / "store").close()
    (token,) = sent(tmp_path / "store", Command("add", "blocked", ("x",), reason="r"))
    engine = opened(tmp_path / "store")
    store = engine._store

    def full(*_: object, **__: object) -> None:
        raise StoreFull("no room")

    with monkeypatch.context() as patch:
        if flushed:
            patch.setattr(store._inbox, "_database", Failing(store._database, full))
        else:
            patch.setattr(store._inbox, "_flusher", Failing(store.flusher, full))
        with pytest.raises(StoreFull):
            process(engine)
        with pytest.raises(StoreFull):  # tried again, applied once all the same
            process(engine)
    engine.lists["blocked"].remove("x")
    killed(engine, tmp_path / "crashed")
    with opened(tmp_path / "crashed") as again:
        process(again)
        assert [content["action"] for content in list_records(again)] == ["add", "remove"]
        assert "x" not in again.lists["blocked"]
        assert results(again)[token] == Result()
    process(engine)
    assert results(engine)[token] == Result(1)
    engine.close()


class Failing:
    """Reads, but neither flushes nor commits."""

    def __init__(self, real: Any, fail: Any) -> None:
        self.reading, self.flush, self.commit = getattr(real, "reading", None), fail, fail


def test_a_reload_that_is_in_force_already_changes_nothing(tmp_path: Path) -> None:
    opened(tmp_path / "store").close()
    policy = load(SECOND)
    texts = {digest(text): text for text in contents(policy).values()}
    command = Command("reload", files=digests(policy))
    first, second = sent(tmp_path / "store", command, command, texts=texts)
    with opened(tmp_path / "store") as engine:
        process(engine)
        assert (results(engine)[first].changed, results(engine)[second].changed) == (1, 0)
        assert engine.policy.hash == policy.hash


# -- what is wrong with a command --------------------------------------------------------------------------------------
def test_bad_commands_are_answered_and_do_not_stop_the_others(tmp_path: Path) -> None:
    opened(tmp_path / "store").close()
    with Sender(tmp_path / "store") as sender:
        sender._database.commit([Put(INBOX, b"c" + bytes(15) + b"\1", b"no command")])
    tokens = sent(
        tmp_path / "store",
        Command("add", "nope", ("x",)),
        Command("add", "blocked", ("",)),
        Command("add", "blocked", ("x",), expires="soon"),
        Command("reload", files={"a.yaml": "00" * 32}),
        Command("reload", files={"../a.yaml": digest(POLICY)}),
        Command("reload", files={"a.yaml": "xyz"}),
        Command("add", "blocked", ("fine",)),
    )
    with opened(tmp_path / "store") as engine:
        process(engine)
        found = results(engine)
        assert [found[token].error for token in tokens] == [
            "UnknownName", "InvalidEvent", "InvalidEvent", "StoreDamaged", "ValueError", "ValueError", "",
        ]  # fmt: skip
        assert found[bytes(15) + b"\1"].error == "FrmcoreError"
        assert list(engine.lists["blocked"]) == ["fine"]
        with pytest.raises(UnknownName, match="its lists"):
            found[tokens[0]].told()


def test_old_results_are_let_go(tmp_path: Path) -> None:
    opened(tmp_path / "store").close()
    with Sender(tmp_path / "store") as sender:
        ages = (7200, 10)
        keys = [b"r" + (time.time_ns() - age * 10**9).to_bytes(8, "big") + bytes(8) for age in ages]
        sender._database.commit([Put(INBOX, key, b"\x80") for key in keys])
        token = sender.send(Command("add", "blocked", ("x",)))
    with opened(tmp_path / "store") as engine:
        process(engine)
        assert results(engine).keys() == {keys[1][1:], token}


# -- nobody has it open ------------------------------------------------------------------------------------------------
def test_a_closed_store_is_opened_for_the_change(tmp_path: Path) -> None:
    with opened(tmp_path / "store") as engine:
        engine.decide(event(1))
        with pytest.raises(StoreUnavailable, match=r"ask its Engine"), visiting(tmp_path / "store"):
            pass
    with pytest.raises(StoreUnavailable, match="private_key"), visiting(tmp_path / "store"):
        pass
    with visiting(tmp_path / "store", private_key=PRIVATE_KEY) as visit:
        assert visit.change_list("blocked", "add", ["x", "y"], reason="r", expires="1d") == 2
        assert visit.change_list("blocked", "add", ["x", "z"]) == 1
        with pytest.raises(InvalidEvent):
            visit.change_list("nets", "add", ["nonsense"])
        assert visit.reload(load(SECOND))
        assert not visit.reload(load(SECOND))
    with opened(tmp_path / "store", SECOND) as engine:
        assert sorted(engine.lists["blocked"]) == ["x", "y", "z"]
        assert engine.policy.version == "2"


def test_errors_travel() -> None:
    for error in (InvalidEvent, ReadOnlyList, StoreLocked):
        with pytest.raises(error, match="said so"):
            Result(0, error.__name__, "said so").told()
    for name in ("PolicyError", "ValueError", "TYPE_CHECKING", "nonsense"):
        with pytest.raises(frmcore.FrmcoreError, match="said so"):
            Result(0, name, "said so").told()
    assert Result(3).told() == 3
