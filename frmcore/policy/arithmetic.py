"""`+ - * / // %`, the minus sign, and the folding of literals."""

from __future__ import annotations

import ast
import math
from typing import TYPE_CHECKING, Final, Literal

from msgspec.structs import replace

from frmcore.limits import INT_MAX
from frmcore.plan import Kind, Rep
from frmcore.policy.families import DURATION, FLOAT, INT, NUMBERS, SCALE_MAX, common, decimal, describe, family
from frmcore.policy.literals import align, become, mismatch
from frmcore.policy.tree import Arith, Const, Expr, Neg, Type

if TYPE_CHECKING:
    from frmcore.policy.checker import Checker

Operator = Literal["+", "-", "*", "/", "//", "%"]
OPERATORS: Final[dict[type[ast.operator], Operator]] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
}


def arithmetic(c: Checker, node: ast.BinOp) -> Expr:
    op = OPERATORS.get(type(node.op))
    if op is None:
        raise c.wrong(node, "this operator is not part of the language", "there are + - * / // %")
    left, right = _operands(c, op, c.exprs([node.left, node.right]))
    of = result(op, left.type, right.type)
    if of is None:
        message = f'"{op}" does not go with {describe(left.type)} and {describe(right.type)}'
        raise c.wrong(node, message, _advice(op, left, right))
    if of.scale > SCALE_MAX:
        raise c.wrong(node, f"the product has {of.scale} decimal places, more than {SCALE_MAX}", "round one side first")
    if _plain(left) and _plain(right):
        return _fold(c, node, (left, right), of)
    return Arith(of, *c.at(node), op, left, right)


def _plain(expr: Expr) -> bool:
    """A literal; a parameter stays visible, it can be swept."""
    return isinstance(expr, Const) and not expr.param


def _operands(c: Checker, op: Operator, sides: list[Expr]) -> list[Expr]:
    """A text beside a timestamp that something is added to or taken from is a duration, unless it is an instant."""
    left, right = sides
    if left.type.kind is Kind.TIMESTAMP and isinstance(right, Const) and right.type.kind is Kind.STRING:
        instant = op == "-" and "T" in str(right.value).upper()
        return [left, become(c, right, left.type if instant else DURATION)]
    if right.type.kind is Kind.TIMESTAMP and isinstance(left, Const) and left.type.kind is Kind.STRING and op == "+":
        return [become(c, left, DURATION), right]
    return align(c, sides)


def _advice(op: Operator, left: Expr, right: Expr) -> str:
    families = {family(left.type), family(right.type)}
    if "timestamp" in families:
        if left.type.fractional or right.type.fractional:
            return "round the duration to whole milliseconds: round(...)"
        return 'timestamps are subtracted from each other; a duration such as "10m" is added to one or taken from it'
    if op in "+-" or (families == {"money"} and left.type.currency != right.type.currency):
        return mismatch(left, right) or _CALCULATED
    if families & {"money", "duration"} and families <= NUMBERS:
        return (
            "whole parts of it: round(x / n)"
            if op in ("//", "%")
            else "it is multiplied by a number, divided by one or by its like"
        )
    return _CALCULATED


_CALCULATED: Final = "numbers, money and durations are calculated with"


# -- types


def result(op: Operator, a: Type, b: Type) -> Type | None:
    """The type of `a op b` as docs/design.md tables it, None where it has no meaning."""
    families = family(a), family(b)
    match families:
        case "number", "number":
            return _numbers(op, a, b)
        case ("money", "money") | ("duration", "duration"):
            return _one_unit(op, a, b)
        case (("money" | "duration"), "number"):
            return _scaled(op, a, b)
        case "number", ("money" | "duration"):
            return _scaled(op, b, a) if op == "*" else None
        case "timestamp", "timestamp":
            return DURATION if op == "-" else None
        case "timestamp", "duration":
            return a if op in "+-" and not b.fractional else None
        case "duration", "timestamp":
            return b if op == "+" and not a.fractional else None
    return None


def _numbers(op: Operator, a: Type, b: Type) -> Type:
    if op == "/" or FLOAT in (a, b):
        return FLOAT
    if op == "//" or a == b == INT:
        return INT
    return decimal(a.scale + b.scale) if op == "*" else common((a, b))


def _one_unit(op: Operator, a: Type, b: Type) -> Type | None:
    if a.currency != b.currency or op == "*":
        return None
    if op in "+-%":
        return common((a, b))
    return FLOAT if op == "/" or a.fractional or b.fractional else INT


def _scaled(op: Operator, unit: Type, number: Type) -> Type | None:
    if op not in "*/":
        return None
    return unit if op == "*" and number == INT else replace(unit, fractional=True)


# -- signs and literals


def negative(c: Checker, node: ast.UnaryOp) -> Expr:
    item = c.expr(node.operand)
    if family(item.type) not in NUMBERS:
        raise c.wrong(node, f'"-" wants a number, money or a duration, not {describe(item.type)}')
    if isinstance(item, Const) and not item.param and not isinstance(item.value, str):
        return Const(item.type, *c.at(node), -item.value)
    return Neg(item.type, *c.at(node), item)


def _fold(c: Checker, node: ast.BinOp, sides: tuple[Expr, Expr], of: Type) -> Const:
    """What the hot path would compute, computed once. No literal is a decimal by itself, so scales play no part."""
    try:
        value = _apply(OPERATORS[type(node.op)], *(_number(side, of) for side in sides))
    except ZeroDivisionError:
        raise c.wrong(node, "this divides by zero") from None
    except OverflowError:
        value = math.inf
    if not (abs(value) <= INT_MAX if isinstance(value, int) else math.isfinite(value)):
        raise c.wrong(node, "the result of these literals is too great")
    return Const(of, *c.at(node), value)


def _number(expr: Expr, of: Type) -> int | float:
    assert isinstance(expr, Const) and not isinstance(expr.value, str)  # noqa: S101  only numbers have a result type
    return float(expr.value) if of.rep is Rep.FLOAT else expr.value


def _apply(op: Operator, a: int | float, b: int | float) -> int | float:
    match op:
        case "+":
            return a + b
        case "-":
            return a - b
        case "*":
            return a * b
        case "/":
            return a / b
        case "//":
            return a // b
        case "%":
            return a % b
