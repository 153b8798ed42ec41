"""One connection to the owner, used by one call at a time."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, Final

from frmcore._fast import Channel, packed_id
from frmcore.client.messages import GREETING, numbered, welcome
from frmcore.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Sequence

READ_BYTES: Final = 128 << 10
WINDOW: Final = 4  # frames whose answers are awaited at once: the owner works on one while the next is on its way


class Gone(Exception):
    """The connection ended, or its time is over: `slow` says which. The call may be tried on another connection."""

    def __init__(self, reason: str, *, slow: bool = False) -> None:
        self.slow = slow
        super().__init__(reason)


class Wire:
    """A greeted connection. After a Gone that is not `slow` it is closed; after a slow one only an answer is owed."""

    def __init__(self, path: str, deadline: float) -> None:
        """deadline: by time.monotonic(). Raises Gone, ProtocolError, OwnerUnavailable."""
        try:
            self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError as error:  # this process has no descriptor left
            raise Gone(f"{path}: {error.strerror or error}") from None
        self._channel = Channel(self._sock.fileno(), READ_BYTES)
        self._next = 0
        self.is_open = True
        try:
            self._sock.connect(path)
            self.welcome = welcome(self.call(GREETING, deadline))
        except OSError as error:  # also BlockingIOError: more connections wait than the owner takes at once
            self.close()
            raise Gone(f"{path}: {error.strerror or error}") from None
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self.is_open = False
        self._channel.close()
        self._sock.close()

    def call(self, asked: tuple[Any, ...], deadline: float) -> bytes:
        """The answer to one request.

        Raises Gone, ProtocolError, InvalidEvent."""
        self._next += 1
        payload = numbered(self._next, asked)
        try:
            return self._channel.ask(payload, self._next, deadline)
        except (OSError, ProtocolError) as error:
            raise self._ended(error) from None

    def call_many(self, asked: Sequence[tuple[Any, ...]], deadline: float) -> list[bytes]:
        """The answers to several requests, in their order, a few of them on their way at any time.

        Raises Gone, ProtocolError, InvalidEvent."""
        earlier = self._next  # an answer may still be owed to a call that did not wait for it
        self._next += len(asked)
        payloads = [numbered(number, each) for number, each in enumerate(asked, earlier + 1)]
        answers: list[bytes] = []
        sent = 0
        try:
            while len(answers) < len(payloads):
                while sent < len(payloads) and sent - len(answers) < WINDOW:
                    self._channel.put(payloads[sent])
                    sent += 1
                answer = self._channel.answer(deadline)
                number = packed_id(answer)
                if number == 0:
                    return [answer]
                if number > earlier:
                    answers.append(answer)
        except (OSError, ProtocolError) as error:
            if isinstance(error, TimeoutError):
                self.close()  # several answers are owed
            raise self._ended(error) from None
        return answers

    # What a call raises for it. Half a frame is no good to anybody; what is behind bytes that are none means nothing.
    def _ended(self, error: Exception) -> Exception:
        if isinstance(error, TimeoutError):
            if self.is_open and self._channel.unsent:
                self.close()
            return Gone("the owner did not answer in time", slow=True)
        self.close()
        if isinstance(error, ProtocolError):
            return ProtocolError(f"{error}: is this the socket of an frmcore owner?")
        return Gone(getattr(error, "strerror", None) or str(error))
