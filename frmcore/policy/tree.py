"""The checked policy: immutable, typed, every name resolved. `check` builds it; `lower`, the tests' twin and (later)
`describe` read it. An expression is a tree of the nodes below; each knows its type and the place it came from."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from frmcore.plan import CalendarUnit, Kind, Limits, Mode, Rep, Zone

if TYPE_CHECKING:
    from collections.abc import Mapping

    import msgspec

    from frmcore.policy.envelope import Node
    from frmcore.policy.source import Place


@dataclass(frozen=True, slots=True)
class Type:
    """A type of the language. `fractional`: a money or duration result held as a float (0.9 * amount, mean(amount))."""

    kind: Kind
    scale: int = 0  # DECIMAL
    currency: str = ""  # MONEY: of the policy's base or the field's own
    values: tuple[str, ...] = ()  # ENUM
    private: bool = False
    fractional: bool = False

    @property
    def rep(self) -> Rep:
        if self.fractional or self.kind is Kind.FLOAT:
            return Rep.FLOAT
        return Rep.TEXT if self.kind in (Kind.STRING, Kind.IP) else Rep.INT


@dataclass(frozen=True, slots=True)
class Expr:
    type: Type
    place: Place = field(compare=False)  # where it stands; two expressions are equal whatever their place
    text: str = field(compare=False)  # its source, for explanations


@dataclass(frozen=True, slots=True)
class Const(Expr):
    """In register form: int (scaled, minor units, ms, enum code, 0/1), float, or str (an ip: canonical text).

    `param` names the parameter it came from.
    """

    value: int | float | str
    param: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Ref(Expr):
    """A field, derived field, update or feature by name; or `final`, `score`."""

    name: str
    source: Literal["field", "derived", "update", "feature", "final", "score"]


@dataclass(frozen=True, slots=True)
class Fired(Expr):
    """Did that rule fire (live) when the event was decided. Only in filters."""

    rule: str


@dataclass(frozen=True, slots=True)
class Not(Expr):
    item: Expr


@dataclass(frozen=True, slots=True)
class BoolOp(Expr):
    op: Literal["and", "or"]
    items: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Compare(Expr):
    """One comparison; a chain `a < b <= c` is an `and` of comparisons. `>` and `>=` are written with swapped sides.

    Operands have one family (number, money, duration, timestamp, string, ip, enum, bool) but maybe different
    representations: int with float compares exactly, decimals at their common scale.
    """

    op: Literal["==", "!=", "<", "<="]
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class InSet(Expr):
    """`item in (literal, ...)`; values in register form, of item's type. `not in` is Not(InSet)."""

    item: Expr
    values: tuple[int | float | str, ...]


@dataclass(frozen=True, slots=True)
class InList(Expr):
    item: Expr
    list: str


@dataclass(frozen=True, slots=True)
class LookUp(Expr):
    """`table[item]`."""

    item: Expr
    table: LookupTable


@dataclass(frozen=True, slots=True)
class Arith(Expr):
    """`+ - * / // %`; operand and result types as docs/design.md tables them."""

    op: Literal["+", "-", "*", "/", "//", "%"]
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class Neg(Expr):
    item: Expr


@dataclass(frozen=True, slots=True)
class If(Expr):
    test: Expr
    then: Expr
    other: Expr


@dataclass(frozen=True, slots=True)
class Call(Expr):
    """Every other function, by its name in the language; literal arguments are Const.

    missing coalesce abs min max round lower upper len startswith endswith contains slice domain canonical_email fold
    network matches hour weekday days_between distance_km original bucket (rollouts: bucket(text, rule id)).
    A slice `x[a:b]` is Call("slice", (x, a or None, b or None)).
    """

    function: str
    args: tuple[Expr | None, ...]


@dataclass(frozen=True, slots=True)
class Duration:
    """`over="24h"`."""

    ms: int


@dataclass(frozen=True, slots=True)
class Calendar:
    """`over="today"`, `"this week"`, `"this month"`, `"3 days"` (count 3, DAY) in `zone`."""

    unit: CalendarUnit
    count: int
    zone: str


AggregateName = Literal[
    "count", "sum", "mean", "min", "max", "std", "count_distinct", "share", "first", "last", "since_last", "since_first"
]


@dataclass(frozen=True, slots=True)
class Aggregate:
    """One aggregate call. `by` and `lookup` are field or derived-field names; `on` kinds (None: all)."""

    function: AggregateName
    value: Expr | None
    by: tuple[str, ...]
    lookup: tuple[str, ...]  # equal to `by` where not given
    on: tuple[str, ...] | None
    where: Expr | None
    over: Duration | Calendar | None
    since: Expr | None
    every_ms: int
    delay_ms: int
    closed: Literal["right", "left", "both", "neither"]  # calendar spans: "both" unless given
    ddof: int


@dataclass(frozen=True, slots=True)
class Feature:
    """A named value: an aggregate, or an expression over fields, updates and features."""

    name: str
    type: Type
    aggregate: Aggregate | None
    expression: Expr | None
    place: Place = field(compare=False)
    text: str = field(compare=False)


@dataclass(frozen=True, slots=True)
class Field:
    """A schema field, derived field (`expression`) or update (`default`)."""

    name: str
    type: Type
    entity: str  # "" for none
    path: tuple[str, ...]
    optional: bool
    required_on: tuple[str, ...]
    may_change: bool
    default: int | float | str | None
    expression: Expr | None
    currency_field: str  # MONEY whose currency is another field; "" otherwise
    place: Place = field(compare=False)


@dataclass(frozen=True, slots=True)
class ListSpec:
    name: str
    of: str  # the entity type or scalar type it was declared with
    type: Type
    network: bool
    values: tuple[str, ...] | None  # from `values:` or `file:`; None: changes at run time
    place: Place = field(compare=False)


@dataclass(frozen=True, slots=True)
class LookupTable:
    """Reference data. `rows` in register form; a key that is not among them is looked up as absent."""

    name: str
    key: Type
    value: Type
    rows: Mapping[int | str, int | float | str]
    place: Place = field(compare=False)


@dataclass(frozen=True, slots=True)
class Point:
    name: str
    on: tuple[str, ...] | None
    after: str  # "" for none
    thresholds: tuple[tuple[int, str], ...]  # (score at least, outcome), ascending
    place: Place | None = field(default=None, compare=False)  # None: of the point that nobody declared


@dataclass(frozen=True, slots=True)
class ReasonText:
    """A reason template cut into literal text and expressions (references)."""

    parts: tuple[str | Expr, ...]


@dataclass(frozen=True, slots=True)
class Breaker:
    """A rule that fires for more than `share` (hundredths of a per cent) of at least `least` decisions of `over_ms`
    drops to shadow."""

    share: int
    over_ms: int
    least: int


@dataclass(frozen=True, slots=True)
class Alert:
    """What a rule that fires tells people about an entity, once in `once_ms`."""

    about: Ref
    once_ms: int
    typology: str


@dataclass(frozen=True, slots=True)
class RuleGroup:
    """What `groups:` says of one. `takes_max`: its greatest score counts, not their sum."""

    name: str
    enabled: bool
    takes_max: bool


@dataclass(frozen=True, slots=True)
class Holdout:
    """The part of events that is let through to learn from. `share`: hundredths of a per cent; `excepted`: groups whose
    rules count all the same."""

    inside: Expr
    by: Ref
    share: int
    excepted: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    id: str
    group: str
    when: Expr
    on: tuple[str, ...] | None
    points: tuple[str, ...] | None  # None: every point
    outcome: str  # "" for none
    score: int
    exempts: tuple[str, ...]
    actions: tuple[str, ...]
    if_unknown: Literal["silent", "fires"]
    mode: Mode
    rollout: Expr | None  # bool: inside the rollout; None: no rollout
    from_ms: int | None  # event time from which on it counts
    until_ms: int | None  # ... and from which on it counts no more
    breaker: Breaker | None
    alert: Alert | None
    reason: ReasonText
    owner: str
    tests: tuple[Node, ...] = field(compare=False)  # as written: what runs them reads them
    place: Place = field(compare=False)


@dataclass(frozen=True, slots=True)
class Table:
    """A decision table; its rows are among the rules. With `hit` "first" it is a feature as well: the number of the
    row that hit, 0 for none."""

    name: str
    file: str
    hit: Literal["first", "unique", "collect"]
    rows: tuple[tuple[int, str], ...]  # (number in the sheet, id of the rule)
    cells: tuple[tuple[str, ...], ...] = field(repr=False)  # the whole sheet, its header first
    place: Place = field(compare=False)


@dataclass(frozen=True, slots=True)
class RatePoint:
    """From `since_ms` on one unit of `currency` is worth `rate / 10**10` units of the base currency."""

    currency: str
    since_ms: int
    rate: int


@dataclass(frozen=True)
class Policy:
    """One checked policy. `hash` identifies all it consists of: every file, list, rate, limit and time zone."""

    name: str
    version: str
    hash: str
    files: Mapping[str, str]  # path as included -> text; the main file first
    list_files: Mapping[str, str]  # path -> text of the files that lists, rates, lookups and tables are read from
    outcomes: tuple[str, ...]
    params: Mapping[str, Const]
    id_field: str
    time_field: str
    kind_field: str  # "" without one
    kinds: tuple[str, ...]
    fields: tuple[Field, ...]
    derived: tuple[Field, ...]
    updates: tuple[Field, ...]
    points: tuple[Point, ...]
    lists: tuple[ListSpec, ...]
    lookups: tuple[LookupTable, ...]
    features: tuple[Feature, ...]
    rules: tuple[Rule, ...]
    groups: tuple[RuleGroup, ...]  # those that `groups:` names
    holdout: Holdout | None
    limits: Limits
    base_currency: str
    rates: tuple[RatePoint, ...]
    zones: Mapping[str, Zone]
    tables: tuple[Table, ...]
    test_setup: Node | None  # `tests:`, what the tests of its rules share
    warnings: tuple[str, ...]  # what `check` says though the policy is sound: unused features, google-re2 patterns

    @cached_property
    def Event(self) -> type[msgspec.Struct]:
        """The event as a msgspec Struct, generated from the schema: the fast way into `decide`."""
        from frmcore.policy.event import struct_of  # noqa: PLC0415  msgspec is loaded when asked for

        return struct_of(self)
