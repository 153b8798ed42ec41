"""Checkpoints: the rings written piece by piece, round and round, a few pieces with each flush.

A unit is the rings of one group whose hash ends in `prefix` (`depth` bits). Its piece says as of which sequence
number it is, and each is written between two operations; so there is no moment at which a checkpoint is made, and
none at which deciding waits for one. The journal is needed back to the oldest piece only. A round takes ROUND_RECORDS
records or ROUND_SECONDS, whichever is shorter; when nothing happens, nothing is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from frmcore.store.database import Put
from frmcore.store.layout import DEPTH_MAX, RINGS, Piece, PieceHead, covers, group_key, pack_piece, unit_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from frmcore._fast import Core

PIECE_BYTES: Final = 32 << 10  # what a piece should have: some 20 us of the GIL
SPLIT_BYTES: Final = 4 * PIECE_BYTES  # a larger one is written as two
ROUND_RECORDS: Final = 1_000_000
ROUND_SECONDS: Final = 60.0
PIECES_MAX: Final = 256  # with one flush


@dataclass(slots=True)
class Unit:
    """`seq` and `head`: as of which sequence number it was written, and the oldest event remembered then."""

    signature: str
    group: bytes
    depth: int
    prefix: int
    seq: int
    head: int
    written: bool


class Checkpointer:
    """Goes round the units of an engine's groups. Used by the flusher's thread alone."""

    def __init__(
        self, core: Core, written: dict[tuple[bytes, int, int], PieceHead], made: dict[bytes, tuple[int, int]]
    ) -> None:
        """`written`: what the database holds. `made`: of groups that it does not hold whole, (seq, head) of their
        making."""
        self._core = core
        self._units: list[Unit] = []
        self._known: set[bytes] = set()
        self._at = -1  # the unit that was written last
        self._owed = 0.0
        self._gone: list[tuple[bytes, int, int]] = []
        self._hurried: list[Unit] = []
        self._sizes: dict[str, int] = {}
        self.sync_groups(written, made)
        self._units.sort(key=lambda unit: unit.seq if unit.written else 0)  # lives shorter than a round go on with it

    def sync_groups(
        self,
        written: dict[tuple[bytes, int, int], PieceHead] | None = None,
        made: dict[bytes, tuple[int, int]] | None = None,
    ) -> None:
        """Takes up new groups and drops those that are gone: after an opening, after a reload."""
        present = {
            group_key(signature, generation): (signature, size)
            for signature, generation, _, size in self._core.ring_groups()
        }
        self._gone += [
            (unit.group, unit.depth, unit.prefix) for unit in self._units if unit.group not in present and unit.written
        ]
        self._gone += [key for key in written or () if key[0] not in present]
        self._units = [unit for unit in self._units if unit.group in present]
        for group, (signature, size) in present.items():
            if group in self._known:
                continue
            units = [
                Unit(signature, group, depth, prefix, piece.seq, piece.head, True)
                for (of, depth, prefix), piece in (written or {}).items()
                if of == group
            ]
            if not covers(unit.depth for unit in units):
                seq, head = (made or {}).get(group) or self._now()
                units += missing_units(signature, group, units, _depth_for(size), seq, head)
            self._units += units
        self._known = set(present)
        self._at = min(self._at, len(self._units))

    def _now(self) -> tuple[int, int]:
        cut = self._core.cut()
        return cut["seq"], cut["head"]

    def needed_from(self) -> int:
        """The first sequence number that recovery may have to read."""
        return min((unit.head for unit in self._units), default=1 << 62)

    def oldest(self) -> int:
        """Every piece holds at least the operations up to this one."""
        return min((unit.seq if unit.written else 0 for unit in self._units), default=0)

    def due(self, records: int, seconds: float) -> int:
        """How many pieces a flush owes that comes `seconds` and `records` after the one before."""
        share = min(1.0, max(records / ROUND_RECORDS, seconds / ROUND_SECONDS if records else 0.0))
        self._owed = min(self._owed + share * len(self._units), float(PIECES_MAX))
        return int(self._owed)

    def pieces(self, count: int) -> Iterator[Put]:
        """The next `count` units as changes of the database; a unit that has grown becomes two."""
        self._owed = max(0.0, self._owed - count)
        yield from self._begin()
        for _ in range(min(count, len(self._units))):
            self._at = (self._at + 1) % len(self._units)
            self._divide(self._units[self._at])
            yield from self._write(self._units[self._at])

    def hasten(self, units: list[Unit] | None = None) -> None:
        """These units are due with the next commit; None: all that were never written, for recovery could not do
        without them."""
        self._hurried = [unit for unit in self._units if not unit.written] if units is None else list(units)

    def units(self) -> list[Unit]:
        """The units there are."""
        return list(self._units)

    def everything(self) -> Iterator[Put]:
        """All units: a whole checkpoint."""
        yield from self._begin()
        for unit in self._units:  # which grows meanwhile
            self._divide(unit)
            yield from self._write(unit)

    # What is due before anything else: pieces of groups that are gone, and of those that can't wait.
    def _begin(self) -> Iterator[Put]:
        self._sizes = {signature: size for signature, _, _, size in self._core.ring_groups()}
        for key in self._gone:
            yield Put(RINGS, unit_key(*key), None)
        self._gone = []
        hurried, self._hurried = self._hurried, []
        for unit in hurried:  # which grows meanwhile
            hurried += self._divide(unit)
            yield from self._write(unit)

    def _divide(self, unit: Unit) -> list[Unit]:
        """A unit that was never written and is too large for one piece becomes several; the new ones, to be written in
        their turn. Judged by the group's bytes: to write it once to see would hold the GIL for all of it."""
        halves = []
        while not unit.written and self._sizes.get(unit.signature, 0) >> unit.depth > SPLIT_BYTES:
            if unit.depth == DEPTH_MAX:
                break
            halves.append(self._halve(unit))
        return halves

    def _halve(self, unit: Unit) -> Unit:
        """Takes the upper half out of a unit."""
        unit.depth += 1
        prefix = unit.prefix | 1 << (unit.depth - 1)
        half = Unit(unit.signature, unit.group, unit.depth, prefix, unit.seq, unit.head, written=False)
        self._units.append(half)
        return half

    def _write(self, unit: Unit) -> Iterator[Put]:
        image = self._core.image(unit.signature, unit.depth, unit.prefix)
        if image is None:
            return
        seq, watermark, head, rings = image
        if len(rings) > SPLIT_BYTES and unit.depth < DEPTH_MAX:
            yield from self._split(unit)
            return
        unit.seq, unit.head, unit.written = seq, head, True
        yield Put(RINGS, unit_key(unit.group, unit.depth, unit.prefix), pack_piece(Piece(seq, head, watermark, rings)))

    # Both halves in the commit that drops the whole: there is never a hash that no piece holds.
    def _split(self, unit: Unit) -> Iterator[Put]:
        if unit.written:
            yield Put(RINGS, unit_key(unit.group, unit.depth, unit.prefix), None)
        unit.written = False
        half = self._halve(unit)
        yield from self._write(unit)
        yield from self._write(half)


def _depth_for(size: int) -> int:
    depth = 0
    while size >> depth > PIECE_BYTES and depth < DEPTH_MAX:
        depth += 1
    return depth


def missing_units(signature: str, group: bytes, units: list[Unit], depth: int, seq: int, head: int) -> list[Unit]:
    """Units for the hashes that none of `units` holds."""
    depth = max([depth, *(unit.depth for unit in units)])
    held = {(unit.prefix, unit.depth) for unit in units}
    missing = []
    for prefix in range(1 << depth):
        if not any((prefix & ((1 << bits) - 1), bits) in held for bits in range(depth + 1)):
            missing.append(Unit(signature, group, depth, prefix, seq, head, False))
    return missing
