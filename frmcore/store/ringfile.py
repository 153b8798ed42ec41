"""The file under the journal's ring: a page that says what the database has, then the area for records.

The page is never synced: after a power cut it may be old, and only what the database says counts. Newer than the
database it can't be, unless somebody put an older database beside it, and that is why it is there.
"""

from __future__ import annotations

import mmap
import os
import struct
from pathlib import Path
from typing import Final

from frmcore._fast import crc32c
from frmcore.errors import StoreDamaged
from frmcore.store.folder import disk_error

PAGE: Final = 4096
_HEAD: Final = struct.Struct("<8sI16sQQ")  # magic, version, store, writes so far, sequence number the database has
_MAGIC: Final = b"frmcring"
_SLOT: Final = 64  # two slots, written in turn: one of them is always whole
_BOOT: Final = slice(256, 272)  # the start of the machine in which the position was told
_POSITION: Final = slice(272, 280)


class RingFile:
    """A mapped ring file. `area` is the writable part that records lie in."""

    def __init__(self, path: Path, store: bytes, *, size: int) -> None:
        self._store = store
        self._writes = 0
        try:
            self._map = _mapped(path, size)
        except OSError as error:
            raise disk_error(path, error) from error
        self.synced = self._read_head(path)
        self.area = memoryview(self._map)[PAGE:]
        # Nothing of a mapped file is lost before the machine stops: until then, records lie whole up to this position.
        same = self._map[_BOOT] == boot_id()
        self.told = int.from_bytes(self._map[_POSITION], "little") if same else 0
        self.published = memoryview(self._map)[_POSITION]

    def publish(self) -> None:
        """From here on the position is told by whoever writes records."""
        self._map[_BOOT] = boot_id()

    def _read_head(self, path: Path) -> int:
        """The sequence number that the database had, by the newer whole slot; 0 for a new file."""
        found = _heads(bytes(self._map[: 2 * _SLOT]))
        if any(store != self._store for _, _, store, _, _ in found):
            raise StoreDamaged(f"{path} belongs to another store: put the files of one store together again")
        self._writes = max((writes for *_, writes, _ in found), default=0)
        return int(max(((writes, seq) for *_, writes, seq in found), default=(0, 0))[1])

    def note(self, seq: int) -> None:
        """The database has everything up to `seq`."""
        self._writes += 1
        head = _HEAD.pack(_MAGIC, 1, self._store, self._writes, seq)
        at = (self._writes & 1) * _SLOT
        self._map[at : at + len(head) + 4] = head + crc32c(head).to_bytes(4, "little")

    def close(self) -> None:
        self.area.release()
        self.published.release()
        self._map.close()


def boot_id() -> bytes:
    """16 bytes that name this start of the machine; where the system has no name for it, ones that never return."""
    try:
        return bytes.fromhex(Path("/proc/sys/kernel/random/boot_id").read_text().replace("-", ""))
    except (OSError, ValueError):
        return os.urandom(16)


def _mapped(path: Path, size: int) -> mmap.mmap:
    """The file, mapped: made and filled with zeros where it is new, of its own size where it is not."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        present = os.fstat(handle).st_size
        if present <= PAGE:
            os.posix_fallocate(handle, 0, PAGE + size)
            os.fsync(handle)
            present = PAGE + size
        return mmap.mmap(handle, present, flags=mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0))
    finally:
        os.close(handle)


def _heads(page: bytes) -> list[tuple[bytes, int, bytes, int, int]]:
    """(magic, version, store, writes, sequence number) of each slot that is whole."""
    found = []
    for at in (0, _SLOT):
        head, crc = page[at : at + _HEAD.size], page[at + _HEAD.size : at + _HEAD.size + 4]
        if len(crc) == 4 and int.from_bytes(crc, "little") == crc32c(head) and head[:8] == _MAGIC:
            magic, version, store, writes, seq = _HEAD.unpack(head)
            found.append((magic, version, store, writes, seq))
    return found


def ring_problem(path: Path, store: bytes, seq: int) -> str:
    """What is wrong with a ring file beside a database that ends at `seq`; "" for nothing, and for no file."""
    try:
        with path.open("rb") as file:
            heads = _heads(file.read(PAGE))
    except OSError:
        return ""
    if any(head[2] != store for head in heads):
        return "it belongs to another store: put the files of one store together again"
    synced = max((head[3:] for head in heads), default=(0, 0))[1]
    if synced > seq:
        return f"the database ends at operation {seq:,}, but had {synced:,}: an older copy was put in its place"
    return ""
