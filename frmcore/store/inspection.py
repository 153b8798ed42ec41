"""`inspect`: what a store holds, and how it stands, without reading all of it."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import msgspec

from frmcore._fast import record_content, record_head, stretch_head
from frmcore.controls import Controls
from frmcore.store.archive import Archive
from frmcore.store.erase import is_pending
from frmcore.store.inbox import waiting_commands
from frmcore.store.layout import (
    DATA_FILE,
    JOURNAL,
    RINGS,
    TABLES,
    PieceHead,
    RecordType,
    covers,
    group_key,
    piece_head,
    unit_of,
)
from frmcore.store.recovery import replay_start
from frmcore.store.sound import sensible
from frmcore.store.view import viewing

if TYPE_CHECKING:
    from pathlib import Path

    from frmcore.store.view import StoreView


class PolicyRow(msgspec.Struct):
    """A policy that was in force from operation `seq` on. `time`: epoch ms by the engine's clock."""

    seq: int
    time: int
    version: str
    hash: str


class GroupRow(msgspec.Struct):
    """Rings of one group, as the checkpoint's pieces have them. `oldest`: the operation its oldest piece is as of.
    `evicted`: the event time up to which idle ones were given up to stay within max_memory."""

    entity: str
    rings: int
    bytes: int
    pieces: int
    oldest: int
    complete: bool
    evicted: int | None


class TableRow(msgspec.Struct):
    rows: int
    bytes: int


class Inspection(msgspec.Struct):
    """Times are epoch ms; `first`, `last`: sequence numbers of the journal, the ring's not counted.

    `replay`: operations that a recovery would read again. `at_risk`: operations that only the ring has: a crash of the
    process leaves them, a power cut takes them. `waiting`: commands in the inbox. `erasures`: sequence numbers of those
    that are not complete.
    """

    id: str
    version: str
    format: int
    policy: str
    seq: int
    first: int
    last: int
    from_time: int | None
    until_time: int | None
    policies: list[PolicyRow]
    groups: list[GroupRow]
    lists: dict[str, int]
    controls: Controls
    tables: dict[str, TableRow]
    file_bytes: int
    last_commit: int
    replay: int
    at_risk: int
    waiting: int
    erasures: list[int]


def inspect(store: str | Path) -> Inspection:
    """Looks at a store, whoever has it open. Cost: its policies are loaded, its checkpoint's pieces read. Raises
    StoreError."""
    with viewing(store) as view, sensible(f"{store}: its parts do not fit together"):
        archive = Archive(view)
        pieces = {unit_of(key): piece_head(value) for key, value in view.reader.items(RINGS)}
        _, start, _ = replay_start(view.policies, pieces, view.reader.note(view.folder, b"state"))
        first, from_time = _journal_start(view)
        data = (view.folder / DATA_FILE).stat()
        return Inspection(
            id=view.settings["id"].hex(), version=view.settings["version"], format=view.settings["format"],
            policy=view.settings["policy"], seq=view.seq, first=first, last=view.drained["seq"],
            from_time=from_time, until_time=view.watermark, policies=_policies(view),
            groups=_groups(view, pieces), controls=Controls.of(archive.controls()),
            lists={name: len(entries) for name, entries in archive.lists().items()},
            tables=_tables(view),
            file_bytes=data.st_size, last_commit=data.st_mtime_ns // 1_000_000,
            replay=view.seq + 1 - start, at_risk=len(view.tail.records),
            waiting=sum(1 for _ in waiting_commands(view.reader)), erasures=_erasures(view),
        )  # fmt: skip


def _tables(view: StoreView) -> dict[str, TableRow]:
    reader = view.reader
    return {table.decode(): TableRow(reader.count(table), reader.table_bytes(table)) for table in TABLES}


def _journal_start(view: StoreView) -> tuple[int, int | None]:
    """The first sequence number of the journal, and the time of its first stretch that has events."""
    first = None
    for _, value in view.reader.items(JOURNAL):
        _, seq, _, least, greatest, _ = stretch_head(value)
        first = seq if first is None else first
        if least <= greatest:
            return first, least
    return view.drained["seq"] + 1 if first is None else first, None


def _erasures(view: StoreView) -> list[int]:
    heads = ((*record_head(record)[:2], record) for record in view.operations())
    return [seq for seq, type_, record in heads if type_ == RecordType.ERASE and is_pending(record_content(record))]


def _policies(view: StoreView) -> list[PolicyRow]:
    return [
        PolicyRow(policy.seq, policy.time, view.policy(index)[0].version, policy.content["hash"])
        for index, policy in enumerate(view.policies)
    ]


def _groups(view: StoreView, pieces: dict[tuple[bytes, int, int], PieceHead]) -> list[GroupRow]:
    content = view.policies[-1].content
    entities = {group["signature"]: group["entity"] for group in content["groups"]}
    found: dict[bytes, list[tuple[int, PieceHead]]] = defaultdict(list)
    for (group, depth, _), piece in pieces.items():
        found[group].append((depth, piece))
    return [
        _group(entities.get(signature, "?"), found[group_key(signature, origin[0])])
        for signature, origin in content["origins"].items()
    ]


def _group(entity: str, pieces: list[tuple[int, PieceHead]]) -> GroupRow:
    heads = [piece for _, piece in pieces]
    latest = max((piece.evicted for piece in heads if piece.evicted is not None), default=None)
    oldest = min((piece.seq for piece in heads), default=0)
    keys, size = sum(piece.keys for piece in heads), sum(piece.size for piece in heads)
    return GroupRow(entity, keys, size, len(pieces), oldest, covers(depth for depth, _ in pieces), latest)
