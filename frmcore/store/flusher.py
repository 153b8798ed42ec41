"""The flusher: a thread that takes what was recorded out of the journal's ring and commits it to the database, with a
few pieces of the checkpoint and a note of where the state stands."""

from __future__ import annotations

import logging
import threading
import time
import weakref
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from frmcore._fast import (
    drop_pages,
    frame_operations,
    frames_split,
    provide_pages,
    record_head,
    stretch_head,
    stretch_of,
)
from frmcore.errors import StoreError, StoreFull, StoreUnavailable
from frmcore.store.database import Put
from frmcore.store.layout import JOURNAL, META, NO_TIME, OPERATIONS, pack, seq_key
from frmcore.store.stretches import STRETCH_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from frmcore._fast import Core, JournalRing
    from frmcore.store.checkpoint import Checkpointer
    from frmcore.store.database import Database
    from frmcore.store.ids import IdRuns
    from frmcore.store.ringfile import RingFile

COMMIT_BYTES: Final = 16 << 20  # of journal in one commit
WAITING_BYTES: Final = 64 << 10  # of records that waited for the disk, taken at once: nobody decides meanwhile
RETRY_SECONDS: Final = 0.5  # after a commit that failed
WATCH_SECONDS: Final = 0.1  # a disk that hangs raises no error: somebody must look

log = logging.getLogger("frmcore.store")


class Flusher:
    """Owns the writing side of a store. `flush` may be called from any thread; one runs at a time."""

    def __init__(
        self,
        core: Core,
        database: Database,
        ring: JournalRing,
        file: RingFile | None,
        checkpointer: Checkpointer,
        ids: IdRuns,
        *,
        flush_ms: int,
        synced: int,
        on_failure: Callable[[StoreError], None],
        after: Callable[[], None],
    ) -> None:
        self._core, self._database, self._ring, self._file = core, database, ring, file
        self.checkpointer, self._ids = checkpointer, ids
        self._seconds = flush_ms / 1000
        self._on_failure, self._after = on_failure, after
        self._writing = threading.RLock()
        self._changed = threading.Condition()
        self._wanted = threading.Event()
        self._stopping = False
        self._told = False  # of this outage
        self._watched = threading.Event()
        self._spilled: list[bytes] = []  # frames that no ring has, on their way
        self._taken = 0  # of these, by the commit that is being made
        self._last = time.monotonic()
        self._seq = synced  # of the last record on its way
        self._head = 0  # the oldest event that was remembered at the last cut
        self._watermark = NO_TIME if core.watermark is None else core.watermark
        self.synced = synced  # sequence number up to which the database has everything
        self.failure: StoreError | None = None
        self.commits = 0
        self.commit_seconds = 0.0
        mine = weakref.ref(self)  # a thread must not keep an engine that everybody else has dropped
        self._thread = threading.Thread(target=_run, args=(mine, self._wanted, self._seconds), name="frmcore-flusher",
                                        daemon=True)  # fmt: skip
        self._watcher = threading.Thread(target=_watch, args=(mine, self._watched), name="frmcore-watch", daemon=True)

    def begin(self, changes: list[Put], tail: bytes) -> None:
        """The first commit of an opening: what only the ring had, under a new epoch."""
        with self._writing:
            self._spilled = frames_split(tail, STRETCH_BYTES) if tail else []
            self._drain(self._core.cut(take_spilled=True), changes, self._core.seq)

    def start(self) -> None:
        self._thread.start()
        self._watcher.start()

    def stop(self, *, whole: bool = False) -> None:
        """Ends the threads, then flushes what there is. Raises StoreError."""
        self.halt()
        self.flush(whole=whole)

    def halt(self) -> None:
        """Ends the threads."""
        self._stopping = True
        self._wanted.set()
        self._watched.set()
        for thread in (self._thread, self._watcher):
            if thread.is_alive() and thread is not threading.current_thread():
                thread.join()
        drop_pages()

    def detach(self) -> None:
        self.halt()
        self.let_go()

    def let_go(self) -> None:
        """Of the ring's memory, when nobody is at work any more."""
        self._ring.detach()

    def has_room(self) -> bool:
        """Is a quarter of the ring free?"""
        return not self._ring.spilling and 4 * self._ring.used <= 3 * self._ring.size

    def wake(self) -> None:
        self._wanted.set()

    @property
    def stopping(self) -> bool:
        return self._stopping

    def wait(self, seq: int) -> bool:
        """Returns once the database has everything up to `seq`: True; False when a commit failed meanwhile."""
        self._wanted.set()
        with self._changed:
            while self.synced < seq:
                if self.failure is not None:
                    return False
                self._changed.wait()
        return True

    def attempt(self) -> bool:
        """One turn of the thread. False: the commit failed."""
        try:
            self.flush()
            self._after()
        except StoreError as error:
            self._failed(error)
            return False
        except Exception as error:  # the thread must live: callers wait for it
            log.exception("the flusher failed")
            self._failed(StoreUnavailable(f"the store could not be flushed: {error!r}"))
            return False
        return True

    def watch(self) -> None:
        """One turn of the other thread. A ring that fills up does not wait for `flush_ms`; memory is cleared before a
        decision needs it."""
        provide_pages()
        if self._ring.spilling or 2 * self._ring.used > self._ring.size:
            self.wake()
        if self._ring.spilling and not self._told:
            self._failed(StoreFull("the journal's ring is full: the disk hangs, or does not keep up"))

    def _failed(self, error: StoreError) -> None:
        with self._changed:
            first, self._told = not self._told, True
            self.failure = error
            self._changed.notify_all()
        if first:
            log.error("the store can't be written, decisions go on in memory: %s", error)
            self._on_failure(error)

    def flush(self, *, whole: bool = False) -> None:
        """Commits everything recorded so far; `whole`: with a whole checkpoint. Raises StoreError, and loses
        nothing then."""
        with self._writing:
            self._catch_up()
            pieces = self._pieces(whole)
            cut = self._core.cut(take_spilled=True)
            if cut["waiting"]:  # since a moment ago: pieces would be ahead of the journal
                self._drain(cut, [])
            elif cut["seq"] != self.synced or pieces:
                self._drain(cut, pieces)

    # After an outage that neither ring nor spill could hold: what waits in memory, in order, before anything newer.
    def _catch_up(self) -> None:
        while self._ring.waiting:
            cut = self._core.cut(take_spilled=True)
            self._drain(cut, [])  # what is before it; fails while the disk does
            while frames := self._waiting():
                self._drain({**cut, "spilled": frames}, [])

    def _waiting(self) -> list[bytes]:
        found: list[bytes] = []
        while len(found) < COMMIT_BYTES // WAITING_BYTES and (frames := self._core.waiting(WAITING_BYTES)) != b"":
            if frames is None:
                raise StoreFull(
                    "operations that found no room in journal or memory (spill_bytes) while the disk failed were "
                    f"forgotten: the store ends at operation {self.synced:,}. Open it anew to be durable again"
                )
            found.append(frames)
            time.sleep(0)  # the deciding thread goes first
        return found

    def _pieces(self, whole: bool) -> list[Put]:
        now = time.monotonic()
        checkpointer, seconds, self._last = self.checkpointer, now - self._last, now
        if whole:
            return list(checkpointer.everything())
        found = []
        for put in checkpointer.pieces(checkpointer.due(self._core.seq - self.synced, seconds)):
            found.append(put)
            time.sleep(0)  # the deciding thread goes first
        return found

    # Frames up to the cut in commits of bounded size; the cut itself with the last one, which completes it, and the
    # pieces, which must never be ahead of the journal.
    def _drain(self, cut: dict[str, Any], pieces: list[Put], seq: int = 0) -> None:
        ring, size = self._ring, 0
        changes: list[Put] = []
        self._seq = max(self.synced, seq)
        self._spilled += cut.pop("spilled")
        try:
            self._database.revive()
            while frames := ring.take(STRETCH_BYTES, cut["position"]) or self._take_spilled():
                changes += self._stretch(frames)
                size += len(frames)
                if size > COMMIT_BYTES:
                    self._commit(changes, ring.taken)
                    changes, size = [], 0
            changes += pieces
            if not cut["waiting"]:
                changes.append(Put(META, b"state", pack(cut)))
            self._commit(changes, cut["position"])
            self._head = cut["head"]
        except BaseException:
            ring.untake()
            self._taken = 0
            self._ids.undo()
            raise
        ring.spilled_safe()
        self._told = ring.spilling

    def _take_spilled(self) -> bytes:
        """The next frames that no ring has, up to STRETCH_BYTES; b"" when all were taken."""
        first, size = self._taken, 0
        for frames in islice(self._spilled, first, None):
            size += len(frames)
            if size > STRETCH_BYTES and self._taken > first:
                break
            self._taken += 1
        return b"".join(self._spilled[first : self._taken])

    def _stretch(self, frames: bytes) -> list[Put]:
        value = stretch_of(frames, self._ids.key, self._watermark)
        head = stretch_head(value)
        self._seq, self._watermark = head[2], head[5]
        changes = [Put(JOURNAL, seq_key(head[1]), value)]
        changes += [Put(OPERATIONS, seq_key(record_head(record)[0]), record) for record in frame_operations(frames)]
        return changes + self._ids.add(head[1], head[2], value)

    def _commit(self, changes: list[Put], position: int) -> None:
        started = time.perf_counter()
        drained = {"seq": self._seq, "position": position, "epoch": self._ring.epoch}
        self._database.commit([*changes, Put(META, b"drained", pack(drained))])
        self.commits += 1
        self.commit_seconds += time.perf_counter() - started
        self._ring.release(position)
        del self._spilled[: self._taken]
        self._taken = 0
        self._ids.keep()
        if self._file is not None:
            self._file.note(drained["seq"])
        with self._changed:
            self.synced = drained["seq"]
            self.failure = None
            self._changed.notify_all()

    # ---- for the store ----------------------------------------------------------------------------------------------

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Nobody else commits meanwhile."""
        with self._writing:
            yield

    def regroup(self, *, whole: bool) -> None:
        """The groups have changed: their units are taken up. `whole`: the next commit writes all of the new ones."""
        with self._writing:
            self.checkpointer.sync_groups()
            if whole:
                self.checkpointer.hasten()
        self.wake()

    def find(self, event_id: str) -> list[int]:
        """Sequence numbers of records that may be about the event, newest first."""
        with self._writing:
            return self._ids.find(event_id)

    def trim(self, keep_ms: int, most: int) -> bool:
        """Deletes stretches that neither recovery nor explanations within `keep_ms` of the watermark need, so many at
        most. Was it as many?"""
        watermark = self._core.watermark
        if watermark is None:
            return False
        with self._writing:
            needed, first_kept = min(self.checkpointer.needed_from(), self._head), 0
            gone: list[Put] = []
            with self._database.reading() as reader:
                for key, value in reader.items(JOURNAL):
                    _, first, last, _, _, until = stretch_head(value)
                    if last >= needed or until >= watermark - keep_ms or len(gone) == most:
                        first_kept = first
                        break
                    gone.append(Put(JOURNAL, key, None))
                    trimmed = until
            if gone:
                note = Put(META, b"trimmed", pack(trimmed))
                self._database.commit([*gone, note, *self._ids.trimmed(first_kept)])
                self._ids.keep()
        return len(gone) == most

    def stats(self) -> dict[str, Any]:
        ring = self._ring
        return {
            "synced": self.synced, "ring_used": ring.used, "ring_size": ring.size, "commits": self.commits,
            "commit_seconds": self.commit_seconds, "spilled": ring.spilled_bytes, "waiting": ring.waiting,
            "degraded": self.failure is not None or ring.spilling,
            "failure": str(self.failure) if self.failure else None,
            "checkpoint": self.checkpointer.oldest(),
        }  # fmt: skip


def _run(mine: weakref.ref[Flusher], wanted: threading.Event, seconds: float) -> None:
    while True:
        wanted.wait(seconds)
        flusher = mine()
        if flusher is None or flusher.stopping:
            return
        wanted.clear()
        if not flusher.attempt() and not flusher.stopping:
            time.sleep(RETRY_SECONDS)
        del flusher


def _watch(mine: weakref.ref[Flusher], watched: threading.Event) -> None:
    while not watched.wait(WATCH_SECONDS) and (flusher := mine()) is not None:
        flusher.watch()
        del flusher
