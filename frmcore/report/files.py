"""The tables of a run as Excel, JSON and Parquet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from frmcore.currency import exponent
from frmcore.errors import HistoryError
from frmcore.history.decided import COLUMNS
from frmcore.history.workspace import arrow_types
from frmcore.plan import Kind, Rep

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from frmcore.history.backtest import Backtest
    from frmcore.policy.tree import Type

    Table = list[dict[str, Any]]

ROWS_MAX: Final = 1_048_575  # of a sheet, below its header
_BATCH: Final = 8_192


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n")


def write_xlsx(path: Path, tables: Mapping[str, list[dict[str, Any]]]) -> None:
    """One sheet a table, with a header that stays and filters. Texts are never taken for formulas."""
    try:
        import xlsxwriter  # type: ignore[import-untyped]  # noqa: PLC0415
    except ImportError:
        raise HistoryError('Excel files need xlsxwriter: pip install "frmcore[report]"') from None
    options = {
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "nan_inf_to_errors": True,
        "constant_memory": True,
    }
    with xlsxwriter.Workbook(str(path), options) as book:
        bold, part = book.add_format({"bold": True}), book.add_format({"num_format": "0.00%"})
        for name, rows in tables.items():
            _sheet(book.add_worksheet(name), rows[:ROWS_MAX], bold, part)


def _sheet(sheet: Any, rows: list[dict[str, Any]], bold: Any, part: Any) -> None:
    names = list(rows[0]) if rows else ["(nothing)"]
    sheet.write_row(0, 0, names, bold)
    sheet.freeze_panes(1, 0)
    sheet.autofilter(0, 0, max(len(rows), 1), len(names) - 1)
    sheet.set_column(0, len(names) - 1, 16)
    for i, row in enumerate(rows, 1):
        for j, (name, value) in enumerate(row.items()):
            sheet.write(i, j, value, part if is_part(name) and value is not None else None)


def is_part(name: str) -> bool:
    """Is it a ratio of 0 to 1?"""
    return name.endswith(("precision", "recall", "_rate", "share")) and name != "average_precision"


def in_major(tables: Mapping[str, Table], currency: str) -> dict[str, Table]:
    """With amounts in units that people count in, and the currency in their headings: 12990 is 129.90."""
    unit = 10 ** (exponent(currency) or 0)
    return {
        name: [dict(_major(*cell, unit, currency) for cell in row.items()) for row in rows]
        for name, rows in tables.items()
    }


def _major(name: str, value: Any, unit: int, currency: str) -> tuple[str, Any]:
    if not currency or "amount" not in name:
        return name, value
    return f"{name} ({currency})", None if value is None else value / unit


def write_decisions(path: Path, run: Backtest) -> None:
    """Every decision with its truth, and its features as columns `feature.NAME`."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    types = arrow_types()
    known = {name: types[kind] for name, kind in COLUMNS.items() if not name.startswith("record")}
    known |= {"truth": types["VARCHAR"], "stopped": types["BOOLEAN"], "told": types["BIGINT"]}
    features = {f"feature.{feature.name}": _arrow(pa, feature.type) for feature in run.policy.features}
    given = ", ".join(f"s.{name}" if name in ("truth", "stopped", "told") else f"d.{name}" for name in known)
    cursor = run.space.db.cursor().execute(
        f"SELECT {given}, d.record, d.record_size FROM decided d LEFT JOIN scored s ON s.n = d.n ORDER BY d.n"
    )
    schema = pa.schema([*known.items(), *features.items()])
    with pq.ParquetWriter(path, schema) as file:
        while rows := cursor.fetchmany(_BATCH):
            columns: list[Any] = list(zip(*rows, strict=True))
            sizes, places = columns.pop(), columns.pop()
            values = [run.decision_of(run.space.kept(*each)).features for each in zip(places, sizes, strict=True)]
            columns += [[row[feature.name] for row in values] for feature in run.policy.features]
            arrays = [pa.array(column, kind) for column, kind in zip(columns, schema.types, strict=True)]
            file.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))


def _arrow(pa: Any, kind: Type) -> Any:
    if kind.kind is Kind.BOOL:
        return pa.bool_()
    if kind.kind is Kind.ENUM or kind.rep is Rep.TEXT:
        return pa.string()
    return pa.float64() if kind.rep is Rep.FLOAT or kind.kind is Kind.DECIMAL else pa.int64()
