"""A store: opened, made or recovered, and the engine's half of it while it is open."""

from __future__ import annotations

import mmap
import os
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from frmcore._fast import (
    Core,
    JournalRing,
    frame_records,
    record_head,
    stretch_frames,
    stretch_head,
)
from frmcore.alerts import Alert
from frmcore.errors import StoreDamaged, StoreError, StoreUnavailable, UnknownEvent
from frmcore.lists import list_contents
from frmcore.policy.earlier import gains_labels
from frmcore.policy.lower import lower
from frmcore.policy.stored import contents, digest, digests, load_contents
from frmcore.store.checkpoint import Checkpointer
from frmcore.store.database import Database, Put
from frmcore.store.erase import Eraser, finish_later, is_pending
from frmcore.store.fill import PART_STRETCHES, fill, gap_of, is_needed, reach, start_of
from frmcore.store.flusher import Flusher
from frmcore.store.folder import FolderLock, check_private, make_folder, sync_folder
from frmcore.store.ids import IdRuns
from frmcore.store.inbox import Inbox
from frmcore.store.keys import Keys, check_private_key, has_private, private_mark
from frmcore.store.layout import (
    BLOBS,
    FORMAT,
    JOURNAL,
    META,
    NO_TIME,
    OPERATIONS,
    RING_FILE,
    RecordType,
    check_format,
    pack,
    seq_key,
)
from frmcore.store.lists import folded
from frmcore.store.policies import have_book, have_books, operations, policy_texts
from frmcore.store.records import framed
from frmcore.store.recovery import Recovery, Restored
from frmcore.store.ringfile import RingFile
from frmcore.store.snapshot import snapshot_by_child
from frmcore.store.sound import sensible
from frmcore.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from frmcore._fast import Decision
    from frmcore.erasure import Erased
    from frmcore.lists import Entry
    from frmcore.plan import Plan
    from frmcore.policy import Policy
    from frmcore.store.inbox import Command
    from frmcore.store.options import StoreOptions

TRIM_SECONDS: Final = 60.0
TRIM_STRETCHES: Final = 256  # deleted with one flush


class Opened(NamedTuple):
    """A store with the Core that it restored or started."""

    store: Store
    core: Core
    policy: Policy
    plan: Plan
    lists: dict[str, dict[str, Entry]]
    operations: list[dict[str, Any]]


class Store:
    """One open store. Made by `Store.open`."""

    def __init__(
        self, folder: Path, options: StoreOptions, lock: FolderLock, database: Database, settings: dict[str, Any]
    ) -> None:
        self.folder, self.options = folder, options
        self._lock, self._database, self._settings = lock, database, settings
        self._file: RingFile | None = None
        self._flusher: Flusher | None = None
        self._inbox: Inbox | None = None
        self.eraser: Eraser | None = None
        self._trimmed_at = 0.0
        self._process = os.getpid()
        self._is_open = False
        self.recovered: dict[str, Any] = {}

    @classmethod
    def open(
        cls,
        path: str | Path,
        options: StoreOptions,
        policy: Policy,
        keys: Keys,
        *,
        clock: Callable[[], int] | None,
        max_ahead: int | None,
        progress: Callable[[int, int], None] | None = None,
        on_failure: Callable[[StoreError], None] = lambda _: None,
    ) -> Opened:
        """Opens the store of a folder, or makes one there. Raises StoreError."""
        folder = Path(path)
        fresh = make_folder(folder)
        check_private(folder)
        with ExitStack() as undo:
            lock = FolderLock(folder)
            undo.callback(lock.release)
            database = Database(folder, map_max=options.map_max, create=fresh)
            undo.callback(database.close)
            fresh = fresh or _never_opened(database)
            settings = _new_settings(database, policy, keys) if fresh else _settings(database, folder)
            store = cls(folder, options, lock, database, settings)
            try:
                opened = store._start(fresh, policy, keys, clock, max_ahead, progress, on_failure)
            except StoreDamaged as error:
                raise error if str(folder) in str(error) else StoreDamaged(f"{folder}: {error}") from error
            store._is_open = True
            undo.pop_all()
        return opened

    def _start(
        self,
        fresh: bool,
        policy: Policy,
        keys: Keys,
        clock: Callable[[], int] | None,
        max_ahead: int | None,
        progress: Callable[[int, int], None] | None,
        on_failure: Callable[[StoreError], None],
    ) -> Opened:
        started = time.monotonic()
        area = self._area()
        key = self._settings["key"]
        private = _private_key(keys, policy)
        if fresh:
            restored = _first(policy, key, private, clock, max_ahead)
        else:
            settings = {"key": key, "private_key": private, "clock": clock, "max_ahead": max_ahead}
            restored = Recovery(self.folder, self._database, settings, self._file, progress).run()
        core = restored.core
        self._check_private_key(core, restored.policy)
        self._continue(restored, area, fresh, on_failure)
        recorded = [operation.content for operation in restored.operations]
        self.recovered = {"operations": core.seq, "seconds": time.monotonic() - started}
        return Opened(self, core, restored.policy, restored.plan, folded(recorded), recorded)

    def _area(self) -> memoryview:
        """The memory that the ring lies in: mapped from its file, unless nothing is to survive the process."""
        size = self.options.ring_bytes
        if self.options.durability == "none" and not (self.folder / RING_FILE).exists():
            return memoryview(mmap.mmap(-1, size))
        self._file = RingFile(self.folder / RING_FILE, self._settings["id"], size=size)
        return self._file.area

    def _published(self) -> memoryview | None:
        """Where the ring's position is told, from the first commit under the new epoch on."""
        if self._file is None:
            return None
        self._file.publish()
        return self._file.published

    def _continue(
        self, restored: Restored, area: memoryview, fresh: bool, on_failure: Callable[[StoreError], None]
    ) -> None:
        """From here on the store takes what the engine records; first what only the ring had."""
        core, epoch = restored.core, restored.epoch + 1
        with sensible("the journal's ring can't go on from where the database says"):
            ring = JournalRing(area, epoch, restored.position, self.options.spill_bytes, self._published())
        core.attach(ring, self.options.durability != "none", self)
        ids = IdRuns(self._database, self._settings["key"])
        checkpointer = Checkpointer(core, restored.pieces, restored.made)
        self._flusher = Flusher(
            core, self._database, ring, self._file, checkpointer, ids,
            flush_ms=self.options.flush_ms, synced=restored.synced, on_failure=on_failure, after=self._housekeeping,
        )  # fmt: skip
        if fresh:
            self.keep_policy(restored.policy)
            record = core.policy_record(digests(restored.policy))
            self._flusher.begin([Put(OPERATIONS, seq_key(0), record)], b"")
            sync_folder(self.folder)
        else:
            self._flusher.begin([], restored.tail)
        self.eraser = Eraser(
            core, self._database, self._flusher, ring, self._settings["key"],
            pending=any(is_pending(operation.content) for operation in restored.operations),
        )  # fmt: skip
        self._flusher.start()
        core.record_owed()

    def _check_private_key(self, core: Core, policy: Policy) -> None:
        known = self._database.get(META, b"private")
        if has_private(policy) and known is None:
            self._database.commit([Put(META, b"private", private_mark(core))])
        elif has_private(policy):
            check_private_key(self.folder, core, known)

    # ---- while it is open -----------------------------------------------------------------------------------------

    @property
    def flusher(self) -> Flusher:
        assert self._flusher is not None  # noqa: S101  set before `open` returns
        return self._flusher

    def keep_policy(self, policy: Policy) -> None:
        """The texts of a policy, before its record is. Raises StoreError."""
        puts = [Put(BLOBS, bytes.fromhex(digest(text)), text.encode()) for text in contents(policy).values()]
        self._database.commit(puts)

    @property
    def waits(self) -> bool:
        """Must `decide` do more than record: wait for the disk, or refuse when it fails?"""
        return self.options.durability == "power" or self.options.on_store_failure == "raise"

    def make_room(self) -> None:
        """Waits until the journal's ring has room again, or the store fails. Raises what `guard` raises."""
        self.guard()
        if not self.flusher.has_room():
            with suppress(StoreError):
                self.flusher.flush()

    def has_room(self) -> bool:
        """Would `make_room` go on at once? Where not, room is being made."""
        if self.flusher.failure is not None or self.flusher.has_room():
            return True
        self.flusher.wake()
        return False

    def guard(self) -> None:
        """Raises the StoreError of a failing store, where the options ask for that."""
        if self.options.on_store_failure == "raise" and self.flusher.failure is not None:
            raise self.flusher.failure

    def settled(self, seq: int) -> bool:
        """Waits until the record survives what `durability` says. False: the store fails, and it does not.

        Raises the StoreError instead where the options ask for that: the record stands in memory all the same.
        """
        if self.options.durability != "power" or self.flusher.wait(seq):
            return True
        self.guard()
        return False

    def reload(self, core: Core, policy: Policy) -> Plan:
        """Puts another policy in force between two operations, its new windows filled from the journal; its plan. The
        old one decides meanwhile. Raises StoreError; the old policy stays then. O(journal within the new windows'
        reach)."""
        plan = self._lowered(core, policy)
        if self.eraser is not None:
            self.eraser.finish()  # what is to be erased must not be filled in anew
        self.keep_policy(policy)
        if not is_needed(core, plan):
            with self.flusher.paused():
                core.reload(plan, policy, list_contents(plan), digests(policy))
                self.flusher.regroup(whole=False)
            return plan
        with self._database.reading() as reader:
            start = start_of(reader, reach(core, plan))
            filler = core.filler(plan, policy, list_contents(plan), start - 1, gap_of(reader))
        while filler.seq < self.flusher.synced and self._filled(filler, politely=True):
            pass
        while not self._switched(core, plan, policy, filler, start):
            pass
        return plan

    def _lowered(self, core: Core, policy: Policy) -> Plan:
        """The plan, made in the knowledge of every policy whose events it may read."""
        if gains_labels(policy, core.policies()[-1]):
            self._recall(core, NO_TIME)
        known, plan = 0, lower(policy, core.groups(), core.policies())
        while is_needed(core, plan) and known < len(core.policies()):
            known = len(core.policies())
            self._recall(core, reach(core, plan))
            plan = lower(policy, core.groups(), core.policies())
        return plan

    def _recall(self, core: Core, line: int) -> None:
        """Makes every policy known that recorded events after the time `line`."""
        self.flusher.flush()
        with self._database.reading() as reader:
            have_books(core, reader, start_of(reader, line))

    def _filled(self, filler: Core, *, politely: bool) -> bool:
        """A part of the journal into the filler, under a view of its own. False: there was no more."""
        before = filler.seq
        with self._database.reading() as reader:
            fill(reader, filler, self.flusher.synced, stretches=PART_STRETCHES, politely=politely)
        return filler.seq > before

    def _switched(self, core: Core, plan: Plan, policy: Policy, filler: Core, start: int) -> bool:
        """Puts the filled policy in force, if what is left to fill is little by now."""
        with self.flusher.paused():
            self.flusher.flush()
            while self._filled(filler, politely=False):
                pass
            if not core.reload_filled(plan, policy, list_contents(plan), digests(policy), filler, start):
                return False
            self.flusher.regroup(whole=True)
            self.flusher.flush()
            return True

    def attend(self, apply: Callable[[Command, str], int | Erased], alone: Any) -> None:
        """From here on commands of other processes are applied by `apply(command, token)`, in a thread of their own.
        `alone`: held while an erasure that an earlier opening left is completed."""
        assert self.eraser is not None  # noqa: S101  set before `open` returns
        finish_later(self.eraser, alone)
        self._inbox = Inbox(self._database, self.flusher, self.eraser, apply)
        self._inbox.start(self.options.flush_ms / 1000)

    def policy_of(self, files: dict[str, str]) -> Policy:
        """The policy whose texts are kept: name -> SHA-256 of each file. Raises PolicyError, StoreDamaged."""
        with self._database.reading() as reader:
            return load_contents(policy_texts(reader, files))

    def snapshot(self, file: str | Path, progress: Callable[[int, int], None] | None) -> None:
        """What was recorded so far, as one file; a child process reads it. Raises StoreError."""
        self.flusher.flush()
        snapshot_by_child(self.folder, file, progress)

    def _housekeeping(self) -> None:
        now = time.monotonic()
        if now - self._trimmed_at < TRIM_SECONDS:
            return
        self._database.reap()
        if not self.flusher.trim(self.options.keep_ms, TRIM_STRETCHES):
            self._trimmed_at = now  # else there is more, and the next flush goes on with it

    def find(self, core: Core, event_id: str, point: str | None) -> Decision:
        """A decision that memory no longer holds. Raises UnknownEvent. O(runs of ids * log events)."""
        self.flusher.flush()
        for seq in self.flusher.find(event_id):
            decision = self._decision(core, seq)
            if decision is not None and decision.event_id == event_id and point in {None, decision.point}:
                return decision
        raise UnknownEvent(f"event {event_id!r} was not decided here, or longer ago than keep_decisions")

    def _decision(self, core: Core, seq: int) -> Decision | None:
        with self._database.reading() as reader, sensible(f"{self.folder}: record {seq:,} can't be read"):
            found = reader.last_at_most(JOURNAL, seq_key(seq))
            records = frame_records(stretch_frames(found[1])) if found is not None else []
            record = next((record for record in records if record_head(record)[0] == seq), None)
            if record is None or record_head(record)[1] not in {RecordType.DECISION, RecordType.AGAIN}:
                return None
            have_book(core, reader, record_head(record)[3])
            return core.decision_of(record)

    def tail(self, after: int) -> Iterator[tuple[int, int, bytes]]:
        """(epoch, sequence number, record) of every record behind `after` that the database has, in order."""
        seq = after
        while True:
            with self._database.reading() as reader:
                found = reader.last_at_most(JOURNAL, seq_key(seq + 1))
                start = found[0] if found is not None else seq_key(seq + 1)
                value = next(
                    (value for key, value in reader.items(JOURNAL, start) if stretch_head(value)[2] > seq), None
                )
            if value is None:
                return
            for epoch, record in framed(value):
                number = record_head(record)[0]
                if number > seq:
                    yield epoch, number, record
                    seq = number

    def alerts(self) -> Iterator[Alert]:
        """Every alert that the database has, in recorded order."""
        with self._database.reading() as reader:
            found = [operation.content for operation in operations(reader, {RecordType.ALERT})]
        return (Alert.of(said) for content in found for said in content["alerts"])

    def stats(self) -> dict[str, Any]:
        """What `Engine.stats["store"]` shows."""
        return {**self.flusher.stats(), "bytes": self._database.size(), "recovered": self.recovered}

    def close(self) -> None:
        """Flushes, writes a whole checkpoint, and gives the folder back. A forked child leaves it to its parent."""
        if os.getpid() != self._process:
            return
        self._stop_inbox()
        try:
            self.flusher.stop(whole=True)
        finally:
            self.abandon()

    def __del__(self) -> None:
        """An engine that was dropped: nobody can decide there any more, and no thread is at work, for both would hold
        it. When the interpreter ends, the threads have ended anywhere: what was recorded is in the ring."""
        if self._is_open and not sys.is_finalizing():
            with suppress(StoreError):
                self.close()
        elif self._flusher is not None:
            self._flusher.let_go()

    def _stop_inbox(self) -> None:
        if self.eraser is not None:
            self.eraser.stop()
        if self._inbox is not None:
            self._inbox.stop()

    def abandon(self) -> None:
        """Gives the folder back as it is."""
        if not self._is_open:
            return
        self._is_open = False
        self._stop_inbox()
        self.flusher.detach()
        if self._file is not None:
            self._file.close()
        self._database.close()
        self._lock.release()


def _never_opened(database: Database) -> bool:
    """Was its very first opening cut off, before anything could be acknowledged? Then it is made anew."""
    with database.reading() as reader:
        return reader.get(META, b"state") is None and not any(reader.count(table) for table in (JOURNAL, OPERATIONS))


def _new_settings(database: Database, policy: Policy, keys: Keys) -> dict[str, Any]:
    key = keys.key or os.urandom(16)
    settings = {"format": FORMAT, "version": VERSION, "id": os.urandom(16), "key": key, "policy": policy.name}
    database.commit([Put(META, b"store", pack(settings))])
    return settings


def _settings(database: Database, folder: Path) -> dict[str, Any]:
    with database.reading() as reader:
        settings = reader.note(folder, b"store")
    check_format(folder, settings)
    return settings


def _private_key(keys: Keys, policy: Policy) -> bytes:
    if has_private(policy) and keys.private_key is None:
        raise StoreUnavailable(
            "the policy has private fields: give private_key, 16 bytes of your key management. A store never keeps it"
        )
    return keys.private_key or os.urandom(16)


def _first(
    policy: Policy, key: bytes, private_key: bytes, clock: Callable[[], int] | None, max_ahead: int | None
) -> Restored:
    plan = lower(policy)
    core = Core(plan, policy, list_contents(plan), key, private_key, clock, max_ahead)
    return Restored(core, policy, plan, [], {}, {}, b"", 0, 0, 0)
