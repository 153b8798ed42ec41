"""Literals, and what they become beside a value of another type: `"10m"` a duration, `0.5` a decimal."""

from __future__ import annotations

import ast
import math
from decimal import Decimal
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING

from msgspec.structs import replace

from frmcore.currency import format_money, parse_money
from frmcore.durations import parse_duration, parse_timestamp
from frmcore.limits import INT_MAX
from frmcore.names import nearest
from frmcore.plan import Kind
from frmcore.policy.families import FLOAT, INT, SCALE_MAX, STRING, decimal, family, listed
from frmcore.policy.tree import Const, Expr, Type
from frmcore.policy.words import quoted, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from frmcore.policy.checker import Checker


def constant(c: Checker, node: ast.Constant) -> Expr:
    value = node.value
    if isinstance(value, str):
        return Const(STRING, *c.at(node), _text(c, node, value))
    if type(value) is int and value <= INT_MAX:
        return Const(INT, *c.at(node), value)
    if isinstance(value, float) and math.isfinite(value):
        return Const(FLOAT, *c.at(node), value)
    raise c.wrong(node, "this number is too great", "an int has 64 bits, a float reaches to 1.7e308")


def _text(c: Checker, node: ast.Constant, value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise c.wrong(node, "half of a surrogate pair is no text", "write the character itself") from None
    return value


def align(c: Checker, exprs: Sequence[Expr]) -> list[Expr]:
    """Literals among `exprs` in the type of the values they stand beside."""
    fixed = [expr.type for expr in exprs if not isinstance(expr, Const)]
    fixed = fixed or [expr.type for expr in exprs if expr.type.kind is not Kind.STRING]
    return [_adapt(c, expr, fixed) if isinstance(expr, Const) else expr for expr in exprs]


def _adapt(c: Checker, const: Const, beside: Sequence[Type]) -> Const:
    match const.type.kind:
        case Kind.STRING if beside:
            return become(c, const, beside[0])
        case Kind.FLOAT if any(to.kind is Kind.DECIMAL for to in beside):
            return _as_decimal(const)
        case Kind.MONEY:
            return next((_in_currency(const, to.currency) for to in beside if to.kind is Kind.MONEY), const)
    return const


def become(c: Checker, const: Const, to: Type) -> Const:
    """A string literal as a value of type `to`, where such a value is written as text."""
    value: int | str
    text = str(const.value)
    match to.kind:
        case Kind.ENUM:
            if text not in to.values:
                hint = nearest(text, to.values) or f"it is one of {listed(to.values)}"
                raise c.wrong(const, f"{quoted(text)} is not among the values", hint)
            value = to.values.index(text)
        case Kind.DURATION:
            value = _parsed(c, const, parse_duration(text), "duration", _duration_hint(text))
        case Kind.TIMESTAMP:
            hint = 'an instant is written with its offset: "2026-01-31T12:00:00Z"'
            value = _parsed(c, const, parse_timestamp(text), "timestamp", hint)
        case Kind.IP:
            value = _parsed(c, const, canonical_ip(text), "address", _ip_hint(text))
        case _:
            return const
    return replace(const, type=replace(to, private=False, fractional=False), value=value)


def _parsed(c: Checker, const: Const, value: int | str | None, what: str, hint: str) -> int | str:
    if value is None:
        raise c.wrong(const, f"{quoted(str(const.value))} is no {what}", hint)
    return value


def _duration_hint(text: str) -> str:
    if text.replace(".", "", 1).isdecimal():
        return f'the unit is missing: "{text[:20]}m"? Units are ms, s, m, h, d, w'
    return 'a number and its unit: "90s", "10m", "1.5h", "7d"; units are ms, s, m, h, d, w'


def _ip_hint(text: str) -> str:
    if "/" in text:
        return "a network is compared with network(ip, ...), or belongs into a list with match: network"
    return 'an address is written "192.0.2.1" or "2001:db8::1"'


def canonical_ip(text: str) -> str | None:
    """An address as text in its one canonical form (IPv4-mapped IPv6 as IPv4), None where `text` is none."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return None
        address = address.ipv4_mapped or address
    return str(address)


def _as_decimal(const: Const) -> Const:
    """The digits as they were written; a literal that no decimal holds stays a float."""
    written = Decimal(repr(const.value)).normalize()
    exponent = written.as_tuple().exponent
    scale = max(0, -exponent) if isinstance(exponent, int) else 0
    scaled = int(written.scaleb(scale))
    return replace(const, type=decimal(scale), value=scaled) if scale <= SCALE_MAX and scaled <= INT_MAX else const


def _in_currency(const: Const, currency: str) -> Const:
    """A money literal belongs to no currency until it stands beside one."""
    written = format_money(int(const.value), const.type.currency).split(" ")[0]
    plain = written.rstrip("0").rstrip(".") if "." in written else written
    minor = parse_money(plain, currency)
    return const if minor is None else replace(const, type=replace(const.type, currency=currency), value=minor)


def cited(expr: Expr) -> str:
    """An expression in a message: in quotes, unless it has its own."""
    return shown(expr.text) if expr.text[0] in "'\"" else quoted(expr.text)


def mismatch(left: Expr, right: Expr) -> str:
    """What to do about two values that don't go together."""
    for one, other in ((left, right), (right, left)):
        hint = _hint(one, other.type)
        if hint:
            return hint
    return ""


def _hint(one: Expr, other: Type) -> str:
    number = one.text if isinstance(one, Const) and family(one.type) == "number" else ""
    match family(one.type), other.kind:
        case "number", Kind.MONEY:
            return f'money compares with money: write money("{number or "5.00"}")'
        case "number", Kind.DURATION:
            return f'the unit is missing: write "{number or "10"}m"; units are ms, s, m, h, d, w'
        case "number", Kind.TIMESTAMP:
            return 'an instant is written "2026-01-31T12:00:00Z"'
        case "number", Kind.STRING if number:
            return f'a text stands in quotes: "{number}"'
        case "number", Kind.BOOL:
            return "a bool is true or false"
        case "string", Kind.INT | Kind.DECIMAL | Kind.FLOAT if isinstance(one, Const):
            return "a number is written without quotes"
        case "string", Kind.MONEY if isinstance(one, Const):
            return f"money is written money({one.text})"
        case "string", Kind.BOOL if isinstance(one, Const):
            return "a bool is true or false, without quotes"
        case "string", Kind.IP:
            return "an ip is compared with an ip; network(ip, 24) makes a text of it"
        case "money", Kind.MONEY if one.type.currency != other.currency:
            return "one currency at a time: declare the currency as a field, and a base with rates"
        case "enum", Kind.ENUM:
            return f"they have other values: {listed(one.type.values)}; and {listed(other.values)}"
        case "enum", Kind.STRING:
            return f"declare both as an enum, or compare with one of its values: {listed(one.type.values)}"
    return ""


def literal_text(c: Checker, node: ast.expr, what: str, example: str) -> str:
    """A text that must be known when the policy is loaded: a literal, or a parameter that is one."""
    if isinstance(node, ast.Name) and node.id not in c.scope.params:
        raise c.wrong(node, f"{what} takes a literal text", f'text stands in quotes: "{node.id}"')
    expr = c.expr(node)
    if not isinstance(expr, Const) or expr.type.kind is not Kind.STRING:
        raise c.wrong(expr, f"{what} takes a literal text", f"write {example}")
    return str(expr.value)


def literal_int(c: Checker, node: ast.expr, what: str, least: int, most: int) -> Const:
    expr = c.expr(node)
    if not isinstance(expr, Const) or expr.type != INT or not least <= int(expr.value) <= most:
        raise c.wrong(expr, f"{what} takes a literal number from {least} to {most}")
    return expr
