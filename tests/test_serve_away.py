"""The owner away, slow, or no owner at all: what clients do by themselves, and whose connection is whose."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
from serving import POLICY, Owner, Raw, event, eventually, served, serving
from shared import ROOT

import frmcore
import frmcore.aio
from frmcore.client.fallback import Report
from frmcore.client.messages import packed
from frmcore.client.pool import IDLE_MAX
from frmcore.engine import system_clock
from frmcore.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from frmcore.client.client import Client
    from frmcore.client.decision import Decision

LONGER = POLICY.replace("version: 1", "version: 2\noutcomes: [allow, challenge, review, block]")


def told(client: Client) -> dict[str, int]:
    """What became of its reports, once none waits."""
    eventually(lambda: not client._reporter.counts()["waiting"])
    return client._reporter.counts()


def by_both(path: Path | str, *given: Any, **named: Any) -> list[Decision]:
    """`decide` of both clients."""

    async def decide() -> Decision:
        client = await frmcore.aio.connect(path)
        try:
            return await client.decide(*given, **named)
        finally:
            await client.close(0)

    client = frmcore.connect(path)
    try:
        return [client.decide(*given, **named), asyncio.run(decide())]
    finally:
        client.close(0)


class Thief:
    """Stands between clients and an owner, and keeps the answer to the first update."""

    def __init__(self, path: Path, owner: Path) -> None:
        self._owner, self.stolen = owner, 0
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                theirs, _ = self._listener.accept()
            except OSError:  # it was ended
                return
            with theirs, socket.socket(socket.AF_UNIX) as ours:
                ours.connect(str(self._owner))
                while frame := _frame(theirs):
                    ours.sendall(frame)
                    answer = _frame(ours)
                    if b"update" in frame and not self.stolen:
                        self.stolen += 1
                        break
                    theirs.sendall(answer)

    def end(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def _frame(sock: socket.socket) -> bytes:
    head = sock.recv(4, socket.MSG_WAITALL)
    return head + sock.recv(int.from_bytes(head, "big"), socket.MSG_WAITALL)


# ---- reports -----------------------------------------------------------------------------------------------------
def test_a_report_is_of_the_event_as_it_was(tmp_path: Path) -> None:
    client, mine = frmcore.connect(tmp_path / "socket"), event(1)
    assert client.decide(mine, within_ms=5, otherwise="block").fallback
    mine |= {"id": "e-2", "amount": 7}  # the caller goes on with its dict
    with serving(tmp_path) as (engine, _):
        assert told(client)["reported"] == 1
        assert engine.explain("e-1").fields["amount"] == 100
        with pytest.raises(frmcore.UnknownEvent):
            engine.explain("e-2")


def test_a_report_that_is_refused_keeps_none_behind_it_waiting(tmp_path: Path) -> None:
    with serving(tmp_path) as (engine, path), frmcore.connect(path) as client:
        calls = served()._calls.by_name
        report = calls["report"]

        def refuse_one(_: Any) -> Any:
            calls["report"] = report
            raise ProtocolError("of another form")

        calls["report"] = refuse_one
        for number in (1, 2):
            client._reporter.add(Report(packed(event(number)), None, "block", event(number)["ts"]))
        counts = told(client)
        assert (counts["reported"], counts["refused"]) == (1, 1)
        assert engine.explain("e-2").final == "block"


def test_reports_of_a_process_that_ends_are_sent_first(tmp_path: Path) -> None:
    code = (
        "import sys, frmcore; from serving import event;"
        "print(frmcore.connect(sys.argv[1]).decide(event(1), within_ms=20, otherwise='block').outcome, flush=True)"
    )
    with Owner(tmp_path) as owner, frmcore.connect(owner.store, timeout=30) as client:
        owner.pause()
        paths = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
        with subprocess.Popen(
            [sys.executable, "-c", code, str(owner.store)], env=paths, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"block\n"
            owner.go_on()
        assert process.returncode == 0
        assert client.explain("e-1").final == "block"


# ---- the caller's choice -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("at", [None, event(1)["ts"] + 5])
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_an_update_whose_answer_got_lost_is_told_once(kind: str, at: int | None, tmp_path: Path) -> None:
    async def update() -> None:
        async with await frmcore.aio.connect(tmp_path / "thief") as client:
            await client.update("e-1", at=at, status="declined")

    with serving(tmp_path, clock=system_clock) as (engine, path):
        thief = Thief(tmp_path / "thief", path)
        engine.decide(event(1))
        if kind == "async":
            asyncio.run(update())
        else:
            with frmcore.connect(tmp_path / "thief") as client:
                client.update("e-1", at=at, status="declined")
        thief.end()
        assert (thief.stolen, engine.stats["updates"]) == (1, 1)


def test_an_update_that_is_sent_again_yields_to_what_was_told_meanwhile(tmp_path: Path) -> None:
    first, later = event(1)["ts"] + 5, event(1)["ts"] + 9
    with serving(tmp_path) as (engine, path):
        engine.decide(event(1))
        client = Raw(path)
        again = {"fields": {"status": "declined"}, "again": first}
        client.ask(2, "update", "e-1", again)  # the owner has not heard of it
        client.ask(3, "update", "e-1", {"fields": {"status": "approved"}, "at": later})
        client.ask(4, "update", "e-1", again)
        assert (engine.stats["updates"], engine._core.known_now("e-1")["status"]) == (3, "approved")
        assert client.ask(5, "update", "e-1", {"fields": {}, "again": first})[2]["error"] == "InvalidEvent"


def test_a_path_that_none_can_be_gives_the_callers_choice() -> None:
    assert all(each.fallback for each in by_both("x" * 300, event(1), within_ms=20, otherwise="allow"))


def test_no_descriptor_left_gives_the_callers_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = frmcore.connect(tmp_path / "socket")

    def exhausted(*_: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(socket, "socket", exhausted)
    assert client.decide(event(1), within_ms=20, otherwise="allow").fallback
    with pytest.raises(frmcore.OwnerUnavailable, match="Too many open files"):
        client.decide(event(1), within_ms=20)
    client.close(0)


def test_no_thread_to_be_had_gives_the_callers_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = frmcore.connect(tmp_path / "socket")

    def refuse(_: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as exhausted:
        exhausted.setattr(Thread, "start", refuse)
        assert client.decide(event(1), within_ms=5, otherwise="allow").fallback
    assert client.decide(event(2), within_ms=5, otherwise="allow").fallback
    with serving(tmp_path):
        assert told(client)["reported"] == 2


@pytest.mark.parametrize("said", [b"\x00\x00\x00\x01\x90", b"\x00\x00\x00\x00", b"\x00\x00\x00\x02\x92\xc3"])
def test_answers_without_an_id_give_the_callers_choice(said: bytes, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "socket"))
        other.listen()

        def answer() -> None:
            for _ in range(2):
                other.accept()[0].sendall(said)

        thread = Thread(target=answer)
        thread.start()
        assert all(each.fallback for each in by_both(tmp_path, event(1), within_ms=300, otherwise="allow"))
        thread.join()


def test_outcomes_are_those_of_the_policy_in_force(tmp_path: Path) -> None:
    async def ask(path: Path) -> None:
        async with await frmcore.aio.connect(path) as client:
            await client.decide(event(3))
            engine.reload(LONGER)
            assert not (await client.decide(event(4), otherwise="challenge")).fallback
            with pytest.raises(ValueError, match="allow, challenge, review, block"):
                await client.decide(event(5), otherwise="chalenge")

    with serving(tmp_path) as (engine, path):
        client = frmcore.connect(path)
        client.decide(event(1))
        engine.reload(LONGER)
        assert not client.decide(event(2), otherwise="challenge").fallback
        with pytest.raises(ValueError, match="allow, challenge, review, block"):
            client.decide(event(2), otherwise="chalenge")
        engine.reload(POLICY)
        asyncio.run(ask(path))
    given = client.decide(event(7), within_ms=20, otherwise="rather not")  # nobody says that it is none
    assert (given.fallback, given.outcome) == (True, "rather not")
    client.close(0)


def test_the_greeting_is_part_of_the_calls_time(tmp_path: Path) -> None:
    with Owner(tmp_path) as owner, frmcore.connect(owner.store) as client:
        client.decide(event(1))
        owner.pause()
        started = time.monotonic()
        assert client.decide(event(2), within_ms=400, otherwise="challenge").fallback
        assert time.monotonic() - started < 0.75  # not twice
        owner.go_on()


def test_times_that_are_none(tmp_path: Path) -> None:
    client = frmcore.connect(tmp_path)
    with pytest.raises(ValueError, match="within_ms: expected milliseconds, got nan"):
        client.decide(event(1), within_ms=float("nan"), otherwise="allow")
    for seconds in (0, float("nan")):
        with pytest.raises(ValueError, match="timeout: expected seconds above 0"):
            frmcore.connect(tmp_path, timeout=seconds)
        with pytest.raises(ValueError, match="timeout: expected seconds above 0"):
            asyncio.run(frmcore.aio.connect(tmp_path, timeout=seconds))


def test_what_can_not_be_sent_is_named(tmp_path: Path) -> None:
    with serving(tmp_path) as (_, path), frmcore.connect(path) as client:
        with pytest.raises(frmcore.InvalidEvent) as caught:
            client.update("e-1", status=object())
        assert caught.value.field == "status"
        with pytest.raises(TypeError):
            client.decide_json(5)  # type: ignore[arg-type]


# ---- whose connection it is --------------------------------------------------------------------------------------
def in_a_child(work: Callable[[], object]) -> int:
    """The exit status of a forked process that does it: 0, or that of an exception or of 5 seconds without an end."""
    child = os.fork()
    if not child:
        signal.alarm(5)
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_fork_while_a_report_is_taken_in_hangs_nobody(tmp_path: Path) -> None:
    client = frmcore.connect(tmp_path / "socket")
    with client._reporter._lock:  # another thread has it
        assert in_a_child(lambda: client.decide(event(1), within_ms=5, otherwise="allow")) == 0


def test_a_fork_that_only_c_knows_of_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(tmp_path) as (_, path), frmcore.connect(path) as client:
        client.decide(event(1))
        (parents,) = client._pool._idle
        monkeypatch.setattr(os, "getpid", lambda: -1)
        assert client.decide(event(2)).event_id == "e-2"
        assert parents not in client._pool._idle


def test_a_child_of_an_async_client_takes_none_of_its_parents_answers(tmp_path: Path) -> None:
    async def work(path: Path) -> None:
        client = await frmcore.aio.connect(path)
        await client.decide(event(0))

        def ask() -> None:
            asyncio.events._set_running_loop(None)
            assert asyncio.run(client.decide(event(2))).event_id == "e-2"

        assert in_a_child(ask) == 0
        assert (await client.decide(event(1))).event_id == "e-1"
        await client.close()

    with serving(tmp_path) as (_, path):
        asyncio.run(work(path))


def test_an_async_client_serves_one_loop_after_another(tmp_path: Path) -> None:
    with serving(tmp_path) as (_, path):
        client = asyncio.run(frmcore.aio.connect(path))
        assert [asyncio.run(client.decide(event(number), within_ms=2_000)).seq for number in (1, 2)] == [1, 2]
        asyncio.run(client.close())


def test_batches_that_wait_for_room_keep_no_single_event_waiting(tmp_path: Path) -> None:
    async def work(path: Path) -> None:
        async with await frmcore.aio.connect(path) as client:
            many = asyncio.create_task(client.decide_many([event(1), event(2)]))
            await asyncio.sleep(0.05)
            assert not (await client.decide(event(3), within_ms=2_000, otherwise="review")).fallback
            room.append(True)
            assert len(await many) == 2

    room: list[bool] = []
    with serving(tmp_path) as (engine, path), pytest.MonkeyPatch.context() as patched:
        patched.setattr(engine, "has_room", lambda: bool(room))
        asyncio.run(work(path))


def test_a_client_keeps_few_connections(tmp_path: Path) -> None:
    with serving(tmp_path) as (_, path), frmcore.connect(path) as client:
        pool = client._pool
        for wire in [pool._take(time.monotonic() + 5) for _ in range(IDLE_MAX + 5)]:
            pool._put(wire)
        assert len(pool._idle) == IDLE_MAX
        eventually(lambda: served().connections == IDLE_MAX)
