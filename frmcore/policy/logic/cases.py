"""Conditions as alternatives of facts: `a > 5 and (b or c == "x")` holds where a > 5 and b, or a > 5 and c is "x".

Sound, not complete: "impossible" is proven, everything else is "maybe". What is not understood (two fields compared,
a function's result) is a fact of its own, which contradicts only its opposite. Truth has three values: an alternative
may also say that something is absent.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations, pairwise
from typing import TYPE_CHECKING, Final

from frmcore.plan import Kind
from frmcore.policy.canonical import Texts
from frmcore.policy.families import ORDERED, family
from frmcore.policy.logic.domain import EVERY, Domain, Interval
from frmcore.policy.presence import can_be_absent
from frmcore.policy.tree import BoolOp, Call, Compare, Const, Expr, InSet, Not, Ref

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from frmcore.policy.tree import Feature, Field, Type

Facts = dict[str, Domain]  # canonical text of a subject -> what it may be

_ALTERNATIVES_MAX: Final = 512
_SET_VALUES_MAX: Final = 64  # numbers of one `in (...)` that are looked at one by one
_RANGES: Final = {
    "count": (0, None), "count_distinct": (0, None), "since_last": (0, None), "since_first": (0, None),
    "share": (0, 1), "std": (0, None), "hour": (0, 23), "weekday": (0, 6), "len": (0, None), "abs": (0, None),
    "distance_km": (0, None), "bucket": (0, 9_999),
}  # fmt: skip


class TooMany(Exception):
    """More alternatives than are looked at: nothing can be said."""


class Logic:
    """Questions about the conditions of one policy."""

    def __init__(self, fields: Mapping[str, Field], features: Mapping[str, Feature]) -> None:
        self._fields = fields
        self._features = features
        self._texts = Texts()
        self._known: dict[tuple[int, bool, bool], tuple[Expr, list[Facts]]] = {}  # of whole conditions, by identity

    def never(self, *conditions: Expr) -> bool:
        """Is it impossible that all of them are true."""
        return self._is_impossible([(condition, True, False) for condition in conditions])

    def always(self, condition: Expr) -> bool:
        """Is it impossible that it is false or unknown."""
        return self._is_impossible([(condition, False, True)])

    def implies(self, condition: Expr, other: Expr) -> bool:
        """Is `other` true whenever `condition` is."""
        return self._is_impossible([(condition, True, False), (other, False, True)])

    def overlaps(self, conditions: Sequence[Expr]) -> Iterator[tuple[int, int]]:
        """Pairs of which it is not certain that they are never true together. Quadratic."""
        known = [self._true(condition) for condition in conditions]
        for (one, ours), (other, theirs) in combinations(enumerate(known), 2):
            if ours is None or theirs is None or any(_joined(a, b) is not None for a in ours for b in theirs):
                yield one, other

    def _true(self, condition: Expr) -> list[Facts] | None:
        try:
            return self._cases(condition, True, False)
        except TooMany:
            return None

    def _is_impossible(self, claims: Iterable[tuple[Expr, bool, bool]]) -> bool:
        try:
            alternatives: list[Facts] = [{}]
            for condition, wanted, or_unknown in claims:
                alternatives = self._both(alternatives, self._whole(condition, wanted, or_unknown))
            return not alternatives
        except TooMany:
            return False

    # -- alternatives

    def _whole(self, condition: Expr, wanted: bool, or_unknown: bool) -> list[Facts]:
        """The alternatives of a condition that is asked about many times."""
        key = id(condition), wanted, or_unknown
        if key not in self._known:
            self._known[key] = condition, self._cases(condition, wanted, or_unknown)
        return self._known[key][1]

    def _cases(self, expr: Expr, wanted: bool, or_unknown: bool) -> list[Facts]:
        """The alternatives in which `expr` is `wanted` (or unknown)."""
        match expr:
            case Not(item=item):
                return self._cases(item, not wanted, or_unknown)
            case BoolOp(op=op, items=items):
                parts = (self._cases(item, wanted, or_unknown) for item in items)
                return self._all(parts) if (op == "and") is wanted else self._any(parts)
            case Const(value=value):
                return [{}] if bool(value) is wanted else []
            case Ref(source="feature", name=name) if (inner := self._features[name].expression) is not None:
                return self._cases(inner, wanted, or_unknown)
        return self._any([found] for found in self._atom(expr, wanted, or_unknown))

    def _all(self, parts: Iterable[list[Facts]]) -> list[Facts]:
        found: list[Facts] = [{}]
        for part in parts:
            found = self._both(found, part)
        return found

    def _any(self, parts: Iterable[list[Facts]]) -> list[Facts]:
        found = [facts for part in parts for facts in part]
        if len(found) > _ALTERNATIVES_MAX:
            raise TooMany
        return found

    def _both(self, ours: list[Facts], theirs: list[Facts]) -> list[Facts]:
        if len(ours) * len(theirs) > _ALTERNATIVES_MAX:
            raise TooMany
        joined = (_joined(one, other) for one in ours for other in theirs)
        return [facts for facts in joined if facts is not None]

    # -- one condition

    def _atom(self, expr: Expr, wanted: bool, or_unknown: bool) -> list[Facts]:
        subject, domain = self._claim(expr, wanted)
        alternatives = [domain] + [Domain(True, *_nothing(subject))] * (or_unknown and not _is_missing(expr))
        known = self._possible(subject)
        key = self._texts.of(subject)
        found = [{key: known.meet(each)} for each in alternatives]
        return [facts for facts in found if not facts[key].is_empty]

    def _claim(self, expr: Expr, wanted: bool) -> tuple[Expr, Domain]:
        """(subject, what it is where `expr` is `wanted`)."""
        match expr:
            case Call(function="missing", args=(Expr() as item,)):
                return item, Domain(True, *_nothing(item)) if wanted else Domain(False, *_anything(item.type))
            case Compare(left=left, right=right) if {left.type.kind, right.type.kind} == {Kind.DECIMAL, Kind.FLOAT}:
                pass  # compared as doubles, so the constant's exact size says nothing
            case Compare(op=op, left=left, right=Const(value=value, type=of)) if not isinstance(left, Const):
                return left, _compared(left.type, op, _measure(value, of), wanted)
            case Compare(op=op, left=Const(value=value, type=of), right=right) if not isinstance(right, Const):
                return right, _compared(right.type, _SWAPPED[op], _measure(value, of), wanted)
            case InSet(item=item, values=values) if len(values) <= _SET_VALUES_MAX or not _is_ordered(item.type):
                return item, _listed(item.type, values, wanted)
        return expr, Domain(False, None, frozenset([int(wanted)]))

    def _possible(self, subject: Expr) -> Domain:
        """What a subject may be at all."""
        absent = can_be_absent(subject, (), self._fields)
        of = subject.type
        if _is_ordered(of):
            low, high = _RANGES.get(self._function(subject), (None, None))
            bounds = Interval(None if low is None else Fraction(low), None if high is None else Fraction(high))
            return Domain(absent, (bounds,))
        if of.kind is Kind.BOOL:
            return Domain(absent, None, frozenset([0, 1]))
        return Domain(absent, None, frozenset(range(len(of.values))) if of.kind is Kind.ENUM else None)

    def _function(self, subject: Expr) -> str:
        match subject:
            case Call(function=function):
                return function
            case Ref(source="feature", name=name) if (aggregate := self._features[name].aggregate) is not None:
                return aggregate.function
        return ""


_SWAPPED: Final = {"<": ">", "<=": ">=", "==": "==", "!=": "!="}
_OPPOSITE: Final = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}
_WHOLE: Final = (Kind.INT, Kind.MONEY, Kind.DURATION, Kind.TIMESTAMP)


def _joined(one: Facts, other: Facts) -> Facts | None:
    """Both, or None where they contradict each other."""
    met: Facts = {}
    for key, domain in other.items():
        if key in one:
            domain = one[key].meet(domain)  # noqa: PLW2901
            if domain.is_empty:
                return None
        met[key] = domain
    return {**one, **met}


def _is_missing(expr: Expr) -> bool:
    return isinstance(expr, Call) and expr.function == "missing"


def _is_ordered(of: Type) -> bool:
    return family(of) in ORDERED


def _nothing(subject: Expr) -> tuple[tuple[Interval, ...] | None, frozenset[object] | None]:
    return ((), None) if _is_ordered(subject.type) else (None, frozenset())


def _anything(of: Type) -> tuple[tuple[Interval, ...] | None, frozenset[object] | None]:
    return ((EVERY,), None) if _is_ordered(of) else (None, None)


def _measure(value: float | str, of: Type) -> Fraction | int | str:
    """A constant's exact size; decimals without their scale, so that they compare with ints and floats."""
    if isinstance(value, str):
        return value
    if isinstance(value, int):  # much faster than a fraction of 1
        return value if of.kind is not Kind.DECIMAL else Fraction(value, 10**of.scale)
    return Fraction(value)


def _compared(of: Type, op: str, value: Fraction | int | str, wanted: bool) -> Domain:
    op = op if wanted else _OPPOSITE[op]
    if not _is_ordered(of):
        values = frozenset([value])
        return Domain(False, None, values) if op == "==" else Domain(False, None, None, values)
    assert not isinstance(value, str)  # noqa: S101  what has an order is a number
    return Domain(False, _whole(of, _INTERVALS[op](value)))


def _listed(of: Type, values: Iterable[float | str], wanted: bool) -> Domain:
    found = [_measure(value, of) for value in values]
    if not _is_ordered(of):
        return Domain(False, None, frozenset(found)) if wanted else Domain(False, None, None, frozenset(found))
    points = sorted(value for value in found if not isinstance(value, str))
    if wanted:
        return Domain(False, tuple(Interval(value, value) for value in points))
    ends = [None, *points, None]
    gaps = (Interval(low, high, False, False) for low, high in pairwise(ends))
    return Domain(False, _whole(of, [gap for gap in gaps if not gap.is_empty]))


def _whole(of: Type, intervals: Iterable[Interval]) -> tuple[Interval, ...]:
    if of.kind not in _WHOLE or of.fractional:
        return tuple(intervals)
    return tuple(whole for each in intervals if not (whole := each.whole()).is_empty)


_INTERVALS: Final = {
    "<": lambda x: [Interval(None, x, high_closed=False)],
    "<=": lambda x: [Interval(None, x)],
    ">": lambda x: [Interval(x, None, low_closed=False)],
    ">=": lambda x: [Interval(x, None)],
    "==": lambda x: [Interval(x, x)],
    "!=": lambda x: [Interval(None, x, high_closed=False), Interval(x, None, low_closed=False)],
}
