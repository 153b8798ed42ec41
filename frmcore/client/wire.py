"""One connection to the owner, used by one call at a time."""

from __future__ import annotations

import select
import socket
import time
from typing import TYPE_CHECKING, Final

from frmcore.client.messages import GREETING, id_of, numbered, welcome
from frmcore.errors import ProtocolError
from frmcore.serve.protocol import FRAME_BYTES_MAX, HEAD_BYTES, framed

if TYPE_CHECKING:
    from collections.abc import Sequence

READ_BYTES: Final = 256 << 10
LEAST_SECONDS: Final = 1e-6  # a timeout of 0 would mean something else
WINDOW: Final = 4  # frames whose answers are awaited at once: the owner works on one while the next is on its way


class Gone(Exception):
    """The connection ended, or its time is over: `slow` says which. The call may be tried on another connection."""

    def __init__(self, reason: str, *, slow: bool = False) -> None:
        self.slow = slow
        super().__init__(reason)


def too_slow() -> Gone:
    return Gone("the owner did not answer in time", slow=True)


class Wire:
    """A greeted connection. After a Gone that is not `slow` it is closed; after a slow one only an answer is owed."""

    def __init__(self, path: str, deadline: float) -> None:
        """deadline: by time.monotonic(). Raises Gone, ProtocolError, OwnerUnavailable."""
        self._sock = socket.socket(socket.AF_UNIX)
        self._buffer = b""
        self._next = 0
        try:
            self._within(deadline)
            self._sock.connect(path)
            self.welcome = welcome(self.call(numbered(self.number(), GREETING), deadline))
        except OSError as error:
            self.close()
            raise Gone(f"{path}: {error.strerror or error}") from None
        except BaseException:
            self.close()
            raise

    def number(self) -> int:
        """The id of the next request."""
        self._next += 1
        return self._next

    def close(self) -> None:
        self._sock.close()

    @property
    def is_open(self) -> bool:
        return self._sock.fileno() >= 0

    def call(self, payload: bytes, deadline: float) -> bytes:
        """The answer to the request that was numbered last; answers that came too late for earlier ones are let go.

        Raises Gone, ProtocolError."""
        try:
            self._send(framed(payload), deadline)
            while True:
                answer = self._receive(deadline)
                number = id_of(answer)
                if number in {self._next, 0}:
                    return answer
        except (TimeoutError, BlockingIOError):
            raise too_slow() from None
        except OSError as error:
            raise Gone(error.strerror or str(error)) from None

    def call_many(self, payloads: Sequence[bytes], deadline: float) -> list[bytes]:
        """The answers to several requests, in their order, a few of them on their way at any time. Raises Gone."""
        answers: list[bytes] = []
        unsent = b""
        sent = 0
        try:
            while len(answers) < len(payloads):
                while sent < len(payloads) and sent - len(answers) < WINDOW:
                    unsent += framed(payloads[sent])
                    sent += 1
                if unsent:
                    unsent = self._push(unsent, deadline)
                while (answer := self._taken()) is not None:
                    if id_of(answer) == 0:
                        return [answer]
                    answers.append(answer)
                if not unsent and len(answers) < sent and len(answers) < len(payloads):
                    self._fill(deadline)
        except (TimeoutError, BlockingIOError):
            self.close()
            raise too_slow() from None
        except OSError as error:
            raise Gone(error.strerror or str(error)) from None
        return answers

    # Sends what the owner takes, and reads what it says meanwhile: it may wait for us to read before it takes more.
    def _push(self, data: bytes, deadline: float) -> bytes:
        poll = select.poll()
        poll.register(self._sock, select.POLLIN | select.POLLOUT)
        left = deadline - time.monotonic()
        ready = poll.poll(max(left, 0) * 1000)
        if not ready:
            raise TimeoutError
        event = ready[0][1]
        if event & (select.POLLIN | select.POLLHUP | select.POLLERR):
            self._fill(deadline)
        if event & select.POLLOUT:
            return data[self._sock.send(data, socket.MSG_DONTWAIT) :]
        return data

    def _send(self, data: bytes, deadline: float) -> None:
        """All of it, or the connection is no good any more."""
        self._within(deadline)
        sent = 0
        try:
            sent = self._sock.send(data)
            while sent < len(data):
                self._within(deadline)
                sent += self._sock.send(data[sent:])
        except OSError:
            if sent:
                self.close()
            raise

    def _receive(self, deadline: float) -> bytes:
        while (answer := self._taken()) is None:
            self._fill(deadline)
        return answer

    def _taken(self) -> bytes | None:
        """The next whole answer of what was read."""
        buffer = self._buffer
        if len(buffer) < HEAD_BYTES:
            return None
        end = HEAD_BYTES + int.from_bytes(buffer[:HEAD_BYTES], "big")
        if end > HEAD_BYTES + FRAME_BYTES_MAX:
            self.close()
            raise ProtocolError(f"a frame of {end:,} bytes: is this the socket of an frmcore owner?")
        if len(buffer) < end:
            return None
        self._buffer = buffer[end:]
        return buffer[HEAD_BYTES:end]

    def _fill(self, deadline: float) -> None:
        self._within(deadline)
        data = self._sock.recv(READ_BYTES)
        if not data:
            raise ConnectionResetError("the owner closed the connection")
        self._buffer = self._buffer + data if self._buffer else data

    def _within(self, deadline: float) -> None:
        left = max(deadline - time.monotonic(), LEAST_SECONDS)
        self._sock.settimeout(left)
