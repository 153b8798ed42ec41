"""Rows of CSV, JSON lines and Parquet files as events."""

from __future__ import annotations

import csv
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import msgspec

from frmcore.cli.formats import BATCH, arrow, format_of
from frmcore.history.cells import nested, typed
from frmcore.limits import JSON_BYTES_MAX
from frmcore.plan import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from frmcore.history.cells import Fields


class Row(NamedTuple):
    """One row of an input: `event` is None where the line is no row at all, `error` says why."""

    line: int  # of CSV and JSON lines: the line it ends on, from 1; of Parquet: the row, from 1
    event: dict[str, Any] | None
    error: str = ""


def read_rows(path: str, fields: Fields) -> Iterator[Row]:
    """The rows of a file in order. `fields`: name -> where it stands in an event, and its kind; used where a format
    has no types (CSV). Empty cells and nulls are absent."""
    if format_of(path) == "csv":
        return _read_csv(path, fields)
    return _read_parquet(path, fields) if format_of(path) == "parquet" else _read_json(path)


def _read_json(path: str) -> Iterator[Row]:
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    with _opened(path) as file:
        for line, text in enumerate(_lines(file), 1):
            if text.isspace():
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


def _read_csv(path: str, fields: Fields) -> Iterator[Row]:
    by_column = {**fields, **{".".join(path): (path, kind) for path, kind in fields.values()}}
    with Path(path).open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        csv.field_size_limit(JSON_BYTES_MAX)
        reader = csv.reader(file)
        header = next(reader, [])
        places = [by_column.get(name, ((name,), Kind.STRING)) for name in header]
        try:
            for cells in reader:
                if len(cells) == len(header):
                    spelled = zip(places, cells, strict=True)
                    event = nested((path, typed(text, kind) if text else None) for (path, kind), text in spelled)
                    yield Row(reader.line_num, event)
                elif cells:
                    yield Row(reader.line_num, None, f"{len(cells)} cells; the header has {len(header)}")
        except csv.Error as error:
            yield Row(reader.line_num, None, f"no CSV: {error}")


def _read_parquet(path: str, fields: Fields) -> Iterator[Row]:
    pa = arrow()
    paths = {name: place for name, (place, _) in fields.items()} | {".".join(p): p for p, _ in fields.values()}
    row = 0
    try:
        with pa.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(BATCH):
                for cells in _with_plain_times(pa, batch).to_pylist():
                    row += 1
                    yield Row(row, nested((paths.get(name, (name,)), value) for name, value in cells.items()))
    except pa.ArrowInvalid as error:
        yield Row(row + 1, None, f"no Parquet: {error}")


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
