"""Snapshots that nobody wrote: what an attacker would make, every checksum right."""

from __future__ import annotations

import hashlib
import io
import re
import struct
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from frmcore._fast import crc32c, fingerprint_of, frame_records, record_head, stretch_frames, stretch_head
from frmcore.store.layout import (
    BLOBS,
    IDS,
    JOURNAL,
    META,
    OPERATIONS,
    RINGS,
    Piece,
    RecordType,
    pack_piece,
    unpack_piece,
)
from frmcore.store.snapfile import SECTIONS, Description, Row, SnapshotWriter

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    Rows = list[Row]

EXTREMES = (
    0,
    1,
    2,
    127,
    128,
    255,
    1 << 15,
    0xFFFF,
    1 << 31,
    0xFFFFFFFF,
    1 << 62,
    (1 << 63) - 1,
    1 << 63,
    (1 << 64) - 1,
)
BYTES = (0, 1, 2, 0x7F, 0x80, 0x81, 0xFE, 0xFF)
PLAIN: tuple[Any, ...] = (
    None, True, 0, -1, 1, 255, 65_536, 1 << 31, -(1 << 63), (1 << 63) - 1, (1 << 64) - 1, 0.5, float("nan"),
    float("inf"), "", "x", "x" * 300, b"", bytes(16), [], [0], {}, {"a": 0}, {"seq": 1}, [[[[]]]],
)  # fmt: skip
_RECORD = struct.Struct("<QqqqIIIIHHBBBB")  # RecordHead
_FRAME = struct.Struct("<IIII")
_STRETCH = struct.Struct("<IIIIQQqqq")
_BODY = _RECORD.size
_BITS = (62, 62, 62, 62, 32, 32, 32, 32, 16, 16, 8, 8, 8, 8)  # of its fields
_SIZE, _FEATURES, _VERDICT, _ID_AT = 4, 6, 7, 5  # fields of a record's head
MARK = 0x4A6D7246
EVENTS = (RecordType.DECISION, RecordType.OBSERVED)
DECIDED = (*EVENTS, RecordType.AGAIN)
STEERED = (RecordType.EVICT, RecordType.CONTROL, RecordType.ALERT, RecordType.HOLD, RecordType.ERASE)
_RINGS = struct.Struct("<qI")  # of a piece: the time up to which idle rings went, how many rings follow
_RING = struct.Struct("<16sBB")  # hash, flags, count of entries where that is below 128
_CAPPED, _SINCE = 1, 16  # flags
_PLACE_BYTES = 16


class Store(NamedTuple):
    """What mutants are made of."""

    rows: Rows
    description: Description
    key: bytes


def written(rows: Rows, **changed: Any) -> bytes:
    """A snapshot of these rows, its checksums right."""
    counts = {table.decode(): sum(row.table == table for row in rows) for table in SECTIONS}
    description = Description("0.1.0", bytes(16), "store", 1, counts)
    out = io.BytesIO()
    writer = SnapshotWriter(out, msgspec.structs.replace(description, **changed))
    for table in SECTIONS:
        writer.section(table, ((row.key, row.value) for row in rows if row.table == table))
    writer.finish()
    return out.getvalue()


def mutant(store: Store, random: Random) -> Rows:
    """One to three things changed, lost or doubled, somewhere between a row and a record's fields."""
    rows = list(store.rows)
    if random.random() < 0.5:
        rows = [row for row in rows if row.table != IDS]  # fingerprints that don't fit hide what is behind them
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        rows = random.choices(CHANGES, WEIGHTS)[0](rows, store, random)
    return sorted(set(rows), key=lambda row: (SECTIONS.index(row.table), row.key))


def number_near(old: int, bits: int, random: Random) -> int:
    """Another number of so many bits: near the old one, or extreme."""
    return random.choice((old - 1, old + 1, old * 2, *EXTREMES, random.getrandbits(64))) & ((1 << bits) - 1)


def scribbled(data: bytes, random: Random) -> bytes:
    """A few bytes changed, put in, taken out, or cut off."""
    value = bytearray(data or b"\0")
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(value) + 1)
        match random.randrange(12):
            case 0:
                value[at:at] = random.randbytes(random.randint(1, 12))
            case 1:
                del value[at : at + random.randint(1, 12)]
            case 2:
                del value[at:]
            case 3:
                value[at : at + 8] = random.choice(EXTREMES).to_bytes(8, random.choice(("little", "big")))
            case _:
                value[at : at + 1] = bytes((random.choice((*BYTES, random.randrange(256))),))
    return bytes(value)


def plain_changed(content: Any, random: Random) -> Any:
    """Plain data with one leaf or branch changed."""
    if not isinstance(content, (dict, list)) or not content or random.random() < 0.1:
        return random.choice((*PLAIN, content * 2 if isinstance(content, (str, list, bytes)) else 0))
    found = list(content.items() if isinstance(content, dict) else enumerate(content))
    name, old = random.choice(found)
    if random.random() < 0.1:
        return type(content)([pair for pair in found if pair[0] != name]) if isinstance(content, dict) else content[1:]
    copy: Any = dict(content) if isinstance(content, dict) else list(content)
    near = isinstance(old, int) and not isinstance(old, bool) and random.random() < 0.5
    copy[name] = number_near(old, 40, random) if near else plain_changed(old, random)
    return copy


# -- rows --------------------------------------------------------------------------------------------------------------
def picked(rows: Rows, random: Random, *tables: bytes) -> int:
    """The index of a row of these tables (none: of any); -1 where there is none."""
    there = [i for i, row in enumerate(rows) if not tables or row.table in tables]
    return random.choice(there) if there else -1


def row_changed(rows: Rows, _: Store, random: Random) -> Rows:
    at = picked(rows, random)
    row = rows[at]
    other = rows[picked(rows, random, row.table)]
    changed = random.choice((
        [], [row, row._replace(key=scribbled(row.key, random)[:511] or b"x")], [row._replace(value=other.value)],
        [row._replace(value=scribbled(row.value, random))], [row._replace(value=scribbled(row.value, random))],
    ))  # fmt: skip
    return [*rows[:at], *changed, *rows[at + 1 :]]


def note_changed(rows: Rows, _: Store, random: Random) -> Rows:
    at = picked(rows, random, META)
    try:
        note = msgspec.msgpack.decode(rows[at].value) if at >= 0 else 0
    except (msgspec.MsgspecError, UnicodeDecodeError):  # changed already
        return rows
    return replaced(rows, at, lambda _: msgspec.msgpack.encode(plain_changed(note, random)))


def replaced(rows: Rows, at: int, value: Callable[[bytes], bytes]) -> Rows:
    if at < 0:
        return rows
    return [*rows[:at], rows[at]._replace(value=value(rows[at].value)), *rows[at + 1 :]]


# -- pieces ------------------------------------------------------------------------------------------------------------
def piece_changed(rows: Rows, _: Store, random: Random) -> Rows:
    def change(value: bytes) -> bytes:
        piece = unpack_piece(value)
        match random.randrange(6):
            case 0:
                piece = piece._replace(seq=number_near(piece.seq, 62, random))
            case 1:
                piece = piece._replace(head=number_near(piece.head, 62, random))
            case 2:
                time = number_near(piece.watermark or 0, 62, random)
                piece = piece._replace(watermark=random.choice((None, time, -time)))
            case _:
                piece = piece._replace(rings=rings_changed(piece.rings, random))
        return pack_piece(Piece(*piece))

    try:
        return replaced(rows, picked(rows, random, RINGS), change)
    except struct.error:  # changed already
        return rows


def rings_changed(rings: bytes, random: Random) -> bytes:
    """What a piece says of evictions, how many rings it has, or the rings."""
    evicted, count = _RINGS.unpack_from(rings)
    body = rings[_RINGS.size :]
    match random.randrange(10):
        case 0:
            count = number_near(count, 32, random)
        case 1 | 2:
            evicted = time_near(evicted, random)
        case 3 | 4 if len(body) > _RING.size:
            body = _since_changed(body, random)
        case _:
            body = scribbled(body, random)
    return _RINGS.pack(evicted, count) + body


def _since_changed(body: bytes, random: Random) -> bytes:
    """The time up to which the first ring may lack entries: another one, a first one, or none any more."""
    hashed, flags, entries = _RING.unpack_from(body)
    at = _RING.size + (_PLACE_BYTES if flags & _CAPPED else 0)
    had = struct.unpack_from("<q", body, at)[0] if flags & _SINCE and len(body) >= at + 8 else None
    behind = body[at + 8 :] if had is not None else body[at:]
    if had is not None and random.random() < 0.3:
        return _RING.pack(hashed, flags & ~_SINCE, entries) + body[_RING.size : at] + behind
    since = struct.pack("<q", time_near(had or 1_760_000_000_000, random))
    return _RING.pack(hashed, flags | _SINCE, entries) + body[_RING.size : at] + since + behind


def time_near(old: int, random: Random) -> int:
    """Another signed time: near the old one, far, or extreme."""
    found = random.choice((old - 1, old + 1, old + 3_600_000, old - 3_600_000, 0, -old, 1 << 53, *EXTREMES))
    return (found + (1 << 63)) % (1 << 64) - (1 << 63)


# -- records -----------------------------------------------------------------------------------------------------------
def record_changed(rows: Rows, store: Store, random: Random) -> Rows:
    """A record, in its stretch and among the operations."""
    at = picked(rows, random, JOURNAL)
    try:
        records = frame_records(stretch_frames(rows[at].value)) if at >= 0 and stretch_head(rows[at].value) else []
    except ValueError:
        records = []
    if not records:
        return rows
    where = random.randrange(len(records))
    steered = [i for i, record in enumerate(records) if record_head(record)[1] in STEERED]
    operations = [i for i, record in enumerate(records) if record_head(record)[1] >= RecordType.UPDATE]
    if operations and random.random() < 0.4:
        where = random.choice(steered if steered and random.random() < 0.6 else operations)
    old, records[where] = records[where], one_record_changed(records[where], random)
    rows = replaced(rows, at, lambda value: stretch_again(records, store.key, stretch_head(value)[5], random))
    return [row._replace(value=records[where]) if (row.table, row.value) == (OPERATIONS, old) else row for row in rows]


def one_record_changed(record: bytes, random: Random) -> bytes:
    head = list(_RECORD.unpack_from(record))
    body = record[_BODY:]
    choice = random.random()
    if choice < 0.3:
        field = random.randrange(len(head))
        head[field] = number_near(
            head[field], 62 if field < 4 else 32 if field < 8 else 16 if field < 10 else 8, random
        )
        return _RECORD.pack(*head) + body
    if head[-4] >= RecordType.UPDATE:
        body = _plain_body_changed(body, random)
    elif choice < 0.7:
        at = random.randrange(len(body) + 1)
        body = body[:at] + bytes(random.choice(BYTES) for _ in body[at : at + 3]) + body[at + 3 :]
    else:
        body = _moved(head, body, random)
    head[_SIZE] = _BODY + len(body)
    return _RECORD.pack(*head) + body


def _plain_body_changed(body: bytes, random: Random) -> bytes:
    try:
        return msgspec.msgpack.encode(plain_changed(msgspec.msgpack.decode(body), random))
    except msgspec.MsgspecError:  # changed already
        return scribbled(body, random)


def _moved(head: list[int], body: bytes, random: Random) -> bytes:
    """Bytes put in or taken out, and the places behind them moved along."""
    at, more = random.randrange(len(body) + 1), bytes(random.choices(BYTES, k=random.randint(0, 6)))
    less = 0 if more else min(random.randint(1, 6), len(body) - at)
    for field in (_FEATURES, _VERDICT, _ID_AT):
        if head[field] > _BODY + at:
            head[field] = max(0, head[field] + len(more) - less)
    return body[:at] + more + body[at + less :]


def stretch_again(records: list[bytes], key: bytes, watermark: int, random: Random) -> bytes:
    """The stretch that these records would be in, or one that says something else of itself."""
    frames, ids, times = b"", [], []
    for record in records:
        head = _RECORD.unpack_from(record)
        mark = MARK if random.random() < 0.995 else random.choice((0x536D7246, 0))
        epoch = 1 if random.random() < 0.99 else random.choice((0, 0xFFFFFFFF))
        framed = _FRAME.pack(0, len(record), epoch, mark)[4:] + record
        frames += crc32c(framed).to_bytes(4, "little") + framed + bytes(-(len(framed) + 4) % 16)
        if head[-4] in EVENTS:
            ident = record[head[_ID_AT] : head[_ID_AT] + head[8]].decode(errors="replace")
            ids.append((fingerprint_of(ident, key), head[0]))
            times.append(head[1])
    seqs = [_RECORD.unpack_from(record)[0] for record in records]
    head = [1, len(records), len(ids), len(frames), seqs[0], seqs[-1], min(times, default=(1 << 63) - 1),
            max(times, default=-(1 << 63)), max(watermark, *times) if times else watermark]  # fmt: skip
    if random.random() < 0.05:
        field = random.randrange(len(head))
        head[field] = number_near(head[field], 32 if field < 4 else 62, random)
    return _STRETCH.pack(*head) + frames + b"".join(struct.pack("<QQ", *entry) for entry in sorted(ids))


# -- policies ----------------------------------------------------------------------------------------------------------
def policy_changed(rows: Rows, store: Store, random: Random) -> Rows:
    """A policy's text, and the records that name it by its digest."""
    at = picked(rows, random, BLOBS)
    if at < 0:
        return rows
    text = text_changed(rows[at].value.decode(errors="replace"), random).encode()
    old, new = rows[at].key.hex(), hashlib.sha256(text).hexdigest()
    rows = [*rows[:at], Row(BLOBS, bytes.fromhex(new), text), *rows[at + 1 :]]
    return [_renamed(row, old.encode(), new.encode(), store.key, random) for row in rows]


def _renamed(row: Row, old: bytes, new: bytes, key: bytes, random: Random) -> Row:
    if old not in row.value:
        return row
    if row.table != JOURNAL:
        return row._replace(value=row.value.replace(old, new))
    try:
        records = [record.replace(old, new) for record in frame_records(stretch_frames(row.value))]
        return row._replace(value=stretch_again(records, key, stretch_head(row.value)[5], random))
    except ValueError:
        return row


def text_changed(text: str, random: Random) -> str:
    """A number, a word or a line changed."""
    lines = text.split("\n")
    at = random.randrange(len(lines))
    words = list(re.finditer(r"[\w.]+", text))
    match random.randrange(4):
        case 0:
            del lines[at]
        case 1:
            lines.insert(at, random.choice(lines))
        case _ if words:
            one, other = random.choice(words), random.choice(words)
            return text[: one.start()] + random.choice((other.group(), "0", "9" * 20, "1h", "")) + text[one.end() :]
    return "\n".join(lines)


# -- the file ----------------------------------------------------------------------------------------------------------
_BLOCK = struct.Struct("<4sIII")


def segments_changed(data: bytes, random: Random) -> bytes:
    """One checked part of the file changed, lost, doubled or swapped; every checksum right."""
    parts = segments(data)
    at = random.randrange(len(parts))
    match random.randrange(6):
        case 0:
            del parts[at]
        case 1:
            parts.insert(at, random.choice(parts))
        case 2 if parts[at][:4] == b"BLCK":
            mark, number, size, packed = _BLOCK.unpack_from(parts[at])
            part = scribbled(zlib.decompress(parts[at][_BLOCK.size :]), random)
            again = zlib.compress(part, 1)
            told = random.choice(((len(part), len(again)), (size, packed), (number_near(size, 32, random), len(again))))
            parts[at] = _BLOCK.pack(mark, number, *told) + again
        case 3:
            parts[at] = parts[at][:4] + scribbled(parts[at][4:32], random)[:28].ljust(28, b"\0") + parts[at][32:]
        case _:
            parts[at] = scribbled(parts[at], random)
    whole = b"".join(part + crc32c(part).to_bytes(4, "little") for part in parts)
    return whole + b"FEND" + hashlib.sha256(whole).digest()


def segments(data: bytes) -> list[bytes]:
    """The checked parts of a sound snapshot, without their checksums and its end."""
    (size,) = struct.unpack_from("<I", data, 12)
    parts, at = [data[: 16 + size]], 16 + size + 4
    while data[at : at + 4] != b"FEND":
        length = 36 if data[at : at + 4] == b"SEND" else _BLOCK.size + _BLOCK.unpack_from(data, at)[3]
        parts.append(data[at : at + length])
        at += length + 4
    return parts


CHANGES = (row_changed, note_changed, piece_changed, record_changed, policy_changed)
WEIGHTS = (1, 1, 4, 4, 1)
