"""The events of a history: loaded from files, in order of their times."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from frmcore.currency import parse_money
from frmcore.errors import HistoryError
from frmcore.history.cells import nested, typed
from frmcore.history.files import attempt
from frmcore.history.workspace import literal, quoted
from frmcore.names import nearest
from frmcore.plan import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from frmcore.history.files import Source
    from frmcore.history.workspace import Workspace
    from frmcore.policy.tree import Field, Policy

    Path = tuple[str, ...]

BATCH: Final = 4_096  # rows in Python's hands at a time


class Row(NamedTuple):
    """One event of a history. `event` None: the row was none. `live`: the outcome that took effect then, where told."""

    ordinal: int
    time: int | None
    event: dict[str, Any] | None
    live: str | None


@dataclass(frozen=True)
class Options:
    """How the files are read. `live`: the column with the outcome that took effect. `major`: amounts are in major units
    (129.90). `until`: events from then on are left out, epoch ms."""

    live: str | None = None
    major: bool = False
    until: int | None = None


class Events:
    """The table `events`: ordinal (place in the files), t (epoch ms), id, live, back (earlier than the row before), and
    the columns that the policies read. Loading is one pass and one external sort."""

    def __init__(self, space: Workspace, source: Source, policies: Sequence[Policy], options: Options) -> None:
        self._space = space
        self._source = source
        self._fields = {field.path: field for policy in policies for field in policy.fields}
        self._change = {
            path: change for path, field in self._fields.items() if (change := _change(field, source, options))
        }
        self._columns = [] if source.is_json else _columns(source, self._fields)
        self._load(policies[0], options)

    @property
    def count(self) -> int:
        return int(self._space.row("SELECT count(*) AS n FROM events")["n"])

    def missing(self) -> dict[str, int]:
        """Path of a field -> number of events without it."""
        paths = [".".join(path) for path in self._fields]
        known = {".".join(path): f"c{i}" for i, (path, _) in enumerate(self._columns)}
        sql = ", ".join(
            f"count({self._source.text(path) if self._source.is_json else known.get(path, 'NULL')})" for path in paths
        )
        found = self._space.db.execute(f"SELECT count(*), {sql} FROM events").fetchone()
        total, *present = found or (0,)
        return {path: total - n for path, n in zip(paths, present, strict=True) if n < total}

    def rows(self) -> Iterator[Row]:
        """In order of time; rows without a time first."""
        given = "json" if self._source.is_json else ", ".join(f"c{i}" for i in range(len(self._columns))) or "NULL"
        decode = self._decode_json if self._source.is_json else self._decode_cells
        cursor = self._space.db.cursor().execute(f"SELECT ordinal, t, live, {given} FROM events")
        while rows := cursor.fetchmany(BATCH):
            for ordinal, time, live, *cells in rows:
                yield Row(ordinal, time, decode(cells), live)

    def _load(self, policy: Policy, options: Options) -> None:
        source, fields = self._source, {field.name: field for field in policy.fields}
        ident, time = (_name(source, fields[role]) for role in (policy.id_field, policy.time_field))
        if options.live is not None:
            source.need(options.live)
        columns = ["json"] if source.is_json else [f"{sql} AS c{i}" for i, (_, sql) in enumerate(self._columns)]
        head = f"row_number() OVER () AS ordinal, {source.time(time)} AS t, {source.text(ident)} AS id"
        live = source.text(options.live) if options.live else "NULL::VARCHAR"
        read = f"SELECT {', '.join([head, f'{live} AS live', *columns])} FROM {source.scan}"
        seen = f"SELECT *, coalesce(t < lag(t) OVER (), false) AS back FROM ({read})"
        kept = f"WHERE t IS NULL OR t < {options.until}" if options.until is not None else ""
        order = f"CREATE TABLE events AS SELECT * FROM ({seen}) {kept} ORDER BY t NULLS FIRST, ordinal"
        attempt(source.what, partial(self._space.db.execute, order))
        if not self.count:
            raise HistoryError(f"{source.what}: it has no events{' before --until' if kept else ''}")

    def _decode_cells(self, cells: list[Any]) -> dict[str, Any]:
        changed = [
            (path, value if value is None or path not in self._change else self._change[path](value))
            for (path, _), value in zip(self._columns, cells, strict=False)
        ]
        return nested(changed)

    def _decode_json(self, cells: list[Any]) -> dict[str, Any] | None:
        try:
            event = _decode(cells[0]) if cells[0] is not None else None
        except (msgspec.DecodeError, RecursionError):
            return None
        if event is not None:
            for path, change in self._change.items():
                _change_at(event, path, change)
        return event


_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode


def _change_at(event: dict[str, Any], path: Path, change: Callable[[Any], Any]) -> None:
    inner: Any = event
    for part in path[:-1]:
        inner = inner.get(part) if isinstance(inner, dict) else None
    if isinstance(inner, dict) and inner.get(path[-1]) is not None:
        inner[path[-1]] = change(inner[path[-1]])


def _name(source: Source, field: Field) -> str:
    """The column of a field that every event has: by the field's name, or its path."""
    path = ".".join(field.path)
    if source.is_json:
        if field.path[0] in source.columns:
            return path
    elif found := next((name for name in (path, field.name) if source.column(name)), None):
        return found
    hint = nearest(path, source.columns) or f"it has {', '.join(source.columns) or 'no keys'}"
    raise HistoryError(
        f"{source.what}: there is no column {literal(path)}, which the policy's field {field.name} reads; {hint}"
    )


def _columns(source: Source, fields: dict[Path, Field]) -> list[tuple[Path, str]]:
    """(path in the event, SQL) of each field that the files have."""
    found = []
    for path, field in fields.items():
        name = next((name for name in (".".join(path), field.name) if source.column(name)), None)
        if name is not None:
            found.append((path, _cell(source, name, field.type.kind)))
    return found


def _cell(source: Source, name: str, kind: Kind) -> str:
    """SQL of a column's values as the engine takes them; what does not fit stays as it is, for the engine to refuse."""
    sql, given = source.column(name) or quoted(name), source.columns.get(name, "")
    if given.startswith("TIMESTAMP"):
        return f"epoch_ms({sql})"
    as_text = kind in (Kind.STRING, Kind.ENUM, Kind.IP) and given != "BLOB"
    if as_text or given.startswith(("DECIMAL", "ENUM", "UUID", "DATE")) or source.format in ("csv", "tsv"):
        return f"NULLIF(CAST({sql} AS VARCHAR), '')" if source.format in ("csv", "tsv") else f"CAST({sql} AS VARCHAR)"
    return sql


def _change(field: Field, source: Source, options: Options) -> Callable[[Any], Any] | None:
    """What makes a cell's value the event's; None: it is that already."""
    kind = field.type.kind
    if kind is Kind.MONEY and options.major:
        if field.currency_field:
            raise HistoryError(
                f"amounts in major units: the currency of {field.name} differs from event to event; convert them before"
            )
        return partial(_minor, currency=field.type.currency)
    return partial(typed, kind=kind) if source.format in ("csv", "tsv") else None


def _minor(value: Any, currency: str) -> Any:
    """129.9 -> 12990. What is no number, or finer than the currency, stays as it is."""
    found = parse_money(str(value), currency)
    return value if found is None else found
