"""The conditions that a rule is made of: what stands between its `and`, `or` and `not`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frmcore.policy.trace import shown_children
from frmcore.policy.tree import BoolOp, Not

if TYPE_CHECKING:
    from collections.abc import Iterator

    from frmcore.explain import Node
    from frmcore.policy.tree import Expr


def leaves(expr: Expr) -> Iterator[Expr]:
    """Each condition of a rule's expression, in the order of its text. A literal is none."""
    if not isinstance(expr, BoolOp | Not):
        yield expr
        return
    for child in shown_children(expr):
        yield from leaves(child)


def conditions(expr: Expr, node: Node) -> Iterator[tuple[Expr, Node]]:
    """The `leaves` of a rule's expression with their values in one decision."""
    if not isinstance(expr, BoolOp | Not):
        yield expr, node
        return
    for child, seen in zip(shown_children(expr), node.children, strict=True):
        yield from conditions(child, seen)


def decisive(expr: Expr, node: Node) -> Iterator[Node]:
    """Those of the conditions that made the whole what it is: the false ones of an `and` that is false, and so on."""
    if not isinstance(expr, BoolOp | Not):
        yield node
        return
    for child, seen in zip(shown_children(expr), node.children, strict=True):
        if isinstance(expr, Not) or seen.value is node.value:
            yield from decisive(child, seen)
