"""What the policy compiler and the hot path share: a policy lowered to numbers.

A `Plan` is plain immutable data. `policy/lower.py` writes it, `_fast` verifies and loads it; neither knows the other.
The machine it describes:

**Registers.** One file of registers serves everything. A register holds an int64, a double, or a text (pointer and
length), and whether it is present. In file order: the schema's fields, derived fields, updates, of each money in
several currencies the amount as given and the rate (up to here a record keeps them all), the specials (`final`,
`score`, one bool for each rule that a filter asks about with `fired`), constants, features, temporaries.
The type of a register never changes; the compiler knows it, the machine does not. Representations (`Rep`):

    INT     int, money (minor units), decimal (scaled), timestamp and duration (ms), enum (code), bool (0 or 1)
    FLOAT   float, and the fractional results of means and products
    TEXT    string (UTF-8), ip (its 4 or 16 bytes; an IPv4-mapped IPv6 address is its 4), private values (a 16-byte
    keyed hash)

**Code.** A list of instructions `(op, dst, a, b, c, d)`, cut into segments `(start, end)`: derived fields, filters,
feature expressions, rules. Jumps go forward and stay inside their segment, so every segment ends. An operand is a
register unless `Op` says otherwise. Every instruction except a jump writes `dst`; unless `Op` says otherwise the result
is absent when an operand is absent. Int arithmetic that overflows int64 (-2**63 counts as overflow: it can't be
negated), division by zero and a float result that is NaN or infinite are absent; overflows are counted.

**Segments.** `derive` reads fields in the clear; everything later reads private values hashed. `keys` and every group's
segment read fields, derived fields, updates, specials and constants only, so a group's runs alone for any event.
`compute` may read what `keys` computed, and a point's segment what both did: they run in this order. A register holds
one value, so a run that ignores jumps ("traced") fills every register that a `TraceNode` names, and gives the same
results.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import msgspec


class Rep(IntEnum):
    """How a register holds its value."""

    INT = 0
    FLOAT = 1
    TEXT = 2


class Op(IntEnum):
    """Operations. Suffix I: int64, F: double, S: text; `a ? b` reads 'absent where an operand is absent'."""

    # moves and logic; truth values are INT 0/1, absent is unknown
    MOV = 0  # dst = a (absent stays absent), any rep
    NOT = 1  # unknown stays unknown
    AND = 2  # Kleene: false if either is false, else unknown if either is unknown
    OR = 3  # Kleene: true if either is true, else unknown if either is unknown
    JUMP_FALSE = 4  # if a is known and false: dst = false and jump to b; else go on (dst untouched)
    JUMP_TRUE = 5  # if a is known and true: dst = true and jump to b; else go on
    MISSING = 6  # dst = (a is absent); always present
    COALESCE = 7  # dst = a if present else b
    SELECT = 8  # dst = b if a is true, c if a is false, absent if a is unknown (then whatever b and c are)
    # int64
    ADD_I = 10
    SUB_I = 11
    MUL_I = 12
    FLOORDIV_I = 13  # as Python: rounds down; absent for b == 0
    MOD_I = 14  # as Python: sign of b
    NEG_I = 15
    ABS_I = 16
    MIN_I = 17
    MAX_I = 18
    EQ_I = 19
    NE_I = 20
    LT_I = 21
    LE_I = 22
    IN_SET_I = 23  # a in sets[b] (b: index)
    # double; comparisons never see NaN
    ADD_F = 30
    SUB_F = 31
    MUL_F = 32
    DIV_F = 33  # absent for b == 0.0
    FLOORDIV_F = 34  # floor(a / b) computed as Python does (via fmod)
    MOD_F = 35
    NEG_F = 36
    ABS_F = 37
    MIN_F = 38
    MAX_F = 39
    EQ_F = 40
    NE_F = 41
    LT_F = 42
    LE_F = 43
    ROUND_F = 44  # dst FLOAT = rint(a * 10**b) / 10**b, half to even; b: literal 0..9
    ROUND_I = 45  # dst INT = a FLOAT rounded half to even; absent beyond int64
    # conversions and exact mixed comparisons (int64 against double, no rounding of the int)
    INT_TO_FLOAT = 50
    EQ_IF = 51
    NE_IF = 52
    LT_IF = 53  # int a <  float b
    LE_IF = 54  # int a <= float b
    LT_FI = 55  # float a <  int b
    LE_FI = 56  # float a <= int b
    # text
    EQ_S = 60
    NE_S = 61
    STARTS_S = 62  # a startswith b
    ENDS_S = 63
    CONTAINS_S = 64  # b is a substring of a
    LEN_S = 65  # code points
    LOWER_S = 66  # as Python's str.lower
    UPPER_S = 67
    # a[b:c] in code points; b, c: registers, either may be absent = open end; negative counts from the end
    SLICE_S = 68
    IN_SET_S = 69  # a in sets[b] (b: index)
    DOMAIN_S = 70  # see frmcore/text.py
    EMAIL_S = 71  # canonical_email, see frmcore/text.py
    FOLD_S = 72  # fold, see frmcore/text.py
    NETWORK_S = 73  # a: ip register; b: literal prefix length for IPv4, c: for IPv6; text "10.0.0.0/24"
    MATCH_S = 74  # unanchored search of patterns[b] in a (b: index)
    IP_TEXT_S = 75  # a: ip register; its canonical text
    BUCKET_S = 76  # dst INT 0..9999: stable unkeyed hash of text a salted with text constant b (rollouts)
    # time and place
    HOUR_I = 80  # local hour 0..23 of timestamp a in zones[b] (b: index)
    WEEKDAY_I = 81  # Monday = 0 ... Sunday = 6, local in zones[b]
    DAYS_BETWEEN_I = 82  # whole local calendar days from timestamp a to timestamp b in zones[c]
    DISTANCE_F = 83  # great-circle km from (a, b) to (c, d), degrees latitude, longitude; absent outside +-90 / +-180
    # lists
    IN_LIST = 90  # a in lists[b] (b: index) at the event's time; a TEXT
    LOOKUP = 91  # the value of key a in lookups[b] (b: index); absent where it has none


class PrivateText(msgspec.Struct, frozen=True):
    """A constant or an item of a set that private values are compared with: the engine hashes it with the private
    key."""

    text: str | bytes  # bytes: an ip


class Instr(NamedTuple):
    op: int
    dst: int
    a: int = 0
    b: int = 0
    c: int = 0
    d: int = 0


class Segment(NamedTuple):
    """Instructions `code[start:end]`; start == end is nothing to do."""

    start: int
    end: int


class Kind(IntEnum):
    """How a field of an event is read and checked."""

    STRING = 0
    INT = 1
    DECIMAL = 2  # scaled by `scale` digits
    FLOAT = 3
    BOOL = 4
    ENUM = 5  # code = index in `values`
    MONEY = 6
    TIMESTAMP = 7
    IP = 8
    DURATION = 9  # results only: no field has it


REP = {
    Kind.STRING: Rep.TEXT, Kind.INT: Rep.INT, Kind.DECIMAL: Rep.INT, Kind.FLOAT: Rep.FLOAT, Kind.BOOL: Rep.INT,
    Kind.ENUM: Rep.INT, Kind.MONEY: Rep.INT, Kind.TIMESTAMP: Rep.INT, Kind.IP: Rep.TEXT, Kind.DURATION: Rep.INT,
}  # fmt: skip


class FieldPlan(msgspec.Struct, frozen=True):
    """One schema field, derived field or update. Its register is its index over the three tuples, in that order."""

    name: str
    kind: Kind
    path: tuple[str, ...]  # where it is in a mapping; one part unless nested
    optional: bool
    required_on: tuple[int, ...] = ()  # kind codes for which it may not be absent though optional
    values: tuple[str, ...] = ()  # of an enum
    scale: int = 0  # of a decimal
    private: bool = False
    default: int | float | str | None = (
        None  # of an update: its value until one is told, in register form (text as str)
    )
    may_change: bool = False  # `retry_may_change`: left out of the content that a retry must repeat
    currency: str = ""  # MONEY: what its minor units are of, for people


class CurrencyPlan(msgspec.Struct, frozen=True):
    """Money whose currency is another field: converted to the base currency on entry."""

    amount: int  # register of the money field
    currency: int  # register of the currency field (TEXT)
    original: int  # register that keeps the amount as given (minor units of its own currency)
    rate: int  # register that records the rate used (INT, scaled by 10**10)


class Rate(NamedTuple):
    """`currency` is worth `rate / 10**10` base units per unit from `since_ms` (event time) on."""

    currency: str
    exponent: int  # ISO 4217 minor-unit exponent of `currency`
    since_ms: int
    rate: int


class Agg(IntEnum):
    COUNT = 0
    SUM = 1
    MEAN = 2
    MIN = 3
    MAX = 4
    STD = 5
    DISTINCT = 6
    SHARE = 7
    FIRST = 8
    LAST = 9
    SINCE_LAST = 10
    SINCE_FIRST = 11


class ColumnKind(IntEnum):
    """What a ring stores beside (time, sequence). Every column is 8 bytes an entry."""

    INT = 0  # an int64: sums, means, deviations, extremes, first, last
    FLOAT = 1  # a double in order-preserving int64 form: extremes, first, last
    TRUTH = 2  # 0 or 1: shares (unknown is 0)
    MEMBER = 3  # 64 bits that stand for a value: distinct counts. INT as it is, FLOAT its bits, TEXT a keyed hash
    TEXT = 4  # a handle of an interned text: first, last


class Column(NamedTuple):
    reg: int  # evaluated by the group's segment
    kind: ColumnKind
    squares: bool  # a deviation needs sums of squares
    sums: bool
    extremes: bool  # min, max; first and last of cells too: entries must not be merged
    text: str  # names its expression by meaning, as `Group.signature` does; "": of a kept ring, read by nobody any more


class Span(IntEnum):
    DURATION = 0  # `over` milliseconds
    CALENDAR = 1  # from local midnight of day / week / month
    LIFE = 2  # all that is recorded
    SINCE = 3  # from the last mark, and `over` milliseconds at most where over_ms > 0


class CalendarUnit(IntEnum):
    DAY = 0  # the current local day and the over_ms - 1 days before it
    WEEK = 1  # from Monday
    MONTH = 2


class Query(NamedTuple):
    """One window read: fills register `dst`.

    With t the event's time (of a group with cells: floored to the cell, like the entries), the window is

        DURATION   from t - delay - over to t - delay
        CALENDAR   from the first instant of the local day, week or month of t (n days: of t's day less n - 1 days) to t
        LIFE       everything up to t - delay
        SINCE      from the last entry of the marks group before the event's place (none: everything) to t; cut to
        over_ms if > 0

    `left`, `right` say whether that end belongs to it. Entries at the right end count when they were recorded before
    the
    event (order: time, sequence), where delay > 0 whatever their sequence.
    """

    dst: int
    agg: Agg
    column: int  # index in the group's columns; -1 for count, since_last, since_first
    span: Span
    over_ms: int  # CALENDAR DAY: number of days
    delay_ms: int
    left: bool
    right: bool
    unit: CalendarUnit = CalendarUnit.DAY
    zone: int = 0  # index of zones, CALENDAR
    ddof: int = 0
    divisor: int = 1  # MEAN and STD of decimals: 10**scale


class Lookup(NamedTuple):
    """Windows of one group that are looked up by the same key registers."""

    keys: tuple[int, ...]
    queries: tuple[Query, ...]


class Group(msgspec.Struct, frozen=True):
    """Aggregates that share one ring an entity: same key, kinds, filter and cells.

    `signature` names it by meaning and is unique in its plan. After a reload a group keeps the ring of the old group of
    the same signature: `lower` gave it that name only because columns and span are the old ones. An event is a member
    when its kind is in `kinds`, all `keys` are present, and `where` is true (or -1).
    """

    signature: str
    entity: str  # "account"; "card+merchant" for a composite key; for stats and memory accounting
    kinds: tuple[int, ...] | None  # None: all
    keys: tuple[int, ...]  # registers of the key it is filed under
    where: int  # register, -1: every event
    code: Segment  # computes `where` and the columns
    columns: tuple[Column, ...]
    every_ms: int  # 0: no cells. Entries of one cell are merged where all columns are INT/TRUTH without extremes
    span_ms: int  # the longest over + delay of its windows; -1: unbounded (SINCE without over)
    life: bool  # some window is LIFE: what leaves the ring is folded into totals
    reads_updates: bool  # filter or columns read an update, final, score or fired: facts must be kept
    reads_decision: bool  # ... read final, score or fired
    marks_group: int  # SINCE: index of the group whose entries are the marks (-1: none); same keys, precedes this one
    lookups: tuple[Lookup, ...]


class FeaturePlan(NamedTuple):
    """One feature of the decision, in file order."""

    name: str
    reg: int
    kind: Kind
    rep: Rep
    scale: int = 0  # DECIMAL
    values: tuple[str, ...] = ()  # ENUM
    currency: str = ""  # MONEY, for reasons
    group: int = -1  # index of its group; -1: an expression
    keys: tuple[int, ...] = ()  # lookup key registers


class ListPlan(msgspec.Struct, frozen=True):
    name: str
    kind: Kind  # STRING or IP
    network: bool  # entries are CIDR ranges, probed by an ip
    private: bool  # entries are hashed with the private key
    values: tuple[str, ...] | None  # read-only content from the policy; None: a list that changes at run time


class LookupPlan(NamedTuple):
    """Reference data: `values[i]` belongs to `keys[i]`. Keys ascend; all are in register form, an ip its bytes."""

    name: str
    keys: tuple[int, ...] | tuple[str | bytes, ...]
    values: tuple[int | float | str | bytes, ...]
    key: Rep
    value: Rep


class Probe(NamedTuple):
    """A list membership whose key depends on fields alone: computed, prefetched, before the program runs."""

    list: int
    key: int
    dst: int


class TraceNode(NamedTuple):
    """One node of a rule's tree for `explain`: its text in the policy, its register, how to show it, its children."""

    text: str
    reg: int
    kind: Kind
    rep: Rep
    scale: int
    values: tuple[str, ...]
    currency: str
    private: bool
    children: tuple[TraceNode, ...]


class ReasonPart(NamedTuple):
    """Literal text (reg == -1), or a register to be shown."""

    text: str
    reg: int = -1
    kind: Kind = Kind.STRING
    rep: Rep = Rep.TEXT
    scale: int = 0
    values: tuple[str, ...] = ()
    currency: str = ""


class Mode(IntEnum):
    OFF = 0
    SHADOW = 1
    LIVE = 2


class BreakerPlan(NamedTuple):
    """See `policy.tree.Breaker`."""

    share: int
    over_ms: int
    least: int


class AlertPlan(NamedTuple):
    """`about`: register of the field that names the entity. `features`: aggregates that the condition rests on."""

    about: int
    once_ms: int
    typology: str
    features: tuple[str, ...]


class RuleGroupPlan(NamedTuple):
    """A group that rules belong to. `digest`: of what the policy says of it; a switch holds as long as it stays."""

    name: str
    enabled: bool
    takes_max: bool
    digest: str


class HoldoutPlan(NamedTuple):
    """`inside`: register of a bool; `by`: of the field that it depends on. `share`: hundredths of a per cent."""

    inside: int
    by: int
    share: int
    excepted: tuple[str, ...]


class RulePlan(msgspec.Struct, frozen=True):
    id: str
    group: str  # "" for none
    result: int  # register of its truth value
    live: int  # register of a bool that makes it live (rollout); -1: as `mode` says
    kinds: tuple[int, ...] | None  # None: all
    points: tuple[int, ...]  # indices of the points where it is evaluated
    mode: Mode
    outcome: int  # index in outcomes, -1: none
    score: int
    exempts: tuple[str, ...]
    actions: tuple[str, ...]
    fires_if_unknown: bool
    reason: tuple[ReasonPart, ...]
    trace: TraceNode
    owner: str = ""
    from_ms: int | None = None
    until_ms: int | None = None
    breaker: BreakerPlan | None = None
    alert: AlertPlan | None = None
    rests_on: tuple[ReasonPart, ...] = ()  # the numbers that its condition depends on: facts, and aggregates
    digest: str = ""  # of its condition and effect: what was switched or broken stays so as long as this is the same


class PointPlan(msgspec.Struct, frozen=True):
    name: str
    kinds: tuple[int, ...] | None  # events it decides first; None: all kinds that no other point names
    after: int  # index of the point it follows, -1: decided by `decide`
    thresholds: tuple[tuple[int, int], ...]  # (score at least, outcome index), ascending
    code: Segment  # the rules of this point, in file order, ready to run
    rules: tuple[int, ...]  # indices, in file order


class Zone(NamedTuple):
    """A time zone as transitions: from `at_ms[i]` (UTC) on, local time is UTC + `offset_ms[i]`. at_ms[0] is -2**62."""

    name: str
    at_ms: tuple[int, ...]
    offset_ms: tuple[int, ...]


class Dfa(NamedTuple):
    """A regex as a DFA over byte classes; see policy/regex.

    State s on byte b goes to `table[s * classes + class_of[b]]` (little-endian uint16). State 0 is dead, state 1 has
    matched for good; `accept_end[s]` is 1 where the text may end in s. The search starts in `start`.
    """

    pattern: str
    class_of: bytes  # 256
    classes: int
    table: bytes
    accept_end: bytes
    start: int


class Re2(NamedTuple):
    """A pattern outside the hot path's subset: google-re2 runs it."""

    pattern: str


class Limits(msgspec.Struct, frozen=True):
    """The policy's `limits:` section; defaults and reasons in frmcore/limits.py."""

    horizon_ms: int
    ids_min: int
    ids_max: int
    ring_events_max: int
    max_ahead_ms: int
    max_memory: int  # bytes
    entities: tuple[tuple[str, int], ...]  # (entity type, "card+merchant" for a composite key; keys at most), by name


class Plan(msgspec.Struct, frozen=True):
    """A whole policy. Tuples are indexed by the numbers that other parts carry."""

    name: str
    version: str
    hash: str  # 64 hex digits
    limits: Limits
    outcomes: tuple[str, ...]  # weakest first
    kinds: tuple[str, ...]  # of the kind field; empty without one
    fields: tuple[FieldPlan, ...]
    derived: tuple[FieldPlan, ...]
    updates: tuple[FieldPlan, ...]
    id: int  # registers
    time: int
    kind: int  # -1: no kind field
    final: int  # INT: index of the outcome
    score: int
    fired: tuple[
        tuple[str, int], ...
    ]  # (rule id, register) of rules that filters ask about, off ones too: they may have fired before
    registers: int
    constants: tuple[
        tuple[int, int | float | str | bytes | PrivateText], ...
    ]  # (register, value): bytes are raw text (an ip)
    features: tuple[FeaturePlan, ...]
    code: tuple[Instr, ...]
    derive: Segment  # from clear fields, before private ones are hashed
    keys: Segment  # expressions over fields that lists are probed with
    compute: Segment  # feature expressions, after the windows
    groups: tuple[Group, ...]
    lists: tuple[ListPlan, ...]
    probes: tuple[Probe, ...]
    rules: tuple[RulePlan, ...]
    points: tuple[PointPlan, ...]
    sets: tuple[tuple[int, ...] | tuple[str | bytes, ...] | tuple[PrivateText, ...], ...]
    patterns: tuple[Dfa | Re2, ...]
    zones: tuple[Zone, ...]
    currencies: tuple[CurrencyPlan, ...] = ()
    rates: tuple[Rate, ...] = ()  # by currency, then since_ms
    base_currency: str = ""
    base_exponent: int = 2
    rule_groups: tuple[RuleGroupPlan, ...] = ()  # all that rules belong to, by name
    holdout: HoldoutPlan | None = None
    lookups: tuple[LookupPlan, ...] = ()
