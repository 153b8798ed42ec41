"""The owner's loop: one thread, one poll. What came in is decided, the disk is waited for once, all is answered."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import sys
import time
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Final

import msgspec

from frmcore._fast import Decision
from frmcore.errors import FrmcoreError, OwnerUnavailable, ProtocolError
from frmcore.serve.calls import Batch, Calls
from frmcore.serve.chores import Chores
from frmcore.serve.connection import Connection
from frmcore.serve.meter import RequestMeter, error_in
from frmcore.serve.protocol import CONNECTIONS_MAX, FRAME_BYTES_MAX, Failure, decode_request, failure_of
from frmcore.serve.socketfile import is_welcome, listen

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable
    from pathlib import Path

    from frmcore import Engine

TICK_SECONDS: Final = 1.0  # between looks at who has had its time
DRAIN_SECONDS: Final = 5.0  # after the last answer, for clients to take it
SWITCH_SECONDS: Final = 0.0005  # the loop gets the interpreter back that soon while a policy is compiled beside it

log = logging.getLogger("frmcore.serve")


Asked = tuple[Connection, int, str, Any]
"""A request that was carried out and waits for its answer: whose, its id, the operation, the result."""


def _packed(value: object) -> object:
    """What MessagePack has no form for."""
    if isinstance(value, Decision):
        return msgspec.Raw(value.packed())
    raise TypeError(f"{type(value).__name__} can't be sent")


_encode: Final = msgspec.msgpack.Encoder(enc_hook=_packed).encode


def _answer(number: int, result: Any, failed: FrmcoreError | None) -> bytes:
    """A request's answer. `failed`: what became of the disk that all were to survive on."""
    if type(result) is Decision and failed is None:
        return _encode((number, msgspec.Raw(result.packed())))
    error = error_in(result) or failed
    if error is not None:
        return _encode((number, None, failure_of(error)))
    try:
        payload = _encode((number, result))
    except (TypeError, ValueError, OverflowError) as wrong:
        return _encode((number, None, Failure("FrmcoreError", f"the answer can't be sent: {wrong}")))
    if len(payload) > FRAME_BYTES_MAX:
        told = f"the answer has {len(payload):,} bytes, more than a frame takes: ask for less at once"
        return _encode((number, None, Failure("ProtocolError", told)))
    return payload


class Server:
    """Serves one engine on a unix socket until `stop` is called, from a signal's handler or another thread."""

    def __init__(self, engine: Engine, path: Path) -> None:
        """Raises StoreUnavailable, StoreLocked."""
        self.engine, self.path = engine, path
        self.meter = RequestMeter()
        self._calls = Calls(engine)
        self._listener = listen(path)
        self._poll = select.epoll()
        self._wakeup = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._chores = Chores(engine, self._wake)
        self._connections: dict[int, Connection] = {}
        self._asked: list[Asked] = []
        self._touched: set[Connection] = set()
        self._stopping = False
        self._ticked = self.alive = time.monotonic()
        self._poll.register(self._listener.fileno(), select.EPOLLIN)
        self._poll.register(self._wakeup, select.EPOLLIN)

    def stop(self) -> None:
        """Ends `run` once what was accepted is answered. Safe in a signal's handler."""
        self._stopping = True
        self._wake()

    def _wake(self) -> None:
        if self._wakeup >= 0:  # a second signal may come when the loop has ended
            os.eventfd_write(self._wakeup, 1)

    @property
    def fallbacks(self) -> Counter[str]:
        """Events that clients settled by themselves and told us of, by outcome."""
        return self._calls.fallbacks

    @property
    def connections(self) -> int:
        return len(self._connections)

    def run(self) -> None:
        """Until `stop`. The engine stays open."""
        before = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_SECONDS)
        try:
            while not self._stopping:
                self._round(self._poll.poll(TICK_SECONDS))
            self._drain()
        finally:
            sys.setswitchinterval(before)
            self._close()

    # ---- a round ------------------------------------------------------------------------------------------------

    def _round(self, events: Iterable[tuple[int, int]]) -> None:
        started = perf_counter_ns()
        for number, event in events:
            connection = self._connections.get(number)
            if connection is not None:
                self._serve(connection, event)
            elif number == self._wakeup:
                os.eventfd_read(self._wakeup)
            else:
                self._accept()
        if self._chores.finished():
            self._collect()
        if self._asked:
            self._settle(started)
        self._flush()
        self.alive = time.monotonic()
        if self.alive - self._ticked > TICK_SECONDS:
            self._tick(self.alive)

    def _serve(self, connection: Connection, event: int) -> None:
        self._touched.add(connection)
        if not event & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
            return
        try:
            frames = connection.read()
            if frames is None:
                self._drop(connection)
                return
            for frame in frames:
                self._take(connection, frame)
        except OSError:
            self._drop(connection)
        except (ProtocolError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            self._refuse(connection, error)

    def _take(self, connection: Connection, frame: bytes) -> None:
        """One request. Raises what ends the connection: a frame that is none."""
        request = decode_request(frame)
        if not connection.greeted:
            self._asked.append((connection, request.id, "hello", self._calls.hello(request)))
            connection.greet()
            return
        call = self._calls.by_name.get(request.op)
        try:
            if call is not None:
                self._asked.append((connection, request.id, request.op, call(request)))
            elif request.op in self._chores.by_name:
                self._chores.put(connection, request)
            else:
                raise ProtocolError(f"there is no operation {request.op[:40]!r}: is the client newer than this owner?")
        except Exception as error:
            self._asked.append((connection, request.id, request.op, self._told(error)))

    def _told(self, error: Exception) -> Exception:
        """What the client is told of an error; one that nobody foresaw goes to the log too, without the request."""
        if isinstance(error, msgspec.MsgspecError | UnicodeDecodeError):
            return ProtocolError(f"the request's subject or options are of another form: {error}")
        if not isinstance(error, FrmcoreError | ValueError | OSError):
            log.error("a request failed", extra={"error": type(error).__name__}, exc_info=error)
        return error

    def _collect(self) -> None:
        """What the chores' thread has done since."""
        finished = self._chores.finished()
        while finished:
            done = finished.popleft()
            done.connection.chores -= 1
            result = self._told(done.result) if isinstance(done.result, Exception) else done.result
            self._asked.append((done.connection, done.request.id, done.request.op, result))
            self._touched.add(done.connection)

    def _settle(self, started: int) -> None:
        """The disk, where it has to be waited for, once; then the answers."""
        asked, self._asked = self._asked, []
        failed = self._wait_for_disk(asked) if self.engine.waits else None
        for connection, number, _, result in asked:
            connection.answer(_answer(number, result, failed))
        elapsed = perf_counter_ns() - started
        for _, _, op, result in asked:
            self.meter.count(op, result, elapsed)

    def _wait_for_disk(self, asked: list[Asked]) -> FrmcoreError | None:
        made: list[Decision] = []
        for _, _, _, result in asked:
            if isinstance(result, Decision):
                made.append(result)
            elif isinstance(result, Batch):
                made += result.decisions
        try:
            self.engine.settle(made)
        except FrmcoreError as error:
            return error
        return None

    def _flush(self) -> None:
        for connection in self._touched:
            if self._connections.get(connection.number) is connection:  # a number may be somebody else's by now
                self._send(connection)
        self._touched.clear()

    def _send(self, connection: Connection) -> None:
        """Answers out; a client that does not take them is not read from until it does."""
        try:
            connection.flush()
        except OSError:
            self._drop(connection)
            return
        if connection.ends:
            self._drop(connection)
            return
        reads, writes = not connection.is_full and not self._stopping, connection.unread > 0
        if (reads, writes) != (connection.reads, connection.writes):
            connection.reads, connection.writes = reads, writes
            self._poll.modify(connection.number, select.EPOLLIN * reads | select.EPOLLOUT * writes)

    # ---- who comes and goes -------------------------------------------------------------------------------------

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError:  # it is gone again, or there are no descriptors left: the next one may fare better
            return
        connection = Connection(sock)
        if not is_welcome(sock):
            self._send_off(connection, ProtocolError("the owner serves its own user, and root"))
        elif len(self._connections) >= CONNECTIONS_MAX:
            told = f"{CONNECTIONS_MAX} connections are open already: share them, or close some"
            self._send_off(connection, OwnerUnavailable(told))
        else:
            self._connections[connection.number] = connection
            self._poll.register(connection.number, select.EPOLLIN)

    def _send_off(self, connection: Connection, error: Exception) -> None:
        self.meter.refused += 1
        connection.answer(_answer(0, error, None))
        with contextlib.suppress(OSError):
            connection.flush()
        connection.sock.close()

    def _refuse(self, connection: Connection, error: Exception) -> None:
        """What it sent is no frame, and nothing behind it can be understood: it is told why, and that was it."""
        told = error if isinstance(error, FrmcoreError) else ProtocolError(f"not a request: {error}")
        self._asked.append((connection, 0, "", told))
        self.meter.refused += 1
        connection.ends = True

    def _drop(self, connection: Connection) -> None:
        if self._connections.get(connection.number) is connection:
            del self._connections[connection.number]
            self._poll.unregister(connection.number)
        connection.sock.close()

    def _tick(self, now: float) -> None:
        self._ticked = now
        for connection in list(self._connections.values()):
            if connection.is_overdue(now):
                self.meter.overdue += 1
                self._drop(connection)

    # ---- the end ------------------------------------------------------------------------------------------------

    def _drain(self) -> None:
        """Nobody new; what lies in the sockets is still answered, and clients get some time to take it."""
        self._poll.unregister(self._listener.fileno())
        self._listener.close()
        self.path.unlink(missing_ok=True)
        self._round([(number, select.EPOLLIN) for number in list(self._connections)])
        self._chores.stop()
        self._round([])
        until = time.monotonic() + DRAIN_SECONDS
        while any(each.unread for each in self._connections.values()) and time.monotonic() < until:
            self._round(self._poll.poll(TICK_SECONDS / 10))

    def _close(self) -> None:
        for connection in list(self._connections.values()):
            self._drop(connection)
        self._listener.close()
        self._poll.close()
        wakeup, self._wakeup = self._wakeup, -1
        os.close(wakeup)
