"""From what a store holds to a running Core: the checkpoint's pieces, the journal behind them, the ring's tail behind
that.

Rings come from the pieces, each as of its own sequence number; events, updates and policies are replayed from the
oldest one on, and each ring takes up what its piece does not hold. Ids and what was told about them come from the
journal alone. The state note says where forgetting stood; behind it, records are applied as a running engine applies
them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from frmcore._fast import Core, JournalRing, Recovered, record_content, record_head, stretch_frames, stretch_head
from frmcore.errors import StoreDamaged
from frmcore.lists import list_contents
from frmcore.plan import Group
from frmcore.policy.lower import lower
from frmcore.policy.stored import load_contents
from frmcore.store.layout import (
    BLOBS,
    JOURNAL,
    META,
    OPERATIONS,
    RINGS,
    Piece,
    RecordType,
    group_key,
    seq_key,
    seq_of,
    unit_of,
    unpack,
    unpack_piece,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from frmcore.plan import Plan
    from frmcore.policy import Policy
    from frmcore.store.database import Database, Reader

_GROUPS: Final = msgspec.msgpack.Decoder(tuple[Group, ...])


@dataclass(slots=True)
class Operation:
    """A policy or a list's change, as recorded."""

    seq: int
    type: int
    content: dict[str, Any]


@dataclass(slots=True)
class Restored:
    """A Core as it was, and what goes on from there."""

    core: Core
    policy: Policy
    plan: Plan
    operations: list[Operation]
    pieces: dict[tuple[bytes, int, int], Piece]
    made: dict[bytes, tuple[int, int]]
    tail: bytes  # frames that the database does not have yet
    synced: int
    epoch: int
    position: int  # of the ring, behind the tail


class Recovery:
    """One recovery. Raises StoreDamaged where the parts do not fit together."""

    def __init__(
        self,
        database: Database,
        settings: dict[str, Any],
        area: memoryview | None,
        ring_synced: int,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self._database, self._settings, self._area = database, settings, area
        self._ring_synced, self._progress = ring_synced, progress

    def run(self) -> Restored:
        with self._database.reading() as reader:
            try:
                return self._run(reader)
            except (ValueError, KeyError, TypeError, msgspec.MsgspecError) as error:
                raise StoreDamaged(f"the store's parts do not fit together: {error}; restore a snapshot") from error

    def _run(self, reader: Reader) -> Restored:
        drained, state = self._note(reader, b"drained"), self._note(reader, b"state")
        if self._ring_synced > drained["seq"]:
            raise StoreDamaged(
                f"the database ends at operation {drained['seq']:,}, but its journal knows that it had "
                f"{self._ring_synced:,}: an older copy was put in its place. Restore a snapshot into a new folder"
            )
        tail, position = self._tail(drained)
        operations = [_operation(value) for _, value in reader.items(OPERATIONS)]
        pieces = {unit_of(key): unpack_piece(value) for key, value in reader.items(RINGS)}
        policies = [operation for operation in operations if operation.type == RecordType.POLICY]
        made, start, covered = _start(policies, pieces, state)
        core, policy, plan = self._core(reader, policies, pieces, made, start, covered)
        self._steps = _Steps(self, reader, core, policy, plan, policies)
        self._replay(reader, start, drained["seq"], state)
        later = self._steps.apply(tail)
        return Restored(
            core, self._steps.policy, self._steps.plan, operations + later, pieces, made, tail, drained["seq"],
            drained["epoch"], position,
        )  # fmt: skip

    def _note(self, reader: Reader, name: bytes) -> dict[str, Any]:
        value = reader.get(META, name)
        if value is None:
            raise StoreDamaged(
                f"the store has no note {name.decode()}: it was never opened to the end; restore a snapshot"
            )
        note: dict[str, Any] = unpack(value)
        return note

    def _tail(self, drained: dict[str, Any]) -> tuple[bytes, int]:
        if self._area is None:
            return b"", 0
        ring = JournalRing(self._area, drained["epoch"], drained["position"])
        frames, position = ring.recovered(drained["position"], drained["seq"])
        ring.detach()
        return frames, position

    def load_policy(self, reader: Reader, content: dict[str, Any]) -> tuple[Policy, Plan]:
        """An old policy and its plan, as they were."""
        policy = load_contents(policy_texts(reader, content["files"]))
        return policy, lower(policy, keep=_GROUPS.decode(msgspec.msgpack.encode(content["groups"])))

    def _core(
        self,
        reader: Reader,
        policies: list[Operation],
        pieces: dict[tuple[bytes, int, int], Piece],
        made: dict[bytes, tuple[int, int]],
        start: int,
        covered: int,
    ) -> tuple[Core, Policy, Plan]:
        book = max(i for i, operation in enumerate(policies) if operation.seq < start or i == 0)
        content = policies[book].content
        policy, plan = self.load_policy(reader, content)
        origins = {signature: tuple(origin) for signature, origin in content["origins"].items()}
        known = {(signature, origin[0]) for each in policies for signature, origin in each.content["origins"].items()}
        held = {pair: _pieces_of(pieces, group_key(*pair)) for pair in known}
        at_start = [piece.watermark for piece in pieces.values() if piece.seq == covered]
        at_start += [operation.content["watermark"] for operation in policies if operation.seq == covered]
        recovered = Recovered(book, max((w for w in at_start if w is not None), default=None), covered, origins,
                              {pair: found for pair, found in held.items() if found})  # fmt: skip
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

    def __init__(
        self, recovery: Recovery, reader: Reader, core: Core, policy: Policy, plan: Plan, policies: list[Operation]
    ) -> None:
        self._recovery, self._reader = recovery, reader
        self.core, self.policy, self.plan = core, policy, plan

    def apply(self, frames: bytes) -> list[Operation]:
        """Applies frames; the policies and list changes among them."""
        found = []
        while frames:
            record, frames = self.core.replay(frames)
            if record is None:
                break
            operation = _operation(record)
            found.append(operation)
            if operation.seq <= self.core.seq:
                continue
            if operation.type == RecordType.POLICY:
                self._install(operation)
            else:
                self.core.skip_record(operation.seq)
        return found

    def _install(self, operation: Operation) -> None:
        content = operation.content
        self.policy, self.plan = self._recovery.load_policy(self._reader, content)
        contents = list_contents(self.plan)
        self.core.replay_policy(self.plan, self.policy, contents, operation.seq, content)


def policy_texts(reader: Reader, files: dict[str, str]) -> dict[str, str]:
    """The texts of a policy's files by name, from their digests. Raises StoreDamaged."""
    texts = {}
    for name, digest in files.items():
        blob = reader.get(BLOBS, bytes.fromhex(digest))
        if blob is None:
            raise StoreDamaged(f"the text of a policy is missing: {name}; restore a snapshot")
        texts[name] = blob.decode()
    return texts


def _operation(record: bytes) -> Operation:
    seq, type_, _, _ = record_head(record)
    return Operation(seq, type_, record_content(record))


def _pieces_of(pieces: dict[tuple[bytes, int, int], Piece], group: bytes) -> list[tuple[int, int, int, bytes]]:
    return [(depth, prefix, piece.seq, piece.rings) for (of, depth, prefix), piece in pieces.items() if of == group]


def _start(
    policies: list[Operation], pieces: dict[tuple[bytes, int, int], Piece], state: dict[str, Any]
) -> tuple[dict[bytes, tuple[int, int]], int, int]:
    """For each group not wholly in pieces (seq, head) of its making; the first record to replay; what all pieces
    hold."""
    made: dict[bytes, tuple[int, int]] = {}
    present = {
        group_key(signature, origin[0]) for signature, origin in policies[state["book"]].content["origins"].items()
    }
    share = dict.fromkeys(present, 0.0)
    for (group, depth, _), _piece in pieces.items():
        if group in share:
            share[group] += 0.5**depth
    for index, operation in enumerate(policies):
        for signature, origin in operation.content["origins"].items():
            group = group_key(signature, origin[0])
            if origin[0] == index and group in present and share[group] < 1.0:
                made[group] = (operation.seq, operation.content["head"])
    live = [piece for (group, _, _), piece in pieces.items() if group in present]
    heads = [piece.head for piece in live] + [head for _, head in made.values()] + [state["head"]]
    seqs = [piece.seq for piece in live] + [seq for seq, _ in made.values()]
    return made, min(heads), min(seqs, default=state["seq"])
