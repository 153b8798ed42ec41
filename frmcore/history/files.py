"""Files of a history as relations of the workspace: Parquet, CSV, TSV and JSON lines, one or many."""

from __future__ import annotations

import glob
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from frmcore.errors import HistoryError
from frmcore.history.workspace import literal, needs_duckdb, quoted
from frmcore.limits import JSON_BYTES_MAX
from frmcore.names import nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from frmcore.history.workspace import Workspace

_FORMATS: Final = {".parquet": "parquet", ".csv": "csv", ".tsv": "tsv", ".jsonl": "json", ".ndjson": "json"}
_SAMPLE: Final = 1_000  # objects that tell the keys of JSON lines
_WHOLE: Final = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")
_PLAIN: Final = (
    ("Maximum line size", "a row is larger than 2 MB: is a quote left open?"),
    ("Error when sniffing file", "its rows are no CSV: is a quote left open?"),
    ("Could not convert Timestamp", "a timestamp is too far away to be one: is it in another unit?"),
)  # what duckdb says, and what that means
_INSTANT: Final = "[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ].*([Zz]|[+-][0-9]{2}:?[0-9]{2})"


@dataclass(frozen=True)
class Source:
    """Some files of one format. `scan` stands behind FROM, where JSON lines have one column `json`; `columns`: name
    -> SQL type, of JSON lines the keys of the first objects."""

    what: str  # for messages: "history", "labels"
    format: str
    scan: str
    columns: dict[str, str]

    @property
    def is_json(self) -> bool:
        return self.format == "json"

    @property
    def is_text(self) -> bool:
        """Are all cells texts, whatever they mean?"""
        return self.format in ("csv", "tsv")

    def has(self, name: str) -> bool:
        return name in self.columns

    def text(self, name: str) -> str:
        """SQL of a column's values as texts; NULL where there is none, or an empty cell. Of JSON and of a Parquet
        struct the name may be a path: `payment.id`."""
        if self.is_json:
            return f"json->>{literal('$.' + '.'.join(map(quoted, name.split('.'))))}"
        found = self.column(name)
        return f"NULLIF(CAST({found} AS VARCHAR), '')" if found else "NULL"

    def column(self, name: str) -> str | None:
        """SQL of a column as it is, by its name or by its path in a struct; None where there is none."""
        if name in self.columns:
            return quoted(name)
        head, *rest = name.split(".")
        inside = bool(rest) and self.columns.get(head, "").startswith("STRUCT")
        return ".".join(map(quoted, (head, *rest))) if inside else None

    def time(self, name: str) -> str:
        """SQL of a column's values as epoch ms: whole numbers, timestamps (UTC unless they say otherwise), RFC 3339."""
        kind = "VARCHAR" if self.is_json else self.columns.get(name, "VARCHAR")
        if kind.startswith("TIMESTAMP"):
            return f"epoch_ms({instant(quoted(name), kind)})"
        if kind in _WHOLE:
            return f"CAST({quoted(name)} AS BIGINT)"
        if kind != "VARCHAR":
            raise HistoryError(f"{self.what}: column {name} is {kind}: a time is a timestamp, epoch ms or RFC 3339")
        text = self.text(name)
        spelled = (
            f"CASE WHEN regexp_full_match({text}, '{_INSTANT}') THEN epoch_ms(TRY_CAST({text} AS TIMESTAMPTZ)) END"
        )
        return f"COALESCE(TRY_CAST({text} AS BIGINT), {spelled})"

    def need(self, *names: str) -> None:
        """Raises HistoryError where a column is missing."""
        for name in names:
            if not self.has(name):
                hint = nearest(name, self.columns) or f"it has {', '.join(self.columns)}"
                raise HistoryError(f'{self.what}: there is no column "{name}"; {hint}')

    def one_of(self, *names: str) -> str | None:
        """The first of the names that is a column."""
        return next((name for name in names if self.has(name)), None)


def instant(column: str, kind: str) -> str:
    """SQL of a timestamp column as `epoch_ms` takes it, which knows no nanoseconds with a zone."""
    return f"CAST({column} AS TIMESTAMPTZ)" if kind == "TIMESTAMPTZ_NS" else column


def opened(space: Workspace, what: str, patterns: Sequence[str]) -> Source:
    """The files that the paths and patterns (`*`, `?`, `**`) name, as one. Raises HistoryError, with the file."""
    paths = [path for pattern in patterns for path in _paths(what, pattern)]
    formats = {_format(what, path) for path in paths}
    if len(formats) != 1:
        raise HistoryError(f"{what}: the files have several formats ({', '.join(sorted(formats))}): give those of one")
    (kind,) = formats
    scan = _scan(kind, paths)
    shown = f"{what} {paths[0]}" if len(paths) == 1 else f"{what} {patterns[0]}"
    source = Source(shown, kind, scan, attempt(shown, lambda: _columns(space, kind, scan)))
    if kind in ("csv", "tsv") and not any(name.strip() for name in source.columns):
        raise HistoryError(f"{shown}: there is no header")
    return source


def attempt(what: str, action: Any) -> Any:
    """Runs what reads a file. What duckdb says of it becomes a HistoryError."""
    duckdb = needs_duckdb()
    try:
        return action()
    except duckdb.OutOfMemoryException as error:
        raise HistoryError(
            f"{what}: its rows are too wide to be sorted in so little memory: give more --memory"
        ) from error
    except duckdb.Error as error:
        told = str(error)
        said = next((plain for mark, plain in _PLAIN if mark in told), told.partition("\n")[0])
        for mark in ("Invalid Input Error: ", "IO Error: ", "Conversion Error: ", "Binder Error: "):
            said = said.removeprefix(mark)
        raise HistoryError(f"{what}: {said}") from error


def refused_lines(space: Workspace) -> list[tuple[int, str]]:
    """(line, what is wrong) of the CSV rows that were left out since the workspace was opened."""
    known = space.rows("SELECT 1 FROM duckdb_tables() WHERE table_name = 'reject_errors'")
    if not known:
        return []
    found = space.rows(
        "SELECT line, min(error_message) AS error_message FROM reject_errors GROUP BY scan_id, file_id, line "
        "ORDER BY scan_id, file_id, line"
    )
    return [(row["line"], str(row["error_message"]).partition("\n")[0]) for row in found]


def _paths(what: str, pattern: str) -> Iterable[str]:
    if any(mark in pattern for mark in "*?[") and not Path(pattern).exists():
        found = sorted(path for path in glob.glob(pattern, recursive=True) if Path(path).is_file())  # noqa: PTH207
        if not found:
            raise HistoryError(f"{what}: no file fits {pattern}")
        return found
    if not Path(pattern).exists():
        raise HistoryError(f"{what}: {pattern}: no such file")
    if Path(pattern).is_dir():
        raise HistoryError(f"{what}: {pattern} is a folder: give its files, as in {pattern}/*.parquet")
    if Path(pattern).stat().st_size == 0:
        raise HistoryError(f"{what}: {pattern} is empty")
    return [pattern]


def _format(what: str, path: str) -> str:
    name = path.lower().removesuffix(".gz")
    found = next((kind for ending, kind in _FORMATS.items() if name.endswith(ending)), None)
    if found is None or (found == "parquet" and path.lower().endswith(".gz")):
        raise HistoryError(
            f"{what}: {path}: the ending says the format: .parquet, .csv, .tsv or .jsonl (these with .gz)"
        )
    return found


def _columns(space: Workspace, kind: str, scan: str) -> dict[str, str]:
    if kind != "json":
        return {row["column_name"]: row["column_type"] for row in space.rows(f"DESCRIBE SELECT * FROM {scan}")}
    some = f"SELECT json FROM {scan} WHERE json_type(json) = 'OBJECT' LIMIT {_SAMPLE}"
    return {
        row["key"]: "VARCHAR" for row in space.rows(f"SELECT DISTINCT unnest(json_keys(json)) AS key FROM ({some})")
    }


def _scan(kind: str, paths: Sequence[str]) -> str:
    files = f"[{', '.join(map(literal, paths))}]"
    if kind == "parquet":
        return f"read_parquet({files}, union_by_name = true)"
    if kind == "json":
        return f"read_ndjson_objects({files}, ignore_errors = true, maximum_object_size = {JSON_BYTES_MAX})"
    mark = "','" if kind == "csv" else r"E'\t'"
    shape = f"delim = {mark}, quote = '\"', escape = '\"', header = true, all_varchar = true"
    rest = f"{shape}, ignore_errors = true, store_rejects = true"
    return f"({' UNION ALL BY NAME '.join(f'SELECT * FROM read_csv({literal(path)}, {rest})' for path in paths)})"
