"""The hot path, as Python sees it. `Engine` is what a program holds; `Core` is its inside, and what is named a door
is for tests."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol, final

from frmcore.alerts import Alert
from frmcore.errors import InvalidEvent
from frmcore.plan import Dfa, Group, Limits, ListPlan, Plan, Zone
from frmcore.policy.tree import Policy
from frmcore.values import Raw, Value

Time = int | str | datetime
Range = tuple[bytes, bytes, int | None]
"""First and last address (4 or 16 bytes each), and until when it is listed: ms, None for good."""

DECIMAL_CHARS_MAX: int

def system_clock() -> int:
    """Milliseconds since the epoch."""

def epoch_ms(value: object) -> int | object:
    """A time as epoch milliseconds (floored): an int, an aware datetime, or RFC 3339 text. A marker that is no int
    otherwise."""

def scaled_decimal(value: object, scale: int) -> int | object:
    """A decimal as an integer of 10**-scale units; a marker that is no int when it is not a number that fits
    exactly."""

def shorten(value: object) -> str:
    """A value as an error shows it: its type and repr, short; of containers and unknown types the type."""

def checked_text(value: object) -> str | None:
    """A str as records take it: at most STRING_BYTES_MAX bytes of valid UTF-8; None for anything else."""

@final
class Decision:
    """One decision. `outcome` and `score` cost nanoseconds; everything else is read from the record when asked for."""

    record: bytes
    """The journal's entry of this decision."""
    book: Book
    duplicate: bool
    """The event's id was known: this is the decision of then."""
    durable: bool
    """Safe from a crash of the process; False in memory."""

    def facts(self) -> dict[str, Value]:
        """Field, derived field or update -> value, and `final`: as known when it was decided."""
    def lose(self) -> None:
        """The store could not take it: `durable` is False."""
    @property
    def event_id(self) -> str: ...
    @property
    def point(self) -> str:
        """The decision point."""
    @property
    def point_index(self) -> int: ...
    @property
    def plan(self) -> Plan:
        """The plan of the policy it was decided by."""
    @property
    def outcome(self) -> str:
        """One of the policy's outcomes."""
    @property
    def intended(self) -> str:
        """The outcome that the rules asked for; of the holdout another one took effect."""
    @property
    def holdout(self) -> bool:
        """The event was let through to learn from."""
    @property
    def probability(self) -> float:
        """The probability with which such an event is treated as this one was; 1.0 where no lot was drawn."""
    @property
    def score(self) -> int:
        """Sum of the scores of `fired`."""
    @property
    def seq(self) -> int:
        """Place in the recorded order; 0 when it was only evaluated."""
    @property
    def time(self) -> int:
        """The event's time, epoch milliseconds."""
    @property
    def late(self) -> bool:
        """The event's time was before the watermark."""
    @property
    def policy(self) -> str:
        """Hash of the policy."""
    @property
    def fired(self) -> tuple[str, ...]:
        """Ids of the live rules that count, in file order."""
    @property
    def shadow(self) -> tuple[str, ...]:
        """Rules in shadow, or outside their rollout, that would have fired."""
    @property
    def unknown(self) -> tuple[str, ...]:
        """Rules whose condition was unknown."""
    @property
    def exempted(self) -> tuple[str, ...]:
        """Rules that fired but belong to a group that a fired rule exempts."""
    @property
    def actions(self) -> tuple[str, ...]:
        """What the fired rules ask for, each once."""
    @property
    def alerts(self) -> tuple[Alert, ...]:
        """What people are told about entities."""
    @property
    def reasons(self) -> list[str]:
        """The texts of the fired rules' reasons. Microseconds."""
    @property
    def features(self) -> Mapping[str, Value]:
        """Name -> value, in file order; None is absent. Read-only."""
    @property
    def lists(self) -> tuple[str, ...]:
        """Lists that were hit."""
    @property
    def notes(self) -> tuple[str, ...]:
        """What limits took away, and which rules were exempted."""
    def values(self) -> dict[int, Raw]:
        """Register -> raw value of every recorded fact, feature and constant."""
    def to_dict(self) -> dict[str, Any]:
        """The decision as plain data, for JSON."""
    def packed(self) -> bytes:
        """The decision as MessagePack, as the protocol has it (docs/protocol.md). Empty parts are left out."""

@final
class ArrowRows:
    """The rows of an Arrow C stream, a batch at a time. Raises ValueError for what is no stream of rows."""

    def __init__(self, source: object) -> None: ...
    def next_batch(self) -> int:
        """Turns to the next batch of the stream; its rows, or -1 at the end. Raises ValueError when it fails."""

DECISION_LATE: int
"""Flags of a decision: it was late, the holdout's lot was drawn, and fell on it."""
DECISION_DRAWN: int
DECISION_HOLDOUT: int

@final
class Columns:
    """Decisions under one policy, in columns of Arrow's layout. `fields`: those of an event that are wanted beside its
    decision. Raises ValueError for a field that the policy does not have, and for a decision by another policy."""

    book: Book
    count: int
    duplicates: int
    """Events that were known: they are in no column."""
    row: int
    """Index of the row at hand."""
    last_time: int
    """Of the event that was decided last, epoch milliseconds; 0 before the first."""
    size: int
    """Bytes of the records that are held."""

    def __init__(self, book: Book, fields: Sequence[str] = ()) -> None: ...
    def add(self, decision: Decision, tag: int) -> None:
        """Adds a decision; of one that was made before (`duplicate`) only that there was one."""
    def take(self) -> tuple[dict[str, bytes], list[tuple[bytes, bytes, bytes]]]:
        """All columns by name, and the fields' (values, ends, bits of which are there), in order; then starts anew."""

@final
class Book:
    """A policy as the hot path has it."""

    plan: Plan
    policy: Policy
    index: int

@final
class Core:
    """The state of an engine and the calls that change it; `frmcore.Engine` documents them."""

    seq: int
    book: Book
    lists: Lists
    is_open: bool

    def __init__(
        self,
        plan: Plan,
        policy: Policy,
        contents: list[list[Any] | None],
        key: bytes,
        private_key: bytes,
        clock: Callable[[], int] | None,
        max_ahead: int | None,
        recovered: Recovered | None = None,
    ) -> None: ...
    def decide(self, event: object, point: str | None = None, *, strict: bool = False) -> Decision: ...
    def evaluate(self, event: object, point: str | None = None, *, strict: bool = False) -> Decision: ...
    def decide_many(self, events: object, first: int, last: int, point: str | None = None) -> list[Decision]: ...
    def decide_columns(
        self, events: object, first: int, last: int, point: str | None, tag: int, columns: Columns
    ) -> None:
        """`decide_many` into columns; row `first` is tagged `tag`, and so on. Of a row that is refused `columns.row` is
        the index: those before it are decided, and one may go on behind it."""
    def observe_many(self, events: object, first: int, last: int) -> None: ...
    def observe_columns(self, events: object, first: int, last: int, columns: Columns) -> None:
        """`observe_many`; `columns` get the index alone of a row that is refused."""
    def decide_again(self, event_id: str, point: str, at: Time | None, fields: dict[str, Any]) -> Decision: ...
    def observe(self, event: object) -> None: ...
    def update(
        self, event_id: str, at: Time | None, by: str | None, source: str | None, fields: dict[str, Any]
    ) -> None: ...
    def is_told(self, event_id: str, at: Time | None, fields: dict[str, Any], later: bool) -> bool:
        """Would `update` say what is known already, from that very time? later: or from a later one."""
    def find(self, event_id: str, point: str | None = None) -> Decision:
        """The decision that was made about an event, at the point or the latest. Raises UnknownEvent, UnknownName."""
    def known_now(self, event_id: str) -> dict[str, Value]:
        """What is known of an event now: field -> value, with its updates and `final`."""
    def trace(self, decision: Decision) -> list[Raw]:
        """Every register of the decision's program, run once more on what was recorded."""
    def evidence(self, decision: Decision, room: int) -> dict[str, tuple[int | None, int, list[str]]]:
        """Aggregate -> (from ms, until ms, ids of the events in its window, newest first, at most `room`), as known
        now."""
    def features(self, given: dict[str, str], at: int) -> dict[str, Value]: ...
    def told_time(self, at: Time) -> int:
        """A time as epoch ms. Raises InvalidEvent."""
    def now(self) -> int | None:
        """Epoch milliseconds by the engine's clock; without a clock, the watermark, and None before the first event."""
    def unreadable(self, message: str) -> InvalidEvent:
        """The error for an event that can't even be read, counted like every other."""
    @property
    def watermark(self) -> int | None:
        """The greatest event time recorded, epoch ms; None before the first event."""
    @property
    def floor(self) -> int | None:
        """The greatest time of an event that was forgotten, epoch ms; None before one was."""
    def groups(self) -> tuple[Group, ...]:
        """The groups whose rings a reload may keep."""
    def reload(self, plan: Plan, policy: Policy, contents: list[list[Any] | None], files: dict[str, str]) -> None:
        """Puts another policy in force between two operations; lowered with `keep=groups()`."""
    def change_list(
        self, spec: ListPlan, action: str, values: Sequence[tuple[bytes, int | None]], content: Mapping[str, object]
    ) -> int:
        """Adds or removes the values of a list, recorded as one operation; how many changed. Raises UnknownName."""
    def change_networks(self, spec: ListPlan, ranges: Sequence[Range], content: Mapping[str, object]) -> None:
        """Replaces the ranges of a network list, recorded as one operation. Raises UnknownName."""
    def control(self, content: dict[str, Any]) -> None:
        """Puts in force what a control says (see frmcore/controls.py), recorded as one operation."""
    def control_state(self) -> dict[str, Any]:
        """What was switched, snoozed and tripped, and what breakers have counted, as plain data."""
    def restore_controls(self, state: dict[str, Any]) -> None:
        """The state of controls as `cut` had it, to look at; what is replayed from here on is behind it."""
    def entity_raw(self, name: str, value: str | int) -> Any:
        """The value of a field that names an entity, as a snooze keeps it. Raises InvalidEvent."""
    def replay_operation(self, seq: int, at: int, content: dict[str, Any]) -> None:
        """A recorded control or alert, put in force anew."""
    def restore_alerts(self, contents: Iterable[dict[str, Any]]) -> None:
        """What recorded alerts say: whom they were about, when."""
    def record_owed(self) -> None:
        """Records what follows from the last decision, where a crash came in between."""
    def restore_list(self, spec: ListPlan, values: Sequence[tuple[bytes, int | None]]) -> None:
        """The recorded values of a list, not recorded again."""
    def restore_networks(self, spec: ListPlan, ranges: Sequence[Range]) -> None: ...
    def list_contains(self, spec: ListPlan, value: bytes, time: int) -> bool:
        """Whether a list holds the value (an ip: its bytes) at that time."""
    def lists_line(self) -> int:
        """Entries of lists that expired at or before this time (epoch ms) are gone: the horizon is past."""
    def hide(self, value: bytes) -> bytes:
        """The form in which private values are kept: 16 bytes, a hash under the private key."""
    def what_if(self, decision: Decision) -> WhatIf:
        """The decision's program, to be asked for outcomes under other values."""
    def on_operation(self, hook: Callable[[bytes], object]) -> None: ...
    def stats(self) -> dict[str, Any]: ...
    def verdicts(self) -> tuple[dict[tuple[str, str], int], dict[str, int]]:
        """({(point, outcome): decisions}, {rule: decisions in which it counted}) since the engine was opened."""
    def state_hash(self) -> str:
        """32 hex digits over rings, ids, updates and order; the lists are the caller's to add. O(state)."""
    def close(self) -> None: ...
    def attach(self, journal: JournalRing, survives: bool, keeper: object = None) -> None:
        """From here on every record is put into the journal before its call returns. `keeper`: what takes records out
        of it, which lives for as long as anybody can decide here."""
    def check_rings(self) -> None:
        """Everything that the rings promise about themselves, for tests. Raises AssertionError. O(entries)."""
    def policy_record(self, files: dict[str, str]) -> bytes:
        """The record of the policy in force: enough to go on from it."""
    def waiting(self, most: int) -> bytes | None: ...
    def evict(self, windows: dict[str, int], ids: int | None = None) -> None: ...
    def cut(self, take_spilled: bool = False) -> dict[str, Any]:
        """Where the state stands, as of one sequence number; with the records that wait in memory, if asked."""
    def image(self, signature: str, depth: int, prefix: int) -> tuple[int, int | None, int, bytes] | None:
        """(sequence number, watermark, head, rings as bytes) of one piece of a group; None: no such group any more."""
    def ring_groups(self) -> list[tuple[str, int, int, int]]:
        """(signature, generation, rings, bytes) of each group."""
    def replay(self, frames: bytes) -> tuple[bytes | None, bytes]:
        """Applies recorded events and updates; the first other record it meets, and the frames behind it. Raises
        ValueError."""
    def start_at(self, seq: int) -> None:
        """Replay starts behind that sequence number."""
    def replay_erase(self, record: bytes) -> None:
        """Subjects were erased here, as the record says."""
    def erase(self, found: Erasure, said: dict[str, Any]) -> int:
        """Erases what was found, with what was recorded since, as one operation; its sequence number. 0, and nothing
        was done, where too much was recorded since."""
    def erased(self, record: bytes, whole: bool) -> bytes:
        """An event's record without its texts and identifiers; not `whole`: without the texts among its features."""
    def erased_update(self, record: bytes, book: int) -> bytes:
        """An update's record without its texts; `book`: index of the policy that was in force."""
    def record_hold(self, content: dict[str, Any]) -> None:
        """Records that a hold was added or removed."""
    def policies(self) -> list[Policy]:
        """Those at hand whose events are, the running one last."""
    def policy_at(self, book: int) -> Policy:
        """The policy of an index that is at hand."""
    def skip_record(self, seq: int) -> None:
        """A record that changed neither rings nor ids: a list's."""
    def replay_policy(
        self,
        plan: Plan,
        policy: Policy,
        contents: list[list[Any] | None],
        seq: int,
        content: dict[str, Any],
        filler: Core | None = None,
    ) -> None:
        """A policy was put in force here, as its record says; `filler`: with the rings that the journal filled."""
    def filler(self, plan: Plan, policy: Policy, contents: list[list[Any] | None], seq: int, gap: int) -> Core:
        """A Core that fills the groups which `plan` has and this one lacks, from the operations behind `seq`."""
    def fill(self, frames: bytes, last: int) -> None:
        """A filler: applies recorded operations up to the sequence number `last`. Raises ValueError."""
    def reload_filled(
        self,
        plan: Plan,
        policy: Policy,
        contents: list[list[Any] | None],
        files: dict[str, str],
        filler: Core,
        filled_from: int,
    ) -> bool:
        """`reload`, with the rings of new groups taken from a filler; False where that lags too far behind."""
    def settle(self, cut: dict[str, Any]) -> None:
        """The state stands where `cut` was taken: from here on it forgets as a running engine does. Raises
        ValueError."""
    def decision_of(self, record: bytes) -> Decision | None:
        """The decision that an old record holds; None of an observed event. Raises ValueError."""
    def facts_in(self, record: bytes) -> dict[str, Value]:
        """Field, derived field or update -> value, as an event's old record has them. Raises ValueError."""
    def entered(self, record: bytes) -> tuple[int, dict[str, Value], dict[str, Value]]:
        """An event as it came in, by its old record: when the updates were told that came along, its fields, these
        updates; in the form in which they could come in again. A private value is the hex of its hash. Raises
        ValueError."""
    def has_book(self, index: int) -> bool:
        """Is the policy of that index at hand, so that its records can be read?"""
    def add_book(self, index: int, plan: Plan, policy: Policy) -> None:
        """An older policy, only for reading what was decided under it."""

@final
class Channel:
    """Frames over a connected stream socket, which stays the caller's, by its descriptor. For one thread at a time.

    read_bytes: taken at most by one `read`.
    """

    def __init__(self, number: int, read_bytes: int) -> None: ...
    @property
    def unsent(self) -> int:
        """Bytes that the other side has not taken yet."""
    @property
    def untaken(self) -> int:
        """Bytes that were read, and not taken yet."""
    def close(self) -> None:
        """The descriptor may be somebody else's from now on: what needs it raises OSError."""
    def read(self) -> bool:
        """Takes in what has come. False: the other side closed. Raises OSError."""
    def take(self) -> bytes | None:
        """The payload of the next frame; None where none is there whole. Raises ProtocolError."""
    def put(self, payload: bytes) -> None:
        """A frame to be sent. The caller has seen that its size fits."""
    def flush(self) -> int:
        """Sends what the other side takes; how many bytes those were. Raises OSError."""
    def ask(self, payload: bytes, number: int, deadline: float) -> bytes:
        """Sends the request of that id; the payload of its answer, or of one with id 0. Answers that came too late for
        earlier requests are let go. Waits, and raises, as `answer`."""
    def answer(self, deadline: float) -> bytes:
        """The payload of the next frame, once it is there; meanwhile sends what is to be sent. Other threads go on.

        deadline: by time.monotonic(). Raises TimeoutError, OSError, ProtocolError.
        """

@final
class Gate:
    """Decides what comes through channels, from the bytes of a frame to the bytes of its answer.

    has_room: asked before each batch; where it says no, the batch is left alone. refused: makes the payload of an
    answer from a request's id and the exception it was refused with. settled: told when answers have gone out, and
    since when, by time.perf_counter_ns, they were worked on.
    """

    channels: dict[int, Channel]
    """Those that `attend` serves, by descriptor."""
    decisions: int
    """Requests to decide that were answered; the caller's to set back."""
    batches: int

    def __init__(
        self,
        core: Core,
        has_room: Callable[[], bool],
        refused: Callable[[int, Exception], bytes],
        settled: Callable[[int], None],
    ) -> None: ...
    def attend(self, poll: int, seconds: float) -> list[tuple[int, int]]:
        """Answers what comes through `channels` for so many seconds, or until something else comes: that, as an epoll
        object tells it, without an event where it was read already. poll: its descriptor. Waits off the GIL. Raises
        what handlers of signals raise."""
    def serve(self, channel: Channel) -> bytes | None:
        """Answers the requests in front that it takes; the payload of the next one, which it does not take. None: no
        whole frame is left. Raises ProtocolError for bytes that are no frame."""

@final
class WhatIf:
    """The program of one decision, run once more with another value put in place."""

    def ask(self, reg: int = -1, value: float | None = None, rule: int = -1) -> tuple[int, bool]:
        """(index of the outcome, is that rule's condition true), with the value in the register; -1: none."""

@final
class Erasure:
    """What is to be erased of some subjects. Records are read in their order, then `Core.erase` does it."""

    scanned: int
    """Records were read up to here."""
    events: int
    telling_ids: int
    """Events whose id, which stays, holds an identifier."""
    records: list[int]
    """Sequence numbers: of their events, later decisions about them, updates."""

    meets_hold: bool
    """An event names one that is under hold as well."""

    def __init__(self, core: Core, subjects: list[tuple[str, str]], held: Sequence[tuple[str, str | bytes]]) -> None:
        """subjects, and those under hold: (entity, identifier), bytes for the hash of a private one. Raises
        InvalidEvent for an identifier that no event could bring."""
    def read(self, frames: bytes) -> None:
        """Reads stretches of the journal, in order. Raises ValueError where they are damaged."""
    def read_memory(self, most: int) -> bool:
        """Reads at most so many of the records in memory; False when there were no more."""

class _Pieces(Protocol):
    """The pieces of one group, at least one: (depth, prefix, sequence number, rings)."""

    depths: list[int]

    def __iter__(self) -> Iterator[tuple[int, int, int, bytes]]: ...

@final
class Recovered:
    """What a checkpoint holds beside the journal, to start a Core from."""

    def __init__(
        self,
        book: int,
        watermark: int | None,
        covered_until: int,
        origins: dict[str, tuple[int, int, int]],
        pieces: Mapping[tuple[str, int], _Pieces],
    ) -> None: ...

@final
class JournalRing:
    """The ring over a writable buffer. `position` counts bytes ever written."""

    position: int
    taken: int
    epoch: int
    spilled_bytes: int
    waiting: int
    spilling: bool

    def __init__(
        self, area: memoryview, epoch: int, position: int, spill_max: int = 0, published: memoryview | None = None
    ) -> None: ...
    def detach(self) -> None:
        """Lets go of the buffer; nothing may be put after that."""
    @property
    def used(self) -> int:
        """Bytes that hold records which are not released yet."""
    @property
    def size(self) -> int: ...
    def take(self, most: int, end: int) -> bytes:
        """Frames of at most `most` bytes (one at least) before the position `end`; b'' when all were taken."""
    def pending(self) -> bytes:
        """The frames that are not released yet."""
    @property
    def free_until(self) -> int:
        """The position up to which the ring is free."""
    def scrub(self, start: int, most: int) -> int:
        """Zeros over what old records left in the free part of the ring, from a position on; where to go on."""
    def untake(self) -> None:
        """What was taken and not released is to be taken again."""
    def release(self, position: int) -> None:
        """Gives room back up to `position`, once what lay there is safe elsewhere."""
    def spilled_safe(self) -> None:
        """What was taken is safe elsewhere: the ring takes records again, unless more were spilled meanwhile."""
    def recovered(self, position: int, seq: int) -> tuple[bytes, int]:
        """(frames, position behind them): the whole records from `position` on that follow `seq` without a gap."""

def packed_result(answer: bytes) -> bytes | None:
    """The result in the answer `[id, result]` as it came; None where the answer is another, an error as a rule."""

def packed_items(answer: bytes, key: bytes) -> list[bytes] | None:
    """The values of the array that the result in the answer `[id, result]` has under a key, as they came; None where
    there is no such thing."""

def packed_id(answer: bytes) -> int:
    """The id in front of an answer, without reading the rest. Raises ProtocolError."""

def packed_value(pairs: bytes, key: bytes) -> bytes | None:
    """The value of a key in a map as it came; None where it is not there. O(what stands before it)."""

def crc32c(data: bytes | memoryview, before: int = 0) -> int:
    """CRC-32C of the bytes, going on from `before`."""

def crc32c_by_table(data: bytes | memoryview, before: int = 0) -> int: ...
def record_frames(records: list[bytes]) -> bytes:
    """Records as frames, as a ring would hold them."""

def frames_split(frames: bytes, most: int) -> list[bytes]:
    """The frames in parts of at most `most` bytes (one frame at least)."""

def frame_records(frames: bytes) -> list[bytes]:
    """The records of whole frames, in order. Raises ValueError where a frame is damaged."""

def frame_epochs(frames: bytes) -> list[int]:
    """The epoch of each of the frames, which `frame_records` has found whole."""

def frames_first(frames: bytes, count: int) -> bytes:
    """The first `count` of the frames, which `frame_records` has found whole."""

def record_event(record: bytes) -> str:
    """The id of the event that a record is about. Raises ValueError when it is about none."""

def record_head(record: bytes) -> tuple[int, int, int, int]:
    """(sequence number, type, time, index of the policy) of a record. Raises ValueError."""

def record_with(record: bytes, content: dict[str, Any]) -> bytes:
    """A record of no event with another content."""

def frames_with(frames: bytes, replaced: dict[int, bytes]) -> bytes:
    """The frames with other records in place of some; `replaced`: sequence number -> record."""

def record_content(record: bytes) -> dict[str, Any]:
    """What the record of a list's change, an update or a policy says. Raises ValueError."""

STRETCH_HEAD: int
"""Bytes of a stretch that `stretch_head` reads."""

def stretch_of(frames: bytes, key: bytes, watermark: int) -> bytes:
    """The stored form of frames: a head, the frames, their events' fingerprints, sorted."""

def stretch_head(value: bytes, whole: bool = True) -> tuple[int, int, int, int, int, int]:
    """(records, first, last sequence number, least, greatest time, watermark). Raises ValueError."""

def stretch_frames(value: bytes) -> bytes: ...
def stretch_ids(value: bytes) -> bytes:
    """The fingerprints of a stretch: sorted entries of 16 bytes."""

def fingerprint_of(event_id: str, key: bytes) -> int:
    """The fingerprint of an event id, as stretches keep it."""

def ids_find(ids: bytes | memoryview, fingerprint: int) -> list[int]:
    """The sequence numbers under a fingerprint. O(log n)."""

def ids_merged(runs: list[bytes], prefix: bytes) -> bytes:
    """One sorted run of several, behind `prefix`."""

def frame_operations(frames: bytes) -> list[bytes]:
    """The records of lists' changes and policies among whole frames."""

def sealed(key: bytes, value: bytes) -> bytes:
    """The value with the CRC-32C of its key and itself behind it."""

@final
class ListTable:
    """Values, until when each is listed, and the sequence that listed it. Times are ms; 20 to 22 bytes a value."""

    def __init__(self, key: bytes) -> None: ...
    def add(self, value: bytes, expires: int | None) -> bool:
        """Lists `value` until `expires` (None: for good); True where it was not listed. O(1)."""
    def remove(self, value: bytes) -> bool: ...
    def contains(self, value: bytes, time: int) -> bool: ...
    def contains_packed(self, values: bytes, width: int, time: int) -> int: ...
    def expiry(self, value: bytes) -> int | None: ...
    def expire(self, time: int) -> int:
        """Removes what expired at or before `time` from the next bucket in turn; how many."""
    def __len__(self) -> int: ...
    @property
    def buckets(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    def stats(self) -> dict[str, Any]: ...
    def check(self) -> None: ...

@final
class NetworkTable:
    """Networks and until when each is listed; built anew from all ranges whenever they change."""

    def load(self, ranges: Iterable[Range]) -> None:
        """Replaces the content. O(n log n). Raises ValueError, and changes nothing, for ranges that overlap."""
    def contains(self, address: bytes, time: int) -> bool: ...
    def __len__(self) -> int: ...
    @property
    def bytes(self) -> int: ...

@final
class Lists:
    """The lists of one policy, by index."""

    tables: tuple[ListTable | NetworkTable, ...]

    def __init__(self, tables: Iterable[ListTable | NetworkTable], key: bytes) -> None: ...
    def contains(self, index: int, value: bytes, time: int) -> bool: ...

@final
class Program:
    """The program of one plan, verified and loaded."""

    reps: tuple[int | None, ...]
    registers: int
    runs_python: bool

    def __init__(self, plan: Plan, lists: Lists, private_key: bytes) -> None: ...
    @property
    def overflows(self) -> int: ...
    def run(
        self, start: int, end: int, values: list[Any], event_time: int = 0, traced: bool = False, times: int = 1
    ) -> list[Raw]:
        """Door: runs the segment (start, end) on registers filled with `values`, and returns all registers."""

@final
class Regex:
    """Door: the DFA runner."""

    def __init__(self, plan: Dfa) -> None: ...
    def search(self, text: bytes) -> bool: ...
    def search_many(self, text: bytes, times: int) -> int: ...

def _text(name: str, given: bytes, *args: Any) -> Any:
    """Door: text functions by their names in frmcore/text.py, on UTF-8 or address bytes; None is absent."""

def provide_pages() -> int:
    """Clears huge pages ahead of need, for all engines of the process: for a thread beside those that decide, as it
    lets go of the GIL for some milliseconds. Nothing until an engine has grown to one. Returns how many."""

def drop_pages() -> None:
    """Gives those that nobody took back to the system, until an engine wants one again."""

@final
class _SlabDoor:
    def __init__(self, record_size: int) -> None: ...
    def take(self, value: int) -> int: ...
    def give(self, index: int) -> None: ...
    def read(self, index: int) -> tuple[int, int]: ...
    def pages(self) -> int: ...
    @property
    def live(self) -> int: ...
    @property
    def reserved(self) -> int: ...
    @property
    def record_size(self) -> int: ...

@final
class _TableDoor:
    def insert(self, lo: int, hi: int) -> int: ...
    def find(self, lo: int, hi: int) -> int: ...
    def guess(self, lo: int, hi: int) -> int: ...
    def count_found(self, hashes: bytes) -> int: ...
    def remove(self, lo: int, hi: int) -> int: ...
    def move(self, lo: int, hi: int, before: int) -> int: ...
    def scan(self, cursor: int, room: int = 64) -> tuple[list[int], int]: ...
    @property
    def count(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    @property
    def buckets(self) -> int: ...

@final
class Texts:
    @property
    def count(self) -> int: ...

@final
class _RingDoor:
    def __init__(self, group: Group, limits: Limits, zones: Sequence[Zone] = ()) -> None: ...
    @property
    def texts(self) -> Texts: ...
    def insert(self, key: int, time: int, seq: int, values: Sequence[float | str], watermark: int) -> None: ...
    def remove(self, key: int, time: int, seq: int, values: Sequence[float | str], watermark: int) -> bool: ...
    def read(
        self,
        key: int,
        time: int,
        seq: int,
        watermark: int,
        oldest: int,
        itself: Sequence[float | str] | None = None,
        lookup: int = 0,
        marks: _RingDoor | None = None,
    ) -> tuple[dict[int, float | str | None], dict[int, int]]: ...
    def read_ns(self, key: int, time: int, watermark: int, rounds: int) -> float: ...
    def append_ns(self, keys: int, time: int, step: int, seq: int, rounds: int) -> float: ...
    def sweep(self, watermark: int, buckets: int = 1) -> None: ...
    def adopt(self, limits: Limits, watermark: int) -> None: ...
    def line(self, watermark: int) -> int: ...
    def fingerprint(self, watermark: int) -> tuple[int, int]: ...
    def stats(self) -> dict[str, int]: ...
    def check(self) -> None: ...
