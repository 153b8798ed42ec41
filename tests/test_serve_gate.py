"""The quick way through an owner says what the slow way says; frames and values that are none harm nobody."""

from __future__ import annotations

import select
import socket
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from random import Random
from threading import Thread
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving import NOON, POLICY, Raw, event, serving

import frmcore
from frmcore._fast import Channel, Gate, packed_items, packed_result, packed_value
from frmcore.client.decision import Decision
from frmcore.serve.protocol import framed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SLOW = {"unheard_of": 1}  # an option that the gate does not take, and nobody else minds
encode, decode = msgspec.msgpack.encode, msgspec.msgpack.decode


# ---- both ways ---------------------------------------------------------------------------------------------------
def some_event(random: Random) -> bytes:
    """An event as a client might send it, or nearly: the bytes of a map."""
    fields: dict[str, Any] = event(
        random.randrange(80), account=f"a{random.randrange(5)}", card=f"c{random.randrange(9)}"
    )
    odd = [
        None, True, 0, -1, 2**63 - 1, 2**64 - 1, -(2**63), 1.5, float("inf"), float("nan"), "", "x" * 40, "é",
        "x" * 20_000, b"bytes", [1], {"a": [{}]}, "12.50", "10.0.0.9", "::1", "payment", "2025-10-09T12:00:01Z", "\x00",
        datetime(2025, 10, 9, 13, tzinfo=UTC),
    ]  # fmt: skip
    for _ in range(random.choice([0, 0, 0, 1, 1, 2])):
        fields[random.choice([*fields, "price", "weight", "vip", "ip", "unknown", ""])] = random.choice(odd)
    pairs = list(fields.items())
    if random.random() < 0.3:
        random.shuffle(pairs)
    if random.random() < 0.1:  # of two equal keys the last one counts
        pairs.append((random.choice(list(fields)), random.choice(odd)))
    if random.random() < 0.1:
        pairs.append((random.choice([7, None, b"id", (1, 2)]), 7))  # type: ignore[arg-type]
    body = b"".join(encode(key) + encode(value) for key, value in pairs)
    return b"\xde" + len(pairs).to_bytes(2, "big") + body


def some_request(random: Random, number: int) -> tuple[bytes, dict[str, Any]]:
    """A request up to its options, and the options."""
    point = random.choice([None, None, "checkout", "answered", "chekout"])
    options = {} if point is None else {"point": point}
    if random.random() < 0.6:
        return encode(number) + encode("decide") + some_event(random), options
    count = random.choice([0, 1, 3, 17])
    many = b"\xdc" + count.to_bytes(2, "big") + b"".join(some_event(random) for _ in range(count))
    return encode(number) + encode("decide_many") + many, options


@pytest.mark.parametrize("seed", range(3))
def test_both_ways_give_the_same_answers(seed: int, tmp_path: Path) -> None:
    random = Random(seed)
    with ExitStack() as stack:
        ways = []
        for name in ("quick", "slow"):
            (tmp_path / name).mkdir()
            engine, path = stack.enter_context(serving(tmp_path / name, key=bytes(16), private_key=bytes(16)))
            ways.append((engine, Raw(path)))
        for number in range(2, 800):
            head, options = some_request(random, number)
            answers = []
            for (_, client), said in zip(ways, (options, options | SLOW), strict=True):
                client.sock.sendall(framed(b"\x94" + head + encode(said)))
                answers.append(client.answer())
            assert answers[0] == answers[1], head
        stats = [engine.stats for engine, _ in ways]
        assert stats[0] == stats[1]
        assert stats[0]["decisions"] > 60
        assert sum(stats[0]["invalid"].values()) > 60
        assert stats[0]["conflicts"] > 20
        assert ways[0][0].state_hash() == ways[1][0].state_hash()


def test_a_text_that_is_no_utf_8(tmp_path: Path) -> None:
    with serving(tmp_path) as (engine, path):
        client = Raw(path)
        packed = encode([2, "decide", event(1, account="aXa")]).replace(b"aXa", b"a\xffa")
        client.sock.sendall(framed(packed))
        error = client.answer()[2]
        assert (error["error"], error["message"][:28]) == ("InvalidEvent", "not an event as MessagePack:")
        assert engine.stats["seq"] == 0


def test_answers_keep_the_order_of_their_requests(tmp_path: Path) -> None:
    """What the gate takes and what it does not, in one piece."""
    with serving(tmp_path) as (_, path):
        client = Raw(path)
        requests: list[tuple[Any, ...]] = []
        for number in range(2, 300, 5):
            requests += [
                (number, "decide", event(number)), (number + 1, "evaluate", event(number + 1)),
                (number + 2, "decide_many", [event(number + 2), event(number + 3)]), (number + 3, "ping"),
                (number + 4, "decide", {"id": "x"}),
            ]  # fmt: skip
        client.sock.sendall(b"".join(framed(encode(each)) for each in requests))
        assert [client.answer()[0] for _ in requests] == [each[0] for each in requests]


def test_answers_of_any_length(tmp_path: Path) -> None:
    """Each part of an answer comes to stand at the end of the buffer that it is written into."""
    with serving(tmp_path) as (_, path):
        for size in range(1, 250):
            client = Raw(path)  # whose buffer is a new one
            events = [event(number) | {"id": f"{number}-{size:0{size}}"} for number in range(12)]
            decided = client.ask(2, "decide_many", events)[1]["decisions"]
            assert [each["id"] for each in decided] == [each["id"] for each in events]
            client.close()


def test_a_batch_whose_answer_no_frame_takes(tmp_path: Path) -> None:
    policy = """
policy: long
version: 1
event: {id: id, time: ts, fields: {id: string, ts: timestamp, said: string}}
features: {a: said, b: lower(said)}
"""
    with serving(tmp_path) as (engine, path):
        engine.reload(policy)
        client = Raw(path)
        many = [{"id": f"l-{number}", "ts": NOON, "said": "x" * 16_000} for number in range(200)]
        error = client.ask(2, "decide_many", many)[2]
        assert error["error"] == "ProtocolError"
        assert "more than a frame takes" in error["message"]
        assert engine.stats["decisions"] == 200
        assert client.ask(3, "decide", many[0])[1]["duplicate"]


# ---- the poll ----------------------------------------------------------------------------------------------------
class Attended:
    """A gate that attends one client."""

    def __init__(self, engine: frmcore.Engine) -> None:
        ours, self.client = socket.socketpair()
        ours.setblocking(False)
        self._ours, self._poll = ours, select.epoll()
        self._poll.register(ours, select.EPOLLIN)
        self.settled: list[int] = []
        self.has_room = True
        self.gate = Gate(engine.unsettled(), lambda: self.has_room, self._refused, self.settled.append)
        self.channel = self.gate.channels[ours.fileno()] = Channel(ours.fileno(), 32_768)

    def _refused(self, number: int, error: Exception) -> bytes:
        return encode([number, None, str(error)])

    def attend(self, seconds: float = 0.05) -> bool:
        """Did something come that is not the gate's?"""
        others = self.gate.attend(self._poll.fileno(), seconds)
        assert {number for number, _ in others} <= {self._ours.fileno()}
        return bool(others)

    def end(self) -> None:
        for each in (self._ours, self.client, self._poll):
            each.close()


@pytest.fixture
def attended() -> Iterator[Attended]:
    with frmcore.Engine(None, policy=POLICY, clock=None) as engine:
        found = Attended(engine)
        yield found
        found.end()


def request(number: int, op: str = "decide", subject: Any = None) -> bytes:
    return framed(encode([number, op, event(number) if subject is None else subject]))


def answers(attended: Attended) -> list[Any]:
    data, found = attended.client.recv(1 << 20, socket.MSG_DONTWAIT), []
    while data:
        size = 4 + int.from_bytes(data[:4], "big")
        found.append(decode(data[4:size]))
        data = data[size:]
    return found


def test_decisions_are_the_gates(attended: Attended) -> None:
    attended.client.sendall(
        request(1) + request(2, "decide_many", [event(3), event(4)]) + request(5, subject={"id": "x", "kind": "login"})
    )
    assert not attended.attend()
    first, many, wrong = answers(attended)
    assert (first[1]["id"], [each["id"] for each in many[1]["decisions"]], wrong[:2]) == (
        "e-1",
        ["e-3", "e-4"],
        [5, None],
    )
    assert (attended.gate.decisions, attended.gate.batches, len(attended.settled)) == (2, 1, 1)


def test_what_stands_before_another_request_is_answered_first(attended: Attended) -> None:
    attended.client.sendall(request(1) + request(2, "ping") + request(3))
    assert attended.attend()
    assert [each[0] for each in answers(attended)] == [1]
    assert decode(attended.gate.serve(attended.channel) or b"")[:2] == [2, "ping"]


@pytest.mark.parametrize("cut", [1, 3, 4, 20, -1])
def test_a_part_of_a_frame_is_not(cut: int, attended: Attended) -> None:
    """Whoever owes the rest has some time for it, which is for others to watch."""
    attended.client.sendall(request(1) + request(2)[:cut])
    assert attended.attend()
    assert [each[0] for each in answers(attended)] == [1]
    attended.client.sendall(request(2)[cut:])
    assert attended.attend()  # still: where something was left before, it does not read
    assert attended.channel.read()
    assert attended.gate.serve(attended.channel) is None


def test_bytes_that_are_no_frame_are_not(attended: Attended) -> None:
    attended.client.sendall(request(1) + b"\0\0\0\0")
    assert attended.attend()
    attended.channel.flush()
    assert [each[0] for each in answers(attended)] == [1]
    with pytest.raises(frmcore.ProtocolError):
        attended.gate.serve(attended.channel)


def test_a_batch_without_room_is_not(attended: Attended) -> None:
    attended.has_room = False
    attended.client.sendall(request(1, "decide_many", [event(1)]))
    assert attended.attend()
    assert not attended.gate.batches


def test_answers_that_nobody_takes_are_not(attended: Attended) -> None:
    """They wait in the channel, and who owns it sees to that they are bounded."""
    seen = False
    for number in range(1, 2_000):
        attended.client.sendall(request(number))
        seen = attended.attend(0.001)
        if seen:
            break
    assert seen
    assert attended.channel.unsent
    attended.client.sendall(request(2_000))
    assert attended.attend()
    assert not attended.channel.untaken  # nothing was read: whether they make way is for one to watch


def test_an_end_is_not(attended: Attended) -> None:
    attended.client.close()
    assert attended.attend()
    assert not attended.channel.read()


def test_a_channel_that_was_closed_meanwhile_is_nobodys(attended: Attended) -> None:
    attended.client.sendall(request(1))
    attended.channel.close()
    assert attended.attend()
    assert not attended.gate.decisions


def test_attending_ends_with_its_time(attended: Attended) -> None:
    for seconds in (0.0, 0.02):
        started = time.monotonic()
        assert not attended.attend(seconds)
        assert seconds <= time.monotonic() - started < 5


def test_attending_ends_with_its_time_under_load_too(attended: Attended) -> None:
    until = time.monotonic() + 0.5
    thread = Thread(target=_asks, args=(attended.client, until))
    thread.start()
    assert not attended.attend(0.1)
    assert time.monotonic() < until
    while time.monotonic() < until:
        attended.attend(0.05)
    thread.join()
    assert attended.gate.decisions > 10


def _asks(client: socket.socket, until: float) -> None:
    number = 0
    while time.monotonic() < until - 0.1:
        number += 1
        client.sendall(request(number))
        client.recv(1 << 16)


# ---- frames ------------------------------------------------------------------------------------------------------
def test_who_takes_a_little_at_a_time_gets_all_of_it() -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    channel, payloads = Channel(ours.fileno(), 4096), [bytes([number % 256]) * 5_000 for number in range(400)]
    received = b""
    for payload in payloads:
        channel.put(payload)
        channel.flush()
        received += theirs.recv(3_000)
    assert channel.unsent
    while channel.unsent:
        received += theirs.recv(60_000)
        channel.flush()
    ours.close()
    while data := theirs.recv(1 << 20):
        received += data
    assert received == b"".join(framed(each) for each in payloads)


def test_a_closed_channel_touches_nobodys_descriptor() -> None:
    ours, theirs = socket.socketpair()
    channel = Channel(ours.fileno(), 4096)
    channel.close()
    theirs.send(framed(b"1"))
    with pytest.raises(OSError, match="Bad file descriptor"):
        channel.read()
    channel.put(b"2")
    with pytest.raises(OSError, match="Bad file descriptor"):
        channel.flush()
    with pytest.raises(OSError, match="Bad file descriptor"):
        channel.answer(0)
    assert ours.recv(100) == framed(b"1")


def test_signals_do_not_lengthen_a_wait() -> None:
    import signal

    ours, _theirs = socket.socketpair()
    rung: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, _: rung.append(number))
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    started = time.monotonic()
    try:
        with pytest.raises(TimeoutError):
            Channel(ours.fileno(), 4096).answer(started + 0.15)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert rung
    assert time.monotonic() - started < 5


# ---- what a client reads -----------------------------------------------------------------------------------------
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


quietly = settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@quietly
@given(st.dictionaries(st.text(min_size=1), plain), st.text(min_size=1))
def test_a_value_is_found_where_it_lies(pairs: dict[str, Any], other: str) -> None:
    packed = encode(pairs)
    for key in (*pairs, other):
        found = packed_value(packed, key.encode())
        assert (None if found is None else decode(found)) == pairs.get(key)
        assert (found is None) == (key not in pairs)


@quietly
@given(st.lists(plain), st.integers(0, 2**64 - 1))
def test_items_and_results_are_found(items: list[Any], number: int) -> None:
    found = packed_items(encode((number, {"decisions": items, "more": 1})), b"decisions")
    assert found is not None
    assert [decode(each) for each in found] == items
    assert packed_result(encode((number, items))) == encode(items)
    assert packed_result(encode((number, None, {"error": "E", "message": "m"}))) is None


@quietly
@given(st.binary())
def test_bytes_that_are_none_are_none(data: bytes) -> None:
    """Whatever is read of them lies within them."""
    for found in (packed_result(data), packed_value(data, b"id"), *(packed_items(data, b"decisions") or ())):
        assert found is None or found in data


def test_a_decision_reads_in_its_bytes() -> None:
    decision = Decision.of(id="e-1", outcome="block", score=7, fired=["a"], features={"x": 1})
    assert (decision.event_id, decision.outcome, decision.score, decision.fired) == ("e-1", "block", 7, ("a",))
    assert decision.features is decision.features
    assert decision.features["x"] == 1
    assert (decision.seq, decision.intended, decision.reasons) == (0, "block", [])
    assert decode(decision.packed())["outcome"] == "block"
    with pytest.raises(AttributeError):
        decision.outcome = "allow"  # type: ignore[misc]


def test_bytes_of_another_owner_are_no_decision() -> None:
    from frmcore.client import messages

    for answer in (b"\xc1", b"\x92\x01", b"", encode([1]), encode(7)):
        with pytest.raises(frmcore.ProtocolError):
            messages.decision(answer)
    with pytest.raises(frmcore.ProtocolError):
        messages.decisions(encode([1, {"decided": []}]))
