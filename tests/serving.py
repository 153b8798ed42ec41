"""Owners for tests: one in a thread of this process, one as the real command."""

from __future__ import annotations

import gc
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from threading import Thread
from typing import TYPE_CHECKING, Any

import msgspec
from shared import ROOT

import frmcore
from frmcore.serve.protocol import framed
from frmcore.serve.server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOON = 1_760_011_200_000
POLICY = """\
policy: shop
version: 1
event:
  id: id
  time: ts
  kind: kind
  retry_may_change: [ts]
  fields:
    id: string
    ts: timestamp
    kind: {type: enum, values: [payment, login]}
    account: {entity: account}
    card: {entity: card, optional: true}
    ip: {type: ip, entity: ip, optional: true}
    price: {type: decimal, scale: 2, optional: true}
    weight: {type: float, optional: true}
    vip: {type: bool, optional: true}
    amount: {type: money, currency: EUR}
  updates:
    status: {type: enum, values: [pending, approved, declined], default: pending}
points:
  checkout: {score: {review: 50}}
  answered: {after: checkout}
lists:
  blocked: {of: card}
  fixed: {of: card, values: [c-0]}
  nets: {of: ip, match: network}
features:
  tries: count(by=card, over="10m")
  spend: sum(amount, by=account, over="24h", where=status != "declined" and final != "block")
  usual: mean(amount, by=account, over="30d", closed="left")
  blocks: count(by=account, over="24h", where=final == "block")
  cost: price
  heavy: weight
  is_vip: vip
  from_ip: ip
  last_kind: last(kind, by=account)
rules:
  - {id: listed, when: card in blocked, outcome: block, actions: [call], reason: the card is listed}
  - {id: net, when: ip in nets, score: 10}
  - {id: many, point: checkout, when: tries >= 3, score: 60, reason: "{tries} tries"}
  - {id: big, when: amount > 5 * usual, mode: shadow, outcome: review}
  - {id: declined, point: answered, when: status == "declined", outcome: review, reason: the issuer said no}
"""


def event(number: int, **fields: Any) -> dict[str, Any]:
    return {"id": f"e-{number}", "ts": NOON + number, "kind": "payment", "account": "a", "amount": 100, **fields}


@contextmanager
def serving(tmp_path: Path, **options: Any) -> Iterator[tuple[frmcore.Engine, Path]]:
    """An engine in memory (or options of one), served by a thread."""
    with frmcore.Engine(options.pop("path", None), **{"policy": POLICY, "clock": None, **options}) as engine:
        server = Server(engine, tmp_path / "socket")
        thread = Thread(target=server.run)
        thread.start()
        try:
            yield engine, tmp_path / "socket"
        finally:
            server.stop()
            thread.join(20)
            assert not thread.is_alive()


def served() -> Server:
    """The server that `serving` runs."""
    return next(each for each in gc.get_objects() if isinstance(each, Server) and each.path.is_socket())


class Owner:
    """`frmcore serve`, as a process."""

    def __init__(self, folder: Path, *options: str, policy: str = POLICY) -> None:
        self.store = folder / "store"
        self._policy = folder / "policy.yaml"
        self._policy.write_text(policy)
        self._options = options
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Owner:
        code = "from frmcore.cli import main; main()"
        command = [sys.executable, "-c", code, "serve", str(self.store), "--policy", str(self._policy), *self._options]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
        return self

    def wait_ready(self, seconds: float = 30) -> Owner:
        with frmcore.connect(self.store, timeout=seconds) as client:
            client.health()
        return self

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def pause(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def stop(self, number: int = signal.SIGTERM) -> str:
        """Ends it as an operator does; what it logged."""
        assert self.process is not None
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=30)
        assert self.process.returncode == 0, said
        return said.decode()

    def __enter__(self) -> Owner:
        return self.start().wait_ready()

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()
        if self.process is not None and self.process.stderr is not None:
            self.process.stderr.close()


class Raw:
    """A client that says what it likes."""

    def __init__(self, path: Path, *, greet: bool = True) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        self.sock.connect(str(path))
        self._data = b""
        if greet:
            self.ask(1, "hello", {"protocol": 1})

    def send(self, *request: Any) -> None:
        self.sock.sendall(framed(msgspec.msgpack.encode(request)))

    def answer(self) -> Any:
        while len(self._data) < 4 or len(self._data) < 4 + int.from_bytes(self._data[:4], "big"):
            data = self.sock.recv(65_536)
            if not data:
                return None
            self._data += data
        size = 4 + int.from_bytes(self._data[:4], "big")
        payload, self._data = self._data[4:size], self._data[size:]
        return msgspec.msgpack.decode(payload)

    def ask(self, *request: Any) -> Any:
        self.send(*request)
        return self.answer()

    def close(self) -> None:
        self.sock.close()


def eventually(true: Any, seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it did not come true"
        time.sleep(0.01)
