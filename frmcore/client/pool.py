"""Connections to the owner, one for each call that is under way."""

from __future__ import annotations

import os
import time
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from frmcore.client.wire import Gone, Wire
from frmcore.errors import EngineClosed, OwnerUnavailable, ProtocolError
from frmcore.serve.protocol import SOCKET_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from frmcore.client.messages import PolicyFacts

FIRST_PAUSE: Final = 0.001  # before another try to connect; doubled each time
LONGEST_PAUSE: Final = 0.05
IDLE_MAX: Final = 16  # connections that are kept

T = TypeVar("T")


class Pool:
    """Threads share it without a lock: taking from a list and putting back are atomic."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.policy: PolicyFacts | None = None  # as of the last connection that was made
        self._idle: list[Wire] = []
        self._process = os.getpid()
        self._closed = False

    @property
    def socket(self) -> str:
        """Looked for each time: the owner may make the folder later."""
        return str(self.path / SOCKET_NAME if os.path.isdir(self.path) else self.path)  # noqa: PTH112  never raises

    def call(self, asked: tuple[Any, ...], seconds: float, again: tuple[Any, ...] | None = None) -> bytes:
        """The answer to one request, within so many seconds. again: what is asked where a connection broke under it.
        Raises OwnerUnavailable, ProtocolError, InvalidEvent."""
        if again is None:
            return self._use(lambda wire, deadline: wire.call(asked, deadline), seconds)
        tries = chain((asked,), repeat(again))
        return self._use(lambda wire, deadline: wire.call(next(tries), deadline), seconds)

    def call_many(self, asked: Sequence[tuple[Any, ...]], seconds: float) -> list[bytes]:
        """The answers to several requests, in their order, within so many seconds. Raises as `call`."""
        return self._use(lambda wire, deadline: wire.call_many(asked, deadline), seconds)

    def _use(self, work: Callable[[Wire, float], T], seconds: float) -> T:
        """Does `work` on a connection, on another one where the owner closed it, until the time is over."""
        deadline = time.monotonic() + seconds
        pause, reason = FIRST_PAUSE, ""
        while True:
            try:
                return self._once(work, deadline)
            except Gone as gone:
                slow = gone.slow
                if not (slow and reason):  # what stood in the way before tells more than that the time is over
                    reason = str(gone)
            except OwnerUnavailable as busy:
                reason, slow = str(busy), False
            left = deadline - time.monotonic()
            if slow or left <= 0:
                raise self.unavailable(reason, seconds)
            time.sleep(min(pause, left))
            pause = min(2 * pause, LONGEST_PAUSE)

    def _once(self, work: Callable[[Wire, float], T], deadline: float) -> T:
        wire = self._take(deadline)
        try:
            result = work(wire, deadline)
        except Gone as gone:
            if gone.slow:
                self._put(wire)
            else:  # the owner went: the others that wait here are dead too
                wire.close()
                self.clear()
            raise
        except BaseException:
            wire.close()
            raise
        self._put(wire)
        return result

    def _take(self, deadline: float) -> Wire:
        if self._process != os.getpid():  # a fork, if only C knows of it: these connections are the parent's
            self._idle, self._process = [], os.getpid()
        if self._closed:
            raise EngineClosed("the client is closed: connect anew")
        try:
            return self._idle.pop()
        except IndexError:
            wire = Wire(self.socket, deadline)
            self.policy = wire.welcome.policy
            return wire

    def _put(self, wire: Wire) -> None:
        if self._closed or len(self._idle) >= IDLE_MAX:  # the owner has so many for all of its clients
            wire.close()
        elif wire.is_open:
            self._idle.append(wire)

    def greeted(self, deadline: float) -> PolicyFacts | None:
        """Which policy is in force now, if the owner says so in time."""
        try:
            wire = Wire(self.socket, deadline)
        except (Gone, OwnerUnavailable, ProtocolError):
            return None
        self.policy = wire.welcome.policy
        self._put(wire)
        return self.policy

    def clear(self) -> None:
        """Closes what waits here."""
        while self._idle:
            try:
                self._idle.pop().close()
            except IndexError:  # another thread was quicker
                return

    def close(self) -> None:
        self._closed = True
        self.clear()

    def unavailable(self, reason: str, seconds: float) -> OwnerUnavailable:
        return OwnerUnavailable(
            f"{self.path}: {reason}; {1000 * seconds:g} ms are over. Is `frmcore serve` running there? What was asked "
            "may have been done: the same event sent again counts once"
        )
