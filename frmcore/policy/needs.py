"""What one aggregate asks of the ring it reads: membership, a column, a span of time. Nothing here knows a register."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from frmcore.plan import Agg, CalendarUnit, ColumnKind, Kind, Query, Rep, Span
from frmcore.policy.canonical import declared, stored_text
from frmcore.policy.presence import can_be_absent
from frmcore.policy.tree import Aggregate, BoolOp, Calendar, Call, Const, Duration, Expr, Fired, Not, Ref, Type
from frmcore.policy.walk import walk

if TYPE_CHECKING:
    from collections.abc import Mapping

    from frmcore.policy.canonical import Texts
    from frmcore.policy.tree import Field, Policy

_HOUR_MS: Final = 3_600_000
_CALENDAR_HOURS: Final = {CalendarUnit.DAY: 24, CalendarUnit.WEEK: 7 * 24, CalendarUnit.MONTH: 31 * 24}
_AGGS: Final = {
    "count": Agg.COUNT, "sum": Agg.SUM, "mean": Agg.MEAN, "min": Agg.MIN, "max": Agg.MAX, "std": Agg.STD,
    "count_distinct": Agg.DISTINCT, "share": Agg.SHARE, "first": Agg.FIRST, "last": Agg.LAST,
    "since_last": Agg.SINCE_LAST, "since_first": Agg.SINCE_FIRST,
}  # fmt: skip
_OF_REP: Final = {Rep.INT: ColumnKind.INT, Rep.FLOAT: ColumnKind.FLOAT, Rep.TEXT: ColumnKind.TEXT}
_BOOL: Final = Type(Kind.BOOL)


class Members(msgspec.Struct, frozen=True):
    """Who is in a ring: the part of an aggregate that makes rings one. `signature` names it by meaning."""

    signature: str
    entity: str
    by: tuple[str, ...]
    on: tuple[str, ...] | None
    where: Expr | None
    every_ms: int
    since: Expr | None


class Values(msgspec.Struct, frozen=True):
    """A column, and what its queries want kept of it."""

    expr: Expr
    text: str
    kind: ColumnKind
    squares: bool
    sums: bool
    extremes: bool


class Need(msgspec.Struct, frozen=True):
    members: Members
    values: Values | None
    span_ms: int  # -1: unbounded
    life: bool


class Needs:
    """Reads aggregates. `fields`: everything that a filter may name."""

    def __init__(self, policy: Policy, texts: Texts) -> None:
        self._policy = policy
        self._texts = texts
        self._fields: Mapping[str, Field] = {f.name: f for f in (*policy.fields, *policy.derived, *policy.updates)}

    def of(self, aggregate: Aggregate, *, careful: bool = False) -> Need:
        """`careful`: where the value may be absent in what was recorded, whatever the policy says of it."""
        careful = careful or (aggregate.value is not None and self._can_be_absent(aggregate.value, aggregate))
        values = self._values(aggregate, careful=careful)
        where = aggregate.where
        if values is not None and aggregate.function != "share" and careful:
            where = _and_present(where, values.expr)
        members = self._members(aggregate.by, aggregate.on, where, aggregate.every_ms, aggregate.since)
        return Need(members, values, span_ms(aggregate), _is_life(aggregate))

    def marks(self, members: Members) -> Need | None:
        """The events that start the windows of `members`: kept for life, of any kind."""
        if members.since is None:
            return None
        return Need(self._members(members.by, None, members.since, 0, None), None, 0, life=True)

    def _can_be_absent(self, expr: Expr, aggregate: Aggregate) -> bool:
        kinds = self._policy.kinds if aggregate.on is None else aggregate.on
        return can_be_absent(expr, kinds, self._fields)

    def _values(self, aggregate: Aggregate, *, careful: bool) -> Values | None:
        expr, function = aggregate.value, aggregate.function
        if expr is None:
            return None
        if function == "share" and careful:
            expr = _known_true(expr)
        return Values(
            expr=expr,
            text=f"{self._texts.of(expr)}: {stored_text(expr.type)}{self._declared(expr)}",
            kind=_column_kind(aggregate, expr),
            squares=function == "std",
            sums=function in ("sum", "mean", "std", "share"),
            extremes=function in ("min", "max") or (aggregate.every_ms > 0 and function in ("first", "last")),
        )

    def _members(
        self, by: tuple[str, ...], on: tuple[str, ...] | None, where: Expr | None, every_ms: int, since: Expr | None
    ) -> Members:
        keys = [self._fields[name] for name in by]
        text = " ".join((
            f"by {', '.join(f'{key.name} ({key.entity}, {stored_text(key.type)})' for key in keys)}",
            f"on {'any kind' if on is None else ', '.join(sorted(on))}",
            f"where {'true' if where is None else self._texts.of(where)}",
            f"every {every_ms}ms",
            f"since {'-' if since is None else self._texts.of(since)}",
        ))  # fmt: skip
        names = [*by, *_names(where), *_names(since)]
        signature = f"{text} | {declared(names, self._fields, self._texts)}"
        entity = "+".join(key.entity or key.name for key in keys)
        return Members(signature, entity, by, on, where, every_ms, since)

    def _declared(self, expr: Expr) -> str:
        meaning = declared(_names(expr), self._fields, self._texts)
        return f" | {meaning}" if meaning else ""


def _names(expr: Expr | None) -> list[str]:
    return [] if expr is None else [node.name for node in walk(expr) if isinstance(node, Ref)]


def _and_present(where: Expr | None, value: Expr) -> Expr:
    missing = Call(_BOOL, value.place, value.text, "missing", (value,))
    present = Not(_BOOL, value.place, value.text, missing)
    return present if where is None else BoolOp(_BOOL, value.place, value.text, "and", (where, present))


def _known_true(truth: Expr) -> Expr:
    """Unknown is not true."""
    false = Const(_BOOL, truth.place, "false", 0)
    return Call(_BOOL, truth.place, truth.text, "coalesce", (truth, false))


def _column_kind(aggregate: Aggregate, expr: Expr) -> ColumnKind:
    match aggregate.function:
        case "share":
            return ColumnKind.TRUTH
        case "count_distinct":
            return ColumnKind.MEMBER
        case "sum" | "mean" | "std":
            return ColumnKind.INT
    return _OF_REP[expr.type.rep]


def reads_decision(expr: Expr | None) -> bool:
    return expr is not None and any(
        isinstance(node, Fired) or (isinstance(node, Ref) and node.source in ("final", "score")) for node in walk(expr)
    )


def reads_updates(expr: Expr | None) -> bool:
    return expr is not None and any(isinstance(node, Ref) and node.source == "update" for node in walk(expr))


# -- windows -----------------------------------------------------------------------------------------------------------
def _is_life(aggregate: Aggregate) -> bool:
    return aggregate.over is None and aggregate.since is None


def span_ms(aggregate: Aggregate) -> int:
    """How far its window reaches back, calendar days taken at their longest; -1: without bound."""
    match aggregate.over:
        case Duration(ms=ms):
            return ms + aggregate.delay_ms
        case Calendar(unit=unit, count=count):
            return (_CALENDAR_HOURS[unit] * count + 1) * _HOUR_MS + aggregate.delay_ms
    return -1 if aggregate.since is not None else aggregate.delay_ms


def query(aggregate: Aggregate, column: int, dst: int, zone: int) -> Query:
    """`zone`: its index, of a calendar window."""
    over = aggregate.over
    unit, over_ms = (
        (over.unit, over.count) if isinstance(over, Calendar) else (CalendarUnit.DAY, over.ms if over else 0)
    )
    return Query(
        dst=dst,
        agg=_AGGS[aggregate.function],
        column=column,
        span=_span(aggregate),
        over_ms=over_ms,
        delay_ms=aggregate.delay_ms,
        left=aggregate.closed in ("left", "both"),
        right=aggregate.closed in ("right", "both"),
        unit=unit,
        zone=zone,
        ddof=aggregate.ddof,
        divisor=_divisor(aggregate),
    )


def _span(aggregate: Aggregate) -> Span:
    if aggregate.since is not None:
        return Span.SINCE
    if isinstance(aggregate.over, Calendar):
        return Span.CALENDAR
    return Span.DURATION if aggregate.over is not None else Span.LIFE


def _divisor(aggregate: Aggregate) -> int:
    """Sums of decimals are scaled; a mean or a deviation of them is a plain double."""
    if aggregate.value is None or aggregate.function not in ("mean", "std"):
        return 1
    return int(10**aggregate.value.type.scale)
