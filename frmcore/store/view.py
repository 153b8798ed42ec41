"""A store as another process may look at it: read-only, without the owner's lock, one consistent view of everything."""

from __future__ import annotations

import mmap
import os
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from frmcore._fast import (
    JournalRing,
    frame_records,
    frames_first,
    record_content,
    record_head,
    stretch_head,
    stretch_of,
)
from frmcore.errors import StoreUnavailable
from frmcore.store.database import Database
from frmcore.store.layout import (
    BLOBS,
    JOURNAL,
    NO_TIME,
    OPERATION_TYPES,
    OPERATIONS,
    RING_FILE,
    RecordType,
    check_format,
    seq_key,
)
from frmcore.store.policies import load_policy
from frmcore.store.records import framed
from frmcore.store.ringfile import PAGE, ring_problem
from frmcore.store.sound import sensible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from frmcore.plan import Plan
    from frmcore.policy import Policy
    from frmcore.store.database import Reader


class Tail(NamedTuple):
    """What the journal's ring has and the database has not: safe from a crash of the process, not of the machine."""

    records: list[bytes]
    stretch: bytes  # as the database would keep it; b"" where there are no records


class PolicyAt(NamedTuple):
    """A policy as it was put in force. `time`: by the engine's clock, epoch ms."""

    seq: int
    time: int
    content: dict[str, Any]


class StoreView:
    """One moment of a store. Made by `viewing`; raises StoreDamaged where what it reads is not what was written."""

    def __init__(self, folder: Path, database: Database, reader: Reader) -> None:
        self.folder, self.reader, self._database = folder, reader, database
        with sensible(f"{folder}: it is no store that can be read"):
            self.settings = reader.note(folder, b"store")
            check_format(folder, self.settings)
            self.drained = reader.note(folder, b"drained")
            self.tail = self._ring_tail()

    def _ring_tail(self) -> Tail:
        if ring_problem(self.folder / RING_FILE, self.settings["id"], self.drained["seq"]):
            return Tail([], b"")
        try:
            handle = os.open(self.folder / RING_FILE, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:  # durability "none" has no file
            return Tail([], b"")
        try:
            if os.fstat(handle).st_size <= PAGE:
                return Tail([], b"")
            with mmap.mmap(handle, 0, access=mmap.ACCESS_COPY) as mapped, memoryview(mapped)[PAGE:] as area:
                ring = JournalRing(area, self.drained["epoch"], self.drained["position"])
                frames, _ = ring.recovered(self.drained["position"], self.drained["seq"])
                ring.detach()
        except (OSError, ValueError):
            return Tail([], b"")
        finally:
            os.close(handle)
        return self._usable(frames)

    def _usable(self, frames: bytes) -> Tail:
        """The owner goes on while we read: frames it wrote over, or a policy younger than this view, end the tail."""
        try:
            records = frame_records(frames)
        except ValueError:
            return Tail([], b"")
        young = (i for i, record in enumerate(records) if self._is_younger(record))
        records = records[: next(young, len(records))]
        if not records:
            return Tail([], b"")
        last = self.reader.last_at_most(JOURNAL, seq_key(self.drained["seq"]))
        watermark = stretch_head(last[1])[5] if last is not None else NO_TIME
        return Tail(records, stretch_of(frames_first(frames, len(records)), self.settings["key"], watermark))

    def _is_younger(self, record: bytes) -> bool:
        """Is it a policy's whose texts came after this view?"""
        if record_head(record)[1] != RecordType.POLICY:
            return False
        digests = record_content(record)["files"].values()
        return any(self.reader.get(BLOBS, bytes.fromhex(digest)) is None for digest in digests)

    # ---- what it holds --------------------------------------------------------------------------------------------

    @property
    def seq(self) -> int:
        """Of the last operation, with those that only the ring has."""
        return int(record_head(self.tail.records[-1])[0] if self.tail.records else self.drained["seq"])

    @property
    def watermark(self) -> int | None:
        """The greatest event time recorded, epoch ms; None before the first event."""
        times = [self.reader.note(self.folder, b"state").get("watermark")]
        heads = (record_head(record) for record in self.tail.records)
        times += [head[2] for head in heads if head[1] in {RecordType.DECISION, RecordType.OBSERVED}]
        return max((time for time in times if time is not None), default=None)

    def operations(self) -> Iterator[bytes]:
        """The records of the operations that are kept for good, in order."""
        for _, record in self.reader.items(OPERATIONS):
            yield record
        for record in self.tail.records:
            if record_head(record)[1] in OPERATION_TYPES:
                yield record

    @cached_property
    def policies(self) -> list[PolicyAt]:
        """Every policy that was in force; records name them by their index."""
        with sensible(f"{self.folder}: its operations can't be read"):
            heads = ((record_head(record), record) for record in self.operations())
            return [
                PolicyAt(head[0], head[2], record_content(record))
                for head, record in heads
                if head[1] == RecordType.POLICY
            ]

    def policy(self, index: int = -1) -> tuple[Policy, Plan]:
        """A policy as it was, and its plan; the last is the one in force."""
        with sensible(f"{self.folder}: a policy can't be read"):
            return load_policy(self.reader, self.policies[index].content)

    def stretches(self, after: int = 0) -> Iterator[bytes]:
        """The journal's stretches with records behind `after`, then the ring's."""
        found = self.reader.last_at_most(JOURNAL, seq_key(after + 1))
        for _, value in self.reader.items(JOURNAL, found[0] if found is not None else b""):
            yield value
        if self.tail.records:
            yield self.tail.stretch

    def records(self, after: int = 0) -> Iterator[tuple[int, int, bytes]]:
        """(epoch, sequence number, record) of every record behind `after`, in order."""
        for stretch in self.stretches(after):
            for epoch, record in framed(stretch):
                seq = record_head(record)[0]
                if seq > after:
                    yield epoch, seq, record


@contextmanager
def viewing(path: str | Path) -> Iterator[StoreView]:
    """Looks at the store in a folder, whoever has it open. Raises StoreError."""
    folder = Path(path)
    if not folder.is_dir():
        raise StoreUnavailable(
            f"{folder} is no store: {'a store is a folder' if folder.exists() else 'no such folder'}"
        )
    database = Database(folder, readonly=True)
    try:
        with database.reading() as reader:
            yield StoreView(folder, database, reader)
    finally:
        database.close()
