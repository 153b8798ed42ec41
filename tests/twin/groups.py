"""Which aggregates share what is retained. Only the reach of a group matters to a result: how far back it remembers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from frmcore.plan import CalendarUnit
from frmcore.policy import tree
from frmcore.policy.tree import Calendar, Duration

if TYPE_CHECKING:
    from collections.abc import Iterator

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
SKIPS_ABSENT = ("sum", "mean", "std", "min", "max", "count_distinct", "first", "last")
UNBOUNDED = -1


@dataclass(frozen=True)
class GroupKey:
    """Aggregates of one key, kinds, filter, cells and `since` share a group."""

    by: tuple[str, ...]
    on: frozenset[str] | None
    where: tree.Expr | None
    present: tree.Expr | None  # left out: events for which this is absent
    every_ms: int
    since: tree.Expr | None


@dataclass
class Reach:
    """What a group retains: `span_ms` plus the horizon, or everything (UNBOUNDED)."""

    span_ms: int
    reads_updates: bool


def group_key(aggregate: tree.Aggregate) -> GroupKey:
    present = aggregate.value if aggregate.function in SKIPS_ABSENT else None
    if present is not None and never_absent(present):
        present = None
    on = None if aggregate.on is None else frozenset(aggregate.on)
    return GroupKey(aggregate.by, on, aggregate.where, present, aggregate.every_ms, aggregate.since)


def never_absent(value: tree.Expr) -> bool:
    return isinstance(value, tree.Const)


def marks_key(aggregate: tree.Aggregate) -> GroupKey:
    """The events that a `since` window may start at."""
    return GroupKey(aggregate.by, None, aggregate.since, None, aggregate.every_ms, None)


def span_ms(aggregate: tree.Aggregate) -> int:
    """The longest way back from an event to the start of its window."""
    over = aggregate.over
    if isinstance(over, Duration):
        return over.ms + aggregate.delay_ms
    if isinstance(over, Calendar):
        days = {CalendarUnit.DAY: over.count, CalendarUnit.WEEK: 7, CalendarUnit.MONTH: 31}[over.unit]
        return days * DAY_MS + 2 * HOUR_MS
    return UNBOUNDED if aggregate.since is not None else aggregate.delay_ms


def reaches(policy: tree.Policy) -> dict[GroupKey, Reach]:
    """Every group of the policy with what it retains."""
    found: dict[GroupKey, Reach] = {}
    updates = {field.name for field in policy.updates}
    for feature in policy.features:
        aggregate = feature.aggregate
        if aggregate is None:
            continue
        reads = reads_updates(aggregate, updates)
        widen(found, group_key(aggregate), span_ms(aggregate), reads)
        if aggregate.since is not None:
            widen(found, marks_key(aggregate), span_ms(aggregate), reads)
    return found


def widen(found: dict[GroupKey, Reach], key: GroupKey, span: int, reads: bool) -> None:
    reach = found.setdefault(key, Reach(0, False))
    reach.span_ms = UNBOUNDED if UNBOUNDED in (span, reach.span_ms) else max(span, reach.span_ms)
    reach.reads_updates |= reads


def reads_updates(aggregate: tree.Aggregate, updates: set[str]) -> bool:
    """Can a later fact change what belongs to it, or what it counts?"""
    nodes = (node for expr in (aggregate.value, aggregate.where, aggregate.since) for node in walk(expr))
    return any(
        isinstance(node, tree.Fired)
        or (isinstance(node, tree.Ref) and (node.name in updates or node.source in ("final", "score")))
        for node in nodes
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
