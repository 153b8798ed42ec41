"""Expressions, interpreted node by node. Three-valued logic as in SQL: an absent truth is unknown."""

from __future__ import annotations

import ipaddress
import math
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import TYPE_CHECKING, Protocol
from zoneinfo import ZoneInfo

import re2

from frmcore import text
from frmcore.plan import Kind, Rep
from frmcore.policy import tree
from twin.values import Value, as_float, convert, finite, int64, scale_of

if TYPE_CHECKING:
    from collections.abc import Callable

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Scope(Protocol):
    """What an expression can see of one event."""

    def value(self, name: str) -> Value:
        """A field, derived field, update, feature, or `final` / `score`."""

    def original(self, name: str) -> Value:
        """A money field before it was converted."""

    def fired(self, rule: str) -> bool: ...

    def listed(self, name: str, value: Value) -> bool: ...


def evaluate(expr: tree.Expr, scope: Scope) -> Value:
    match expr:
        case tree.Const():
            return expr.value
        case tree.Ref():
            return scope.value(expr.name)
        case tree.Fired():
            return scope.fired(expr.rule)
        case tree.Not():
            truth = evaluate(expr.item, scope)
            return None if truth is None else not truth
        case tree.BoolOp():
            return kleene(expr, scope)
        case tree.Compare():
            return compare(expr, scope)
        case tree.InSet():
            item = evaluate(expr.item, scope)
            return None if item is None else item in expr.values
        case tree.InList():
            item = evaluate(expr.item, scope)
            return None if item is None else scope.listed(expr.list, item)
        case tree.LookUp():
            item = evaluate(expr.item, scope)
            return None if item is None else expr.table.rows.get(item)
        case tree.Arith():
            return arithmetic(expr, scope)
        case tree.Neg():
            value = evaluate(expr.item, scope)
            return negated(value)
        case tree.If():
            test = evaluate(expr.test, scope)
            if test is None:
                return None
            return common(expr.then if test else expr.other, expr, scope)
        case tree.Call():
            return call(expr, scope)
    raise AssertionError(f"no such node: {expr!r}")


def common(item: tree.Expr, whole: tree.Expr, scope: Scope) -> Value:
    """An operand in the representation of the whole expression."""
    return convert(evaluate(item, scope), item.type, whole.type)


def kleene(expr: tree.BoolOp, scope: Scope) -> Value:
    decisive = expr.op == "or"
    truths = [evaluate(item, scope) for item in expr.items]
    if any(truth is not None and bool(truth) == decisive for truth in truths):
        return decisive
    return None if None in truths else not decisive


def compare(expr: tree.Compare, scope: Scope) -> Value:
    left, right = evaluate(expr.left, scope), evaluate(expr.right, scope)
    left, right = comparable(left, expr.left.type, expr.right.type), comparable(right, expr.right.type, expr.left.type)
    if left is None or right is None:
        return None
    if expr.op in ("==", "!="):
        return (left == right) == (expr.op == "==")
    assert not isinstance(left, str) and not isinstance(right, str)
    return left < right if expr.op == "<" else left <= right


def comparable(value: Value, own: tree.Type, other: tree.Type) -> Value:
    """Decimals meet at the greater scale, a decimal meets a float as a float; an int meets a float exactly."""
    if value is None or own.rep is not Rep.INT:
        return value
    if other.rep is Rep.FLOAT:
        return as_float(int(value), own) if own.kind is Kind.DECIMAL else value
    return int(value * 10 ** max(0, scale_of(other) - scale_of(own)))


def number(value: Value) -> int | float:
    assert isinstance(value, int | float)
    return value


def negated(value: Value) -> Value:
    if value is None:
        return None
    return -value if isinstance(value, float) else int64(-int(value))


# -- arithmetic --------------------------------------------------------------------------------------------------
def arithmetic(expr: tree.Arith, scope: Scope) -> Value:
    left, right = evaluate(expr.left, scope), evaluate(expr.right, scope)
    if left is None or right is None:
        return None
    if expr.type.rep is Rep.FLOAT:
        return float_arithmetic(expr, number(left), number(right))
    return int_arithmetic(expr, int(left), int(right))


def float_arithmetic(expr: tree.Arith, left: int | float, right: int | float) -> Value:
    if expr.type.kind is Kind.FLOAT and isinstance(left, int) and isinstance(right, int):
        brought = at_one_scale(expr, left, right)
        if brought is None:
            return None
        a, b = float(brought[0]), float(brought[1])
    else:
        a, b = as_float(left, expr.left.type), as_float(right, expr.right.type)
    if expr.op in ("/", "//", "%") and b == 0.0:
        return None
    return finite(FLOAT_OPERATIONS[expr.op](a, b))


def int_arithmetic(expr: tree.Arith, left: int, right: int) -> Value:
    if expr.op == "*":
        return int64(left * right)
    brought = at_one_scale(expr, left, right)
    if brought is None or (expr.op in ("//", "%") and brought[1] == 0):
        return None
    return int64(INT_OPERATIONS[expr.op](*brought))


def at_one_scale(expr: tree.Arith, left: int, right: int) -> tuple[int, int] | None:
    """Ints and decimals at the greater scale of the two; None where one does not fit."""
    scale = max(scale_of(expr.left.type), scale_of(expr.right.type))
    a = int64(left * 10 ** (scale - scale_of(expr.left.type)))
    b = int64(right * 10 ** (scale - scale_of(expr.right.type)))
    return None if a is None or b is None else (a, b)


INT_OPERATIONS: dict[str, Callable[[int, int], int]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "//": lambda a, b: a // b,
    "%": lambda a, b: a % b,
}
FLOAT_OPERATIONS: dict[str, Callable[[float, float], float]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "//": lambda a, b: a // b,
    "%": lambda a, b: a % b,
}


# -- functions ---------------------------------------------------------------------------------------------------
def call(expr: tree.Call, scope: Scope) -> Value:
    match expr.function:
        case "missing":
            return evaluate(first(expr), scope) is None
        case "coalesce":
            values = [common(arg, expr, scope) for arg in expr.args if arg is not None]
            return next((value for value in values if value is not None), None)
        case "min" | "max":
            values = [common(arg, expr, scope) for arg in expr.args if arg is not None]
            if None in values:
                return None
            return (min if expr.function == "min" else max)(number(value) for value in values)
        case "original":
            source = first(expr)
            assert isinstance(source, tree.Ref)
            return scope.original(source.name)
        case "slice":
            return sliced(expr, scope)
    values = [None if arg is None else evaluate(arg, scope) for arg in expr.args]
    if None in values:
        return None
    if expr.function in NUMBER_FUNCTIONS:
        return NUMBER_FUNCTIONS[expr.function](expr, *(number(value) for value in values))
    return FUNCTIONS[expr.function](*values)


def first(expr: tree.Call) -> tree.Expr:
    item = expr.args[0]
    assert item is not None
    return item


def sliced(expr: tree.Call, scope: Scope) -> Value:
    """An end that is absent, written or computed, is open."""
    value = evaluate(first(expr), scope)
    start, stop = (None if arg is None else evaluate(arg, scope) for arg in expr.args[1:])
    if value is None:
        return None
    return str(value)[slice(None if start is None else int(start), None if stop is None else int(stop))]


def absolute(_: tree.Call, value: int | float) -> Value:
    return abs(value) if isinstance(value, float) else int64(abs(value))


def rounded(expr: tree.Call, value: int | float, digits: int = 0) -> Value:
    """Half to even: to an integer exactly, to `digits` places as rint(x * 10**n) / 10**n."""
    of = first(expr).type
    if expr.type.rep is Rep.INT:
        return int64(round(value if isinstance(value, float) else Fraction(value, 10 ** scale_of(of))))
    power = float(10**digits)
    lifted = as_float(value, of) * power
    return finite(math.copysign(float(round(lifted)), lifted) / power) if math.isfinite(lifted) else None


def distance_km(expr: tree.Call, *degrees: int | float) -> Value:
    """Haversine on a sphere of 6371.0088 km (the mean radius of IUGG)."""
    lat1, lon1, lat2, lon2 = (
        as_float(value, arg.type) for value, arg in zip(degrees, expr.args, strict=True) if arg is not None
    )
    if max(abs(lat1), abs(lat2)) > 90 or max(abs(lon1), abs(lon2)) > 180:
        return None
    phi1, phi2 = math.radians(lat1), math.radians(lat2)
    h = (
        math.sin((phi2 - phi1) / 2) ** 2
        + math.cos(phi1) * math.cos(phi2) * math.sin(math.radians(lon2 - lon1) / 2) ** 2
    )
    return 2 * 6371.0088 * math.asin(min(1.0, math.sqrt(h)))


NUMBER_FUNCTIONS: dict[str, Callable[..., Value]] = {"abs": absolute, "round": rounded, "distance_km": distance_km}


def local(ms: int, zone: str) -> datetime:
    return (EPOCH + timedelta(milliseconds=ms)).astimezone(ZoneInfo(zone))


def network(ip: str, length: int, length6: int = 64) -> str:
    address = ipaddress.ip_address(ip)
    return str(ipaddress.ip_network((address, length if address.version == 4 else length6), strict=False))


FUNCTIONS: dict[str, Callable[..., Value]] = {
    "lower": str.lower,
    "upper": str.upper,
    "len": len,
    "startswith": str.startswith,
    "endswith": str.endswith,
    "contains": lambda text_, part: part in text_,
    "domain": text.domain,
    "canonical_email": text.canonical_email,
    "fold": text.fold,
    "bucket": text.bucket,
    "network": network,
    "matches": lambda text_, pattern: re2.search(pattern, text_) is not None,
    "hour": lambda ms, zone: local(ms, zone).hour,
    "weekday": lambda ms, zone: local(ms, zone).weekday(),
    "days_between": lambda a, b, zone: (local(b, zone).date() - local(a, zone).date()).days,
}
