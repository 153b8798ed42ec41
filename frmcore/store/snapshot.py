"""Snapshots: one consistent file of a store whose engine goes on deciding, and a store again of that file."""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from frmcore._fast import record_head, stretch_head
from frmcore.errors import StoreDamaged, StoreUnavailable
from frmcore.store.child import run_child
from frmcore.store.database import Database, Put
from frmcore.store.folder import FolderLock, disk_error, sync_folder
from frmcore.store.layout import (
    DATA_FILE,
    JOURNAL,
    META,
    OPERATION_TYPES,
    OPERATIONS,
    check_format,
    pack,
    seq_key,
    unpack,
)
from frmcore.store.notes import note_snapshot
from frmcore.store.snapfile import MAGIC, SECTIONS, Description, SnapshotReader, SnapshotWriter
from frmcore.store.sound import sensible
from frmcore.store.view import viewing
from frmcore.store.walk import Walk
from frmcore.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

    from frmcore.store.view import StoreView

    Progress = Callable[[int, int], None]

COMMIT_BYTES: Final = 64 << 20  # of a restored store in one commit


def take_snapshot(store: str | Path, file: str | Path, progress: Progress = lambda _done, _all: None) -> Description:
    """Writes what a store holds at this moment into one file (0600), whoever has the store open; what its journal's
    ring has and its database has not is there as well. The file appears whole or not at all; a snapshot of its name is
    replaced. The store notes its name. progress(done, all): rows. Raises StoreError. Memory: a few MiB."""
    path = Path(file)
    _check_name(path)
    with viewing(store) as view:
        description = _describe(view)
        with _new_file(path) as out:
            writer = SnapshotWriter(out, description)
            done, total = 0, sum(description.rows.values())
            for table in SECTIONS:
                writer.section(table, _counted(_rows(view, table), done, total, progress))
                done += description.rows[table.decode()]
            writer.finish()
        progress(total, total)
    if os.access(Path(store) / DATA_FILE, os.W_OK):  # a store on a read-only disk is never erased from
        note_snapshot(Path(store), path, description.seq)
    return description


def _check_name(path: Path) -> None:
    """Another snapshot, or an empty file, is replaced: nothing else that somebody may still need."""
    if path.is_dir():
        raise StoreUnavailable(f"{path} is a folder: name the file that the snapshot goes to")
    if not path.exists():
        return
    if path.is_file():
        with path.open("rb") as file:
            start = file.read(len(MAGIC))
        if start in (b"", MAGIC):
            return
    raise StoreUnavailable(f"{path} is there already, and is no snapshot: name another file")


def snapshot_by_child(folder: Path, file: str | Path, progress: Progress | None = None) -> None:
    """`take_snapshot` in a child process: for the owner, whose database must stay free to grow."""
    arguments = [str(folder.absolute()), str(Path(file).absolute())]
    run_child("frmcore.store.snapshot", "snapshot_in_child", arguments, progress or (lambda _done, _all: None))


def snapshot_in_child(folder: str, file: str, progress: Progress) -> None:
    take_snapshot(folder, file, progress)


def _describe(view: StoreView) -> Description:
    rows = {table.decode(): view.reader.count(table) for table in SECTIONS}
    rows["journal"] += bool(view.tail.records)
    rows["operations"] += sum(1 for _ in _late_operations(view))
    return Description(VERSION, view.settings["id"], view.settings["policy"], view.seq, rows)


def _rows(view: StoreView, table: bytes) -> Iterator[tuple[bytes, bytes]]:
    """A table's rows, with those that the next flush would have brought."""
    for key, value in view.reader.items(table):
        yield key, _note(view, key, value) if table == META else value
    if table == JOURNAL and view.tail.records:
        yield seq_key(stretch_head(view.tail.stretch)[1]), view.tail.stretch
    if table == OPERATIONS:
        yield from _late_operations(view)


def _late_operations(view: StoreView) -> Iterator[tuple[bytes, bytes]]:
    for record in view.tail.records:
        seq, type_, _, _ = record_head(record)
        if type_ in OPERATION_TYPES:
            yield seq_key(seq), record


def _note(view: StoreView, key: bytes, value: bytes) -> bytes:
    """Notes without a position: it means something in this store's ring only."""
    if key == b"drained":
        return pack({**view.drained, "seq": view.seq, "position": 0})
    return pack({**unpack(value), "position": 0}) if key == b"state" else value


def _counted(
    rows: Iterator[tuple[bytes, bytes]], done: int, total: int, progress: Progress
) -> Iterator[tuple[bytes, bytes]]:
    for row in rows:
        yield row
        done += 1
        progress(done, total)


@contextmanager
def _new_file(path: Path) -> Iterator[BinaryIO]:
    """A file that appears under its name when it is whole and synced. Raises StoreFull, StoreUnavailable.

    It is written under a name of its own, always the same: what a run that was killed left there is written over."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "wb") as out:
            _own(out, temporary)
            try:
                out.truncate(0)
                yield out
                out.flush()
                os.fsync(out.fileno())
                temporary.replace(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
        sync_folder(path.parent)
    except OSError as error:
        raise disk_error(path, error) from error


def _own(out: BinaryIO, path: Path) -> None:
    """Raises StoreUnavailable where another process writes the file."""
    try:
        fcntl.flock(out, fcntl.LOCK_EX | fcntl.LOCK_NB)
        mine = os.path.samestat(os.fstat(out.fileno()), path.lstat())
    except (BlockingIOError, FileNotFoundError):
        mine = False
    if not mine:  # not any more: it was renamed between our two looks
        raise StoreUnavailable(f"{path}: another process writes a snapshot of this name; wait for it, or name another")


# ---- back ----------------------------------------------------------------------------------------------------------


def restore_snapshot(file: str | Path, store: str | Path, progress: Progress = lambda _done, _all: None) -> Description:
    """Makes a store of a snapshot, in a new or an empty folder. The store appears whole or not at all, and only after
    everything in the file was checked. It is another store (a new id) with the same key. progress(done, all): bytes.
    Raises StoreError. Memory: a commit of some 64 MiB, and what `Walk` keeps."""
    path, folder = Path(file), Path(store)
    _check_target(folder)
    temporary = folder.with_name(f".{folder.name}.restoring")
    try:
        with opened_snapshot(path) as (reader, size), _new_folder(temporary):
            _fill(temporary, reader, lambda at: progress(at, size))
            sync_folder(temporary)
            temporary.replace(folder)  # over an empty folder, if there is one
        sync_folder(folder.parent)
    except OSError as error:
        raise disk_error(folder, error) from error
    return reader.description


@contextmanager
def _new_folder(folder: Path) -> Iterator[None]:
    """A folder of ours alone, which does not stay where what is done in it fails; nor does one that a killed run left.
    Raises StoreLocked where another process restores there."""
    if folder.is_dir() and not folder.is_symlink():
        lock = FolderLock(folder)
        shutil.rmtree(folder)
        lock.release()
    folder.mkdir(mode=0o700)
    lock = FolderLock(folder)
    try:
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        lock.release()


def _check_target(folder: Path) -> None:
    if folder.is_symlink():
        raise StoreUnavailable(f"{folder} is a symbolic link: name the folder itself")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise StoreUnavailable(f"{folder} is there already and not empty: restore into a new folder, then swap them")
    if not folder.resolve().parent.is_dir():
        raise StoreUnavailable(f"{folder.parent}: no such folder")


@contextmanager
def opened_snapshot(path: Path) -> Iterator[tuple[SnapshotReader, int]]:
    """A reader of a snapshot, and the file's size. Raises StoreUnavailable, StoreDamaged, StoreVersion."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        hint = " (a symbolic link: name the file itself)" if path.is_symlink() else ""
        raise StoreUnavailable(f"{path}: {error.strerror}{hint}") from error
    with os.fdopen(handle, "rb") as source:
        yield SnapshotReader(source, path), os.fstat(source.fileno()).st_size


def _fill(folder: Path, reader: SnapshotReader, progress: Callable[[int], None]) -> None:
    """The notes come with the last commit: before it, the folder holds nothing that could be opened."""
    database, walk = Database(folder, create=True), Walk()
    changes: list[Put] = []
    notes: list[Put] = []
    size = 0
    try:
        for row in reader.rows():
            walk.row(row.table, row.key, row.value)
            _refuse(walk)
            value = _new_identity(folder, row.value) if (row.table, row.key) == (META, b"store") else row.value
            (notes if row.table == META else changes).append(Put(row.table, row.key, value))
            size += len(value)
            if size > COMMIT_BYTES:
                database.commit(changes)
                changes, size = [], 0
            progress(reader.at)
        walk.finish()
        _refuse(walk)
        database.commit([*changes, *notes])
    finally:
        database.close()


def _refuse(walk: Walk) -> None:
    if walk.problems:
        raise StoreDamaged(f"the snapshot can't be restored: {walk.problems[0]}; take another one")


def _new_identity(folder: Path, value: bytes) -> bytes:
    with sensible("the snapshot's settings can't be read"):
        settings: dict[str, Any] = unpack(value)
        check_format(folder, settings)
        return pack({**settings, "id": os.urandom(16)})
