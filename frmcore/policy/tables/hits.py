"""Which row of a table hits: where only the first one may, its number is a feature that each row's rule asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from frmcore.policy.families import BOOL, INT
from frmcore.policy.tree import Arith, BoolOp, Call, Const, Expr, Feature, If

if TYPE_CHECKING:
    from collections.abc import Sequence

    from frmcore.policy.envelope import Leaf
    from frmcore.policy.source import Place
    from frmcore.policy.tree import Rule

_NO_ROW: Final = 1 << 31  # greater than every row's number; modulo itself it is 0


def own_part(rule: Rule) -> Expr:
    """A row's condition without the question whether it is the first that fits: `(cells) and table == 3`."""
    assert isinstance(rule.when, BoolOp)  # noqa: S101  columns.when made it so
    return rule.when.items[0]


def hit_feature(name: Leaf, file: str, rows: Sequence[tuple[int, Expr]]) -> Feature:
    """The number of the first row whose condition is true, 0 for none. What is unknown is not true, so that a later
    row may still hit: min(2 if row2 else N, 3 if row3 else N, ...) % N."""
    place, text = name.place, f"the first row of {file} that fits"
    numbers: list[Expr | None] = [_number(row, condition, place) for row, condition in rows]
    least = Call(INT, place, text, "min", (_const(_NO_ROW, place), *numbers))
    value = Arith(INT, place, text, "%", least, _const(_NO_ROW, place))
    return Feature(name.text, INT, None, value, place, text)


def _number(row: int, condition: Expr, place: Place) -> Expr:
    is_true = Call(BOOL, condition.place, condition.text, "coalesce", (condition, Const(BOOL, place, "false", 0)))
    return If(INT, place, condition.text, is_true, _const(row, place), _const(_NO_ROW, place))


def _const(value: int, place: Place) -> Const:
    return Const(INT, place, str(value), value)
