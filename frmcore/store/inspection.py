"""`inspect`: what a store holds, and how it stands, without reading all of it."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import msgspec

from frmcore._fast import stretch_head
from frmcore.store.archive import Archive
from frmcore.store.checkpoint import DEPTH_MAX
from frmcore.store.layout import (
    DATA_FILE,
    INBOX,
    JOURNAL,
    META,
    RINGS,
    TABLES,
    Piece,
    group_key,
    unit_of,
    unpack,
    unpack_piece,
)
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
    """Rings of one group, as the checkpoint's pieces have them. `oldest`: the operation its oldest piece is as of."""

    entity: str
    rings: int
    bytes: int
    pieces: int
    oldest: int
    complete: bool


class TableRow(msgspec.Struct):
    rows: int
    bytes: int


class Inspection(msgspec.Struct):
    """Times are epoch ms; `first`, `last`: sequence numbers of the journal, the ring's not counted.

    `replay`: operations that a recovery would read again. `at_risk`: operations that only the ring has: a crash of the
    process leaves them, a power cut takes them. `waiting`: commands in the inbox.
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
    tables: dict[str, TableRow]
    file_bytes: int
    last_commit: int
    replay: int
    at_risk: int
    waiting: int


def inspect(store: str | Path) -> Inspection:
    """Looks at a store, whoever has it open. Cost: its policies are loaded, its checkpoint's pieces read. Raises
    StoreError."""
    with viewing(store) as view:
        archive = Archive(view)
        pieces: dict[bytes, list[tuple[int, Piece]]] = defaultdict(list)
        for key, value in view.reader.items(RINGS):
            group, depth, _ = unit_of(key)
            pieces[group].append((depth, unpack_piece(value)))
        state = unpack(view.reader.get(META, b"state") or b"\x80")
        first, from_time = _journal_start(view)
        data = (view.folder / DATA_FILE).stat()
        return Inspection(
            id=view.settings["id"].hex(), version=view.settings["version"], format=view.settings["format"],
            policy=view.settings["policy"], seq=view.seq, first=first, last=view.drained["seq"],
            from_time=from_time, until_time=view.watermark, policies=_policies(view),
            groups=_groups(view, pieces), lists={name: len(entries) for name, entries in archive.lists().items()},
            tables=_tables(view),
            file_bytes=data.st_size, last_commit=data.st_mtime_ns // 1_000_000,
            replay=view.seq + 1 - _needed(view, pieces, state), at_risk=len(view.tail.records),
            waiting=sum(key.startswith(b"c") for key in view.reader.keys(INBOX)),
        )  # fmt: skip


def _tables(view: StoreView) -> dict[str, TableRow]:
    reader = view.reader
    return {table.decode(): TableRow(reader.count(table), reader.table_bytes(table)) for table in TABLES}


def _journal_start(view: StoreView) -> tuple[int, int | None]:
    for _, value in view.reader.items(JOURNAL):
        head = stretch_head(value)
        return head[1], head[3]
    return view.drained["seq"] + 1, None


def _policies(view: StoreView) -> list[PolicyRow]:
    return [
        PolicyRow(policy.seq, policy.time, view.policy(index)[0].version, policy.content["hash"])
        for index, policy in enumerate(view.policies)
    ]


def _groups(view: StoreView, pieces: dict[bytes, list[tuple[int, Piece]]]) -> list[GroupRow]:
    content = view.policies[-1].content
    entities = {group["signature"]: group["entity"] for group in content["groups"]}
    return [
        _group(entities.get(signature, "?"), pieces.get(group_key(signature, origin[0]), []))
        for signature, origin in content["origins"].items()
    ]


def _group(entity: str, pieces: list[tuple[int, Piece]]) -> GroupRow:
    rings = sum(int.from_bytes(piece.rings[:4], "little") for _, piece in pieces)
    size = sum(len(piece.rings) for _, piece in pieces)
    oldest = min((piece.seq for _, piece in pieces), default=0)
    return GroupRow(entity, rings, size, len(pieces), oldest, _complete(pieces))


def _complete(pieces: list[tuple[int, Piece]]) -> bool:
    return sum(1 << (DEPTH_MAX - depth) for depth, _ in pieces) == 1 << DEPTH_MAX


def _needed(view: StoreView, pieces: dict[bytes, list[tuple[int, Piece]]], state: dict[str, Any]) -> int:
    """The first operation that a recovery would read."""
    needed: int = state.get("head", 0)
    for signature, origin in view.policies[-1].content["origins"].items():
        found = pieces.get(group_key(signature, origin[0]), [])
        needed = min([needed, *(piece.head for _, piece in found)])
        if not _complete(found):
            needed = min(needed, view.policies[origin[0]].content["head"])
    return needed
