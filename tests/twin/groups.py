"""Which aggregates share what is retained. Of a group only its reach matters to a result: how far back it remembers.

After a reload a group of the same members goes on with what it retained, if that suffices; else a new one is filled.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from frmcore.limits import GROUP_COLUMNS_MAX
from frmcore.plan import CalendarUnit, Kind
from frmcore.policy import tree
from frmcore.policy.presence import can_be_absent
from frmcore.policy.tree import Calendar, Duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from twin.base import Base, Key, Place
    from twin.records import Event

BOOL = tree.Type(Kind.BOOL)
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
SKIPS_ABSENT = ("sum", "mean", "std", "min", "max", "count_distinct", "first", "last")
UNBOUNDED = -1


@dataclass(frozen=True)
class Members:
    """Who belongs: aggregates of one key, kinds, filter, cells and `since` share a group."""

    by: tuple[str, ...]
    on: frozenset[str] | None
    where: tree.Expr | None
    every_ms: int
    since: tree.Expr | None


@dataclass(frozen=True)
class Column:
    """A value that is kept of each entry, in the form that a kind of aggregate wants."""

    value: tree.Expr
    form: str


@dataclass(frozen=True)
class Need:
    """What one aggregate asks of its group. `kept`: which totals of the column."""

    members: Members
    span_ms: int
    life: bool
    column: Column | None = None
    kept: frozenset[str] = frozenset()


@dataclass(eq=False)
class Group:
    """`span_ms` plus the horizon is retained, or everything (UNBOUNDED). `life`: what leaves goes into totals."""

    members: Members
    span_ms: int = 0
    life: bool = False
    fixed: bool = False  # it goes on after a reload, and takes on nothing new
    columns: dict[Column, frozenset[str]] = field(default_factory=dict)
    read: set[Column] = field(default_factory=set)  # by the present policy
    marks: Group | None = None  # the events, of any kind, that its `since` windows may start at
    given_up: int | None = None  # what the limits before a reload took away
    capped: dict[Key, Place] = field(default_factory=dict)  # by key: the last entry dropped
    bases: dict[Key, Base] = field(default_factory=dict)
    evicted: int | None = None  # keys without an event behind this time are gone
    since: dict[Key, int] = field(default_factory=dict)  # by key: up to this time events were evicted
    unknown: frozenset[int] = frozenset()  # sequences of events that were forgotten before a reload filled it
    gap: int | None = None  # the greatest time of these
    filed: dict[Key, list[Event]] = field(default_factory=dict)  # the events that may belong, in recorded order

    def key(self, event: Event) -> Key | None:
        """Where the event is filed: what it says of its key and kind never changes. None: nowhere."""
        key = tuple(event.values[name] for name in self.members.by)
        fits = self.members.on is None or event.kind in self.members.on
        return key if fits and None not in key and event.seq not in self.unknown else None

    def file(self, event: Event) -> None:
        if (key := self.key(event)) is not None:
            self.filed.setdefault(key, []).append(event)

    @cached_property
    def reads_updates(self) -> bool:
        """Can a later fact change who belongs to it, or what it counts?"""
        return any(map(reads_updates, [self.members.where, *(column.value for column in self.read)]))

    @property
    def merges(self) -> bool:
        """Is a cell one entry: are only totals asked of it."""
        return self.members.every_ms > 0 and all(
            "sums" in kept and "extremes" not in kept for kept in self.columns.values()
        )

    def serves(self, need: Need) -> bool:
        if not self.fixed:
            return True
        reaches = self.span_ms == UNBOUNDED or 0 <= need.span_ms <= self.span_ms
        kept = need.column is None or need.kept <= self.columns.get(need.column, frozenset({"nothing"}))
        return reaches and self.life >= need.life and kept and (need.column is None or need.column in self.columns)

    def has_room(self, need: Need) -> bool:
        """May a new group keep one value more."""
        return need.column is None or need.column in self.columns or len(self.columns) < GROUP_COLUMNS_MAX

    def take_on(self, need: Need) -> None:
        if not self.fixed:
            self.span_ms = UNBOUNDED if UNBOUNDED in (self.span_ms, need.span_ms) else max(self.span_ms, need.span_ms)
            self.life |= need.life
        if need.column is not None:
            self.read.add(need.column)
            if not self.fixed:
                self.columns[need.column] = self.columns.get(need.column, frozenset()) | need.kept


def place_features(policy: tree.Policy, running: Sequence[Group]) -> tuple[list[Group], dict[str, Group]]:
    """The groups of a policy, in the order in which they are first needed, and the group of each aggregate."""
    groups: list[Group] = []
    placed: dict[str, Group] = {}
    for feature in policy.features:
        if feature.aggregate is not None:
            placed[feature.name] = place(need_of(policy, feature.aggregate), groups, running)
    return groups, placed


def place(need: Need, groups: list[Group], running: Sequence[Group]) -> Group:
    """A group that goes on, if any serves, because it is warm; else the one new group of these members."""
    same = [group for group in groups if group.members == need.members]
    found = next((group for group in same if group.fixed and group.serves(need)), None)
    newest = [group for group in same if not group.fixed][-1:]
    found = found or going_on(need, groups, running) or next((group for group in newest if group.has_room(need)), None)
    found = found or Group(need.members)
    if found not in groups:
        found.marks = None if need.members.since is None else place(marks_need(need.members), groups, running)
        groups.append(found)
    found.take_on(need)
    return found


def going_on(need: Need, groups: list[Group], running: Sequence[Group]) -> Group | None:
    """A group of the running engine that suffices; of its columns only those that are read go on."""
    for group in running:
        if group.members == need.members and group not in groups:
            columns = {column: kept for column, kept in group.columns.items() if column in group.read}
            again = Group(group.members, group.span_ms, group.life, True, columns)
            again.capped, again.bases = group.capped, group.bases
            again.evicted, again.since = group.evicted, group.since
            again.unknown, again.given_up, again.gap = group.unknown, group.given_up, group.gap
            if again.serves(need) and not any(known.capped is group.capped for known in groups):
                return again
    return None


def need_of(policy: tree.Policy, aggregate: tree.Aggregate) -> Need:
    """Events whose value is absent are left out of most aggregates, as if `where` said so."""
    where, value = aggregate.where, aggregate.value
    if value is not None and aggregate.function in SKIPS_ABSENT and may_be_absent(policy, aggregate, value):
        missing = tree.Call(BOOL, value.place, value.text, "missing", (value,))
        present = tree.Not(BOOL, value.place, value.text, missing)
        where = present if where is None else tree.BoolOp(BOOL, value.place, value.text, "and", (where, present))
    on = None if aggregate.on is None else frozenset(aggregate.on)
    members = Members(aggregate.by, on, where, aggregate.every_ms, aggregate.since)
    life = aggregate.over is None and aggregate.since is None
    return Need(members, span_ms(aggregate), life, column_of(aggregate), kept_of(aggregate))


def kept_of(aggregate: tree.Aggregate) -> frozenset[str]:
    """first and last of cells want entries that are not merged, as min and max do."""
    function = "min" if aggregate.every_ms and aggregate.function in ("first", "last") else aggregate.function
    return KEPT.get(function, frozenset())


KEPT: Mapping[str, frozenset[str]] = {
    "sum": frozenset({"sums"}),
    "mean": frozenset({"sums"}),
    "share": frozenset({"sums"}),
    "std": frozenset({"sums", "squares"}),
    "min": frozenset({"extremes"}),
    "max": frozenset({"extremes"}),
}


def may_be_absent(policy: tree.Policy, aggregate: tree.Aggregate, value: tree.Expr) -> bool:
    fields = {field.name: field for field in (*policy.fields, *policy.derived, *policy.updates)}
    return can_be_absent(value, policy.kinds if aggregate.on is None else aggregate.on, fields)


def column_of(aggregate: tree.Aggregate) -> Column | None:
    if aggregate.value is None:
        return None
    forms = {"share": "truth", "count_distinct": "member"}
    return Column(aggregate.value, forms.get(aggregate.function, "value"))


def marks_need(members: Members) -> Need:
    """Marks are kept for life."""
    return Need(Members(members.by, None, members.since, 0, None), 0, life=True)


def span_ms(aggregate: tree.Aggregate) -> int:
    """The longest way back from an event to the start of its window; a local day may have 25 hours."""
    over = aggregate.over
    if isinstance(over, Duration):
        return over.ms + aggregate.delay_ms
    if isinstance(over, Calendar):
        days = {CalendarUnit.DAY: over.count, CalendarUnit.WEEK: 7, CalendarUnit.MONTH: 31}[over.unit]
        return days * DAY_MS + HOUR_MS
    return UNBOUNDED if aggregate.since is not None else aggregate.delay_ms


# -- expressions ---------------------------------------------------------------------------------------------------
def reads_updates(expr: tree.Expr | None) -> bool:
    """Can a later fact change what it says of an event?"""
    return any(
        isinstance(node, tree.Fired) or (isinstance(node, tree.Ref) and node.source in ("update", "final", "score"))
        for node in walk(expr)
    )


def walk(expr: tree.Expr | None) -> Iterator[tree.Expr]:
    if expr is None:
        return
    yield expr
    for child in children(expr):
        yield from walk(child)


def children(expr: tree.Expr) -> tuple[tree.Expr | None, ...]:
    match expr:
        case tree.Not() | tree.Neg() | tree.InSet() | tree.InList():
            return (expr.item,)
        case tree.BoolOp():
            return expr.items
        case tree.Compare() | tree.Arith():
            return (expr.left, expr.right)
        case tree.If():
            return (expr.test, expr.then, expr.other)
        case tree.Call():
            return expr.args
    return ()
