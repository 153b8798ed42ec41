"""One client's connection: its frames in and out, and when it has had its time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from frmcore._fast import Channel

if TYPE_CHECKING:
    import socket

    from frmcore.serve.protocol import Request

READ_BYTES: Final = 32 << 10  # at once: then it is the next client's turn
UNREAD_BYTES_MAX: Final = 1 << 20  # of answers that the client does not take: until then nothing more is read
HELLO_SECONDS: Final = 10.0  # to say hello, and to finish a frame that was begun
UNREAD_SECONDS: Final = 30.0  # without taking any of its answers


class Connection:
    """A socket with its channel, and what the owner knows of the client behind it."""

    __slots__ = (
        "_begun", "_stuck", "channel", "chores", "ends", "greeted", "held", "number", "reads", "sock", "writes",
    )  # fmt: skip

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.number = sock.fileno()
        self.channel = Channel(self.number, READ_BYTES)
        self.greeted = False
        self.ends = False  # with the next answers
        self.chores = 0  # slow requests that wait for their answers
        self.held: Request | None = None  # a batch that waits for room in the journal; what is behind it waits too
        self.reads, self.writes = True, False  # what the owner's poll waits for
        self._begun: float | None = time.monotonic()  # since when the client owes us the rest of a frame
        self._stuck: float | None = None  # since when it has taken nothing of its answers

    def greet(self) -> None:
        self.greeted, self._begun = True, None

    def owe(self, *, anew: bool) -> None:
        """All whole frames were taken. anew: some were, so that what is left was begun since."""
        if not self.channel.untaken:
            self._begun = None if self.greeted else self._begun
        elif anew or self._begun is None:
            self._begun = time.monotonic()

    def flush(self) -> None:
        """Sends what the client takes. Raises OSError where it is gone."""
        if self.channel.flush() or not self.channel.unsent:
            self._stuck = time.monotonic() if self.channel.unsent else None
        elif self._stuck is None:
            self._stuck = time.monotonic()

    @property
    def is_full(self) -> bool:
        return self.channel.unsent > UNREAD_BYTES_MAX

    def is_overdue(self, now: float) -> bool:
        """Has it left a frame unfinished, or its answers unread, for too long?"""
        if self._begun is not None and not self.reads:  # we are it who does not go on
            self._begun = now
        late = self._begun is not None and now - self._begun > HELLO_SECONDS
        return late or (self._stuck is not None and now - self._stuck > UNREAD_SECONDS)

    def close(self) -> None:
        self.channel.close()
        self.sock.close()
