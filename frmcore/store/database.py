"""The store's LMDB environment: opened with the settings that survive a power cut, written in whole commits."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import lmdb

from frmcore._fast import ids_find, sealed
from frmcore.errors import StoreDamaged, StoreFull, StoreUnavailable
from frmcore.store.layout import CRC_BYTES, DATA_FILE, IDS, META, SEQ_BYTES, TABLES, seq_of, unpack, unsealed
from frmcore.store.sound import sensible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

COPY_BYTES: Final = 16 << 20  # of a compacted copy in one commit
MAP_FIRST: Final = 64 << 20  # grows by doubling, up to the option map_max
MAP_MAX: Final = 1 << 40


class Put(NamedTuple):
    """One change of a commit. `value` None deletes the key."""

    table: bytes
    key: bytes
    value: bytes | None


class Database:
    """The tables of a store. Raises StoreUnavailable, StoreDamaged, StoreFull."""

    def __init__(
        self, folder: Path, *, map_max: int = MAP_MAX, create: bool = False, readonly: bool = False, guest: bool = False
    ) -> None:
        """guest: beside its owner, or for a moment: the map is as large as the owner left it."""
        self._path = folder / DATA_FILE
        self._map_max = map_max
        if not create and not self._path.exists():
            raise StoreUnavailable(f"{folder} is no store: it has no {DATA_FILE}")
        self._readonly, self._guest = readonly, readonly or guest
        self._failed = False  # the last commit
        self._writing = threading.Lock()
        self._readers = 0
        self._mapping = threading.Condition()  # the map may move only while nobody reads
        self._open(create)

    def _open(self, create: bool) -> None:
        size = 0 if self._guest else max(MAP_FIRST, 2 * self._path.stat().st_size if self._path.exists() else 0)
        with self._told():
            self._env = lmdb.open(
                str(self._path),
                subdir=False,
                map_size=min(size, self._map_max) if size else 0,
                readonly=self._readonly,
                create=create,
                mode=0o600,
                max_dbs=len(TABLES),
                max_spare_txns=0,
                sync=True,
                metasync=True,
                writemap=False,
                meminit=True,
                readahead=False,
            )
            self._env.reader_check()
            self._extend()
            self._tables = self._open_tables(create)

    def _extend(self) -> None:
        """A file that was cut short gets its length back: reading a map beyond a file's end is a signal that ends the
        process, reading zeros is an error. (Pages at the end that were never used need not be there.)"""
        size = (self._env.info()["last_pgno"] + 1) * self._env.stat()["psize"]
        if not self._guest and self.size() < size:
            os.truncate(self._path, size)

    def _open_tables(self, create: bool) -> dict[bytes, Any]:
        if create or self._is_blank():
            return {name: self._env.open_db(name) for name in TABLES}
        try:
            return {name: self._env.open_db(name, create=False) for name in TABLES}
        except lmdb.NotFoundError:
            raise StoreDamaged(f"{self._path} is no frmcore store: it lacks a table") from None

    def _is_blank(self) -> bool:
        """Was the file made, and nothing ever written to it?"""
        return not self._guest and self._env.stat()["entries"] == 0

    def commit(self, changes: Iterable[Put]) -> None:
        """All changes in one synced commit, or none. A full map grows up to map_max."""
        with self._writing:
            if self._failed:
                self._reopen()
            self._failed = True
            changes = list(changes)
            with self._told():
                while not self._written(changes):
                    self._grow()
            self._failed = False

    def _written(self, changes: list[Put]) -> bool:
        """False: the map is full, and nothing was written."""
        try:
            with self._begin(write=True) as txn:
                for table, key, value in changes:
                    if value is None:
                        txn.delete(key, db=self._tables[table])
                    else:
                        txn.put(key, sealed(key, value), db=self._tables[table])
        except lmdb.MapFullError:
            return False
        return True

    def _begin(self, *, write: bool) -> Any:
        try:
            return self._env.begin(write=write, buffers=True)
        except lmdb.MapResizedError:  # by another process: the owner, or who left a command in its inbox
            self._env.set_mapsize(0)
            return self._env.begin(write=write, buffers=True)

    def _grow(self) -> None:
        size = self._env.info()["map_size"]
        if size >= self._map_max:
            raise self._full()
        with self._unread():
            self._env.set_mapsize(min(2 * size, self._map_max))

    def _full(self) -> StoreFull:
        return StoreFull(
            f"{self._path} has reached its limit of {self._map_max:,} bytes: open it with a larger map_max, or keep "
            "less (keep_decisions)"
        )

    def revive(self) -> None:
        """Before anything is read for the next commit, where the last one failed."""
        with self._writing:
            if self._failed:
                self._reopen()
                self._failed = False

    def _reopen(self) -> None:
        """After a commit that failed: LMDB refuses everything once it could not write a meta page (MDB_PANIC)."""
        with self._unread():
            self._env.close()
            self._open(create=False)

    @contextmanager
    def _unread(self) -> Iterator[None]:
        with self._mapping:
            self._mapping.wait_for(lambda: not self._readers)
            yield

    def get(self, table: bytes, key: bytes) -> bytes | None:
        """The value under a key; None where there is none."""
        with self.reading() as reader:
            return reader.get(table, key)

    @contextmanager
    def reading(self) -> Iterator[Reader]:
        """A consistent view of all tables."""
        with self._mapping:
            self._readers += 1
        try:
            with self._told(system=False), self._begin(write=False) as txn:
                yield Reader(txn, self._tables)
        finally:
            with self._mapping:
                self._readers -= 1
                self._mapping.notify_all()

    def reap(self) -> None:
        """Ends the views of processes that were killed: no page that they could see is used again before, and the file
        grows."""
        with self._writing, self._told():
            self._env.reader_check()

    def size(self) -> int:
        """Bytes of the file."""
        with self._told():
            return self._path.stat().st_size

    def copy(self, path: Path) -> None:
        """All rows in a new file, synced. LMDB's own compaction copies pages, with the bytes of what was deleted in
        them: an erased subject would still be there."""
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        size = 2 * self._env.info()["map_size"]
        with (
            self._told(),
            lmdb.open(str(path), subdir=False, map_size=size, max_dbs=len(TABLES), lock=False, sync=False) as copy,
            self._begin(write=False) as view,
        ):
            for name in TABLES:
                _copy_table(view, self._tables[name], copy, copy.open_db(name))
            copy.sync(True)

    def close(self) -> None:
        with self._writing, self._unread():
            self._env.close()

    @contextmanager
    def _told(self, *, system: bool = True) -> Iterator[None]:
        """LMDB's errors as ours; the system's too, unless they may be about something else."""
        try:
            yield
        except lmdb.MapFullError as error:
            raise self._full() from error
        except (lmdb.CorruptedError, lmdb.PageNotFoundError, lmdb.InvalidError, lmdb.VersionMismatchError) as error:
            raise StoreDamaged(f"{self._path}: {error}; restore a snapshot") from error
        except lmdb.DiskError as error:
            raise StoreFull(f"{self._path}: {error}: no room on the disk") from error
        except lmdb.Error as error:
            hint = ": ask its Engine (snapshot, tail, lists)" if "already open in this process" in str(error) else ""
            raise StoreUnavailable(f"{self._path}: {error}{hint}") from error
        except OSError as error:
            if not system:
                raise
            raise StoreUnavailable(f"{self._path}: {error}") from error


def _copy_table(view: Any, source: Any, copy: Any, target: Any) -> None:
    """In commits of some COPY_BYTES, which is what it takes of memory."""
    with view.cursor(db=source) as cursor:
        more = cursor.first()
        while more:
            size = 0
            with copy.begin(write=True) as txn:
                while more and size < COPY_BYTES:
                    txn.put(cursor.key(), cursor.value(), append=True, db=target)
                    size += len(cursor.value())
                    more = cursor.next()


class Reader:
    """One consistent view; every value is checked on the way out."""

    def __init__(self, txn: Any, tables: dict[bytes, Any]) -> None:
        self._txn = txn  # gives memory of the map itself
        self._tables = tables

    def get(self, table: bytes, key: bytes) -> bytes | None:
        stored = self._txn.get(key, db=self._tables[table])
        return None if stored is None else unsealed(table, key, stored)

    def note(self, folder: Path, name: bytes) -> dict[str, Any]:
        """One of the notes that a store which was ever opened has. Raises StoreDamaged."""
        value = self.get(META, name)
        if value is None:
            raise StoreDamaged(f"{folder} holds a store that was never finished: remove it, or restore a snapshot")
        with sensible(f"{folder}: its note of {name.decode()} can't be read"):
            note: dict[str, Any] = unpack(value)
        return note

    def find_id(self, key: bytes, fingerprint: int) -> list[int]:
        """Sequence numbers under a fingerprint in a merged run, which is not read whole: what is found is checked by
        the caller."""
        run = self._txn.get(key, db=self._tables[IDS])
        return [] if run is None else ids_find(run[SEQ_BYTES:-CRC_BYTES], fingerprint)

    def last_of_run(self, key: bytes) -> int:
        """The last sequence number of a merged run, which is not read whole either."""
        run = self._txn.get(key, db=self._tables[IDS])
        return 0 if run is None else seq_of(bytes(run[:SEQ_BYTES]))

    def items(self, table: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """(key, value) from `start` on, in order."""
        with self._txn.cursor(db=self._tables[table]) as cursor:
            more = cursor.set_range(start) if start else cursor.first()
            while more:
                key = bytes(cursor.key())
                yield key, unsealed(table, key, cursor.value())
                more = cursor.next()

    def sizes(self, table: bytes, start: bytes) -> Iterator[tuple[bytes, int]]:
        """(key, size of the value) from `start` on, in order; no value is read."""
        with self._txn.cursor(db=self._tables[table]) as cursor:
            more = cursor.set_range(start)
            while more:
                yield bytes(cursor.key()), len(cursor.value())
                more = cursor.next()

    def heads_back(self, table: bytes, size: int) -> Iterator[bytes]:
        """The first `size` bytes of each value, unchecked, from the last key back."""
        with self._txn.cursor(db=self._tables[table]) as cursor:
            more = cursor.last()
            while more:
                yield bytes(cursor.value()[:size])
                more = cursor.prev()

    def keys(self, table: bytes) -> Iterator[bytes]:
        with self._txn.cursor(db=self._tables[table]) as cursor:
            yield from map(bytes, cursor.iternext(keys=True, values=False))

    def last_at_most(self, table: bytes, key: bytes) -> tuple[bytes, bytes] | None:
        """The item with the greatest key that is not beyond `key`."""
        with self._txn.cursor(db=self._tables[table]) as cursor:
            if cursor.set_range(key):
                if bytes(cursor.key()) != key and not cursor.prev():
                    return None
            elif not cursor.last():
                return None
            found = bytes(cursor.key())
            return found, unsealed(table, found, cursor.value())

    def table_bytes(self, table: bytes) -> int:
        """Of the pages that a table takes."""
        stat = self._txn.stat(self._tables[table])
        return int((stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]) * stat["psize"])

    def count(self, table: bytes) -> int:
        return int(self._txn.stat(self._tables[table])["entries"])
