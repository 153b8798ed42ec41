"""The owner's loop: one thread, one poll. What came in is decided, the disk is waited for once, all is answered."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import select
import sys
import time
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Final

import msgspec

from frmcore._fast import Decision, Gate
from frmcore.errors import FrmcoreError, OwnerUnavailable, ProtocolError
from frmcore.serve.answers import answer_of
from frmcore.serve.calls import RECORDING, Batch, Calls
from frmcore.serve.chores import Chores
from frmcore.serve.connection import Connection
from frmcore.serve.meter import RequestMeter
from frmcore.serve.protocol import BATCHES, CONNECTIONS_MAX, decode_request
from frmcore.serve.socketfile import identity, is_welcome, listen

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable
    from pathlib import Path

    from frmcore import Engine
    from frmcore.serve.protocol import Request

TICK_SECONDS: Final = 1.0  # between looks at who has had its time
HELD_SECONDS: Final = 0.005  # between looks for room in the journal, while batches wait for it
ENDING_SECONDS: Final = 0.01  # between looks at whether the slow operations are done, at the end
DRAIN_SECONDS: Final = 5.0  # after the last answer, for clients to take it
SWITCH_SECONDS: Final = 0.0005  # the loop gets the interpreter back that soon while a policy is compiled beside it

UNKNOWN: Final = "unknown"  # an operation

log = logging.getLogger("frmcore.serve")


Asked = tuple[Connection, int, str, Any]
"""A request that was carried out and waits for its answer: whose, its id, the operation, the result."""


class Server:
    """Serves one engine on a unix socket until `stop` is called, from a signal's handler or another thread."""

    def __init__(self, engine: Engine, path: Path) -> None:
        """Raises StoreUnavailable, StoreLocked."""
        self.engine, self.path = engine, path
        self.meter = RequestMeter()
        self._calls = Calls(engine)
        self._gate = Gate(engine.unsettled(), self._has_room, self._refused, self._settle)
        self._listener = listen(path)
        self._file = identity(path)
        self.reachable = True  # our socket is where clients look for it
        self._poll = select.epoll()
        self._wakeup = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._chores = Chores(engine, self._wake)
        self._connections: dict[int, Connection] = {}
        self._asked: list[Asked] = []
        self._answered: list[Asked] = []
        self._held: list[Connection] = []
        self._touched: set[Connection] = set()
        self._stopping = self._draining = False
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
    def stopping(self) -> bool:
        return self._stopping

    @property
    def connections(self) -> int:
        return len(self._connections)

    def run(self) -> None:
        """Until `stop`. The engine stays open."""
        before = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_SECONDS)
        try:
            while not self._stopping:
                self._round(self._gate.attend(self._poll.fileno(), HELD_SECONDS if self._held else TICK_SECONDS))
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
        if self._held:
            self._go_on()
        if self._chores.finished():
            self._collect()
        self._settle(started)
        self._flush()
        self.alive = time.monotonic()
        if self.alive - self._ticked > TICK_SECONDS:
            self._tick(self.alive)

    def _serve(self, connection: Connection, event: int) -> None:
        """What one client wants. It has its answers before the next one is looked at, unless all wait for the disk."""
        started = perf_counter_ns()
        if connection.held is not None and event & (select.EPOLLHUP | select.EPOLLERR):
            self._drop(connection)  # nobody waits for the batch any more
        elif connection.held is None and event & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
            self._read(connection)
        elif not event:  # the gate has read
            self._take_all(connection)
        if self.engine.waits:
            self._touched.add(connection)
        else:
            self._settle(started)
            self._send(connection)

    def _read(self, connection: Connection) -> None:
        try:
            is_there = connection.channel.read()
        except OSError:
            is_there = False
        if is_there:
            self._take_all(connection)
        else:
            self._drop(connection)

    def _take_all(self, connection: Connection) -> None:
        """The requests of one client that are here whole, up to a batch that has to wait."""
        before = connection.channel.untaken
        try:
            while connection.held is None and (frame := self._next(connection)) is not None:
                self._take(connection, frame)
        except (ProtocolError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            self._refuse(connection, error)
        connection.owe(anew=connection.channel.untaken < before)

    def _next(self, connection: Connection) -> bytes | None:
        """The next request that the gate does not take. Its answers go out at once, so those in front of them have to;
        where all wait for the disk together it has nothing to do."""
        if self.engine.waits or not connection.greeted:
            return connection.channel.take()
        self._put_answers()
        return self._gate.serve(connection.channel)

    def _refused(self, number: int, error: Exception) -> bytes:
        """The gate's answer to what it did not decide."""
        told = self._told(error)
        self.meter.count_error(told)
        return answer_of(number, told, None)

    def _has_room(self) -> bool:
        """Is there some in the journal for another batch? At the end all of them are answered."""
        return self._stopping or self.engine.has_room()

    def _take(self, connection: Connection, frame: bytes) -> None:
        """One request. Raises what ends the connection: a frame that is none."""
        request = decode_request(frame)
        if not connection.greeted:
            self._asked.append((connection, request.id, "hello", self._calls.hello(request)))
            connection.greet()
            if not self.engine.waits:
                self._gate.channels[connection.number] = connection.channel
        elif request.op in BATCHES and not self._has_room():
            connection.held = request
            self._held.append(connection)
        else:
            self._do(connection, request)

    def _do(self, connection: Connection, request: Request) -> None:
        call, op = self._calls.by_name.get(request.op), request.op
        try:
            if call is not None:
                self._asked.append((connection, request.id, op, call(request)))
            elif op in self._chores.by_name:
                if self._draining:
                    raise OwnerUnavailable("the owner ends")
                self._chores.put(connection, request)
            else:
                op = UNKNOWN  # what is counted, and named in metrics, is never of the client's making
                told = f"there is no operation {request.op[:40]!r}: is the client newer than this owner?"
                raise ProtocolError(told)
        except Exception as error:
            self._asked.append((connection, request.id, op, self._told(error)))

    def _go_on(self) -> None:
        """Batches that waited for room in the journal, each as soon as there is some; at the end all of them."""
        held, self._held = self._held, []
        for connection in held:
            request = connection.held
            if request is None or self._connections.get(connection.number) is not connection:
                continue
            if not self._has_room():
                self._held.append(connection)
                continue
            connection.held = None
            self._touched.add(connection)
            self._do(connection, request)
            self._take_all(connection)

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
            self.meter.count(done.request.op, perf_counter_ns() - done.asked_ns)
            result = self._told(done.result) if isinstance(done.result, Exception) else done.result
            self._asked.append((done.connection, done.request.id, done.request.op, result))
            self._touched.add(done.connection)

    def _settle(self, started: int) -> None:
        """The disk, where it has to be waited for, once; then the answers, counted."""
        failed = self._wait_for_disk(self._asked) if self.engine.waits else None
        self._put_answers(failed)
        gate, answered = self._gate, self._answered
        if not (answered or gate.decisions or gate.batches):
            return
        elapsed = perf_counter_ns() - started
        if gate.decisions:
            self.meter.count("decide", elapsed, gate.decisions)
        if gate.batches:
            self.meter.count("decide_many", elapsed, gate.batches)
        gate.decisions = gate.batches = 0
        for _, _, op, result in answered:
            if op not in self._chores.by_name:  # those were counted from when they were asked
                self.meter.count(op, elapsed)
            self.meter.count_error(result)
        answered.clear()

    def _put_answers(self, failed: FrmcoreError | None = None) -> None:
        for connection, number, op, result in self._asked:
            connection.channel.put(answer_of(number, result, failed if op in RECORDING else None))
        self._answered += self._asked
        self._asked.clear()

    def _wait_for_disk(self, asked: list[Asked]) -> FrmcoreError | None:
        if not any(op in RECORDING for _, _, op, _ in asked):
            return None
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
            self._send(connection)
        self._touched.clear()

    def _send(self, connection: Connection) -> None:
        """Answers out; a client that does not take them is not read from until it does."""
        if self._connections.get(connection.number) is not connection:  # a number may be somebody else's by now
            return
        try:
            connection.flush()
        except OSError:
            self._drop(connection)
            return
        if connection.ends:
            self._drop(connection)
            return
        reads = not (connection.is_full or connection.held or (self._stopping and not self._chores.at_work))
        writes = connection.channel.unsent > 0
        if (reads, writes) != (connection.reads, connection.writes):
            connection.reads, connection.writes = reads, writes
            self._poll.modify(connection.number, select.EPOLLIN * reads | select.EPOLLOUT * writes)

    # ---- who comes and goes -------------------------------------------------------------------------------------

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError as error:  # it is gone again; or it has to wait for somebody else's descriptor
            if error.errno in {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}:
                self._poll.modify(self._listener.fileno(), 0)  # until the next tick: it would be told of at once again
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
        connection.channel.put(answer_of(0, error, None))
        with contextlib.suppress(OSError):
            connection.flush()
        connection.close()

    def _refuse(self, connection: Connection, error: Exception) -> None:
        """What it sent is no frame, and nothing behind it can be understood: it is told why, and that was it."""
        told = error if isinstance(error, FrmcoreError) else ProtocolError(f"not a request: {error}")
        self._asked.append((connection, 0, UNKNOWN, told))
        self.meter.refused += 1
        connection.ends = True

    def _drop(self, connection: Connection) -> None:
        if self._connections.get(connection.number) is connection:
            del self._connections[connection.number]
            self._gate.channels.pop(connection.number, None)
            self._poll.unregister(connection.number)
        connection.close()

    def _tick(self, now: float) -> None:
        self._ticked = now
        if not self._stopping:
            self._poll.modify(self._listener.fileno(), select.EPOLLIN)
            self._look_at_file()
        for connection in list(self._connections.values()):
            if connection.is_overdue(now):
                self.meter.overdue += 1
                self._drop(connection)

    def _look_at_file(self) -> None:
        there = identity(self.path) == self._file
        if self.reachable and not there:
            log.error("the socket's file was taken away: nobody can connect any more", extra={"socket": str(self.path)})
        self.reachable = there

    # ---- the end ------------------------------------------------------------------------------------------------

    def _drain(self) -> None:
        """Nobody new; what lies in the sockets is still answered, and clients get some time to take it."""
        if identity(self.path) == self._file:  # while we listen still: afterwards it may be somebody else's
            self.path.unlink(missing_ok=True)
        self._poll.unregister(self._listener.fileno())
        self._listener.close()
        self._round([(number, select.EPOLLIN) for number in list(self._connections)])
        self._draining = True
        self._chores.end()
        while self._chores.at_work:  # what takes minutes keeps nobody from an answer meanwhile
            self._round(self._poll.poll(ENDING_SECONDS))
        self._round([])
        until = time.monotonic() + DRAIN_SECONDS
        while any(each.channel.unsent for each in self._connections.values()) and time.monotonic() < until:
            self._round(self._poll.poll(TICK_SECONDS / 10))

    def _close(self) -> None:
        for connection in list(self._connections.values()):
            self._drop(connection)
        self._listener.close()
        self._poll.close()
        wakeup, self._wakeup = self._wakeup, -1
        os.close(wakeup)
