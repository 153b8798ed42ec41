"""Erasing subjects from a store: the journal is read for what holds them, one operation erases it from the state, then
what the files hold of it is written over.

The operation's record names every record that is to be written over. That may begin only when no recovery needs these
records for rings any more: when every piece of the checkpoint is younger than the operation. When all is written over,
the record itself is replaced by one that says so; until then the erasure is pending, and goes on at the next opening.
"""

from __future__ import annotations

import logging
import sys
import time
from bisect import bisect_left, bisect_right
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count, islice
from threading import Event, Lock
from typing import TYPE_CHECKING, Any, Final

from frmcore._fast import (
    frame_records,
    frames_split,
    frames_with,
    record_content,
    record_head,
    record_with,
    stretch_frames,
    stretch_head,
    stretch_of,
)
from frmcore.errors import StoreError, StoreUnavailable
from frmcore.store.checkpoint import PIECES_MAX
from frmcore.store.database import Put
from frmcore.store.fill import PART_STRETCHES, SLICE_BYTES
from frmcore.store.layout import JOURNAL, OPERATION_TYPES, OPERATIONS, RecordType, seq_key
from frmcore.store.notes import noted_snapshots
from frmcore.store.policies import have_books, operations, policies_of
from frmcore.subjects import kept_form, kept_network

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from frmcore._fast import Core, Erasure, JournalRing
    from frmcore.erasure import Snapshot
    from frmcore.holds import Holds
    from frmcore.store.database import Database
    from frmcore.store.flusher import Flusher
    from frmcore.store.policies import Operation
    from frmcore.subjects import Subject

KEPT: Final[tuple[str, ...]] = (
    "entities",
    "events",
    "reason",
    "source",
    "command",
)  # of an erasure's record, once all is done
CHASE_BYTES: Final = 512 << 10  # of what was recorded meanwhile at once: some 10 ms of the GIL
SWITCH_SECONDS: Final = 0.00001  # an erasure that is outrun gets the interpreter back that soon: by default 5 ms
CLOSE: Final = 10_000  # operations: so many are read while nobody flushes
SCRUB_BYTES: Final = 256 << 10  # of the ring at once: some 20 us of the GIL

log = logging.getLogger("frmcore.store")

_INTERVALS: Final[list[float]] = []  # of the interpreter's switches, as each erasure under way found them
_INTERVALS_LOCK: Final = Lock()


@contextmanager
def eager() -> Iterator[None]:
    """The thread gets the interpreter back in microseconds. It is the process's setting: of several engines that erase
    at once, the last one sets it back."""
    with _INTERVALS_LOCK:
        _INTERVALS.append(sys.getswitchinterval())
        sys.setswitchinterval(SWITCH_SECONDS)
    try:
        yield
    finally:
        with _INTERVALS_LOCK:
            before = _INTERVALS.pop()
            if not _INTERVALS:
                sys.setswitchinterval(before)


class Eraser:
    """One at a time: the caller sees to that, and that no policy is loaded meanwhile. Raises StoreError."""

    def __init__(
        self, core: Core, database: Database, flusher: Flusher, ring: JournalRing, key: bytes, *, pending: bool
    ) -> None:
        self._core, self._database, self._flusher = core, database, flusher
        self._ring, self._key = ring, key
        self._stopping = Event()
        self._yields = True
        self.is_pending = pending  # is there an erasure that is not complete?
        self._worker = ThreadPoolExecutor(1, "frmcore-eraser")
        self.later = self._worker.submit  # for whoever can't wait: in a thread of its own, one after the other

    def stop(self) -> None:
        """What is under way ends soon, and goes on at the next opening."""
        self._stopping.set()
        self._worker.shutdown(cancel_futures=True)

    @property
    def stopped(self) -> bool:
        return self._stopping.is_set()

    def erase(
        self, found: Erasure, subjects: tuple[Subject, ...], said: dict[str, Any], holds: Holds
    ) -> tuple[int, tuple[Snapshot, ...]]:
        """Erases what was found, with what was recorded since; the operation's sequence number, and the snapshots that
        were taken before all was written over. O(records found, checkpoint), in small slices."""
        with eager():
            seq = self._chase(found, subjects, said, holds)
            self.finish()
        with self._database.reading() as reader:
            return seq, tuple(noted_snapshots(reader))

    def _chase(self, found: Erasure, subjects: tuple[Subject, ...], said: dict[str, Any], holds: Holds) -> int:
        seq, self._yields = 0, False  # threads that decide without a pause would outrun it
        try:
            while not seq:
                self._catch_up(found)
                if self._core.seq - found.scanned <= CLOSE:
                    seq = self._recorded(found, subjects, said, holds)
        finally:
            self._yields = True
        return seq

    def find(self, found: Erasure) -> None:
        """Reads the journal. O(journal), in small slices."""
        self.finish()
        self._have_books()
        self._catch_up(found)

    def finish(self) -> None:
        """Writes over what pending erasures left to do."""
        if not self.is_pending:
            return
        self._flusher.flush()
        self._have_books()
        self._renew_pieces()
        for operation in self.pending():
            self._write_over(operation)
            self._scrub()
            self._close(operation)
        self.is_pending = False

    def pending(self) -> list[Operation]:
        """Erasures that are not complete."""
        with self._database.reading() as reader:
            return [each for each in operations(reader, {RecordType.ERASE}) if is_pending(each.content)]

    def _go_on(self) -> None:
        if self._yields:
            time.sleep(0)  # threads that decide go first
        if self.stopped:
            raise StoreUnavailable("the store was closed before an erasure was complete: it goes on when it is opened")

    def _have_books(self) -> None:
        with self._database.reading() as reader:
            have_books(self._core, reader, 0)

    # ---- finding --------------------------------------------------------------------------------------------------

    def _catch_up(self, found: Erasure) -> None:
        """Reads what was recorded by now; meanwhile more is."""
        self._flusher.flush()
        until = self._flusher.synced
        while found.scanned < until:
            self._read(found)

    def _read(self, found: Erasure) -> None:
        """A part of the journal, under a view of its own."""
        with self._database.reading() as reader:
            first = reader.last_at_most(JOURNAL, seq_key(found.scanned + 1))
            start = first[0] if first is not None else b""
            for _, value in islice(reader.items(JOURNAL, start), PART_STRETCHES):
                for part in frames_split(stretch_frames(value), SLICE_BYTES if self._yields else CHASE_BYTES):
                    found.read(part)
                    self._go_on()

    def _recorded(self, found: Erasure, subjects: tuple[Subject, ...], said: dict[str, Any], holds: Holds) -> int:
        """The operation's sequence number; 0 where too much was recorded meanwhile."""
        with self._flusher.paused():
            self._catch_up(found)
            with holds.none_on(subjects, found):
                seq = self._core.erase(found, {**said, "operations": self._naming(subjects)})
            self.is_pending |= seq > 0
            return seq

    def _naming(self, subjects: Iterable[Subject]) -> list[tuple[int, list[int]]]:
        """(sequence number, places among its entries) of every list's change, every alert, every snooze and every hold
        that names a subject."""
        forms = {(entity, form) for entity, value in subjects for form in self._forms(entity, value)}
        found: list[tuple[int, list[int]]] = []
        kinds: dict[str, str] = {}
        fields: dict[str, str] = {}
        books = count()
        with self._database.reading() as reader:
            for operation in operations(reader, OPERATION_TYPES):
                content = operation.content
                if operation.type == RecordType.POLICY:
                    policy = self._core.policy_at(next(books))
                    kinds = {spec.name: spec.of for spec in policy.lists}
                    fields = {field.name: field.entity for field in (*policy.fields, *policy.derived)}
                elif operation.type == RecordType.LIST:
                    kind = kinds.get(content["list"], "")
                    at = [i for i, entry in enumerate(content["entries"]) if (kind, entry["value"]) in forms]
                    found += [(operation.seq, at)] if at else []
                elif operation.type == RecordType.ALERT:
                    said = [(fields.get(alert["about"]), str(alert["entity"])) for alert in content["alerts"]]
                    at = [i for i, subject in enumerate(said) if subject in forms]
                    found += [(operation.seq, at)] if at else []
                elif _whom(operation, fields) in forms:
                    found.append((operation.seq, []))
        return found

    def _forms(self, entity: str, value: str) -> set[str]:
        """As records of operations may have an identifier: in the clear, or hashed under whatever policy."""
        policy = self._core.policy_at(self._core.cut()["book"])
        forms = {value, kept_form(self._core, policy, entity, value), self._core.hide(value.encode()).hex()}
        network = kept_network(policy, entity, value)
        return forms if network is None else {*forms, network}

    # ---- writing over ---------------------------------------------------------------------------------------------

    def _renew_pieces(self) -> None:
        units = self._flusher.checkpointer.units()
        for first in range(0, len(units), PIECES_MAX):
            with self._flusher.paused():
                self._flusher.checkpointer.hasten(units[first : first + PIECES_MAX])
                self._flusher.flush()
            self._go_on()

    def _write_over(self, operation: Operation) -> None:
        content = operation.content
        rewriting = _Rewriting(self._core, self._policy_seqs(), operation)
        wanted = sorted({*content["records"], *content["shown"], *rewriting.places})
        while wanted:
            wanted = wanted[self._rewritten(wanted, rewriting) :]
            self._go_on()

    def _policy_seqs(self) -> list[int]:
        with self._database.reading() as reader:
            return [operation.seq for operation in policies_of(reader)]

    def _close(self, operation: Operation) -> None:
        content = operation.content
        done = {name: content[name] for name in KEPT if name in content}
        done["records"] = len(content["records"])
        self._rewritten([operation.seq], lambda record: record_with(record, done))

    def _rewritten(self, wanted: list[int], rewritten: Callable[[bytes], bytes]) -> int:
        """Rewrites the first of these records, with the others in its stretch; how many. Those that trimming took
        remain at most in the table of operations."""
        with self._flusher.paused():
            with self._database.reading() as reader:
                stretch = reader.last_at_most(JOURNAL, seq_key(wanted[0]))
                last = stretch_head(stretch[1])[2] if stretch is not None else 0
                taken = max(bisect_right(wanted, last), 1)
                named = set(wanted[:taken])
                kept = {seq: record for seq in named if (record := reader.get(OPERATIONS, seq_key(seq))) is not None}
            changes = [Put(OPERATIONS, seq_key(seq), rewritten(record)) for seq, record in kept.items()]
            if stretch is not None and wanted[0] <= last:
                changes.append(self._stretch(*stretch, named, rewritten))
            self._database.commit(changes)
        return taken

    def _stretch(self, key: bytes, value: bytes, named: set[int], rewritten: Callable[[bytes], bytes]) -> Put:
        frames = stretch_frames(value)
        records = ((record_head(record)[0], record) for record in frame_records(frames))
        replaced = {seq: rewritten(record) for seq, record in records if seq in named}
        return Put(JOURNAL, key, stretch_of(frames_with(frames, replaced), self._key, stretch_head(value)[5]))

    def _scrub(self) -> None:
        """Nothing of old records stays in the free part of the journal's ring."""
        at, end = 0, self._ring.free_until
        while at < end:
            at = self._ring.scrub(at, min(SCRUB_BYTES, end))
            self._go_on()


class _Rewriting:
    """What becomes of the records that an erasure names. To do it twice makes no difference."""

    def __init__(self, core: Core, policies: list[int], operation: Operation) -> None:
        self._core, self._policies, self._by = core, policies, operation.seq
        self._whole = set(operation.content["records"])
        self.places: dict[int, list[int]] = dict(operation.content["operations"])

    def __call__(self, record: bytes) -> bytes:
        seq, type_, _, _ = record_head(record)
        if type_ == RecordType.UPDATE:
            return self._core.erased_update(record, bisect_left(self._policies, seq) - 1)
        if type_ == RecordType.LIST:
            return record_with(record, self._change(seq, record_content(record), "entries"))
        if type_ == RecordType.ALERT:
            return record_with(record, self._change(seq, record_content(record), "alerts"))
        if type_ == RecordType.CONTROL:
            return record_with(record, {"control": "erased"})
        if type_ == RecordType.HOLD:
            return record_with(record, {"hold": "erased", "entity": record_content(record)["entity"]})
        return self._core.erased(record, seq in self._whole)

    def _change(self, seq: int, content: dict[str, Any], part: str) -> dict[str, Any]:
        """A list's change without the entries that name a subject, alerts without those about it."""
        done = content.get("erased", [])
        if self._by in done:
            return content
        kept = [each for i, each in enumerate(content[part]) if i not in self.places[seq]]
        return {**content, part: kept, "erased": [*done, self._by]}


def _whom(operation: Operation, fields: dict[str, str]) -> tuple[Any, Any]:
    """The subject of a hold, or the one that a rule was snoozed for; `fields`: name -> entity."""
    content = operation.content
    if operation.type == RecordType.HOLD:
        return content["entity"], content.get("value")
    return fields.get(content.get("field", ""), ""), str(content.get("value"))


def is_pending(content: dict[str, Any]) -> bool:
    """Is this the record of an erasure that is not complete?"""
    return "shown" in content


def finish_later(eraser: Eraser, alone: Any) -> None:
    """Goes on with what an earlier opening left, in the background. `alone`: held meanwhile."""

    def finish() -> None:
        try:
            with alone:
                eraser.finish()
        except StoreError as error:
            log.warning("an erasure is not complete yet: %s", error)

    if eraser.is_pending:
        eraser.later(finish)
