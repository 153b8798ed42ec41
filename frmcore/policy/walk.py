"""Ways through a tree of expressions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frmcore.policy.tree import Arith, BoolOp, Call, Compare, Expr, If, InList, InSet, LookUp, Neg, Not, Ref

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def children(expr: Expr) -> tuple[Expr, ...]:
    """The operands of one node, in the order of its source."""
    match expr:
        case Not(item=item) | Neg(item=item) | InSet(item=item) | InList(item=item) | LookUp(item=item):
            return (item,)
        case BoolOp(items=items):
            return items
        case Compare(left=left, right=right) | Arith(left=left, right=right):
            return (left, right)
        case If(test=test, then=then, other=other):
            return (test, then, other)
        case Call(args=args):
            return tuple(arg for arg in args if arg is not None)
    return ()


def walk(expr: Expr) -> Iterator[Expr]:
    """Every node, operands before what uses them."""
    for child in children(expr):
        yield from walk(child)
    yield expr


def references(expr: Expr) -> Iterator[Ref]:
    return (node for node in walk(expr) if isinstance(node, Ref))


def in_dependency_order(expressions: Mapping[str, Expr]) -> list[str]:
    """The names, each after those that its expression refers to; otherwise as given. References make no circle."""
    order: dict[str, None] = {}

    def visit(name: str) -> None:
        if name in expressions and name not in order:
            for ref in references(expressions[name]):
                visit(ref.name)
            order[name] = None

    for name in expressions:
        visit(name)
    return list(order)
