"""The events of a history: loaded from files, in order of their times."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from frmcore.errors import HistoryError
from frmcore.history.batches import NO_TIME, Batch
from frmcore.history.casts import Cast, cast, change_of
from frmcore.history.cells import nested
from frmcore.history.files import attempt, refused_lines
from frmcore.history.workspace import literal, quoted
from frmcore.names import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from frmcore.history.casts import Change
    from frmcore.history.files import Source
    from frmcore.history.workspace import Workspace
    from frmcore.policy.tree import Field, Policy

    Path = tuple[str, ...]

BATCH: Final = 16_384  # rows at hand at a time


@dataclass(frozen=True)
class Options:
    """How the files are read. `live`: the column with the outcome that took effect. `major`: amounts are in major units
    (129.90). `until`: events from then on are left out, epoch ms."""

    live: str | None = None
    major: bool = False
    until: int | None = None


class Column(NamedTuple):
    """A field's column: c0, c1, ... of the table, by its place."""

    path: Path
    cast: Cast


class Events:
    """The table `events`: ordinal (place in the files), t (epoch ms), live, back (earlier than the row before), and the
    columns that the policies read, typed; `odd`: of a row with a cell that spells no value of its type, the texts of
    all columns that may. Loading is one pass and one external sort."""

    def __init__(self, space: Workspace, source: Source, policies: Sequence[Policy], options: Options) -> None:
        self._space = space
        self._source = source
        self._live = options.live is not None
        fields = {field.path: field for policy in policies for field in policy.fields}
        self._paths = list(fields)
        self._columns = [] if source.is_json else _columns(space, source, fields, options)
        self._changes = {
            path: change
            for path, field in fields.items()
            if source.is_json and (change := change_of(field, major=options.major))
        }
        self._id = next(field for field in policies[0].fields if field.name == policies[0].id_field)
        _name(source, self._id)
        self._load(policies[0], options)

    @property
    def count(self) -> int:
        return int(self._space.row("SELECT count(*) AS n FROM events")["n"])

    @property
    def id(self) -> str:
        """SQL of an event's id."""
        if self._source.is_json:
            return self._source.text(".".join(self._id.path))
        return next(f"c{i}" for i, column in enumerate(self._columns) if column.path == self._id.path)

    def missing(self) -> dict[str, int]:
        """Path of a field -> number of events without it."""
        known = {column.path: f"count(c{i})" for i, column in enumerate(self._columns)}
        for k, (i, column) in enumerate(self._odd, 1):
            known[column.path] = f"count(coalesce(CAST(c{i} AS VARCHAR), odd[{k}]))"
        counts = [
            f"count({self._source.text('.'.join(path))})" if self._source.is_json else known.get(path, "0")
            for path in self._paths
        ]
        found = self._space.db.execute(f"SELECT count(*), {', '.join(counts)} FROM events").fetchone()
        total, *present = found or (0,)
        return {".".join(path): total - n for path, n in zip(self._paths, present, strict=True) if n < total}

    def batches(self) -> Iterator[Batch]:
        """In order of time; rows without a time first."""
        given = ["json"] if self._source.is_json else self._named
        live = ["live"] if self._live else []
        odd = ["odd"] if self._odd else []
        for batch in self._space.stream(f"SELECT ordinal, t, {', '.join([*live, *odd, *given])} FROM events", BATCH):
            yield self._batch(batch)

    @property
    def _named(self) -> list[str]:
        """The columns by their paths, as the engine looks for them."""
        return [f"c{i} AS {quoted('.'.join(column.path))}" for i, column in enumerate(self._columns)]

    @property
    def _odd(self) -> list[tuple[int, Column]]:
        """The columns whose cells may spell no value, with their places."""
        return [(i, column) for i, column in enumerate(self._columns) if column.cast.text]

    def _batch(self, batch: Any) -> Batch:
        ordinals = whole_numbers(batch.column("ordinal"))
        found = Batch(
            batch, whole_numbers(batch.column("t")), lambda row: f"event {ordinals[row]}",
            batch.column("live") if self._live else None,
        )  # fmt: skip
        if self._source.is_json:
            found.rows = [self._decode(text) for text in batch.column("json").to_pylist()]
            found.alone = {row: None for row, event in enumerate(found.rows) if event is None}
        elif self._odd and batch.column("odd").null_count < len(batch):
            texts = enumerate(batch.column("odd").to_pylist())
            found.alone = {row: self._alone(found, row, cells) for row, cells in texts if cells is not None}
        return found

    def _load(self, policy: Policy, options: Options) -> None:
        source, fields = self._source, {field.name: field for field in policy.fields}
        if options.live is not None:
            source.need(options.live)
        columns = ["json"] if source.is_json else [f"{each.cast.sql} AS c{i}" for i, each in enumerate(self._columns)]
        if options.live:
            columns.append(f"{source.text(options.live)} AS live")
        if self._odd:
            texts = ", ".join(str(each.cast.text) for _, each in self._odd)
            wrong = " OR ".join(f"({each.cast.text} IS NOT NULL AND {each.cast.sql} IS NULL)" for _, each in self._odd)
            columns.append(f"CASE WHEN {wrong} THEN [{texts}] END AS odd")
        time = f"coalesce({source.time(_name(source, fields[policy.time_field]))}, {NO_TIME}) AS t"
        read = f"SELECT row_number() OVER () AS ordinal, {', '.join([time, *columns])} FROM {source.scan}"
        seen = f"SELECT *, t < lag(t, 1, t) OVER () AND t > {NO_TIME} AS back FROM ({read})"
        kept = f"WHERE t < {options.until}" if options.until is not None else ""
        order = f"CREATE TABLE events AS SELECT * FROM ({seen}) {kept} ORDER BY t, ordinal"
        attempt(source.what, partial(self._space.db.execute, order))
        if not self.count:
            lines = refused_lines(self._space)
            why = f"; {len(lines):,} rows were refused, the first in line {lines[0][0]}: {lines[0][1]}" if lines else ""
            raise HistoryError(f"{source.what}: it has no events{' before --until' if kept else ''}{why}")

    def _alone(self, batch: Batch, row: int, texts: list[str | None]) -> Batch:
        """An event with cells that are left to the engine to refuse, or to Python to make sense of."""
        given = {path: batch.rows.column(".".join(path))[row].as_py() for path, _ in self._columns}
        for (_, column), text in zip(self._odd, texts, strict=True):
            given[column.path] = column.cast.change(text) if column.cast.change and text is not None else None
        live = None if batch.live is None else batch.live.slice(row, 1)
        return Batch([nested(given.items())], batch.times[row : row + 1], lambda _: batch.place(row), live)

    def _decode(self, text: str | None) -> dict[str, Any] | None:
        try:
            event = _from_json(text) if text is not None else None
        except (msgspec.DecodeError, RecursionError):
            return None
        if event is not None:
            for path, change in self._changes.items():
                _change_at(event, path, change)
        return event


_from_json: Final = msgspec.json.Decoder(dict[str, Any]).decode


def whole_numbers(array: Any) -> memoryview:
    """An Arrow column of int64 without nulls, as it lies in memory."""
    cells = memoryview(array.buffers()[1]).cast("q")
    return cells[array.offset : array.offset + len(array)]


def at(value: Any, path: Path) -> Any:
    """What an event has at a path; None where that is nothing."""
    for part in path:
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _change_at(event: dict[str, Any], path: Path, change: Change) -> None:
    inner = at(event, path[:-1])
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


def _columns(space: Workspace, source: Source, fields: dict[Path, Field], options: Options) -> list[Column]:
    """Of the fields that the files have."""
    names = {}
    for path, field in fields.items():
        name = next((name for name in (".".join(path), field.name) if source.column(name)), None)
        if name is not None:
            names[path] = name
    given = ", ".join(f"{source.column(name)} AS c{i}" for i, name in enumerate(names.values())) or "NULL"
    kinds = [row["column_type"] for row in space.rows(f"DESCRIBE SELECT {given} FROM {source.scan}")]
    return [
        Column(path, cast(source, name, kind, fields[path], major=options.major))
        for (path, name), kind in zip(names.items(), kinds, strict=False)
    ]
