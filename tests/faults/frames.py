"""Frames that are none, or nearly: an owner answers with errors, ends the connection, and serves everybody else."""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path
from random import Random
from typing import Any

import msgspec
from serving import Raw, event, serving

import frmcore
from frmcore.serve.calls import Calls
from frmcore.serve.chores import Chores
from frmcore.serve.protocol import framed

CHECK_EVERY = 500
QUICK = ("decide", "decide_many")  # what an owner reads in C
AT_ONCE = 20  # frames of one connection that is spoilt on purpose


def main(count: int) -> int:
    random, sent, odd = Random(count), 0, 0
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as (engine, path):
        names = (*Calls(engine).by_name, *Chores(engine, lambda: None).by_name, "hello", "nothing")
        with frmcore.connect(path) as honest:
            while sent < count:
                odd += _spoilt(random, path, names)
                sent += AT_ONCE
                if sent % CHECK_EVERY < AT_ONCE:
                    assert honest.decide(event(sent, ts=1)).seq > 0
            stats = honest.stats
            refused = sum(stats["invalid"].values())
    print(f"{sent:,} frames, {refused:,} invalid events among them: {odd} answers that were none")
    return odd


def _spoilt(random: Random, path: Path, names: tuple[str, ...]) -> int:
    """Some frames on a connection of their own; how many answers could not be read."""
    client, odd = Raw(path), 0
    try:
        client.sock.sendall(b"".join(_frame(random, names, number) for number in range(AT_ONCE)))
        client.sock.shutdown(socket.SHUT_WR)
        while (answer := client.answer()) is not None:
            odd += not _is_answer(answer)
    except (BrokenPipeError, ConnectionResetError):
        pass  # the owner had enough before we were done
    except (msgspec.MsgspecError, TimeoutError):
        odd += 1
    finally:
        client.close()
    return odd


def _is_answer(answer: Any) -> bool:
    """Of the right form, and no error that nobody foresaw."""
    if not isinstance(answer, list) or len(answer) not in {2, 3}:
        return False
    if len(answer) == 2 or answer[2]["error"] != "FrmcoreError":
        return True
    print(answer)
    return False


def _frame(random: Random, names: tuple[str, ...], number: int) -> bytes:
    op = random.choice(QUICK) if random.random() < 0.5 else random.choice(names)
    request = [number + 2, op, _value(random, 0)]
    if random.random() < 0.5:
        request.append(random.choice([None, {"point": "checkout"}, {"strict": False}, _value(random, 0)]))
    if random.random() < 0.6:
        request[2] = [_event(random) for _ in range(random.randrange(4))] if op == "decide_many" else _event(random)
    payload = bytearray(msgspec.msgpack.encode(request))
    if random.random() < 0.3:
        for _ in range(random.randrange(1, 4)):
            payload[random.randrange(len(payload))] = random.randrange(256)
    if random.random() < 0.1:
        payload = payload[: random.randrange(1, len(payload) + 1)]
    whole = bytearray(framed(bytes(payload)))
    if random.random() < 0.02:
        whole[random.randrange(4)] = random.randrange(256)
    return bytes(whole)


def _event(random: Random) -> dict[str, Any]:
    odd = {random.choice(["amount", "ts", "id", "x"]): _value(random, 2)} if random.random() < 0.7 else {}
    return event(random.randrange(50), **odd)


def _value(random: Random, depth: int) -> Any:
    kind = random.randrange(9 if depth < 3 else 6)
    simple = [None, random.random() < 0.5, random.choice([0, 1, -1, 2**63 - 1, -(2**63), 2**64 - 1, random.random()]),
              "".join(chr(random.randrange(1, 900)) for _ in range(random.randrange(6))), random.randbytes(5),
              random.choice(["e-1", "a", "blocked", "c-1", "checkout", "point", "at", "fields", "values"])]  # fmt: skip
    if kind < 6:
        return simple[kind]
    if kind == 6:
        return [_value(random, depth + 1) for _ in range(random.randrange(4))]
    names = [
        "point",
        "at",
        "fields",
        "values",
        "start",
        "value",
        "strict",
        "final",
        "account",
        "card",
        "amount",
        "id",
        "ts",
    ]
    return {random.choice(names): _value(random, depth + 1) for _ in range(random.randrange(5))}
