"""`tables:`: each row of a table becomes a rule, read and checked by the one reader of rules.

    tables:
      limits: {file: limits.csv, hit: first, point: checkout, group: limits}

The keys of a rule may stand there, for all rows, or in the table, as `then outcome`. Columns of conditions are headed
`when amount`; `id` names the rows, `note` is for people.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, Literal, cast

import msgspec

from frmcore.limits import TABLE_BYTES_MAX, TABLES_MAX
from frmcore.policy.envelope import Leaf, Map, Seq
from frmcore.policy.logic import Logic
from frmcore.policy.rules import RULE_KEYS
from frmcore.policy.source import Scalar
from frmcore.policy.tables.columns import Column, columns, effect, typed_column, when
from frmcore.policy.tables.hits import hit_feature, own_part
from frmcore.policy.tables.sheet import (
    Cell,
    Unreadable,
    cells_of,
    is_workbook,
    pick,
    read_csv,
    read_workbook,
    stored_sheets,
    stored_text,
)
from frmcore.policy.tree import Table
from frmcore.policy.words import quoted

if TYPE_CHECKING:
    from frmcore.policy.envelope import Node
    from frmcore.policy.files import Files
    from frmcore.policy.reader import Reader, Section
    from frmcore.policy.scope import Scope
    from frmcore.policy.tree import Feature, Rule
    from frmcore.policy.words import Names

HITS: Final = ("first", "unique", "collect")
_OWN: Final = ("file", "sheet", "hit")
_SHARED: Final = tuple(key for key in RULE_KEYS if key not in ("id", "when", "tests"))
TABLE_KEYS: Final = (*_OWN, *_SHARED)
_OVERLAPS_SHOWN: Final = 20  # pairs of rows of one table
_WORKBOOKS: Final = (".xlsx", ".xlsm")


class _Draft(msgspec.Struct):
    """A table whose conditions wait for the features that they may name."""

    name: Leaf
    file: str
    hit: Literal["first", "unique", "collect"]
    columns: list[Column]
    rows: list[tuple[int, str, list[Cell]]] = msgspec.field(default_factory=list)  # number, id of the rule, cells
    cells: list[list[str]] = msgspec.field(default_factory=list)


class TableReader:
    """Reads the tables of every file. `read`, then `declare` once features are known, `check` once rules are."""

    def __init__(self, reader: Reader, scope: Scope, names: Names, files: Files) -> None:
        self._reader = reader
        self._problems = reader.problems
        self._scope = scope
        self._names = names
        self._files = files
        self._drafts: list[_Draft] = []

    def read(self, node: Node) -> Seq:
        """The rules of one `tables:` section, their conditions still to come."""
        rules: list[Node] = []
        for name, value in self._reader.entries(node, '"tables"'):
            section = self._reader.section(value, f"table {quoted(name.text)}", TABLE_KEYS)
            declared = self._names.declare(name.scalar, "table")
            if len(self._drafts) >= TABLES_MAX:
                self._problems.add(name.place, f"more than {TABLES_MAX} tables")
                break
            if section is not None and declared:
                rules += self._table(name, section)
        return Seq(tuple(rules), node.place, 1, 1)

    def _table(self, name: Leaf, section: Section) -> list[Node]:
        leaf = section.required("file", "name a CSV or XLSX file: file: limits.csv")
        sheet = section.leaf("sheet")
        hit = section.choice("hit", HITS, "")
        if not hit and "hit" not in section.found:
            section.add("file", f'{section.what} lacks "hit"', "hit: first, unique or collect (every row that fits)")
        rows = self._rows(leaf, sheet.text if sheet else "") if leaf else None
        if rows is None or not hit or leaf is None:
            self._scope.broken.add(name.text)
            return []
        found = columns(rows[0] if rows else [], leaf.place, _SHARED, self._problems)
        if len(rows) < 2 and found:
            self._problems.add(rows[0][0].place, "the table has no rows", "write one below its header")
        if any(column.role == "wrong" for column in found):
            rows = rows[:1]
        texts = [[cell.text for cell in row] for row in rows]
        draft = _Draft(name, leaf.text, cast("Literal['first', 'unique', 'collect']", hit), found, cells=texts)
        self._drafts.append(draft)
        shared = {key: entry for key, entry in section.found.items() if key in _SHARED}
        return [self._rule(draft, number, row, shared) for number, row in enumerate(rows[1:], 2) if row]

    def _rule(self, draft: _Draft, number: int, row: list[Cell], shared: dict[str, tuple[Leaf, Node]]) -> Map:
        """A row as the mapping that a rule is written as."""
        entries = dict(shared)
        rule_id = f"{draft.name.text}.{number}"
        place = next(cell.place for cell in row if cell.text)
        for column, cell in zip(draft.columns, row, strict=False):
            if column.role == "id" and cell.text:
                rule_id, place = cell.text, cell.place
            elif column.role == "then" and cell.text:
                entries[column.text] = effect(column, cell)
        for cell in row[len(draft.columns) :]:
            if cell.text:
                self._problems.add(cell.place, "this column has no header", "name it, or remove the cell")
        draft.rows.append((number, rule_id, row))
        for key, text in (("id", rule_id), ("when", "")):
            entries[key] = Leaf(Scalar(key, (place,))), Leaf(Scalar(text, (place,)))
        return Map(tuple(entries.values()), place, 1, 1)

    # -- files

    def _rows(self, leaf: Leaf, sheet: str) -> list[list[Cell]] | None:
        found = self._files.content(leaf, TABLE_BYTES_MAX)
        if found is None:
            return None
        path, content = found
        try:
            name, rows = self._content(path, content, sheet, leaf)
        except Unreadable as error:
            what = f"{quoted(path)}{f', cell {error.cell}' if error.cell else ''}: {error.message}"
            self._problems.add(leaf.place, what, error.hint)
            return None
        return cells_of(self._files.shown(path), name, rows, self._problems)

    def _content(self, path: str, content: bytes, sheet: str, leaf: Leaf) -> tuple[str, list[list[str]]]:
        """(name of the sheet, rows), from whatever the file is; what a store needs of it is kept as text."""
        if is_workbook(content):
            name, rows = read_workbook(content, sheet)
            known = stored_sheets(self._files.list_texts.get(path, "")) or {}
            self._files.list_texts[path] = stored_text({**known, name: rows})
            return name, rows
        text = self._files.decoded(content, leaf.place)
        if text is None:
            raise Unreadable("it is neither CSV nor XLSX", "save it as CSV in UTF-8, or as XLSX")
        self._files.list_texts[path] = text
        sheets = stored_sheets(text) if path.endswith(_WORKBOOKS) else None
        if sheets:
            name = pick(list(sheets), sheet)
            return name, sheets[name]
        if sheet:
            raise Unreadable("a CSV file has no sheets", 'remove "sheet"')
        return "", read_csv(text)

    # -- once features, then rules are known

    def declare(self) -> dict[str, Scalar]:
        """The conditions of all rows by the rule's id. A table of which the first row hits
        gets a name that they, and other rules, may read: the row that hit."""
        for draft in self._drafts:
            if draft.hit == "first":
                self._scope.features[draft.name.text] = hit_feature(draft.name, draft.file, [])
        found: dict[str, Scalar] = {}
        for draft in self._drafts:
            typed = [typed_column(column, self._scope, self._problems) for column in draft.columns]
            for number, rule_id, row in draft.rows:
                suffix = f"{draft.name.text} == {number}" if draft.hit == "first" else ""
                found[rule_id] = when(typed, row, suffix, self._problems)
        return found

    def check(self, rules: tuple[Rule, ...]) -> tuple[tuple[Table, ...], tuple[Feature, ...]]:
        """The tables, and of each of which the first row hits the feature that says which."""
        by_id = {rule.id: rule for rule in rules}
        features = []
        for draft in self._drafts:
            found = [(number, by_id[rule_id]) for number, rule_id, _ in draft.rows if rule_id in by_id]
            if draft.hit == "first":
                feature = hit_feature(draft.name, draft.file, [(number, own_part(rule)) for number, rule in found])
                self._scope.features[feature.name] = feature
                features.append(feature)
            elif draft.hit == "unique":
                self._check_unique(found)
        return tuple(_table(draft) for draft in self._drafts), tuple(features)

    def _check_unique(self, rows: list[tuple[int, Rule]]) -> None:
        """That no event fits two rows has to be certain."""
        logic = Logic(self._scope.known_fields, self._scope.features)
        for one, other in islice(logic.overlaps([rule.when for _, rule in rows]), _OVERLAPS_SHOWN):
            message = f"this row and row {rows[one][0]} may both fit one event, and {quoted('hit')} is unique"
            hint = "part them in some column, or let the first one hit: hit: first"
            self._problems.add(rows[other][1].place, message, hint)


def _table(draft: _Draft) -> Table:
    rows = tuple((number, rule_id) for number, rule_id, _ in draft.rows)
    cells = tuple(tuple(row) for row in draft.cells)
    return Table(draft.name.text, draft.file, draft.hit, rows, cells, draft.name.place)
