"""`compact`: the database of a closed store written anew, without the room that deleted things left."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from frmcore.errors import StoreUnavailable
from frmcore.store.database import Database
from frmcore.store.folder import FolderLock, disk_error, sync_folder
from frmcore.store.layout import DATA_FILE


class Compacted(NamedTuple):
    """Bytes of the database's file."""

    before: int
    after: int


def compact(store: str | Path) -> Compacted:
    """Writes the database of a closed store anew: a copy beside it, synced, then renamed over it. Needs room for the
    copy. Raises StoreLocked where an engine has the store open, StoreError."""
    folder = Path(store)
    path, copy = folder / DATA_FILE, folder / f"{DATA_FILE}.compact"
    if not path.is_file():
        raise StoreUnavailable(f"{folder} is no store: it has no {DATA_FILE}")
    lock = FolderLock(folder)
    try:
        before = path.stat().st_size
        copy.unlink(missing_ok=True)  # of a run that did not end
        database = Database(folder, guest=True)
        try:
            database.copy(copy)
        finally:
            database.close()
        copy.replace(path)
        sync_folder(folder)
        return Compacted(before, path.stat().st_size)
    except OSError as error:
        raise disk_error(copy, error) from error
    finally:
        lock.release()
