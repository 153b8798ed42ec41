"""Rows of CSV, JSON lines and Parquet files as events."""

from __future__ import annotations

import csv
import sys
from codecs import BOM_UTF8
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple

import msgspec

from frmcore._fast import shorten
from frmcore.cli.formats import BATCH, arrow, format_of, separator
from frmcore.history.cells import nested, typed
from frmcore.limits import JSON_BYTES_MAX
from frmcore.plan import Kind

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Iterator, Sequence

    from frmcore.history.cells import Fields

SEPARATORS: Final = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
COLUMNS_SHOWN: Final = 12  # in a message


class Row(NamedTuple):
    """One row of an input: `event` is None where the line is no row at all, `error` says why."""

    line: int  # of CSV and JSON lines: the line it ends on, from 1; of Parquet: the row, from 1
    event: dict[str, Any] | None
    error: str = ""


def read_rows(path: str, fields: Fields, needed: Collection[str] = ()) -> Iterator[Row]:
    """The rows of a file in order. `fields`: name -> where it stands in an event, and its kind; used where a format
    has no types (CSV). `needed`: fields without which no row is one: a table that has no column for one of them is
    refused as a whole, in one row. Empty cells and nulls are absent."""
    if format_of(path) == "csv":
        return _read_csv(path, fields, needed)
    return _read_parquet(path, fields, needed) if format_of(path) == "parquet" else _read_json(path)


def _read_json(path: str) -> Iterator[Row]:
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    with _opened(path) as file:
        for line, text in enumerate(_lines(file), 1):
            if line == 1:
                text = text.removeprefix(BOM_UTF8)  # noqa: PLW2901
            if not text.strip():
                continue
            try:
                row = Row(line, decode(text))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                row = Row(line, None, f"no JSON object: {error}")
            yield row


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a file; of one that is too long only its start, which is no JSON."""
    while text := file.readline(JSON_BYTES_MAX):
        yield text
        while len(text) == JSON_BYTES_MAX and not text.endswith(b"\n"):
            text = file.readline(JSON_BYTES_MAX)


def _read_csv(path: str, fields: Fields, needed: Collection[str]) -> Iterator[Row]:
    by_column = {**fields, **{".".join(path): (path, kind) for path, kind in fields.values()}}
    with Path(path).open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        csv.field_size_limit(JSON_BYTES_MAX)
        reader = csv.reader(file, delimiter=separator(path))
        try:
            header = next(reader, None)
            if header is None:
                return
            places = [by_column.get(name, ((name,), Kind.STRING)) for name in header]
            if missing := [name for name in needed if fields[name] not in places]:
                yield Row(1, None, _no_header(missing, header, by_column, separator(path)))
                return
            for cells in reader:
                if len(cells) == len(header):
                    spelled = zip(places, cells, strict=True)
                    event = nested((path, typed(text, kind) if text else None) for (path, kind), text in spelled)
                    yield Row(reader.line_num, event)
                elif cells:
                    yield Row(reader.line_num, None, f"{len(cells)} cells; the header has {len(header)}")
        except csv.Error as error:
            yield Row(reader.line_num, None, f"no CSV: {error}")


def _no_columns(missing: Collection[str], columns: Sequence[str]) -> str:
    shown = ", ".join(map(shorten, columns[:COLUMNS_SHOWN])) + (", ..." if len(columns) > COLUMNS_SHOWN else "")
    return f"there is no column {' and no column '.join(missing)}; its columns: {shown or 'none'}"


def _no_header(missing: Collection[str], header: list[str], known: Container[str], used: str) -> str:
    """A first line that lacks what is needed, and what is likely wrong with it."""
    text = used.join(header)
    if text.startswith(("\udcff\udcfe", "\udcfe\udcff")):
        return "it is UTF-16: save it as UTF-8"
    told = _no_columns(missing, header)
    for mark, name in SEPARATORS.items():
        if mark != used and any(cell in known for cell in text.split(mark)):
            return f"{told}; its cells are separated by {name}, not by {SEPARATORS[used]}"
    return told if any(name in known for name in header) else f"{told}; the first line has to name the columns"


def _read_parquet(path: str, fields: Fields, needed: Collection[str]) -> Iterator[Row]:
    pa = arrow()
    paths = {name: place for name, (place, _) in fields.items()} | {".".join(p): p for p, _ in fields.values()}
    row = 0
    with Path(path).open("rb") as opened:
        try:
            with pa.parquet.ParquetFile(opened) as file:
                leaves = [file.schema.column(index).path for index in range(len(file.schema))]
                if missing := [name for name in needed if not _has(leaves, name, ".".join(fields[name][0]))]:
                    yield Row(1, None, _no_columns(missing, file.schema_arrow.names))
                    return
                # Only what the policy reads: what else the file holds may be nothing that Python has a form for.
                for batch in file.iter_batches(BATCH, columns=list(paths)):
                    for cells, error in _cells(pa, _with_plain_times(pa, batch)):
                        row += 1
                        event = nested((paths.get(name, (name,)), value) for name, value in cells.items())
                        yield Row(row, None if error else event, error)
        except (pa.ArrowException, OSError) as error:
            yield Row(row + 1, None, f"no Parquet: {error}")


def _has(leaves: list[str], *names: str) -> bool:
    """Whether a table has a column of one of the names, or one that leads to it."""
    return any(leaf == name or leaf.startswith(f"{name}.") for leaf in leaves for name in names)


def _cells(pa: Any, batch: Any) -> Iterator[tuple[dict[str, Any], str]]:
    """Each row, or what is wrong with it: bytes that are no UTF-8, times that Python has not, spoil their row alone."""
    try:
        for cells in batch.to_pylist():
            yield cells, ""
        return
    except (ValueError, OverflowError):
        pass
    for index in range(batch.num_rows):
        try:
            yield batch.slice(index, 1).to_pylist()[0], ""
        except (ValueError, OverflowError) as error:
            yield {}, f"it can't be read: {error}"


def _with_plain_times(pa: Any, batch: Any) -> Any:
    """Timestamps as epoch milliseconds: those without a zone are UTC, finer ones are cut."""
    columns = [
        column.cast(pa.timestamp("ms", column.type.tz), safe=False).cast(pa.int64())
        if pa.types.is_timestamp(column.type)
        else column
        for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


@contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    if path == "-":
        yield sys.stdin.buffer
        return
    with Path(path).open("rb") as file:
        yield file
