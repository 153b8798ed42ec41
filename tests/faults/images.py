"""What a disk may hold after a power cut, from a log of the tracer.

What was synced is there. Of the rest nothing, everything, any subset of the calls, or of each call any of its 512-byte
sectors. The mapped ring's sectors are each of any age since they were last synced: the system writes them when it
likes. A file's name is there once it or its folder was synced.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from random import Random

SECTOR = 512
_HEAD = struct.Struct("<IIQQ")


class Op(IntEnum):
    WRITE = 1
    SYNC = 2
    SYNC_RANGE = 3
    SIZE = 4
    NAME = 5
    UNLINK = 6
    RENAME = 7
    SYNC_FOLDER = 8
    MARK = 9
    RING = 10


WITH_CONTENT = {Op.WRITE, Op.NAME, Op.UNLINK, Op.RENAME, Op.MARK, Op.RING}


class Entry(NamedTuple):
    op: Op
    file: int
    offset: int
    size: int
    content: bytes


def entries(log: Path) -> Iterator[Entry]:
    """What the tracer logged, in order."""
    raw, at = log.read_bytes(), 0
    while at < len(raw):
        op, file, offset, size = _HEAD.unpack_from(raw, at)
        at += _HEAD.size
        content = raw[at : at + size] if op in WITH_CONTENT else b""
        at += len(content)
        yield Entry(Op(op), file, offset, size, content)


class File:
    """One file: what is safe, and what was written since."""

    def __init__(self) -> None:
        self.safe = bytearray()
        self.pending: list[Entry] = []
        self.versions: dict[int, list[bytes]] = {}  # of the ring's sectors, since the last sync
        self.named = False

    def sync(self) -> None:
        for entry in self.pending:
            _apply(self.safe, entry)
        for at, versions in self.versions.items():
            _put(self.safe, at, versions[-1])
        self.pending, self.versions, self.named = [], {}, True

    def sync_range(self, offset: int, size: int) -> None:
        """A write of a file that is open for synced writes: its own bytes are safe, no others."""
        inside = [entry for entry in self.pending if entry.offset == offset and entry.size == size]
        for entry in inside:
            _apply(self.safe, entry)
        self.pending = [entry for entry in self.pending if entry not in inside]

    def image(self, random: Random, how: str) -> bytes:
        content = bytearray(self.safe)
        for entry in self.pending:
            if how == "torn" and entry.op is Op.WRITE:
                for at in range(0, entry.size, SECTOR):
                    if random.random() < 0.5:
                        _put(content, entry.offset + at, entry.content[at : at + SECTOR])
            elif how == "all" or (how != "none" and random.random() < 0.5):
                _apply(content, entry)
        for at, versions in self.versions.items():
            if how == "all":
                _put(content, at, versions[-1])
            elif how != "none" and (pick := random.randrange(-1, len(versions))) >= 0:
                _put(content, at, versions[pick])
        return bytes(content)


def _put(content: bytearray, at: int, data: bytes) -> None:
    if len(content) < at:
        content.extend(bytes(at - len(content)))
    content[at : at + len(data)] = data


def _apply(content: bytearray, entry: Entry) -> None:
    if entry.op is Op.WRITE:
        _put(content, entry.offset, entry.content)
    elif entry.size > len(content):
        content.extend(bytes(entry.size - len(content)))
    elif not entry.offset:  # a cut; an allocation never makes a file shorter
        del content[entry.size :]


class Disk:
    """The files of one folder, entry by entry."""

    def __init__(self) -> None:
        self.files: dict[str, File] = {}
        self._names: dict[int, str] = {}

    def take(self, entry: Entry) -> None:
        match entry.op:
            case Op.NAME:
                self._names[entry.file] = entry.content.decode()
                self.files.setdefault(self._names[entry.file], File())
            case Op.WRITE | Op.SIZE:
                self.of(entry).pending.append(entry)
            case Op.RING:
                self.of(entry).versions.setdefault(entry.offset, []).append(entry.content)
            case Op.SYNC:
                self.of(entry).sync()
            case Op.SYNC_RANGE:
                self.of(entry).sync_range(entry.offset, entry.size)
            case Op.SYNC_FOLDER:
                for file in self.files.values():
                    file.named = True
            case Op.UNLINK | Op.RENAME:
                raise AssertionError("the model of the disk knows no rename and no unlink: a store makes none")
            case Op.MARK:
                pass

    def of(self, entry: Entry) -> File:
        return self.files[self._names[entry.file]]

    @property
    def settled(self) -> bool:
        """Is everything safe, so that every image is the same?"""
        return not any(file.pending or file.versions for file in self.files.values())

    def build(self, folder: Path, random: Random, how: str, names: tuple[str, ...]) -> None:
        """Writes one image; files of other names are left out."""
        folder.mkdir(mode=0o700)
        for name in names:
            file = self.files.get(name)
            if file is not None and (file.named or how == "all" or (how != "none" and random.random() < 0.5)):
                (folder / name).write_bytes(file.image(random, how))
