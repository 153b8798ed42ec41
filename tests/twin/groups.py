"""Which aggregates share what is retained. Only the reach of a group matters to a result: how far back it remembers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from frmcore.plan import CalendarUnit, Kind
from frmcore.policy import tree
from frmcore.policy.presence import can_be_absent
from frmcore.policy.tree import Calendar, Duration

if TYPE_CHECKING:
    from collections.abc import Iterator

BOOL = tree.Type(Kind.BOOL)
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
SKIPS_ABSENT = ("sum", "mean", "std", "min", "max", "count_distinct", "first", "last")
UNBOUNDED = -1


@dataclass(frozen=True)
class GroupKey:
    """Aggregates of one key, kinds, filter, cells and `since` share a group."""

    by: tuple[str, ...]
    on: frozenset[str] | None
    where: tree.Expr | None
    every_ms: int
    since: tree.Expr | None


@dataclass
class Reach:
    """What a group retains: `span_ms` plus the horizon, or everything (UNBOUNDED)."""

    span_ms: int
    reads_updates: bool


def group_key(policy: tree.Policy, aggregate: tree.Aggregate) -> GroupKey:
    """Events whose value is absent are left out of most aggregates, as if `where` said so."""
    where, value = aggregate.where, aggregate.value
    fields = {field.name: field for field in (*policy.fields, *policy.derived, *policy.updates)}
    kinds = policy.kinds if aggregate.on is None else aggregate.on
    if value is not None and aggregate.function in SKIPS_ABSENT and can_be_absent(value, kinds, fields):
        missing = tree.Call(BOOL, value.place, value.text, "missing", (value,))
        present = tree.Not(BOOL, value.place, value.text, missing)
        where = present if where is None else tree.BoolOp(BOOL, value.place, value.text, "and", (where, present))
    on = None if aggregate.on is None else frozenset(aggregate.on)
    return GroupKey(aggregate.by, on, where, aggregate.every_ms, aggregate.since)


def marks_key(group: GroupKey) -> GroupKey:
    """The events, of any kind, that a `since` window may start at."""
    return GroupKey(group.by, None, group.since, 0, None)


def span_ms(aggregate: tree.Aggregate) -> int:
    """The longest way back from an event to the start of its window; a local day may have 25 hours."""
    over = aggregate.over
    if isinstance(over, Duration):
        return over.ms + aggregate.delay_ms
    if isinstance(over, Calendar):
        days = {CalendarUnit.DAY: over.count, CalendarUnit.WEEK: 7, CalendarUnit.MONTH: 31}[over.unit]
        return days * DAY_MS + HOUR_MS
    return UNBOUNDED if aggregate.since is not None else aggregate.delay_ms


def reaches(policy: tree.Policy) -> dict[GroupKey, Reach]:
    """Every group of the policy with what it retains; marks are kept for life."""
    found: dict[GroupKey, Reach] = {}
    for feature in policy.features:
        aggregate = feature.aggregate
        if aggregate is None:
            continue
        key = group_key(policy, aggregate)
        if key.since is not None:
            widen(found, marks_key(key), 0, reads_updates(key.since))
        widen(found, key, span_ms(aggregate), reads_updates(key.where) or reads_updates(aggregate.value))
    return found


def widen(found: dict[GroupKey, Reach], key: GroupKey, span: int, reads: bool) -> None:
    reach = found.setdefault(key, Reach(0, False))
    reach.span_ms = UNBOUNDED if UNBOUNDED in (span, reach.span_ms) else max(span, reach.span_ms)
    reach.reads_updates |= reads


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
