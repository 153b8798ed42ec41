"""The checked policy: immutable, typed, every name resolved. `check` builds it; `lower`, the tests' twin and (later)
`describe` read it. An expression is a tree of the nodes below; each knows its type and the place it came from."""

from __future__ import annotations

from functools import cache, cached_property
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from frmcore.plan import CalendarUnit, Kind, Limits, Mode, Rep, Zone

if TYPE_CHECKING:
    from collections.abc import Mapping

    from frmcore.policy.envelope import Node
    from frmcore.policy.source import Place


class Type(msgspec.Struct, frozen=True):
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


_NO_MEANING: Final = ("place", "text", "param", "tests")  # where something came from, and how it was put


class Located(msgspec.Struct, frozen=True):
    """Two of a kind are equal when they mean the same, wherever and however they are written."""

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        meaning = _meaning(type(self))
        return bool(meaning(self) == meaning(other))

    def __hash__(self) -> int:
        return hash((type(self), _meaning(type(self))(self)))


@cache
def _meaning(node: type[Located]) -> attrgetter[Any]:
    return attrgetter(*(name for name in node.__struct_fields__ if name not in _NO_MEANING))


class Expr(Located, frozen=True):
    type: Type
    place: Place  # where it stands
    text: str  # its source, for explanations


class Const(Expr, frozen=True):
    """In register form: int (scaled, minor units, ms, enum code, 0/1), float, or str (an ip: canonical text).

    `param` names the parameter it came from.
    """

    value: int | float | str
    param: str = ""


class Ref(Expr, frozen=True):
    """A field, derived field, update or feature by name; or `final`, `score`."""

    name: str
    source: Literal["field", "derived", "update", "feature", "final", "score"]


class Fired(Expr, frozen=True):
    """Did that rule fire (live) when the event was decided. Only in filters."""

    rule: str


class Not(Expr, frozen=True):
    item: Expr


class BoolOp(Expr, frozen=True):
    op: Literal["and", "or"]
    items: tuple[Expr, ...]


class Compare(Expr, frozen=True):
    """One comparison; a chain `a < b <= c` is an `and` of comparisons. `>` and `>=` are written with swapped sides.

    Operands have one family (number, money, duration, timestamp, string, ip, enum, bool) but maybe different
    representations: int with float compares exactly, decimals at their common scale.
    """

    op: Literal["==", "!=", "<", "<="]
    left: Expr
    right: Expr


class InSet(Expr, frozen=True):
    """`item in (literal, ...)`; values in register form, of item's type. `not in` is Not(InSet)."""

    item: Expr
    values: tuple[int | float | str, ...]


class InList(Expr, frozen=True):
    item: Expr
    list: str


class LookUp(Expr, frozen=True):
    """`table[item]`."""

    item: Expr
    table: LookupTable


class Arith(Expr, frozen=True):
    """`+ - * / // %`; operand and result types as docs/design.md tables them."""

    op: Literal["+", "-", "*", "/", "//", "%"]
    left: Expr
    right: Expr


class Neg(Expr, frozen=True):
    item: Expr


class If(Expr, frozen=True):
    test: Expr
    then: Expr
    other: Expr


class Call(Expr, frozen=True):
    """Every other function, by its name in the language; literal arguments are Const.

    missing coalesce abs min max round lower upper len startswith endswith contains slice domain canonical_email fold
    network matches hour weekday days_between distance_km original bucket (rollouts: bucket(text, rule id)).
    A slice `x[a:b]` is Call("slice", (x, a or None, b or None)).
    """

    function: str
    args: tuple[Expr | None, ...]


class Duration(msgspec.Struct, frozen=True):
    """`over="24h"`."""

    ms: int


class Calendar(msgspec.Struct, frozen=True):
    """`over="today"`, `"this week"`, `"this month"`, `"3 days"` (count 3, DAY) in `zone`."""

    unit: CalendarUnit
    count: int
    zone: str


AggregateName = Literal[
    "count", "sum", "mean", "min", "max", "std", "count_distinct", "share", "first", "last", "since_last", "since_first"
]


class Aggregate(msgspec.Struct, frozen=True):
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


class Feature(Located, frozen=True):
    """A named value: an aggregate, or an expression over fields, updates and features."""

    name: str
    type: Type
    aggregate: Aggregate | None
    expression: Expr | None
    place: Place
    text: str


class Field(Located, frozen=True):
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
    place: Place


class ListSpec(Located, frozen=True):
    name: str
    of: str  # the entity type or scalar type it was declared with
    type: Type
    network: bool
    values: tuple[str, ...] | None  # from `values:` or `file:`; None: changes at run time
    place: Place


class LookupTable(Located, frozen=True):
    """Reference data. `rows` in register form; a key that is not among them is looked up as absent."""

    name: str
    key: Type
    value: Type
    rows: Mapping[int | str, int | float | str]
    place: Place


class Point(Located, frozen=True):
    name: str
    on: tuple[str, ...] | None
    after: str  # "" for none
    thresholds: tuple[tuple[int, str], ...]  # (score at least, outcome), ascending
    place: Place | None = None  # None: of the point that nobody declared


class ReasonText(msgspec.Struct, frozen=True):
    """A reason template cut into literal text and expressions (references)."""

    parts: tuple[str | Expr, ...]


class Breaker(msgspec.Struct, frozen=True):
    """A rule that fires for more than `share` (hundredths of a per cent) of at least `least` decisions of `over_ms`
    drops to shadow."""

    share: int
    over_ms: int
    least: int


class Alert(msgspec.Struct, frozen=True):
    """What a rule that fires tells people about an entity, once in `once_ms`."""

    about: Ref
    once_ms: int
    typology: str


class RuleGroup(msgspec.Struct, frozen=True):
    """What `groups:` says of one. `takes_max`: its greatest score counts, not their sum."""

    name: str
    enabled: bool
    takes_max: bool


class Holdout(msgspec.Struct, frozen=True):
    """The part of events that is let through to learn from. `share`: hundredths of a per cent; `excepted`: groups whose
    rules count all the same."""

    inside: Expr
    by: Ref
    share: int
    excepted: tuple[str, ...]


class Rule(Located, frozen=True):
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
    tests: tuple[Node, ...]  # as written: what runs them reads them
    place: Place


class Table(Located, frozen=True):
    """A decision table; its rows are among the rules. With `hit` "first" it is a feature as well: the number of the
    row that hit, 0 for none."""

    name: str
    file: str
    hit: Literal["first", "unique", "collect"]
    rows: tuple[tuple[int, str], ...]  # (number in the sheet, id of the rule)
    cells: tuple[tuple[str, ...], ...]  # the whole sheet, its header first
    place: Place


class RatePoint(msgspec.Struct, frozen=True):
    """From `since_ms` on one unit of `currency` is worth `rate / 10**10` units of the base currency."""

    currency: str
    since_ms: int
    rate: int


class Policy(msgspec.Struct, frozen=True, dict=True):
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
