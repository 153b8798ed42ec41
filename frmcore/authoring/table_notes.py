"""What can be said of a decision table without an event: rows that never hit, and whether a row always does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from frmcore.policy.logic import Logic
from frmcore.policy.tables.hits import own_part
from frmcore.policy.tree import BoolOp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from frmcore.policy import Policy
    from frmcore.policy.tree import Expr, Table

_PAIRS_MAX = 20_000  # all pairs of 200 rows: some seconds


@dataclass(frozen=True, slots=True)
class TableNotes:
    """`complete`: it is certain that every event fits a row. `notes`: a line for each row that is odd."""

    name: str
    file: str
    hit: str
    cells: tuple[tuple[str, ...], ...]
    complete: bool
    notes: tuple[str, ...]


def notes_of(policy: Policy, table: Table) -> TableNotes:
    """Quadratic in the rows."""
    logic = logic_of(policy)
    rows = conditions(policy, table)
    complete = bool(rows) and logic.always(_any_of([condition for _, condition in rows]))
    return TableNotes(table.name, table.file, table.hit, table.cells, complete, tuple(_notes(rows, table, logic)))


def logic_of(policy: Policy) -> Logic:
    fields = {field.name: field for field in (*policy.fields, *policy.derived, *policy.updates)}
    return Logic(fields, {feature.name: feature for feature in policy.features})


def conditions(policy: Policy, table: Table) -> list[tuple[int, Expr]]:
    """(number, condition that its cells make) of each row."""
    rules = {rule.id: rule for rule in policy.rules}
    return [
        (number, own_part(rules[rule_id]) if table.hit == "first" else rules[rule_id].when)
        for number, rule_id in table.rows
    ]


def _notes(rows: list[tuple[int, Expr]], table: Table, logic: Logic) -> Iterator[str]:
    for number, why in dead_rows(rows, table, logic):
        yield f"row {number} can never hit: {why}"


def dead_rows(rows: list[tuple[int, Expr]], table: Table, logic: Logic) -> Iterator[tuple[int, str]]:
    """(number, why) of each row that no event can hit. Of a long table only so many pairs of rows are compared."""
    pairs_left = _PAIRS_MAX
    possible: list[tuple[int, Expr]] = []
    for number, condition in rows:
        if logic.never(condition):
            yield number, "its cells contradict each other"
            continue
        compared = possible[:pairs_left] if table.hit == "first" else []
        pairs_left -= len(compared)
        earlier = (first for first, other in compared if logic.implies(condition, other))
        if (covering := next(earlier, None)) is not None:
            yield number, f"row {covering} fits whenever it does"
        possible.append((number, condition))


def _any_of(items: list[Expr]) -> Expr:
    first = items[0]
    return first if len(items) == 1 else BoolOp(first.type, first.place, first.text, "or", tuple(items))
