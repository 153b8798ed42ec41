"""Events that a client had to settle by itself, kept until the owner has heard of them."""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from frmcore.client import messages
from frmcore.errors import EngineClosed, FrmcoreError, OwnerUnavailable, ProtocolError, StoreError

if TYPE_CHECKING:
    from frmcore.client.pool import Pool

WAITING_MAX: Final = 10_000  # some 5 MB of events; when more wait, the oldest are given up
CALL_SECONDS: Final = 5.0
END_SECONDS: Final = 0.2  # for the thread, once it was told to end
PAUSE_SECONDS: Final = 0.25  # between tries while the owner is away

log = logging.getLogger("frmcore.client")


class Report(NamedTuple):
    """An event that took effect without a decision. `at`: when, epoch ms."""

    event: Any
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
        self._process = os.getpid()
        self._closing = Event()
        self.given = self.reported = self.refused = self.dropped = 0

    def counts(self) -> dict[str, int]:
        return {
            "given": self.given, "reported": self.reported, "refused": self.refused, "dropped": self.dropped,
            "waiting": len(self._waiting),
        }  # fmt: skip

    def add(self, report: Report) -> None:
        """Never waits."""
        with self._lock:
            self._after_fork()
            self.given += 1
            if len(self._waiting) == WAITING_MAX:
                self._waiting.popleft()
                self.dropped += 1
            self._waiting.append(report)
            if self._thread is None:
                self._thread = Thread(target=self._run, name="frmcore-reports", daemon=True)
                self._thread.start()

    def _after_fork(self) -> None:
        """What waits belongs to the parent, whose thread did not come along."""
        if self._process != os.getpid():
            self._waiting, self._thread, self._process = deque(), None, os.getpid()

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
            messages.plain(self._pool.call(report.asked(), CALL_SECONDS))
            self.reported += 1
        except (OwnerUnavailable, ProtocolError, StoreError, EngineClosed):
            return False
        except FrmcoreError as error:
            self.refused += 1
            log.warning("the owner refused a report: %s", type(error).__name__)
        with self._lock:
            if self._waiting and self._waiting[0] is report:
                self._waiting.popleft()
        return True

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
