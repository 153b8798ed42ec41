"""Stored records looked at from outside: their heads, the epochs of their frames, the facts of an event.

Nothing here trusts the bytes: what does not fit raises ValueError.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from frmcore._fast import STRETCH_HEAD, frame_records, stretch_frames, stretch_head
from frmcore.plan import Kind, Rep
from frmcore.store.layout import RecordType
from frmcore.values import feature_value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from frmcore.plan import FieldPlan, Plan
    from frmcore.values import Raw, Value

_FRAME: Final = struct.Struct("<IIII")  # checksum, size, epoch, mark: FrameHead of the hot path
_GRAIN: Final = 16
HEAD: Final = struct.Struct("<QqqqIIIIHHBBBB")  # RecordHead of the hot path
_FLOAT: Final = struct.Struct("<d")
_STRETCH: Final = struct.Struct("<IIII")  # version, records, ids, bytes of frames: where StretchHead begins
EVENTS: Final = frozenset({RecordType.DECISION, RecordType.OBSERVED})  # what a stretch has fingerprints of
PRIVATE: Final = "private"  # what is shown of a private value


class Head(NamedTuple):
    """The fixed part of a record. `at`: when what came along was told."""

    seq: int
    time: int
    score: int
    at: int
    size: int
    id_at: int
    features_at: int
    verdict_at: int
    id_size: int
    book: int
    type: int
    point: int
    outcome: int
    flags: int


def head_of(record: bytes) -> Head:
    """The head of a record whose frame is sound. Raises ValueError."""
    if len(record) < HEAD.size:
        raise ValueError("a record is shorter than its head")
    head = Head(*HEAD.unpack_from(record))
    if head.type in EVENTS and not HEAD.size <= head.id_at <= head.size - head.id_size:
        raise ValueError(f"record {head.seq}: its event id lies outside of it")
    return head


def event_id(record: bytes, head: Head) -> str:
    """The id of the event that a decision or an observation is about. Raises ValueError."""
    return record[head.id_at : head.id_at + head.id_size].decode()


def whole_stretch(value: bytes) -> tuple[int, int, int, int, int, int]:
    """What `stretch_head` says of a stretch, which is as long as it says. Raises ValueError."""
    head = stretch_head(value)
    _, _, ids, frames_size = _STRETCH.unpack_from(value)
    if len(value) != STRETCH_HEAD + frames_size + 16 * ids:
        raise ValueError("a stretch of the journal is of another length than it says")
    return head


def framed(stretch: bytes) -> Iterator[tuple[int, bytes]]:
    """(epoch, record) of every record of a stretch, in order. Raises ValueError where it is damaged."""
    whole_stretch(stretch)
    frames = stretch_frames(stretch)
    at = 0
    for record in frame_records(frames):
        yield _FRAME.unpack_from(frames, at)[2], record
        at += -(-(_FRAME.size + len(record)) // _GRAIN) * _GRAIN


def facts(plan: Plan, record: bytes) -> dict[str, Value]:
    """Fields, derived fields and updates of an event as recorded; absent ones are None. Raises ValueError.

    For a record that `Core.decision_of` has found sound, or of an observed event, which has no decision.
    """
    specs = (*plan.fields, *plan.derived, *plan.updates)
    present = HEAD.size
    at = present + (len(specs) + 2 * len(plan.currencies) + 7) // 8
    found: dict[str, Value] = {}
    for i, spec in enumerate(specs):
        raw: Raw = None
        if record[present + (i >> 3)] >> (i & 7) & 1:
            raw, at = _fact(spec, record, at)
        found[spec.name] = PRIVATE if spec.private and raw is not None else feature_value(_Spec(spec), raw)
    return found


class _Spec:
    """A field as frmcore.values wants it."""

    def __init__(self, field: FieldPlan) -> None:
        self.kind, self.scale, self.values, self.currency = field.kind, field.scale, field.values, ""
        self.rep = _rep(field)


def _rep(field: FieldPlan) -> Rep:
    if field.private or field.kind in (Kind.STRING, Kind.IP):
        return Rep.TEXT
    return Rep.FLOAT if field.kind is Kind.FLOAT else Rep.INT


def _fact(field: FieldPlan, record: bytes, at: int) -> tuple[Raw, int]:
    rep = _rep(field)
    if rep is Rep.FLOAT:
        return _FLOAT.unpack(record[at : at + 8])[0], at + 8
    number, at = _varint(record, at)
    if rep is Rep.TEXT:
        if number > len(record) - at:
            raise ValueError("a text of a record is longer than the record")
        return record[at : at + number], at + number
    return number >> 1 ^ -(number & 1), at


def _varint(record: bytes, at: int) -> tuple[int, int]:
    number = 0
    for shift in range(0, 70, 7):
        if at >= len(record):
            break
        byte = record[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
    raise ValueError("a number of a record has no end")
