"""One client's connection: bytes to frames, answers to bytes, and when it has had its time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from frmcore.errors import ProtocolError
from frmcore.serve.protocol import FRAME_BYTES_MAX, HEAD_BYTES

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from frmcore.serve.protocol import Request

READ_BYTES: Final = 32 << 10  # at once: then it is the next client's turn
UNREAD_BYTES_MAX: Final = 1 << 20  # of answers that the client does not take: until then nothing more is read
HELLO_SECONDS: Final = 10.0  # to say hello, and to finish a frame that was begun
UNREAD_SECONDS: Final = 30.0  # without taking any of its answers


class Connection:
    """Non-blocking. `read` brings frames in, `answer` collects what goes out with the next `flush`."""

    __slots__ = (
        "_begun", "_buffer", "_out", "_stuck", "chores", "ends", "greeted", "held", "number", "reads", "sock", "writes",
    )  # fmt: skip

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.number = sock.fileno()
        self.greeted = False
        self.ends = False  # with the next answers
        self.chores = 0  # slow requests that wait for their answers
        self.held: Request | None = None  # a batch that waits for room in the journal; what is behind it waits too
        self.reads, self.writes = True, False  # what the owner's poll waits for
        self._buffer = bytearray()
        self._out = bytearray()
        self._begun: float | None = time.monotonic()  # since when the client owes us the rest of a frame
        self._stuck: float | None = None  # since when it has taken nothing of its answers

    def read(self) -> Iterator[bytes] | None:
        """The whole frames that came in; None where the client is gone. Raises ProtocolError, OSError."""
        try:
            data = self.sock.recv(READ_BYTES)
        except BlockingIOError:
            return iter(())
        if not data:
            return None
        if not self._buffer and HEAD_BYTES < len(data) == HEAD_BYTES + int.from_bytes(data[:HEAD_BYTES], "big"):
            return iter((data[HEAD_BYTES:],))  # one whole frame: the usual case
        self._buffer += data
        return self.rest()

    def rest(self) -> Iterator[bytes]:
        """The whole frames that were read already, and not yet taken. Raises ProtocolError."""
        buffer, at = self._buffer, 0
        try:
            while len(buffer) - at >= HEAD_BYTES:
                size = int.from_bytes(buffer[at : at + HEAD_BYTES], "big")
                if not 0 < size <= FRAME_BYTES_MAX:
                    raise ProtocolError(f"a frame of {size:,} bytes: expected 1 to {FRAME_BYTES_MAX:,}")
                if len(buffer) - at < HEAD_BYTES + size:
                    break
                at += HEAD_BYTES + size
                yield bytes(buffer[at - size : at])
        finally:
            del buffer[:at]
            self._begun = (self._begun if not at and self._begun else time.monotonic()) if buffer else None

    def greet(self) -> None:
        self.greeted, self._begun = True, None

    def answer(self, payload: bytes) -> None:
        self._out += len(payload).to_bytes(HEAD_BYTES, "big")
        self._out += payload

    def flush(self) -> None:
        """Sends what the client takes. Raises OSError where it is gone."""
        out = self._out
        if not out:
            return
        try:
            sent = self.sock.send(out)
        except BlockingIOError:
            sent = 0
        if sent == len(out):
            out.clear()
            self._stuck = None
            return
        del out[:sent]
        if sent or self._stuck is None:
            self._stuck = time.monotonic()

    @property
    def unread(self) -> int:
        """Bytes of answers that the client has not taken."""
        return len(self._out)

    @property
    def is_full(self) -> bool:
        return len(self._out) > UNREAD_BYTES_MAX

    def is_overdue(self, now: float) -> bool:
        """Has it left a frame unfinished, or its answers unread, for too long?"""
        if self._begun is not None and not self.reads:  # we are it who does not go on
            self._begun = now
        late = self._begun is not None and now - self._begun > HELLO_SECONDS
        return late or (self._stuck is not None and now - self._stuck > UNREAD_SECONDS)
