"""Clients that mean harm, or die; owners that die. The short forms of `make serve-faults`, and each case by itself."""

from __future__ import annotations

import errno
import os
import signal
import socket
import stat
import struct
import time
from threading import Event, Thread
from typing import TYPE_CHECKING

import pytest
from serving import POLICY, Owner, Raw, event, eventually, served, serving
from shared import faults
from typer.testing import CliRunner

import frmcore
from frmcore.cli import app
from frmcore.client.messages import plain
from frmcore.limits import FRAME_BYTES_MAX
from frmcore.serve import connection, http, server, socketfile
from frmcore.serve.http import CONNECTIONS_MAX, Watch, serve_http
from frmcore.serve.protocol import framed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

GONE = "the socket's file was taken away: nobody can connect any more"


def test_owners_and_clients_are_killed() -> None:
    said = faults("owner", 12)
    assert "0 lost, 0 twice, 0 different, 0 reports missing, 0 calls over" in said


def test_frames_that_are_none() -> None:
    assert "0 answers that were none" in faults("frames", 5_000)


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (b"\x00\x00\x00\x00", "a frame of 0 bytes"),
        (b"GET / HTTP/1.1\r\n\r\n", "a frame of 1,195,725,856 bytes"),
        ((FRAME_BYTES_MAX + 1).to_bytes(4, "big"), "a frame of 4,194,305 bytes"),
        (framed(b"\xc1"), "not a request"),
        (framed(b"\x93\xff\xa1a\xc0"), "not a request"),
        (framed(b"\x80"), "not a request"),
    ],
)
def test_what_is_no_request_ends_the_connection_with_a_reason(sent: bytes, told: str, tmp_path: Path) -> None:
    with serving(tmp_path) as (_, path):
        client = Raw(path)
        client.send(2, "decide", event(1))
        client.sock.sendall(sent)
        assert client.answer()[1]["outcome"] == "allow"  # what came before is answered
        number, _, error = client.answer()
        assert (number, error["error"]) == (0, "ProtocolError")
        assert told in error["message"]
        assert client.answer() is None


def test_requests_of_another_form_are_refused_and_the_connection_goes_on(tmp_path: Path) -> None:
    with serving(tmp_path) as (_, path):
        client = Raw(path)
        assert "no operation 'decyde'" in client.ask(2, "decyde", {})[2]["message"]
        assert client.ask(3, "decide", event(1), {"point": 7})[2]["error"] == "UnknownName"
        assert client.ask(4, "decide_many", [event(1)] * 300)[2]["error"] == "ProtocolError"
        assert client.ask(5, "features", [1])[2]["error"] == "ProtocolError"
        assert client.ask(5, "features", {"at": "x"})[2]["error"] == "ProtocolError"
        assert client.ask(6, "decide", "text")[2]["error"] == "InvalidEvent"
        assert client.ask(7, "ping") == [7, None]


@pytest.mark.parametrize("end", ["half", "whole"])
def test_what_a_client_asked_before_its_end_is_carried_out(end: str, tmp_path: Path) -> None:
    with serving(tmp_path) as (engine, path):
        for number in range(1, 41):
            client = Raw(path)
            client.ask(2, "decide", event(number))
            client.send(3, "decide", event(number + 100))
            client.send(4, "update", f"e-{number}", {"fields": {"status": "approved"}})
            client.send(5, "observe", event(number + 200))
            if end == "half":
                client.sock.shutdown(socket.SHUT_WR)
                assert [client.answer()[0] for _ in range(3)] == [3, 4, 5]
                assert client.answer() is None
            client.close()
        eventually(lambda: engine.stats["observed"] == 40)
        assert (engine.stats["updates"], engine.stats["decisions"]) == (40, 80)


def test_another_version_is_told_so(tmp_path: Path) -> None:
    with serving(tmp_path) as (_, path):
        for first in ([1, "hello", {"protocol": 2}], [1, "decide", event(1)]):
            client = Raw(path, greet=False)
            assert "speaks protocol 1" in client.ask(*first)[2]["message"]
            assert client.answer() is None
        (tmp_path / "other").unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(tmp_path / "other"))
            other.listen()
            thread = Thread(target=_speak_http, args=(other,))
            thread.start()
            with pytest.raises(frmcore.ProtocolError, match="socket of an frmcore owner"):
                frmcore.connect(tmp_path / "other").health()
            thread.join()


def _speak_http(listener: socket.socket) -> None:
    with listener.accept()[0] as peer:
        peer.recv(1_000)
        peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        peer.recv(1)


def test_a_client_that_does_not_read_is_not_read_from(tmp_path: Path) -> None:
    with serving(tmp_path) as (engine, path), frmcore.connect(path) as honest:
        greedy = Raw(path)
        greedy.sock.settimeout(0.5)
        many = framed(b"\x93\x02\xabdecide_many" + b"\xdc\x00\x40" + b"".join([_packed(n) for n in range(64)]))
        sent = 0
        with pytest.raises(TimeoutError):
            for _ in range(2_000):
                sent += greedy.sock.send(many)
        before = engine.stats["duplicates"]
        for number in range(200):
            assert honest.decide(event(10_000 + number)).seq
        assert engine.stats["duplicates"] == before
        assert sent < 8_000_000


def _packed(number: int) -> bytes:
    import msgspec

    return msgspec.msgpack.encode(event(number))


def test_a_flood_leaves_the_others_their_turn(tmp_path: Path) -> None:
    with serving(tmp_path) as (_, path), frmcore.connect(path) as honest:
        stop = [False]

        def flood() -> None:
            with frmcore.connect(path) as client:
                while not stop[0]:
                    client.decide_many(event(number) for number in range(512))

        thread = Thread(target=flood)
        thread.start()
        try:
            times = []
            for number in range(100):
                started = time.perf_counter()
                honest.decide(event(10_000 + number))
                times.append(time.perf_counter() - started)
        finally:
            stop[0] = True
            thread.join()
        assert sorted(times)[90] < 0.5


def test_unfinished_frames_and_silent_clients_have_their_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HELLO_SECONDS", 0.3)
    monkeypatch.setattr(server, "TICK_SECONDS", 0.1)
    with serving(tmp_path) as (_, path):
        half, silent, idle = Raw(path), Raw(path, greet=False), Raw(path)
        half.sock.sendall(framed(b"\x91")[:-1])
        assert half.answer() is None
        assert silent.answer() is None
        assert idle.ask(2, "ping") == [2, None]  # who said hello may be quiet for as long as it likes


def test_connections_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "CONNECTIONS_MAX", 3)
    with serving(tmp_path) as (_, path):
        kept = [Raw(path) for _ in range(3)]
        refused = Raw(path, greet=False)
        assert refused.answer()[2]["error"] == "OwnerUnavailable"
        with pytest.raises(frmcore.OwnerUnavailable, match="3 connections are open"):
            frmcore.connect(path, timeout=0.5).health()
        kept[0].close()
        assert frmcore.connect(path).health()["ready"]


def test_other_users_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(tmp_path) as (_, path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        monkeypatch.setattr(server, "is_welcome", lambda _: False)
        assert "its own user" in Raw(path, greet=False).answer()[2]["message"]
    left, right = socket.socketpair()
    assert socketfile.is_welcome(left)
    monkeypatch.setattr(os, "geteuid", lambda: 12_345)
    assert socketfile.is_welcome(right) == (os.getuid() == 0)


def test_the_file_of_a_dead_owner_is_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with serving(tmp_path), frmcore.connect(path) as client:
        assert client.health()["ready"]
        with pytest.raises(frmcore.StoreLocked, match="another process listens"):
            socketfile.listen(path)
    assert not path.exists()
    path.write_text("mine")
    with pytest.raises(frmcore.StoreUnavailable, match="no socket"):
        socketfile.listen(path)
    with pytest.raises(frmcore.StoreUnavailable, match="107 bytes"):
        socketfile.listen(tmp_path / ("x" * 120))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_owner_ends_gracefully(number: int, tmp_path: Path) -> None:
    with Owner(tmp_path) as owner:
        client = Raw(owner.store / "socket")
        for request in range(200):
            client.send(request + 2, "decide", event(request))
        said = owner.stop(number)
        answers = 0
        while (answer := client.answer()) is not None:
            answers += 1
            assert answer[1]["durable"]
        assert answers == 200
        assert '"operations": 200' in said.splitlines()[-1]
        assert not (owner.store / "socket").exists()


def test_a_second_signal_does_no_harm(tmp_path: Path) -> None:
    with frmcore.Engine(None, policy=POLICY) as engine:
        ended = server.Server(engine, tmp_path / "socket")
        ended.stop()
        ended.run()
        ended.stop()  # its descriptor is somebody else's by now
        assert not (tmp_path / "socket").exists()


def test_clients_are_answered_while_a_long_operation_ends(tmp_path: Path) -> None:
    ends = Event()
    with serving(tmp_path) as (_, path), frmcore.connect(path) as client:
        owner, watch, other = served(), Watch(), Raw(path)
        watch.server = owner
        owner._chores.by_name["snapshot"] = lambda _: ends.wait(10)
        other.send(2, "snapshot", "/x")
        client.decide(event(1))
        owner.stop()
        eventually(lambda: owner._draining)
        assert client.decide(event(2), within_ms=2_000).seq == 2
        assert watch.ready() == (False, {"ready": False, "state": "ending"})
        assert watch.alive()[0]
        with pytest.raises(frmcore.OwnerUnavailable, match="the owner ends"):
            wire = client._pool._take(0)
            plain(wire.call(("health",), time.monotonic() + 5))
        ends.set()
        assert other.answer() == [2, True]


def test_a_socket_that_was_taken_away_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server, "TICK_SECONDS", 0.02)
    with serving(tmp_path) as (_, path), socket.socket(socket.AF_UNIX) as other:
        watch = Watch()
        watch.server = served()
        assert watch.ready()[0]
        path.unlink()
        other.bind(str(path))
        eventually(lambda: not watch.ready()[0])
        time.sleep(0.1)
        assert [record.message for record in caplog.records].count(GONE) == 1
    path.unlink()  # it is somebody else's: the owner let it be


def test_an_event_that_no_frame_takes(tmp_path: Path) -> None:
    with serving(tmp_path) as (_, path), frmcore.connect(path) as client:
        with pytest.raises(frmcore.InvalidEvent, match="at most 4,194,304"):
            client.decide(event(1, account="x" * FRAME_BYTES_MAX), otherwise="review")
        assert client.stats["fallbacks"]["given"] == 0


def test_an_owner_comes_back_with_what_it_answered(tmp_path: Path) -> None:
    with Owner(tmp_path) as owner, frmcore.connect(owner.store, timeout=30) as client:
        seqs = [client.decide(event(number)).seq for number in range(50)]
        owner.kill()
        owner.start()
        again = [client.decide(event(number)) for number in range(50)]  # waits for the owner, on new connections
        assert [each.seq for each in again] == seqs
        assert all(each.duplicate for each in again)
        eventually(lambda: client.stats["store"]["recovered"]["operations"] >= 50)


def test_power_waits_once_for_all_that_came_together(tmp_path: Path) -> None:
    with Owner(tmp_path, "--durability", "power") as owner, frmcore.connect(owner.store, timeout=30) as client:
        decided = client.decide_many(event(number) for number in range(640))
        assert all(each.durable for each in decided)
        store = client.stats["store"]
        assert store["commits"] < 100
        assert store["synced"] >= decided[-1].seq


def test_what_metrics_name_is_never_a_clients_word(tmp_path: Path) -> None:
    with serving(tmp_path) as (_, path):
        client = Raw(path)
        for number in range(2, 50):
            assert client.ask(number, f'op{number}"}} 1\n', None)[2]["error"] == "ProtocolError"
        Raw(path).sock.sendall(framed(b"\xc1"))
        eventually(lambda: served().meter.refused == 1)
        eventually(lambda: set(served().meter.seconds) == {"hello", "unknown"})


def test_a_report_that_is_wrong_counts_nothing(tmp_path: Path) -> None:
    with serving(tmp_path) as (engine, path):
        client = Raw(path)
        assert client.ask(2, "report", event(1), {"final": "blok"})[2]["field"] == "final"
        assert client.ask(3, "report", event(1))[2]["field"] == "final"
        assert engine.stats["seq"] == 0
        assert "duplicate" not in client.ask(4, "decide", event(1))[1]


def test_a_report_of_what_the_owner_had_decided_says_what_took_effect(tmp_path: Path) -> None:
    """The owner was too slow with its answer: the event counts once, and the client's outcome is its final."""
    with serving(tmp_path) as (engine, path):
        client = Raw(path)
        assert client.ask(2, "decide", event(1))[1]["outcome"] == "allow"
        for number in (3, 4):  # told twice: a connection broke
            said = client.ask(number, "report", event(1), {"final": "block", "at": event(1)["ts"] + 5})[1]
            assert said["duplicate"]
        assert (engine.stats["updates"], served().fallbacks) == (1, {"block": 1})
        assert engine.explain("e-1").final == "block"
        assert engine.features(account="a", at=event(1)["ts"] + 10)["spend"] == 0
        assert client.ask(5, "report", event(1, amount=7), {"final": "block"})[2]["error"] == "EventConflict"


@pytest.mark.parametrize("ends", [Owner.kill, Owner.stop])
def test_a_report_that_the_owner_did_not_live_to_answer_counts_once(
    ends: Callable[[Owner], object], tmp_path: Path
) -> None:
    with Owner(tmp_path) as owner:
        told = {"final": "block", "at": event(1)["ts"] + 5}
        with frmcore.connect(owner.store, timeout=30) as client:
            Raw(owner.store / "socket").send(2, "report", event(1), told)
            eventually(lambda: client.stats["updates"] == 1)
            before = client.state_hash()
        ends(owner)
        owner.start().wait_ready()
        with frmcore.connect(owner.store, timeout=30) as client:
            raw = Raw(owner.store / "socket")
            assert raw.ask(2, "report", event(1), told)[1]["duplicate"]
            assert (client.stats["updates"], client.state_hash()) == (1, before)
            raw.ask(3, "report", event(1), {**told, "at": told["at"] + 1})  # that is another fact
            assert (client.stats["updates"], client.explain("e-1").final) == (2, "block")


def test_a_report_is_known_again_under_a_policy_with_other_outcomes(tmp_path: Path) -> None:
    told = {"final": "block", "at": event(1)["ts"] + 5}
    with serving(tmp_path, path=tmp_path / "store") as (_, path):
        Raw(path).ask(2, "report", event(1), told)
    other = POLICY.replace("version: 1", "version: 2\noutcomes: [allow, challenge, review, block]")
    with serving(tmp_path, path=tmp_path / "store", policy=other) as (engine, path):
        seq = engine.stats["seq"]
        client = Raw(path)
        client.ask(2, "report", event(1), told)
        assert engine.stats["seq"] == seq
        client.ask(3, "report", event(1), {**told, "final": "challenge"})
        assert (engine.stats["seq"], engine.explain("e-1").final) == (seq + 1, "challenge")


def test_a_report_that_says_what_was_decided_is_told_once_too(tmp_path: Path) -> None:
    with serving(tmp_path) as (engine, path):
        client = Raw(path)
        for number in (2, 3):
            client.ask(number, "report", event(1), {"final": "allow", "at": event(1)["ts"]})
            served()._calls._reported.clear()  # as a new owner has none
            assert engine.stats["updates"] == 1


def test_an_answer_that_came_too_late_is_no_batchs(tmp_path: Path) -> None:
    with Owner(tmp_path) as owner, frmcore.connect(owner.store, timeout=30) as client:
        client.decide(event(1))
        owner.pause()
        with pytest.raises(frmcore.OwnerUnavailable):
            client.decide(event(2), within_ms=20)
        owner.go_on()
        assert [each.event_id for each in client.decide_many([event(3), event(4)])] == ["e-3", "e-4"]
        assert client.decide(event(5)).event_id == "e-5"


def test_a_failing_disk_keeps_nobody_from_asking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = frmcore.StoreOptions(durability="power", on_store_failure="raise")
    with serving(tmp_path, path=tmp_path / "store", store=options) as (engine, path):
        Raw(path).ask(2, "decide", event(1))
        assert engine._store is not None
        monkeypatch.setattr(engine._store.flusher, "failure", frmcore.StoreFull("no room"))
        monkeypatch.setattr(type(engine._store.flusher), "wait", lambda *_: False)
        client = Raw(path)
        for number, op, subject in [(2, "ping", None), (3, "features", {"account": "a"}), (4, "evaluate", event(2))]:
            assert len(client.ask(number, op, subject)) == 2, op
        assert client.ask(5, "health")[1]["ready"] is False
        assert client.ask(6, "decide", event(2))[2]["error"] == "StoreFull"
        assert "no room" in CliRunner().invoke(app, ["top", str(path), "--once", "--every", "0.1"]).stdout
        monkeypatch.undo()


def test_batches_wait_for_room_in_the_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(tmp_path) as (engine, path):
        room = [False]
        monkeypatch.setattr(engine, "has_room", lambda: room[0])
        held, gone, other = Raw(path), Raw(path), Raw(path)
        held.send(2, "decide_many", [event(1), event(2)])
        held.send(3, "ping")
        gone.send(2, "decide_many", [event(3)])
        gone.close()
        assert other.ask(2, "decide", event(10))[1]["seq"] == 1  # one event is decided as ever
        time.sleep(0.05)
        assert engine.stats["seq"] == 1
        room[0] = True
        assert [each["seq"] for each in held.answer()[1]["decisions"]] == [2, 3]
        assert held.answer() == [3, None]
        room[0] = False
        held.send(4, "decide_many", [event(4)])
        held.send(5, "ping")
        assert other.ask(3, "ping") == [3, None]
    assert [held.answer()[0] for _ in range(2)] == [4, 5]  # what was accepted is answered at the end


def test_a_store_makes_room_for_batches(tmp_path: Path) -> None:
    options = frmcore.StoreOptions(ring_bytes=1 << 20, flush_ms=10_000)
    with serving(tmp_path, path=tmp_path / "store", store=options) as (engine, path), frmcore.connect(path) as client:
        for start in range(0, 12_000, 3_000):
            client.decide_many(event(number, account=f"a{number}") for number in range(start, start + 3_000))
            assert engine.stats["store"]["spilled"] == 0


def test_no_descriptors_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "TICK_SECONDS", 0.2)
    with serving(tmp_path) as (_, path):
        first, listener = Raw(path), served()._listener
        asked = []

        class Exhausted:
            def __getattr__(self, name: str) -> object:
                return getattr(listener, name)

            def accept(self) -> object:
                asked.append(1)
                raise OSError(errno.EMFILE, "too many open files")

        monkeypatch.setattr(served(), "_listener", Exhausted())
        second = socket.socket(socket.AF_UNIX)
        second.connect(str(path))
        until = time.monotonic() + 0.5
        while time.monotonic() < until:
            assert first.ask(2, "ping") == [2, None]
        assert 1 <= len(asked) < 10  # it does not spin
        monkeypatch.undo()
        assert Raw(path).ask(2, "ping") == [2, None]


def test_clients_of_http_are_bounded_and_their_leaving_is_no_news(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    port = serve_http("127.0.0.1", 0, Watch())
    idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(CONNECTIONS_MAX)]
    with socket.create_connection(("127.0.0.1", port)) as other:
        assert other.recv(100) == b""  # sent off
    monkeypatch.setattr(http, "REQUEST_SECONDS", 0.0)  # they had their time, and make way
    with socket.create_connection(("127.0.0.1", port)) as other:
        other.sendall(b"GET /health HTTP/1.0\r\n\r\n")
        assert other.recv(100).startswith(b"HTTP/1.0 200")
    reset = struct.pack("ii", 1, 0)
    for each in idle:
        each.sendall(b"GET /metr")
        each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
        each.close()

    def answers() -> bool:
        with socket.create_connection(("127.0.0.1", port)) as one:
            one.sendall(b"GET /health HTTP/1.0\r\n\r\n")
            try:
                return one.recv(100).startswith(b"HTTP/1.0 200")
            except ConnectionResetError:
                return False

    eventually(answers)
    assert "Traceback" not in capfd.readouterr().err
