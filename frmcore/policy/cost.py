"""What an expression costs and how often it is true, guessed from its form: the order of `and` and `or`.

One unit is about one arithmetic instruction of the machine.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Final

from frmcore.plan import Rep
from frmcore.policy.tree import BoolOp, Call, Compare, Const, Expr, Fired, InList, InSet, LookUp, Not, Ref
from frmcore.policy.walk import children

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_CALLS: Final = {
    "startswith": 2, "endswith": 2, "contains": 6, "len": 6, "slice": 6, "lower": 15, "upper": 15, "bucket": 15,
    "domain": 15, "canonical_email": 40, "fold": 60, "network": 40, "matches": 30, "hour": 8, "weekday": 8,
    "days_between": 16, "distance_km": 60,
}  # fmt: skip
_LIST: Final = 40
_LOOKUP: Final = 20
_RARELY: Final = {"==": 0.1, "!=": 0.9, "<": 0.3, "<=": 0.3}
_SELDOM, _OFTEN = 0.01, 0.99


def cost(expr: Expr, at_hand: Callable[[Expr], bool]) -> int:
    """Units to compute `expr` when what is `at_hand` costs nothing."""
    return 0 if at_hand(expr) else _own(expr) + sum(cost(child, at_hand) for child in children(expr))


def _own(expr: Expr) -> int:
    match expr:
        case Const() | Ref() | Fired():
            return 0
        case Call(function=function):
            return _CALLS.get(function, 1)
        case InSet(item=item, values=values):
            return 1 if len(values) == 1 else 4 if item.type.rep is Rep.TEXT else 2
        case InList():
            return _LIST
        case LookUp():
            return _LOOKUP
        case BoolOp(items=items):
            return len(items) - 1
        case Compare(left=left):
            return 2 if left.type.rep is Rep.TEXT else 1
    return 1


def likelihood(expr: Expr) -> float:
    """A guess at how often it is true."""
    match expr:
        case Compare(op=op):
            return _RARELY[op]
        case InList():
            return _SELDOM
        case Not(item=item):
            return 1 - likelihood(item)
        case BoolOp(op="and", items=items):
            return _bounded(prod(map(likelihood, items)))
        case BoolOp(items=items):
            return _bounded(1 - prod(1 - likelihood(item) for item in items))
        case Call(function="missing"):
            return 0.1
    return 0.2


def _bounded(chance: float) -> float:
    return min(max(chance, _SELDOM), _OFTEN)


def cheapest_first(expr: BoolOp, at_hand: Callable[[Expr], bool]) -> Sequence[Expr]:
    """The items ordered so that the expected cost is least: cost per chance of settling the matter.

    Nobody can tell: evaluation is pure and total.
    """

    def rank(item: Expr) -> float:
        chance = likelihood(item)
        return cost(item, at_hand) / (1 - chance if expr.op == "and" else chance)

    return sorted(expr.items, key=rank)
