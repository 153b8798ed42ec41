"""From what a store holds to a running Core: the checkpoint's pieces, the journal behind them, the ring's tail behind
that.

Rings come from the pieces, each as of its own sequence number; events, updates and policies are replayed from the
oldest one on, and each ring takes up what its piece does not hold. Ids and what was told about them come from the
journal alone. The state note says where forgetting stood; behind it, records are applied as a running engine applies
them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from frmcore._fast import Core, JournalRing, Recovered, stretch_frames, stretch_head
from frmcore.errors import StoreDamaged
from frmcore.lists import list_contents
from frmcore.store.fill import fill
from frmcore.store.layout import (
    JOURNAL,
    NO_TIME,
    RINGS,
    PieceHead,
    RecordType,
    covers,
    group_key,
    piece_head,
    seq_key,
    seq_of,
    unit_key,
    unit_of,
    unpack_piece,
)
from frmcore.store.policies import have_books, load_policy, operation_of, operations, policies_of
from frmcore.store.sound import sensible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from frmcore.plan import Plan
    from frmcore.policy import Policy
    from frmcore.store.database import Database, Reader
    from frmcore.store.policies import Operation
    from frmcore.store.ringfile import RingFile
    from frmcore.store.view import PolicyAt


_FOLDED: Final = {RecordType.POLICY, RecordType.LIST, RecordType.HOLD, RecordType.ERASE}


class Restored(msgspec.Struct):
    """A Core as it was, and what goes on from there."""

    core: Core
    policy: Policy
    plan: Plan
    operations: list[Operation]  # that lists, holds and pending erasures follow from
    pieces: dict[tuple[bytes, int, int], PieceHead]
    made: dict[bytes, tuple[int, int]]
    tail: bytes  # frames that the database does not have yet
    synced: int
    epoch: int
    position: int  # of the ring, behind the tail


class Recovery:
    """One recovery. Raises StoreDamaged where the parts do not fit together."""

    def __init__(
        self,
        folder: Path,
        database: Database,
        settings: dict[str, Any],
        file: RingFile | None,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self._folder, self._database, self._settings = folder, database, settings
        self._file, self._progress = file, progress

    def run(self) -> Restored:
        with self._database.reading() as reader, sensible("the store's parts do not fit together"):
            return self._run(reader)

    def _run(self, reader: Reader) -> Restored:
        drained, state = reader.note(self._folder, b"drained"), reader.note(self._folder, b"state")
        tail, position = self._tail(drained)
        pieces = {unit_of(key): piece_head(value) for key, value in reader.items(RINGS)}
        policies = policies_of(reader)
        made, start, covered = replay_start(policies, pieces, state)
        core, policy, plan = self._core(reader, policies, pieces, made, start, covered)
        core.restore_alerts(each.content for each in operations(reader, {RecordType.ALERT, RecordType.ERASE}))
        self._steps = _Steps(reader, core, policy, plan)
        self._replay(reader, start, drained["seq"], state)
        later = self._steps.apply_tail(tail)
        core.control_state()  # sorts what was recorded by name and entity: nonsense shows here, and not at a checkpoint
        kept = [*operations(reader, _FOLDED), *later]
        return Restored(
            core, self._steps.policy, self._steps.plan, kept, pieces, made, tail, drained["seq"], drained["epoch"],
            position,
        )  # fmt: skip

    def _tail(self, drained: dict[str, Any]) -> tuple[bytes, int]:
        file = self._file
        if file is None:
            return b"", 0
        if file.synced > drained["seq"]:
            raise StoreDamaged(
                f"the database ends at operation {drained['seq']:,}, but its journal knows that it had "
                f"{file.synced:,}: an older copy was put in its place. Restore a snapshot into a new folder"
            )
        ring = JournalRing(file.area, drained["epoch"], drained["position"])
        frames, position = ring.recovered(drained["position"], drained["seq"])
        ring.detach()
        if position < file.told:
            raise StoreDamaged(
                f"a record in the journal's ring is damaged, {file.told - position:,} bytes before its end; "
                "restore a snapshot"
            )
        return frames, position

    def _core(
        self,
        reader: Reader,
        policies: list[Operation],
        pieces: dict[tuple[bytes, int, int], PieceHead],
        made: dict[bytes, tuple[int, int]],
        start: int,
        covered: int,
    ) -> tuple[Core, Policy, Plan]:
        book = max(i for i, operation in enumerate(policies) if operation.seq < start or i == 0)
        content = policies[book].content
        policy, plan = load_policy(reader, content)
        origins = {signature: tuple(origin) for signature, origin in content["origins"].items()}
        known = {(signature, origin[0]) for each in policies for signature, origin in each.content["origins"].items()}
        held = {pair: Pieces(reader, group_key(*pair), pieces) for pair in known}
        at_start = [piece.watermark for piece in pieces.values() if piece.seq == covered]
        at_start += [operation.content["watermark"] for operation in policies if operation.seq == covered]
        recovered = Recovered(book, max((w for w in at_start if w is not None), default=None), covered, origins,
                              {pair: found for pair, found in held.items() if found.depths})  # fmt: skip
        settings = self._settings
        core = Core(
            plan, policy, list_contents(plan), settings["key"], settings["private_key"], settings["clock"],
            settings["max_ahead"], recovered,
        )  # fmt: skip
        core.start_at(start - 1)
        return core, policy, plan

    def _replay(self, reader: Reader, start: int, end: int, state: dict[str, Any]) -> None:
        core, first = self._steps.core, reader.last_at_most(JOURNAL, seq_key(start))
        if core.seq == state["seq"]:
            core.settle(state)
        for key, value in reader.items(JOURNAL, first[0] if first is not None else b""):
            head = stretch_head(value)
            if head[1] != seq_of(key):
                raise StoreDamaged("a stretch of the journal is damaged: restore a snapshot")
            if head[2] <= core.seq:
                continue
            if head[1] > core.seq + 1:
                raise StoreDamaged(
                    f"the journal lacks operations {core.seq + 1:,} to {head[1] - 1:,}: restore a snapshot"
                )
            self._steps.apply(stretch_frames(value))
            if core.seq == state["seq"]:
                core.settle(state)
            if self._progress is not None:
                self._progress(core.seq - start + 1, end - start + 1)
        if core.seq != end:
            raise StoreDamaged(f"the journal ends at operation {core.seq:,}, not at {end:,}: restore a snapshot")


class _Steps:
    """Frames applied in order, policies loaded on the way."""

    def __init__(self, reader: Reader, core: Core, policy: Policy, plan: Plan) -> None:
        self._reader = reader
        self.core, self.policy, self.plan = core, policy, plan
        self._tail = b""  # frames that the database does not have

    def apply_tail(self, frames: bytes) -> list[Operation]:
        """`apply` for what only the ring has: no piece holds rings that were filled for a policy in it."""
        self._tail = frames
        return self.apply(frames)

    def apply(self, frames: bytes) -> list[Operation]:
        """Applies frames; the operations among them that are kept for good."""
        found = []
        while frames:
            record, frames = self.core.replay(frames)
            if record is None:
                break
            operation = operation_of(record)
            found.append(operation)
            if operation.seq <= self.core.seq:
                continue
            if operation.type == RecordType.POLICY:
                self._install(operation)
            elif operation.type in {RecordType.CONTROL, RecordType.ALERT}:
                self.core.replay_operation(operation.seq, operation.time, operation.content)
            elif operation.type == RecordType.ERASE:
                self.core.replay_erase(record)
            else:
                self.core.skip_record(operation.seq)
        return found

    def _install(self, operation: Operation) -> None:
        self.policy, self.plan = load_policy(self._reader, operation.content)
        filler = self._filler(operation) if operation.content["filled_from"] and self._tail else None
        self.core.replay_policy(
            self.plan, self.policy, list_contents(self.plan), operation.seq, operation.content, filler
        )

    def _filler(self, operation: Operation) -> Core:
        first = operation.content["filled_from"]
        have_books(self.core, self._reader, first)
        filler = self.core.filler(self.plan, self.policy, list_contents(self.plan), first - 1, NO_TIME)
        fill(self._reader, filler, operation.seq - 1)
        filler.fill(self._tail, operation.seq - 1)
        return filler


class Pieces:
    """The pieces of one group, each read when its turn comes: all together would take as much memory as the state."""

    def __init__(self, reader: Reader, group: bytes, pieces: Iterable[tuple[bytes, int, int]]) -> None:
        self._reader, self._keys = reader, [key for key in pieces if key[0] == group]
        self.depths = [depth for _, depth, _ in self._keys]

    def __iter__(self) -> Iterator[tuple[int, int, int, bytes]]:
        """(depth, prefix, sequence number, rings)"""
        for group, depth, prefix in self._keys:
            value = self._reader.get(RINGS, unit_key(group, depth, prefix))
            piece = unpack_piece(value or b"")
            yield depth, prefix, piece.seq, piece.rings


def replay_start(
    policies: Sequence[Operation | PolicyAt], pieces: dict[tuple[bytes, int, int], PieceHead], state: dict[str, Any]
) -> tuple[dict[bytes, tuple[int, int]], int, int]:
    """For each group not wholly in pieces (seq, head) of its making; the first record to replay; what all pieces
    hold."""
    origins = policies[state["book"]].content["origins"]
    generations = {group_key(signature, origin[0]): origin[0] for signature, origin in origins.items()}
    live = {key: piece for key, piece in pieces.items() if key[0] in generations}
    made = {
        group: (policies[generation].seq, policies[generation].content["head"])
        for group, generation in generations.items()
        if not covers(depth for of, depth, _ in live if of == group)
    }
    heads = [piece.head for piece in live.values()] + [head for _, head in made.values()] + [state["head"]]
    seqs = [piece.seq for piece in live.values()] + [seq for seq, _ in made.values()]
    return made, min(heads), min(seqs, default=state["seq"])
