"""The columns of a table, and what a row says in them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal

import msgspec
from msgspec.structs import replace

from frmcore.names import nearest
from frmcore.policy.check import check_expression
from frmcore.policy.envelope import Leaf, Seq
from frmcore.policy.source import Scalar
from frmcore.policy.tables.cells import Unfit, condition
from frmcore.policy.words import quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from frmcore.policy.envelope import Node
    from frmcore.policy.scope import Scope
    from frmcore.policy.source import Place, Problems
    from frmcore.policy.tables.sheet import Cell
    from frmcore.policy.tree import Type

_HEADER: Final = re.compile(r"(when|then)\s+(.+)|id|note", re.DOTALL)
_SIMPLE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_SEVERAL: Final = ("on", "point", "actions", "exempts")  # keys of a rule that take more than one name
_HEADERS: Final = 'headers are "when amount" (a condition), "then outcome" (an effect), "id" and "note"'


class Column(msgspec.Struct, frozen=True):
    """`text`: the expression of a condition, the key of an effect. `type`: of the expression, once it is known; None
    where that is wrong."""

    role: Literal["when", "then", "id", "note", "wrong"]
    text: str
    cell: Cell
    type: Type | None = None


def columns(header: Sequence[Cell], place: Place, effects: Sequence[str], problems: Problems) -> list[Column]:
    """The columns of a table that begins with `header`; `place`: of the table's file, where there is none."""
    if not header:
        problems.add(place, "the table is empty", _HEADERS)
        return []
    found = [_column(cell, effects, problems) for cell in header]
    roles = {column.role for column in found}
    if "then" not in roles and "wrong" not in roles:
        problems.add(header[0].place, "no column says what a row does", 'head one "then outcome" or "then score"')
    seen: set[str] = set()
    for column in found:
        key = f"{column.role} {column.text}".strip()
        if column.role in ("then", "id") and key in seen:
            problems.add(column.cell.place, f"a second column {quoted(key)}", "remove one of them")
        seen.add(key)
    return found


def _column(cell: Cell, effects: Sequence[str], problems: Problems) -> Column:
    match = _HEADER.fullmatch(cell.text)
    if match is None:
        message = f"{quoted(cell.text)} is no header" if cell.text else "a column without a header"
        problems.add(cell.place, message, nearest(cell.text, ("id", "note")) or _HEADERS)
        return Column("wrong", "", cell)
    if match[1] == "then" and match[2] not in effects:
        hint = nearest(match[2], effects) or f"a row may say {', '.join(effects)}"
        problems.add(cell.place, f"unknown effect {quoted(match[2])}", hint)
        return Column("wrong", "", cell)
    if match[1] is None:
        return Column("id" if cell.text == "id" else "note", "", cell)
    return Column("when" if match[1] == "when" else "then", match[2], cell)


def typed_column(column: Column, scope: Scope, problems: Problems) -> Column:
    """A condition column with the type of its expression."""
    if column.role != "when":
        return column
    expr = check_expression(_scalar(column.text, column.cell), scope, problems)
    return replace(column, type=expr.type if expr else None)


def when(row_columns: Sequence[Column], row: Sequence[Cell], suffix: str, problems: Problems) -> Scalar:
    """The condition of a row: its cells', joined by `and`. `suffix`: one more. Cells that are wrong are left out."""
    parts: list[tuple[str, Place]] = []
    for column, cell in zip(row_columns, row, strict=False):
        if column.role != "when" or column.type is None:
            continue
        subject = column.text if _SIMPLE.fullmatch(column.text) else f"({column.text})"
        try:
            text = condition(cell.text, subject, column.type)
        except Unfit as unfit:
            problems.add(cell.place, unfit.message, unfit.hint)
        else:
            parts += [(text, cell.place)] * bool(text)
    place = next(cell.place for cell in row if cell.text)
    own = _joined(parts, place)
    if suffix:
        own = Scalar(f"({own.text}) and {suffix}", own.starts, _shifted(own))
    return own


def _joined(parts: Sequence[tuple[str, Place]], place: Place) -> Scalar:
    """The parts as one text that knows the cell of each. Alternatives have brackets of their own."""
    if not parts:
        return Scalar("true", (place,))
    text, folds = "", []
    for part, where in parts:
        text += " and " if text else ""
        folds.append((0, len(text), where))
        text += part
    return Scalar(text, (place,), tuple(folds))


def _shifted(scalar: Scalar) -> tuple[tuple[int, int, Place], ...]:
    """Its folds, one bracket later."""
    return tuple((line, column + 1, place) for line, column, place in scalar.folds)


def effect(column: Column, cell: Cell) -> tuple[Leaf, Node]:
    """What a row says in a `then` column, as a rule would have it."""
    key = Leaf(_scalar(column.text, column.cell))
    if column.text in _SEVERAL and "," in cell.text:
        leaves = tuple(Leaf(_scalar(name.strip(), cell)) for name in cell.text.split(","))
        return key, Seq(leaves, cell.place, len(leaves) + 1, 2)
    return key, Leaf(_scalar(cell.text, cell))


def _scalar(text: str, cell: Cell) -> Scalar:
    return Scalar(text, tuple(cell.place for _ in text.split("\n")))
