"""The canonical text of an expression: its identity.

Within a policy two expressions of one text are one value, so it is computed once. Across policies a ring may be kept
only where its key, filter and columns mean the same; `declared` adds what the names in a text stand for. Register
numbers, enum codes, layout and brackets of the source do not show; everything that changes a value does.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from frmcore.plan import Kind, Rep
from frmcore.policy.tree import (
    Arith,
    BoolOp,
    Call,
    Compare,
    Const,
    Expr,
    Field,
    Fired,
    If,
    InList,
    InSet,
    LookUp,
    Neg,
    Not,
    Ref,
    Type,
)
from frmcore.policy.walk import references

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_UNITS = {Kind.DURATION: "ms", Kind.TIMESTAMP: "ms since 1970"}


class Texts:
    """Canonical texts, each computed once. Holds the nodes, so that an id stays theirs."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Expr, str]] = {}

    def of(self, expr: Expr) -> str:
        known = self._known.get(id(expr))
        if known is None:
            known = self._known[id(expr)] = (expr, self._render(expr))
        return known[1]

    def _render(self, expr: Expr) -> str:
        match expr:
            case Const(value=value, type=kind):
                return literal(value, kind)
            case Ref(name=name):
                return name
            case Fired(rule=rule):
                return f"fired({json.dumps(rule)})"
            case Not(item=item):
                return f"not({self.of(item)})"
            case Neg(item=item):
                return f"-({self.of(item)})"
            case InList(item=item, list=name):
                return f"in_list({self.of(item)}, {name})"
            case LookUp(item=item, table=table):
                return f"lookup({self.of(item)}, {table.name})"
            case InSet(item=item, values=values):
                return f"in({self.of(item)}; {', '.join(sorted(literal(value, item.type) for value in values))})"
            case BoolOp(op=op, items=items):
                return f"{op}({', '.join(map(self.of, items))})"
            case Compare(op=op, left=left, right=right) | Arith(op=op, left=left, right=right):
                return f"{op}({self.of(left)}, {self.of(right)})"
            case If(test=test, then=then, other=other):
                return f"if({self.of(test)}, {self.of(then)}, {self.of(other)})"
            case Call(function=function, args=args):
                return f"{function}({', '.join('' if arg is None else self.of(arg) for arg in args)})"
        raise AssertionError(expr)


def literal(value: float | str, kind: Type) -> str:
    """A constant in register form with its type, so that texts of different values differ."""
    if kind.kind is Kind.ENUM:
        return f"enum {json.dumps(kind.values[int(value)])}"
    if kind.rep is Rep.FLOAT:
        return repr(float(value))
    if isinstance(value, str):
        return json.dumps(value) if kind.kind is Kind.STRING else f"ip {value}"
    if kind.kind is Kind.BOOL:
        return "true" if value else "false"
    return f"{int(value)}{_suffix(kind)}"


def _suffix(kind: Type) -> str:
    match kind.kind:
        case Kind.DECIMAL:
            return f"d{kind.scale}"
        case Kind.MONEY:
            return f" {kind.currency}"
        case _:
            return _UNITS.get(kind.kind, "")


def type_text(kind: Type) -> str:
    """A type by everything that a comparison with it depends on: not by an enum's values, which compare by name."""
    parts = [kind.kind.name.lower()]
    if kind.kind is Kind.DECIMAL:
        parts.append(str(kind.scale))
    parts += [kind.currency] * bool(kind.currency) + ["private"] * kind.private + ["fractional"] * kind.fractional
    return " ".join(parts)


def stored_text(kind: Type) -> str:
    """A type by everything that its stored form depends on: an enum is stored by code."""
    return type_text(kind) + (f" {json.dumps(kind.values)}" if kind.kind is Kind.ENUM else "")


def declared(names: Iterable[str], fields: Mapping[str, Field], texts: Texts) -> str:
    """What `names` stand for, and the names that they are derived from: sorted, one declaration each."""
    found: dict[str, str] = {}

    def visit(name: str) -> None:
        if name in fields and name not in found:
            found[name] = _declaration(fields[name], texts)
            expression = fields[name].expression
            for ref in () if expression is None else references(expression):
                visit(ref.name)

    for name in names:
        visit(name)
    return "; ".join(found[name] for name in sorted(found))


def _declaration(field: Field, texts: Texts) -> str:
    text = f"{field.name}: {type_text(field.type)}"
    if field.expression is not None:
        text += f" = {texts.of(field.expression)}"
    if field.default is not None:
        text += f" default {literal(field.default, field.type)}"
    return text + (f" in {field.currency_field}" if field.currency_field else "")
