"""Rows of CSV, JSON lines and Parquet files as events."""

from __future__ import annotations

import csv
import sys
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple, TypeAlias

import msgspec

from frmcore.cli.formats import BATCH, arrow, format_of
from frmcore.limits import JSON_BYTES_MAX
from frmcore.plan import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from frmcore.policy.tree import Policy

Fields: TypeAlias = "Mapping[str, tuple[tuple[str, ...], Kind]]"
"""Name -> where the field stands in an event, and its kind."""


EPOCH: Final = datetime.fromtimestamp(0, UTC)


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


def event_fields(policy: Policy) -> Fields:
    """What `read_rows` wants to know of a policy's events."""
    return {field.name: (field.path, field.type.kind) for field in policy.fields}


def update_fields(policy: Policy) -> Fields:
    """The columns of an updates file."""
    return {"id": (("id",), Kind.STRING), "at": (("at",), Kind.TIMESTAMP), "field": (("field",), Kind.STRING)}


def typed(text: str, kind: Kind) -> Any:
    """A text as the value it spells; as it is where it spells none, so that the engine says what is wrong."""
    try:
        if kind in (Kind.INT, Kind.MONEY):
            return int(text)
        if kind is Kind.FLOAT:
            return float(text)
        if kind is Kind.TIMESTAMP and text.lstrip("-").isdecimal():
            return int(text)
    except ValueError:
        return text
    return {"true": True, "false": False}.get(text.lower(), text) if kind is Kind.BOOL else text


def epoch_ms(value: object) -> int | None:
    """A time of an event in epoch milliseconds; None for what is no time, or one of no zone."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if isinstance(value, datetime) and value.tzinfo is not None:
        return (value - EPOCH) // timedelta(milliseconds=1)
    return value if type(value) is int else None


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
                    yield Row(reader.line_num, _nested(places, cells))
                elif cells:
                    yield Row(reader.line_num, None, f"{len(cells)} cells; the header has {len(header)}")
        except csv.Error as error:
            yield Row(reader.line_num, None, f"no CSV: {error}")


def _nested(places: list[tuple[tuple[str, ...], Kind]], cells: list[str]) -> dict[str, Any]:
    event: dict[str, Any] = {}
    for (path, kind), text in zip(places, cells, strict=True):
        if text:
            _put(event, path, typed(text, kind))
    return event


def _put(event: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for part in path[:-1]:
        event = event.setdefault(part, {})
    event[path[-1]] = value


def _read_parquet(path: str, fields: Fields) -> Iterator[Row]:
    pa = arrow()
    paths = {name: place for name, (place, _) in fields.items()} | {".".join(p): p for p, _ in fields.values()}
    row = 0
    try:
        with pa.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(BATCH):
                for cells in _with_plain_times(pa, batch).to_pylist():
                    row += 1
                    event: dict[str, Any] = {}
                    for name, value in cells.items():
                        if value is not None:
                            _put(event, paths.get(name, (name,)), value)
                    yield Row(row, event)
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
