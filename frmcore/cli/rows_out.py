"""Rows to CSV, JSON lines and Parquet files."""

from __future__ import annotations

import csv
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeAlias

import msgspec

from frmcore.cli.formats import BATCH, arrow, format_of, separator
from frmcore.cli.output import replacing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Write: TypeAlias = Callable[[Mapping[str, Any]], None]

LIST: Final = list[str]
"""A column of several texts: a list in JSON and Parquet, joined by "; " in CSV."""

Columns: TypeAlias = "Mapping[str, Any]"
"""Name -> str, int, float, bool or LIST."""


@contextmanager
def writer(path: str, columns: Columns) -> Iterator[Write]:
    """Writes rows (name -> value; missing or None is absent) to a file, which is there once all are written; nested
    mappings only to JSON lines."""
    kind = format_of(path)
    if path == "-":
        yield _json_lines(sys.stdout.buffer)
        sys.stdout.buffer.flush()
    elif kind == "csv":
        with replacing(Path(path)) as part, part.open("w", encoding="utf-8", newline="") as text:
            yield _csv_rows(csv.writer(text, delimiter=separator(path), lineterminator="\n"), columns)
    elif kind == "parquet":
        with replacing(Path(path)) as part, _parquet_rows(part, columns) as write:
            yield write
    else:
        with replacing(Path(path)) as part, part.open("wb") as file:
            yield _json_lines(file)


def _json_lines(file: BinaryIO) -> Write:
    encode = msgspec.json.Encoder().encode

    def write(row: Mapping[str, Any]) -> None:
        file.write(encode(row) + b"\n")

    return write


def _csv_rows(rows: Any, columns: Columns) -> Write:
    rows.writerow(columns)

    def write(row: Mapping[str, Any]) -> None:
        rows.writerow([_cell(row.get(name)) for name in columns])

    return write


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "; ".join(value) if isinstance(value, list | tuple) else value


@contextmanager
def _parquet_rows(path: Path, columns: Columns) -> Iterator[Write]:
    pa = arrow()
    types = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_(), LIST: pa.list_(pa.string())}
    schema = pa.schema([(name, types[kind]) for name, kind in columns.items()])
    rows: list[Mapping[str, Any]] = []
    with pa.parquet.ParquetWriter(path, schema) as file:

        def flush() -> None:
            file.write_table(pa.Table.from_pylist(rows, schema))
            rows.clear()

        def write(row: Mapping[str, Any]) -> None:
            rows.append(row)
            if len(rows) == BATCH:
                flush()

        yield write
        flush()
