"""The folder of a store: made private, locked by its one owner."""

from __future__ import annotations

import fcntl
import gc
import os
import stat
import time
from errno import EDQUOT, ENOSPC
from typing import TYPE_CHECKING, Final

from frmcore.errors import StoreError, StoreFull, StoreLocked, StoreUnavailable
from frmcore.store.layout import DATA_FILE, LOCK_FILE

if TYPE_CHECKING:
    from pathlib import Path

DROPPED_SECONDS: Final = 0.6
PAUSE_SECONDS: Final = 0.02


def make_folder(folder: Path) -> bool:
    """Makes the folder (0700) where there is none. True when it holds no store yet. Raises StoreUnavailable."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = {path.name for path in folder.iterdir()} - {LOCK_FILE}
    except OSError as error:
        raise StoreUnavailable(f"{folder} can't be a store: {error.strerror}") from error
    if DATA_FILE in found:
        return False
    if found:
        raise StoreUnavailable(
            f"{folder} is no store and not empty ({', '.join(sorted(found)[:3])}): name a new or an empty folder"
        )
    return True


class FolderLock:
    """The lock of a store's owner; given back by the system when the process ends, however it ends."""

    def __init__(self, folder: Path) -> None:
        path = folder / LOCK_FILE
        try:
            self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise StoreUnavailable(
                f"{path}: {error.strerror}: the engine must be able to write in its store"
            ) from error
        if not self._taken() and not self._dropped():
            owner = self._owner() or "unknown"
            os.close(self._handle)
            raise StoreLocked(
                f"{folder} is open in process {owner}: a store has one owner. Close it there first; "
                "commands reach it there (frmcore lists, reload, switch, erase ...)"
            )
        try:
            os.ftruncate(self._handle, 0)
            os.pwrite(self._handle, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            os.close(self._handle)
            raise StoreUnavailable(f"{path}: {error.strerror}") from error

    def _taken(self) -> bool:
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def _owner(self) -> str:
        return os.pread(self._handle, 32, 0).decode(errors="replace").strip()

    def _dropped(self) -> bool:
        """An engine of this process that was dropped without close() gives the lock back when it is collected, and its
        threads are not at work just then."""
        end = time.monotonic() + DROPPED_SECONDS
        while self._owner() == str(os.getpid()):
            gc.collect()
            if self._taken():
                return True
            if time.monotonic() > end:
                return False
            time.sleep(PAUSE_SECONDS)
        return False

    def release(self) -> None:
        os.close(self._handle)


def sync_folder(folder: Path) -> None:
    """Makes new names in the folder survive a power cut."""
    try:
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        raise StoreUnavailable(f"{folder}: {error.strerror}") from error


def check_private(folder: Path) -> None:
    """Raises StoreUnavailable where others than the owner may read the store."""
    if stat.S_IMODE(folder.stat().st_mode) & 0o077:
        raise StoreUnavailable(f"{folder} can be read by others: chmod 700 {folder}")


def disk_error(path: Path, error: OSError) -> StoreError:
    """What the system says of a file, as ours."""
    if error.errno in {ENOSPC, EDQUOT}:
        return StoreFull(f"{path}: no room on the disk")
    return StoreUnavailable(f"{path}: {error.strerror}")
