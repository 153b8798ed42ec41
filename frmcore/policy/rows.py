"""Keyed tables in files: two columns of a CSV or Parquet file, as text, each cell with its place."""

from __future__ import annotations

import csv
import io
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from frmcore.limits import LOOKUP_FILE_BYTES_MAX, LOOKUP_ROWS_MAX
from frmcore.names import nearest
from frmcore.policy.families import BOOL, FLOAT, INT, SCALE_MAX, STRING, TIMESTAMP, decimal
from frmcore.policy.source import Place
from frmcore.policy.words import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from frmcore.policy.envelope import Leaf
    from frmcore.policy.source import Problems
    from frmcore.policy.tree import Type

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_UNPACKED_MAX: Final = 4 * LOOKUP_FILE_BYTES_MAX  # of a Parquet file: it may be small because it repeats itself


class Row(NamedTuple):
    key: str
    value: str
    number: int  # what its place is found by


class Rows(NamedTuple):
    """The rows, and the types of both columns where the file knows them.

    `place(number, column)` says where a cell is: column 0 is the key's, 1 the value's.
    """

    rows: list[Row]
    place: Callable[[int, int], Place]
    key: Type | None = None
    value: Type | None = None


class Columns(NamedTuple):
    """The columns that the policy names; None: the first one, and the only other one."""

    table: Place
    key: Leaf | None
    value: Leaf | None

    def found(self, names: Sequence[str], problems: Problems) -> tuple[int, int] | None:
        """Their places among `names`, or None after a problem was added."""
        chosen: list[int] = []
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            problems.add(self.table, f"two columns of the file are called {quoted(twice)}", "rename one of them")
            return None
        for leaf in (self.key, self.value):
            if leaf is not None and leaf.text not in names:
                hint = nearest(leaf.text, names) or f"its columns: {', '.join(map(quoted, names[:20]))}"
                problems.add(leaf.place, f"the file has no column {quoted(leaf.text)}", hint)
                return None
            chosen.append(-1 if leaf is None else names.index(leaf.text))
        key, value = chosen
        key = 0 if key < 0 else key
        others = [index for index in range(len(names)) if index != key]
        if value < 0 and len(others) != 1:
            hint = f"name one: value: ... ({', '.join(map(quoted, names[:20]))})"
            problems.add(self.table, f"the file has {len(names)} columns: which one holds the values?", hint)
            return None
        return key, others[0] if value < 0 else value


def read_csv(file: str, text: str, columns: Columns, problems: Problems) -> Rows | None:
    """A header, then a row a line; None after a problem was added. O(length)."""
    problems.add_file(file, text)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader, [])
        if len(header) < 2:
            hint = (
                "separate columns by commas" if ";" in text.partition("\n")[0] else "the first line names the columns"
            )
            problems.add(Place(file, 1, 1), "a table has at least two columns, for keys and values", hint)
            return None
        found = columns.found(header, problems)
        if found is None:
            return None
        rows = list(_csv_rows(file, reader, len(header), found, problems))
    except csv.Error as error:
        problems.add(Place(file, reader.line_num, 1), f"not a CSV file: {error}")
        return None
    lines = text.split("\n")
    return Rows(rows, lambda line, column: _cell(file, lines, line, found[column]))


def _csv_rows(file: str, reader: Any, width: int, found: tuple[int, int], problems: Problems) -> Iterator[Row]:
    key, value = found
    before = reader.line_num
    for count, cells in enumerate(reader):
        line, before = before + 1, reader.line_num
        if count == LOOKUP_ROWS_MAX:
            problems.add(
                Place(file, line, 1), f"a lookup has at most {LOOKUP_ROWS_MAX:,} rows", "use a list, or split it"
            )
            return
        if len(cells) == width:
            yield Row(cells[key], cells[value], line)
        elif cells:
            problems.add(
                Place(file, line, 1), f"{len(cells)} cells instead of {width}", "quote a cell that holds a comma"
            )


def _cell(file: str, lines: list[str], line: int, index: int) -> Place:
    """Where the cell of that index starts. Looked for only when something is wrong with it."""
    text, at, is_quoted = lines[line - 1], 0, False
    for position, char in enumerate(text):
        if char == '"':
            is_quoted = not is_quoted
        elif char == "," and not is_quoted:
            if index == 0:
                return Place(file, line, at + 1, max(1, position - at))
            index, at = index - 1, position + 1
    return Place(file, line, at + 1, max(1, len(text) - at))


# -- Parquet -----------------------------------------------------------------------------------------------------------
def read_parquet(file: str, content: bytes, columns: Columns, problems: Problems) -> Rows | None:
    """Its two columns, with the types that they have there; None after a problem was added."""
    place = Place(file, 1, 1)
    try:
        import pyarrow as pa  # noqa: PLC0415
        import pyarrow.parquet as pq  # noqa: PLC0415
    except ImportError:
        problems.add(columns.table, "Parquet needs pyarrow", 'pip install "frmcore[parquet]", or give a CSV file')
        return None
    try:
        parquet = pq.ParquetFile(pa.BufferReader(content))
        if not _is_bounded(parquet.metadata, place, problems):
            return None
        names = parquet.schema_arrow.names
        found = columns.found(names, problems)
        if found is None:
            return None
        table = parquet.read(columns=[names[index] for index in found])
    except (pa.ArrowException, OSError, ValueError) as error:
        problems.add(place, f"not a Parquet file: {str(error).splitlines()[0][:200]}")
        return None
    key, value = (table.column(names[index]) for index in found)
    types = [_type_of(pa, column.type) for column in (key, value)]
    for index, kind in zip(found, types, strict=True):
        if kind is None:
            hint = "give texts, whole numbers, decimals, floats, truth values or timestamps"
            problems.add(
                place, f"column {quoted(names[index])} is of type {table.schema.field(names[index]).type}", hint
            )
    if None in types:
        return None
    pairs = zip(key.to_pylist(), value.to_pylist(), strict=True)
    rows = [Row(_shown(k), _shown(v), number) for number, (k, v) in enumerate(pairs, 1)]
    return Rows(rows, lambda number, column: Place(file, number, found[column] + 1), types[0], types[1])


def _is_bounded(metadata: Any, place: Place, problems: Problems) -> bool:
    size = sum(metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups))
    if metadata.num_rows > LOOKUP_ROWS_MAX or size > _UNPACKED_MAX:
        problems.add(place, f"a lookup has at most {LOOKUP_ROWS_MAX:,} rows and {_UNPACKED_MAX:,} bytes unpacked")
        return False
    return True


def _type_of(pa: Any, kind: Any) -> Type | None:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    checks = pa.types
    if checks.is_string(kind) or checks.is_large_string(kind):
        return STRING
    if checks.is_boolean(kind):
        return BOOL
    if checks.is_integer(kind):
        return INT
    if checks.is_floating(kind):
        return FLOAT
    if checks.is_timestamp(kind) or checks.is_date(kind):
        return TIMESTAMP
    return decimal(kind.scale) if checks.is_decimal(kind) and 0 <= kind.scale <= SCALE_MAX else None


def _shown(value: object) -> str:
    """A cell as a CSV file would have it; "" for nothing."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case Decimal():
            return format(value, "f")
        case datetime():
            aware = value if value.tzinfo else value.replace(tzinfo=UTC)
            return str((aware - _EPOCH) // timedelta(milliseconds=1))
        case date():
            return value.isoformat()
    return str(value)
