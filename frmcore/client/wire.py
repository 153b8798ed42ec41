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
WINDOW: Final = 4  # frames whose answers are awaited at once: the owner works on one while the next is on its way


class Gone(Exception):
    """The connection ended, or its time is over: `slow` says which. The call may be tried on another connection."""

    def __init__(self, reason: str, *, slow: bool = False) -> None:
        self.slow = slow
        super().__init__(reason)


def too_slow() -> Gone:
    return Gone("the owner did not answer in time", slow=True)


class Wire:
    """A greeted connection. After a Gone that is not `slow` it is closed; after a slow one only an answer is owed.

    The socket never blocks: waiting is one poll, so that a call costs three system calls."""

    def __init__(self, path: str, deadline: float) -> None:
        """deadline: by time.monotonic(). Raises Gone, ProtocolError, OwnerUnavailable."""
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._readable, self._either = select.poll(), select.poll()
        self._readable.register(self._sock, select.POLLIN)
        self._either.register(self._sock, select.POLLIN | select.POLLOUT)
        self._buffer = b""
        self._next = 0
        try:
            self._sock.connect(path)
            self.welcome = welcome(self.call(numbered(self.number(), GREETING), deadline))
        except OSError as error:  # also BlockingIOError: more connections wait than the owner takes at once
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
            unsent = self._push(framed(payload))
            while unsent:
                unsent = self._exchange(unsent, deadline)
            while True:
                answer = self._taken()
                if answer is None:
                    self._wait(self._readable, deadline)
                    self._fill()
                elif id_of(answer) in {self._next, 0}:
                    return answer
        except TimeoutError:
            if unsent:  # half a frame is no good to anybody
                self.close()
            raise too_slow() from None
        except OSError as error:
            raise Gone(error.strerror or str(error)) from None

    def call_many(self, payloads: Sequence[bytes], deadline: float) -> list[bytes]:
        """The answers to the requests that were numbered last, in their order, a few of them on their way at any time.

        Raises Gone, ProtocolError."""
        answers: list[bytes] = []
        earlier = self._next - len(payloads)  # an answer may still be owed to a call that did not wait for it
        unsent, sent = b"", 0
        try:
            while len(answers) < len(payloads):
                while sent < len(payloads) and sent - len(answers) < WINDOW:
                    unsent += framed(payloads[sent])
                    sent += 1
                unsent = self._push(unsent)
                answer = self._taken()
                while answer is not None:
                    if id_of(answer) == 0:
                        return [answer]
                    if id_of(answer) > earlier:
                        answers.append(answer)
                    answer = self._taken()
                if sent - len(answers) == WINDOW or sent == len(payloads) > len(answers):
                    unsent = self._exchange(unsent, deadline)
        except TimeoutError:
            self.close()
            raise too_slow() from None
        except OSError as error:
            raise Gone(error.strerror or str(error)) from None
        return answers

    # What the owner takes at once is sent; the rest is given back.
    def _push(self, data: bytes) -> bytes:
        try:
            return data[self._sock.send(data) :] if data else data
        except BlockingIOError:
            return data
        except BrokenPipeError:  # what the owner said before it hung up is still to be read
            return b""

    # Waits until more can be sent or read, and does it: the owner may wait for us to read before it takes more.
    def _exchange(self, unsent: bytes, deadline: float) -> bytes:
        event = self._wait(self._either if unsent else self._readable, deadline)
        if event & ~select.POLLOUT:
            self._fill()
        return self._push(unsent)

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

    def _fill(self) -> None:
        data = self._sock.recv(READ_BYTES)
        if not data:
            raise ConnectionResetError("the owner closed the connection")
        self._buffer = self._buffer + data if self._buffer else data

    def _wait(self, poll: select.poll, deadline: float) -> int:
        """What became possible. Raises TimeoutError."""
        ready = poll.poll(max(0.0, 1000 * (deadline - time.monotonic())))
        if not ready:
            raise TimeoutError
        return ready[0][1]
