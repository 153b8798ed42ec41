"""How a store lies on disk: its files, its tables, the keys and values in them.

    store/               0700
      lock               held (flock) by the one engine that has the store open
      journal.ring       mapped: what was recorded and is not in the database yet
      state.mdb          LMDB: everything else
      state.mdb-lock     LMDB's own

Every value in the database ends with the CRC-32C of its key and itself: LMDB has no checksums of its own.

| table | key | value |
|---|---|---|
| meta | a name | MessagePack |
| journal | first sequence number, 8 bytes | a stretch: frames, and the fingerprints of their event ids |
| ids | level, first sequence number | last sequence number, merged fingerprints of many stretches |
| operations | sequence number | a record of OPERATION_TYPES: a list's change, a policy ...; never trimmed |
| blobs | SHA-256 | a file of a policy |
| rings | group (16 bytes), depth, prefix | sequence number, watermark, head, rings: a piece of a checkpoint |
| inbox | c or r, time, random bytes | a command that another process left; its result |
"""

from __future__ import annotations

import hashlib
import struct
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from frmcore._fast import crc32c
from frmcore.errors import StoreDamaged, StoreVersion

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

FORMAT: Final = 1
DATA_FILE: Final = "state.mdb"
RING_FILE: Final = "journal.ring"
LOCK_FILE: Final = "lock"

META: Final = b"meta"
JOURNAL: Final = b"journal"
IDS: Final = b"ids"
OPERATIONS: Final = b"operations"
BLOBS: Final = b"blobs"
RINGS: Final = b"rings"
INBOX: Final = b"inbox"
TABLES: Final = (META, JOURNAL, IDS, OPERATIONS, BLOBS, RINGS, INBOX)


class RecordType(IntEnum):
    """What a record is of, as the hot path numbers it."""

    DECISION = 1
    AGAIN = 2
    OBSERVED = 3
    UPDATE = 4
    LIST = 5
    POLICY = 6
    EVICT = 7
    CONTROL = 8
    ALERT = 9
    HOLD = 10
    ERASE = 11


OPERATION_TYPES: Final = frozenset(RecordType) - {
    RecordType.DECISION, RecordType.AGAIN, RecordType.OBSERVED, RecordType.UPDATE, RecordType.EVICT
}  # fmt: skip
"""What is kept for good, beside the journal."""


_U64: Final = struct.Struct(">Q")
_LEVEL: Final = struct.Struct(">BQ")
_UNIT: Final = struct.Struct(">16sBQ")
_PIECE: Final = struct.Struct("<QQ?q")
_RINGS_HEAD: Final = struct.Struct("<qI")
_CRC: Final = struct.Struct("<I")
_NEVER: Final = -(2**63)  # before every time
NO_TIME: Final = -(1 << 63)  # before every event
DEPTH_MAX: Final = 20  # of a piece
SEQ_BYTES: Final = _U64.size
CRC_BYTES: Final = _CRC.size


def unsealed(table: bytes, key: bytes, stored: memoryview) -> bytes:
    """The value that `sealed` closed. Raises StoreDamaged where it is not what was written under this key."""
    value = bytes(stored[:-CRC_BYTES])
    if len(stored) < CRC_BYTES or _CRC.unpack(stored[-CRC_BYTES:])[0] != crc32c(value, crc32c(key)):
        raise StoreDamaged(f"table {table.decode()}, key {key.hex()}: the checksum does not fit; restore a snapshot")
    return value


def seq_key(seq: int) -> bytes:
    return _U64.pack(seq)


def seq_of(key: bytes) -> int:
    return int(_U64.unpack(key)[0])


def level_key(level: int, seq: int) -> bytes:
    return _LEVEL.pack(level, seq)


def level_of(key: bytes) -> tuple[int, int]:
    level, seq = _LEVEL.unpack(key)
    return level, seq


def group_key(signature: str, generation: int) -> bytes:
    """16 bytes that name a group's rings: a signature may come back under a later policy, with other rings."""
    return hashlib.blake2b(f"{generation} {signature}".encode(), digest_size=16).digest()


def unit_key(group: bytes, depth: int, prefix: int) -> bytes:
    return _UNIT.pack(group, depth, prefix)


def unit_of(key: bytes) -> tuple[bytes, int, int]:
    """(group, depth, prefix)"""
    group, depth, prefix = _UNIT.unpack(key)
    return group, depth, prefix


def covers(depths: Iterable[int]) -> bool:
    """Do pieces of these depths, which never overlap, hold every hash? Their shares must add up to one."""
    return sum(1 << (DEPTH_MAX - depth) for depth in depths) == 1 << DEPTH_MAX


class Piece(NamedTuple):
    """A piece of a checkpoint: the rings of one unit as of a sequence number."""

    seq: int
    head: int  # the oldest event that was remembered then
    watermark: int | None
    rings: bytes


def pack_piece(piece: Piece) -> bytes:
    return _PIECE.pack(piece.seq, piece.head, piece.watermark is not None, piece.watermark or 0) + piece.rings


def unpack_piece(value: bytes) -> Piece:
    seq, head, any_recorded, watermark = _PIECE.unpack_from(value)
    return Piece(seq, head, watermark if any_recorded else None, value[_PIECE.size :])


class PieceHead(NamedTuple):
    """A piece without its rings: all of them together take as much memory as the state."""

    seq: int
    head: int
    watermark: int | None
    evicted: int | None  # the event time up to which idle rings of the unit's group were evicted; None: never
    keys: int
    size: int  # bytes of the rings


def piece_head(value: bytes) -> PieceHead:
    seq, head, any_recorded, watermark = _PIECE.unpack_from(value)
    evicted, keys = _RINGS_HEAD.unpack_from(value, _PIECE.size)
    return PieceHead(
        seq, head, watermark if any_recorded else None, None if evicted == _NEVER else evicted, keys,
        len(value) - _PIECE.size,
    )  # fmt: skip


def pack(content: Any) -> bytes:
    return msgspec.msgpack.encode(content)


def unpack(value: bytes) -> Any:
    return msgspec.msgpack.decode(value)


def check_format(name: Path, settings: dict[str, Any]) -> None:
    """Raises StoreVersion for what a newer frmcore wrote, StoreDamaged for what none did."""
    found = settings.get("format") if isinstance(settings, dict) else None
    if not isinstance(found, int) or not all(_is_key(settings.get(name)) for name in ("id", "key")):
        raise StoreDamaged(f"{name}: its settings are none; restore a snapshot")
    if found > FORMAT:
        raise StoreVersion(
            f"{name} was written by frmcore {settings.get('version')} (store format {found}), this one reads up to "
            f"format {FORMAT}: upgrade frmcore"
        )


def _is_key(value: Any) -> bool:
    return isinstance(value, bytes) and len(value) == 16
