"""The format of a snapshot: one file, read and written front to back.

    head       magic, format, size of the description; the description (MessagePack); CRC-32C of all that
    section    one for each table, in the order of SECTIONS: its blocks, then an end
      block    "BLCK", number, size, packed size; zlib; CRC-32C of all that
      end      "SEND", name of the table, rows, bytes, CRC-32C of its bytes; CRC-32C of all that
    end        "FEND", SHA-256 of everything before

The bytes of a section are its rows: size of the key, size of the value, key, value; keys ascend. A block holds at most
BLOCK_BYTES of them, whatever it says of itself: nothing is ever unpacked beyond that at once.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from frmcore._fast import crc32c
from frmcore.errors import StoreDamaged, StoreVersion
from frmcore.store.layout import BLOBS, IDS, JOURNAL, META, OPERATIONS, RINGS
from frmcore.store.sound import NONSENSE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

MAGIC: Final = b"frmsnap\n"
SNAPSHOT_FORMAT: Final = 1
SECTIONS: Final = (META, BLOBS, OPERATIONS, IDS, RINGS, JOURNAL)  # what explains the journal comes before it
BLOCK_BYTES: Final = 1 << 20
DESCRIPTION_BYTES_MAX: Final = 1 << 20
KEY_BYTES_MAX: Final = 511  # LMDB's own bound
VALUE_BYTES_MAX: Final = 512 << 20  # the greatest there are: a list file's text (256 MiB), a run of ids (64 MiB)
LEVEL: Final = 1  # zlib's fastest: stretches shrink to a third, at some 100 MB/s

_HEAD: Final = struct.Struct("<8sII")
_BLOCK: Final = struct.Struct("<4sIII")
_SECTION_END: Final = struct.Struct("<4s12sQQI")
_FILE_END: Final = struct.Struct("<4s32s")
_ROW: Final = struct.Struct("<HI")
_CRC: Final = struct.Struct("<I")


class Description(msgspec.Struct, frozen=True):
    """What a snapshot says of itself. `rows`: table -> rows."""

    version: str  # of frmcore
    store: bytes
    policy: str
    seq: int
    rows: dict[str, int]


class Row(NamedTuple):
    table: bytes
    key: bytes
    value: bytes


class SnapshotWriter:
    """Writes a snapshot into a file: `section` for each table in order, then `finish`."""

    def __init__(self, file: BinaryIO, description: Description) -> None:
        self._file, self._digest, self.written = file, hashlib.sha256(), 0
        described = msgspec.msgpack.encode(description)
        self._put_sealed(_HEAD.pack(MAGIC, SNAPSHOT_FORMAT, len(described)) + described)

    def section(self, table: bytes, rows: Iterator[tuple[bytes, bytes]]) -> None:
        pending, self._blocks, count, size, crc = bytearray(), 0, 0, 0, 0
        for key, value in rows:
            pending += _ROW.pack(len(key), len(value)) + key + value
            count += 1
            while len(pending) >= BLOCK_BYTES:
                part = bytes(pending[:BLOCK_BYTES])
                size, crc = size + len(part), crc32c(part, crc)
                self._block(part)
                del pending[:BLOCK_BYTES]
        if pending:
            size, crc = size + len(pending), crc32c(bytes(pending), crc)
            self._block(bytes(pending))
        self._put_sealed(_SECTION_END.pack(b"SEND", table, count, size, crc))

    def finish(self) -> None:
        self._put(_FILE_END.pack(b"FEND", self._digest.digest()))

    def _block(self, part: bytes) -> None:
        packed = zlib.compress(part, LEVEL)
        self._put_sealed(_BLOCK.pack(b"BLCK", self._blocks, len(part), len(packed)) + packed)
        self._blocks += 1

    def _put_sealed(self, data: bytes) -> None:
        self._put(data + _CRC.pack(crc32c(data)))

    def _put(self, data: bytes) -> None:
        self._digest.update(data)
        self._file.write(data)
        self.written += len(data)


class SnapshotReader:
    """Reads a snapshot. Raises StoreDamaged with the place, StoreVersion for one by a newer frmcore."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file, self._path, self._digest = file, path, hashlib.sha256()
        self.at = 0  # bytes read
        self._table = b"head"
        self.description = self._described()

    def _described(self) -> Description:
        head = self._take(_HEAD.size)
        magic, found, size = _HEAD.unpack(head)
        if magic != MAGIC:
            raise StoreDamaged(f"{self._path} is no snapshot of a store")
        if size > DESCRIPTION_BYTES_MAX:
            raise self._damaged("it describes itself at too great length")
        raw = self._take(size)
        self._check_crc(head + raw)
        if found > SNAPSHOT_FORMAT:
            raise StoreVersion(
                f"{self._path} was written by frmcore {_version(raw)} (snapshot format {found}), this one reads up to "
                f"format {SNAPSHOT_FORMAT}: upgrade frmcore"
            )
        try:
            return msgspec.msgpack.decode(raw, type=Description)
        except NONSENSE as error:
            raise self._damaged(f"its description is none: {error}") from None

    def rows(self) -> Iterator[Row]:
        """Every row, table by table, keys ascending; at the end the whole is known to be sound."""
        for table in SECTIONS:
            self._table = table
            yield from self._section(table)
        self._table = b"end"
        digest = self._digest.digest()
        end = self._take(_FILE_END.size)
        if _FILE_END.unpack(end) != (b"FEND", digest):
            raise self._damaged("its digest does not fit")
        if self._file.read(1):
            raise self._damaged("something follows its end")

    def _section(self, table: bytes) -> Iterator[Row]:
        pending, blocks, size, crc, count, last = bytearray(), 0, 0, 0, 0, b""
        while (part := self._block(table, blocks)) is not None:
            blocks, size, crc = blocks + 1, size + len(part), crc32c(part, crc)
            pending += part
            for key, value in self._whole_rows(pending):
                if count and key <= last:
                    raise self._damaged("its keys are out of order")
                count, last = count + 1, key
                yield Row(table, key, value)
        if pending or self._section_end != (b"SEND", table.ljust(12, b"\0"), count, size, crc):
            raise self._damaged("its end does not fit its rows")
        if self.description.rows.get(table.decode()) != count:
            raise self._damaged(f"it has {count:,} rows, not as many as the snapshot says")

    def _block(self, table: bytes, number: int) -> bytes | None:
        """The next block's bytes; None at the section's end, which is kept."""
        head = self._take(_BLOCK.size)
        mark, found, size, packed_size = _BLOCK.unpack(head)
        if mark == b"SEND":
            head += self._take(_SECTION_END.size - _BLOCK.size)
            self._check_crc(head)
            self._section_end = _SECTION_END.unpack(head)
            return None
        if mark != b"BLCK" or found != number or not 0 < size <= BLOCK_BYTES or packed_size > 2 * BLOCK_BYTES:
            raise self._damaged("a block's head is none")
        packed = self._take(packed_size)
        self._check_crc(head + packed)
        unpack = zlib.decompressobj()
        try:
            part = unpack.decompress(packed, size)
        except zlib.error as error:
            raise self._damaged(f"a block can't be unpacked: {error}") from None
        if len(part) != size or not unpack.eof or unpack.unused_data or unpack.unconsumed_tail:
            raise self._damaged("a block is of another size than it says")
        return part

    def _whole_rows(self, pending: bytearray) -> Iterator[tuple[bytes, bytes]]:
        """Takes whole rows from the front; what is left waits for the next block."""
        at = 0
        while len(pending) - at >= _ROW.size:
            key_size, value_size = _ROW.unpack_from(pending, at)
            if not 0 < key_size <= KEY_BYTES_MAX or value_size > VALUE_BYTES_MAX:
                raise self._damaged("a row is of no possible size")
            start, end = at + _ROW.size + key_size, at + _ROW.size + key_size + value_size
            if end > len(pending):
                break
            yield bytes(pending[at + _ROW.size : start]), bytes(pending[start:end])
            at = end
        del pending[:at]

    def _take(self, size: int) -> bytes:
        data = self._file.read(size)
        if len(data) != size:
            raise self._damaged("it ends too early")
        self._digest.update(data)
        self.at += size
        return data

    def _check_crc(self, data: bytes) -> None:
        if _CRC.unpack(self._take(_CRC.size))[0] != crc32c(data):
            raise self._damaged("a checksum does not fit")

    def _damaged(self, what: str) -> StoreDamaged:
        place = f"section {self._table.decode()}, before byte {self.at:,}"
        return StoreDamaged(f"{self._path}, {place}: {what}; take another snapshot")


def _version(raw: bytes) -> str:
    """The version that a newer snapshot names, as far as it can be read."""
    try:
        found: Any = msgspec.msgpack.decode(raw)
    except NONSENSE:
        return "of a later version"
    return str(found.get("version"))[:40] if isinstance(found, dict) else "of a later version"
