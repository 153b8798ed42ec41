"""Events that a client had to settle by itself, kept until the owner has heard of them."""

from __future__ import annotations

import atexit
import logging
import os
import time
from collections import deque
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from weakref import WeakSet

from frmcore.client import messages
from frmcore.errors import EngineClosed, InvalidEvent, OwnerUnavailable, ProtocolError, StoreError

if TYPE_CHECKING:
    import msgspec

    from frmcore.client.pool import Pool

WAITING_MAX: Final = 10_000  # some 5 MB of events; when more wait, the oldest are given up
CALL_SECONDS: Final = 5.0
EXIT_SECONDS: Final = 1.0  # at the interpreter's end, for all clients that nobody closed
END_SECONDS: Final = 0.2  # for the thread, once it was told to end
PAUSE_SECONDS: Final = 0.25  # between tries while the owner is away

log = logging.getLogger("frmcore.client")


class Report(NamedTuple):
    """An event that took effect without a decision, as it was then: the caller may go on with its dict. `at`: when,
    epoch ms."""

    event: msgspec.Raw
    point: str | None
    final: str
    at: int

    def asked(self) -> tuple[Any, ...]:
        return ("report", self.event, {"point": self.point, "final": self.final, "at": self.at})


class Reporter:
    """Sends reports in order, from a thread that starts with the first of them and ends when none is left."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._waiting: deque[Report] = deque()
        self._lock = Lock()
        self._thread: Thread | None = None
        self._closing = Event()
        self.given = self.reported = self.refused = self.dropped = 0
        _REPORTERS.add(self)

    def counts(self) -> dict[str, int]:
        return {
            "given": self.given, "reported": self.reported, "refused": self.refused, "dropped": self.dropped,
            "waiting": len(self._waiting),
        }  # fmt: skip

    def add(self, report: Report) -> None:
        """Never waits."""
        with self._lock:
            self.given += 1
            if len(self._waiting) == WAITING_MAX:
                self._waiting.popleft()
                self.dropped += 1
            self._waiting.append(report)
            if self._thread is None:
                self._start()

    def _start(self) -> None:
        thread = Thread(target=self._run, name="frmcore-reports", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no thread is to be had: the next report tries again
            log.warning("the thread that reports to the owner can't be started")
        else:
            self._thread = thread

    def after_fork(self) -> None:
        """What waits belongs to the parent, whose thread did not come along; another one may have held the lock."""
        self._lock, self._waiting, self._thread, self._closing = Lock(), deque(), None, Event()
        self.given = self.reported = self.refused = self.dropped = 0

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._thread = None
                    return
                report = self._waiting[0]
            if not self._sent(report) and self._closing.wait(PAUSE_SECONDS):
                with self._lock:
                    self._thread = None
                return

    def _sent(self, report: Report) -> bool:
        """False while the owner is away or refuses all; then the report stays where it is."""
        try:
            answer = self._pool.call(report.asked(), CALL_SECONDS)
        except (OwnerUnavailable, ProtocolError, EngineClosed):
            return False
        except InvalidEvent as error:  # longer than a frame
            self._refuse(error)
        else:
            try:
                messages.plain(answer)
                self.reported += 1
            except (OwnerUnavailable, StoreError):
                return False
            except Exception as error:  # an answer, whatever it is: those behind must not wait for this one for ever
                self._refuse(error)
        with self._lock:
            if self._waiting and self._waiting[0] is report:
                self._waiting.popleft()
        return True

    def _refuse(self, error: Exception) -> None:
        self.refused += 1
        log.warning("the owner refused a report: %s", type(error).__name__)

    @property
    def is_closed(self) -> bool:
        return self._closing.is_set()

    def close(self, seconds: float) -> None:
        """Gives the owner so much time to hear of what waits; then it is lost, and said to be."""
        until = time.monotonic() + seconds
        while self._waiting and time.monotonic() < until:
            time.sleep(0.01)
        self._closing.set()
        thread = self._thread
        if thread is not None:
            thread.join(END_SECONDS)
        if self._waiting:
            log.warning("%d events took effect undecided, and the owner never heard of them", len(self._waiting))


def _after_fork() -> None:
    for each in list(_REPORTERS):
        each.after_fork()


def _at_exit() -> None:
    until = time.monotonic() + EXIT_SECONDS
    for each in list(_REPORTERS):
        if not each.is_closed:
            each.close(max(0.0, until - time.monotonic()))


_REPORTERS: Final[WeakSet[Reporter]] = WeakSet()
os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
