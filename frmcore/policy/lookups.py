"""`lookups:`: reference data, tables that a policy brings along: a merchant category -> its risk band, say.

Where the policy does not say what values are, they tell it themselves: all `true` or `false` are bools, all whole
numbers as they are usually written are ints, all numbers floats, anything else strings. Keys are strings unless the
policy, or a Parquet file, says otherwise.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from frmcore.limits import LOOKUP_FILE_BYTES_MAX, LOOKUP_ROWS_MAX, LOOKUPS_MAX
from frmcore.policy.families import BOOL, FLOAT, INT, IP, STRING, describe
from frmcore.policy.fields import TYPE_KEYS, FieldReader
from frmcore.policy.rows import Columns, Row, Rows, read_csv, read_parquet
from frmcore.policy.tree import LookupTable
from frmcore.policy.values import describe_kind, parse_value
from frmcore.policy.words import quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from frmcore.policy.envelope import Leaf, Node
    from frmcore.policy.files import Files
    from frmcore.policy.reader import Reader, Section
    from frmcore.policy.scope import Scope
    from frmcore.policy.source import Place
    from frmcore.policy.tree import Type
    from frmcore.policy.words import Names

LOOKUP_KEYS: Final = ("file", "key", "value", "rows", "of", "type", *TYPE_KEYS)
PARQUET: Final = ".parquet"
_KEY_TYPES: Final = {"string": STRING, "int": INT, "ip": IP}
_WHOLE: Final = re.compile(r"0|-?[1-9][0-9]{0,18}")


class LookupReader:
    """Reads the entries of `lookups:` into the scope."""

    def __init__(self, reader: Reader, scope: Scope, names: Names, files: Files) -> None:
        self._reader = reader
        self._problems = reader.problems
        self._scope = scope
        self._names = names
        self._files = files
        self._fields = FieldReader(reader, scope)

    def read(self, node: Node) -> None:
        for name, value in self._reader.entries(node, '"lookups"'):
            table = self._table(name, value)
            declared = self._names.declare(name.scalar, "lookup")
            if declared and table is not None:
                self._scope.lookups[declared] = table
            elif declared:
                self._scope.broken.add(declared)
            if len(self._scope.lookups) > LOOKUPS_MAX:
                self._problems.add(name.place, f"more than {LOOKUPS_MAX} lookups")
                return

    def _table(self, name: Leaf, node: Node) -> LookupTable | None:
        section = self._reader.section(node, f"lookup {quoted(name.text)}", LOOKUP_KEYS)
        if section is None:
            return None
        is_typed, of = "type" in section.found, section.choice("of", tuple(_KEY_TYPES), "")
        value = self._value_type(section) if is_typed else None
        found = self._rows(section, name.place)
        if found is None or (is_typed and value is None):
            return None
        if not is_typed:
            self._refuse_details(section)
            value = found.value or inferred([row.value for row in found.rows if row.value])
        key = _KEY_TYPES[of] if of else found.key or STRING
        if value is None or not self._is_key(section, key):
            return None
        return LookupTable(name.text, key, value, self._entries(found, key, value), name.place)

    def _is_key(self, section: Section, key: Type) -> bool:
        if key in _KEY_TYPES.values():
            return True
        section.add(
            "file", f"keys are strings, ints or addresses, and this column is {describe(key)}", "name another: key: ..."
        )
        return False

    def _value_type(self, section: Section) -> Type | None:
        type_, currency = self._fields.type_of(section, "")
        if currency is not None:
            hint = "give an ISO 4217 code: a lookup is not converted"
            self._problems.add(currency.place, f"{quoted(currency.text)} is no currency code", hint)
            return None
        return type_

    def _refuse_details(self, section: Section) -> None:
        for key in TYPE_KEYS:
            if key in section.found:
                section.add(key, f'"{key}" says more of a "type", and there is none', f"add type: {_owner(key)}")

    def _rows(self, section: Section, place: Place) -> Rows | None:
        inline, file = section.get("rows"), section.leaf("file")
        if (inline is None) == ("file" not in section.found):
            message = f'{section.what} has both "rows" and "file"' if inline else f'{section.what} lacks "file"'
            section.add(
                "file",
                message,
                "keep one of them" if inline else "name a .csv or .parquet file, or give rows: {key: value}",
            )
            return None
        if inline is not None:
            return self._inline(section, inline)
        if file is None:
            return None
        columns = Columns(file.place, section.leaf("key"), section.leaf("value"))
        if file.text.lower().endswith(PARQUET):
            content = self._files.read_bytes(file, LOOKUP_FILE_BYTES_MAX)
            return None if content is None else read_parquet(*content, columns, self._problems)
        found = self._files.read(file, LOOKUP_FILE_BYTES_MAX)
        return None if found is None else read_csv(*found, columns, self._problems)

    def _inline(self, section: Section, node: Node) -> Rows:
        for key in ("key", "value"):
            if key in section.found:
                section.add(key, f'"{key}" names a column of a file, and there is none', "remove it")
        rows: list[Row] = []
        places: list[tuple[Place, Place]] = []
        for name, value in self._reader.entries(node, '"rows"'):
            leaf = self._reader.leaf(value, f"the value of {quoted(name.text)}")
            if leaf is not None:
                rows.append(Row(name.text, leaf.text, len(rows)))
                places.append((name.place, leaf.place))
        return Rows(rows, lambda number, column: places[number][column])

    def _entries(self, table: Rows, key: Type, value: Type) -> dict[int | str, int | float | str]:
        """In register form. A row without a value says nothing about its key."""
        found: dict[int | str, int | float | str] = {}
        lines: dict[int | str, int] = {}
        if len(table.rows) > LOOKUP_ROWS_MAX:
            self._problems.add(table.place(table.rows[0].number, 0), f"a lookup has at most {LOOKUP_ROWS_MAX:,} rows")
            return {}
        for row in table.rows:
            of = self._cell(table, row, 0, key)
            if of is None or isinstance(of, float):
                continue
            if of in lines:
                hint = f"line {lines[of]} has it too: keep one of them"
                self._problems.add(table.place(row.number, 0), f"two rows for {quoted(row.key)}", hint)
                continue
            lines[of] = table.place(row.number, 0).line
            what = self._cell(table, row, 1, value) if row.value else None
            if what is not None:
                found[of] = what
        return found

    def _cell(self, table: Rows, row: Row, column: int, type_: Type) -> int | float | str | None:
        text = row[column]
        assert isinstance(text, str)  # noqa: S101  the key or the value
        if not text:
            self._problems.add(table.place(row.number, column), "a key is empty", "give it a key, or remove the row")
            return None
        value = parse_value(text, type_)
        if value is None:
            what = "key" if column == 0 else "value"
            message = f"{quoted(text)} is no {what} of type {type_.kind.name.lower()}"
            self._problems.add(table.place(row.number, column), message, f"give {describe_kind(type_)}")
        return value


def _owner(key: str) -> str:
    return TYPE_KEYS[key].name.lower()


def inferred(texts: Sequence[str]) -> Type:
    """What all the texts are; strings where there are none."""
    if texts and all(text in ("true", "false") for text in texts):
        return BOOL
    if texts and all(_WHOLE.fullmatch(text) and parse_value(text, INT) is not None for text in texts):
        return INT
    is_number = texts and all(parse_value(text, FLOAT) is not None for text in texts)
    return FLOAT if is_number and not any(_has_code_form(text) for text in texts) else STRING


def _has_code_form(text: str) -> bool:
    """A number with a zero in front, such as 0742, is a code."""
    return len(text) > 1 and text[0] == "0" and text[1] != "."
