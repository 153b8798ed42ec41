"""Every row of a store or a snapshot, checked against what the others say. One pass, in the order of the snapshot's
sections; whatever the bytes are, the worst is a problem in the list.

Memory: what the operations take, and the longest run of ids.
"""

from __future__ import annotations

import hashlib
import operator
import struct
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from frmcore._fast import (
    crc32c,
    frame_records,
    ids_merged,
    record_content,
    record_event,
    record_head,
    stretch_frames,
    stretch_head,
    stretch_ids,
    stretch_of,
)
from frmcore.store.layout import (
    BLOBS,
    DEPTH_MAX,
    IDS,
    INBOX,
    JOURNAL,
    META,
    NO_TIME,
    OPERATION_TYPES,
    OPERATIONS,
    RINGS,
    PieceHead,
    RecordType,
    covers,
    group_key,
    level_of,
    piece_head,
    seq_of,
    unit_of,
    unpack,
)
from frmcore.store.sound import NONSENSE

if TYPE_CHECKING:
    from collections.abc import Callable

PROBLEMS_MAX: Final = 100  # beyond it a store is rubble
_DECIDED: Final = frozenset(map(int, (RecordType.DECISION, RecordType.OBSERVED, RecordType.AGAIN)))
_TOLD: Final = frozenset(map(int, (RecordType.UPDATE, RecordType.EVICT)))
_SAID: Final = {  # what each kind of operation says at least
    RecordType.LIST: {"list", "action", "entries"}, RecordType.HOLD: {"hold", "entity"},
    RecordType.ERASE: {"entities", "events", "records"}, RecordType.CONTROL: {"control"}, RecordType.ALERT: {"alerts"},
}  # fmt: skip


class Problem(NamedTuple):
    place: str
    what: str

    def __str__(self) -> str:
        return f"{self.place}: {self.what}"


class Sums(NamedTuple):
    """What tells one set of (fingerprint, sequence number) from another, however they are ordered."""

    ids: int = 0
    fingerprints: int = 0
    seqs: int = 0
    products: int = 0

    def plus(self, other: Sums) -> Sums:
        return Sums(*map(operator.add, self, other))


def sums_of(ids: bytes) -> Sums:
    numbers = memoryview(ids).cast("Q").tolist()
    fingerprints, seqs = numbers[::2], numbers[1::2]
    return Sums(len(seqs), sum(fingerprints), sum(seqs), sum(map(operator.mul, fingerprints, seqs)))


class _Run(NamedTuple):
    first: int
    last: int
    sums: Sums


class _Policy(NamedTuple):
    seq: int
    head: int
    origins: dict[str, Any]


class Walk:
    """`row` for each row, then `finish`; then `problems`, and what there was: `counts`, `rings`, `records`."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.counts: Counter[str] = Counter()  # table -> rows
        self.rings: Counter[bytes] = Counter()  # group -> rings
        self.records: Counter[int] = Counter()
        self.notes: dict[bytes, dict[str, Any]] = {}
        self.first = self.last = 0  # of the journal
        self._blobs: set[bytes] = set()
        self._operations: dict[int, int] = {}
        self._matched = 0
        self._policies: list[_Policy] = []
        self._runs: list[_Run] = []
        self._oldest_ids = b""  # of the run that trimming may have cut into
        self._run_at = 0
        self._found = Sums()
        self._watermark = NO_TIME
        self._pieces: dict[bytes, list[tuple[int, int, PieceHead]]] = {}
        self._checks: dict[bytes, Callable[[bytes, bytes], None]] = {
            META: self._note, BLOBS: self._blob, OPERATIONS: self._operation, IDS: self._run, RINGS: self._piece,
            JOURNAL: self._stretch, INBOX: lambda _key, _value: None,
        }  # fmt: skip

    def row(self, table: bytes, key: bytes, value: bytes) -> None:
        self.counts[table.decode()] += 1
        try:
            self._checks[table](key, value)
        except NONSENSE as error:
            self.report(f"table {table.decode()}, key {key.hex()}", str(error) or type(error).__name__)

    def report(self, place: str, what: str) -> None:
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(Problem(place, what))

    def finish(self) -> None:
        """What only the whole can tell."""
        for check in (self._check_notes, self._check_runs, self._check_operations, self._check_groups):
            try:
                check()
            except NONSENSE as error:
                self.report("the store as a whole", f"{type(error).__name__}: {error}")

    # ---- rows -----------------------------------------------------------------------------------------------------

    def _note(self, key: bytes, value: bytes) -> None:
        if key == b"private":
            _expect(len(value) == 16, "the mark of the private key is none")
        else:
            note = unpack(value)
            self.notes[key] = _numbers(key, note) if key in _NUMBERS or key in _BYTES else {"": note}

    def _blob(self, key: bytes, value: bytes) -> None:
        _expect(hashlib.sha256(value).digest() == key, "the text is not the one of this digest")
        self._blobs.add(key)

    def _operation(self, key: bytes, record: bytes) -> None:
        seq, type_, _, _ = record_head(record)
        _expect(seq == seq_of(key), "the record is another one")
        _expect(type_ in OPERATION_TYPES, "the record is no operation")
        content = record_content(record)
        self._operations[seq] = crc32c(record)
        if type_ != RecordType.POLICY:
            _expect(_SAID[RecordType(type_)] <= content.keys(), "it does not say what was done")
            return
        for name, digest in content["files"].items():
            _expect(bytes.fromhex(digest) in self._blobs, f"the text of its file {name!r} is missing")
        self._policies.append(_Policy(seq, content["head"], content["origins"]))

    def _run(self, key: bytes, value: bytes) -> None:
        (_, first), last, ids = level_of(key), seq_of(value[:8]), value[8:]
        _expect(len(ids) % 16 == 0 and ids_merged([ids], b"") == ids, "the fingerprints are out of order")
        seqs = memoryview(ids).cast("Q").tolist()[1::2]
        _expect(first <= last and all(first <= seq <= last for seq in seqs), "it names records outside of its span")
        if all(run.first > first for run in self._runs):
            self._oldest_ids = ids
        self._runs.append(_Run(first, last, sums_of(ids)))

    def _piece(self, key: bytes, value: bytes) -> None:
        group, depth, prefix = unit_of(key)
        piece = piece_head(value)
        _expect(depth <= DEPTH_MAX and not prefix >> depth, "there is no such piece")
        _expect(piece.seq <= self.notes[b"drained"]["seq"], "the piece is younger than the journal")
        _expect(piece.head <= piece.seq + 1, "the piece needs a journal from after itself")
        self.rings[group] += piece.keys
        self._pieces.setdefault(group, []).append((depth, prefix, piece))

    def _stretch(self, key: bytes, value: bytes) -> None:
        count, first, last, _, _, watermark = stretch_head(value)
        _expect(watermark >= self._watermark, "its watermark goes back")
        self._watermark = watermark
        if not self.first:
            self._begin(first)
        _expect(first == seq_of(key), "the stretch begins elsewhere")
        gap = (
            f"records {self.last + 1:,} to {first - 1:,} are missing" if first > self.last + 1 else "records come twice"
        )
        if first != self.last + 1:
            self.report(f"table journal, key {key.hex()}", gap)
        self.last = last
        frames = stretch_frames(value)
        records = frame_records(frames)
        _expect(len(records) == count == last - first + 1, "the stretch has another number of records")
        for seq, record in enumerate(records, first):
            self._record(seq, record)
        same = stretch_of(frames, self.notes[b"store"]["key"], watermark) == value
        _expect(same, "head or fingerprints are not those of its records")
        self._add(first, sums_of(stretch_ids(value)))

    def _record(self, seq: int, record: bytes) -> None:
        found, type_, _, book = record_head(record)
        if found != seq:
            raise ValueError(f"record {seq:,} is another one")
        self.records[type_] += 1
        if type_ in _DECIDED:
            record_event(record)
            if book >= len(self._policies) or self._policies[book].seq >= seq:
                raise ValueError(f"record {seq:,} names a policy that was not in force")
        elif type_ in _TOLD:
            record_content(record)
        elif self._operations.get(seq) != crc32c(record):  # of an unknown type as well
            raise ValueError(f"operation {seq:,} is not in the table of operations")
        else:
            self._matched += 1

    # ---- ids ------------------------------------------------------------------------------------------------------

    def _begin(self, first: int) -> None:
        """The journal starts here: of the run that trimming cut into only the rest can be compared."""
        self.first, self.last = first, first - 1
        self._runs.sort()
        if self._runs and self._runs[0].first < first:
            kept = [entry for entry in struct.iter_unpack("<QQ", self._oldest_ids) if entry[1] >= first]
            self._runs[0] = self._runs[0]._replace(sums=sums_of(b"".join(struct.pack("<QQ", *entry) for entry in kept)))
        self._oldest_ids = b""

    def _add(self, first: int, sums: Sums) -> None:
        while self._run_at < len(self._runs) and self._runs[self._run_at].last < first:
            self._end_run()
        self._found = self._found.plus(sums)

    def _end_run(self) -> None:
        run = self._runs[self._run_at]
        if run.sums != self._found:
            self.report(
                f"table ids, records {run.first:,} to {run.last:,}", "not the fingerprints of the journal's records"
            )
        self._found, self._run_at = Sums(), self._run_at + 1

    def _check_runs(self) -> None:
        while self._run_at < len(self._runs) and self._runs[self._run_at].last <= self.last:
            self._end_run()
        if self._run_at < len(self._runs):
            self.report("table ids", "it names records that the journal does not have")
        for before, run in zip(self._runs, self._runs[1:], strict=False):
            if run.first != before.last + 1:
                self.report(
                    "table ids", f"between records {before.last:,} and {run.first:,} the runs do not fit together"
                )
        if self._runs and self._runs[0].first > max(self.first, 1):
            self.report("table ids", f"records before {self._runs[0].first:,} are missing")

    # ---- the whole ------------------------------------------------------------------------------------------------

    def _check_notes(self) -> None:
        missing = [name.decode() for name in (b"store", b"drained", b"state") if name not in self.notes]
        _expect(not missing, f"table meta lacks {', '.join(missing)}")
        drained, state = self.notes[b"drained"], self.notes[b"state"]
        _expect(bool(self._policies) and state["book"] < len(self._policies), "the policy in force is missing")
        if self.first and self.last != drained["seq"]:
            self.report("table journal", f"it ends at record {self.last:,}, not at {drained['seq']:,}")
        if state["seq"] > drained["seq"]:
            self.report("table meta", "the state is younger than the journal")

    def _check_operations(self) -> None:
        end = self.notes[b"drained"]["seq"]
        expected = sum(max(self.first, 1) <= seq <= end for seq in self._operations) if self.first else 0
        if expected != self._matched:
            self.report("table operations", "it names operations that the journal does not have")
        if max(self._operations, default=0) > end:
            self.report("table operations", f"it goes beyond the journal's end, {end:,}")

    def _check_groups(self) -> None:
        state, end = self.notes[b"state"], self.notes[b"drained"]["seq"]
        needed = state["head"]
        for signature, origin in self._policies[state["book"]].origins.items():
            group = group_key(signature, origin[0])
            pieces = self._pieces.get(group, [])
            self._check_overlaps(group, pieces)
            needed = min([needed, *(piece.head for _, _, piece in pieces)])
            if not covers(depth for depth, _, _ in pieces):
                needed = min(needed, self._policies[origin[0]].head)
        if needed <= end and not 0 < self.first <= max(needed, 1):
            self.report("table journal", f"recovery needs it from record {needed:,} on, it starts at {self.first:,}")

    def _check_overlaps(self, group: bytes, pieces: list[tuple[int, int, PieceHead]]) -> None:
        held = {(depth, prefix) for depth, prefix, _ in pieces}
        for depth, prefix, _ in pieces:
            if any((less, prefix & ((1 << less) - 1)) in held for less in range(depth)):
                self.report(
                    f"table rings, group {group.hex()}", f"two pieces hold the hashes that end in {prefix:0{depth}b}"
                )


def _expect(fits: bool, what: str) -> None:
    if not fits:
        raise ValueError(what)


_NUMBERS: Final = {b"store": ("format",), b"drained": ("seq", "position", "epoch"), b"state": ("seq", "head", "book")}
_BYTES: Final = {b"store": ("id", "key")}


def _numbers(key: bytes, note: Any) -> dict[str, Any]:
    """A note whose entries are what everybody takes them for. Raises ValueError."""
    _expect(isinstance(note, dict), "the note is none")
    numbers, keys = _NUMBERS.get(key, ()), _BYTES.get(key, ())
    _expect(all(type(note.get(name)) is int and 0 <= note[name] < 1 << 62 for name in numbers), "a number is none")
    _expect(all(isinstance(note.get(name), bytes) and len(note[name]) == 16 for name in keys), "a key is none")
    found: dict[str, Any] = note
    return found
