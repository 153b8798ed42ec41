"""Columns of decisions into the table `decided`, with what is known of each beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from frmcore.history.decided import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from frmcore import Decision, Engine
    from frmcore._fast import Book
    from frmcore.history.batches import Batch
    from frmcore.history.decided import Facts
    from frmcore.history.workspace import Workspace

ROWS: Final = 16_384  # that are written at once
BYTES: Final = 1 << 26  # of records, likewise


class Writer:
    """`place` what is to be decided, fill `columns` (of each engine), say `filled`, `flush` at the end. What is decided
    has a tag: its place in the run, from 1."""

    def __init__(self, space: Workspace, facts: Facts, engines: Sequence[Engine] = ()) -> None:
        self.facts, self.written, self.late = facts, 0, 0
        self.columns = [facts.columns(engine.book) for engine in engines]
        self._space, self._engines = space, engines
        self._tag = self._start = 1  # of what comes next; of the first that is not written
        self._live: list[Any] = []  # pyarrow arrays, or a number of unknown ones
        self._recorded: list[Decision | None] = []
        space.create("decided", COLUMNS)

    def place(self, batch: Batch, first: int, last: int) -> int:
        """The tag of the first of these rows."""
        tag, self._tag = self._tag, self._tag + last - first
        self._live.append(last - first if batch.live is None else batch.live.slice(first, last - first))
        self._recorded += [None] * (last - first) if batch.recorded is None else batch.recorded[first:last]
        return tag

    def add(self, decisions: Sequence[Decision], recorded: Decision | None = None) -> None:
        """One decision by each engine, about the same event."""
        for columns, decision in zip(self.columns, decisions, strict=True):
            columns.add(decision, self._tag)
        self._tag += 1
        self._live.append(1)
        self._recorded.append(recorded)
        self.filled()

    def turn_to(self, book: Book) -> None:
        """What is added from now on was decided by another policy."""
        self.flush()
        self.columns = [self.facts.columns(book)]

    def filled(self) -> None:
        if self.columns[0].count >= ROWS or self.columns[0].size >= BYTES:
            self.flush()

    def flush(self) -> None:
        if self.columns and self.columns[0].count:
            table = self.facts.table(self.columns[0])
            table = self._beside(self._based(table) if len(self.columns) > 1 else table)
            self._space.insert("decided", table)
            self.written += len(table)
            self.late += table["late"].to_pylist().count(True)
        for columns in self.columns:
            columns.take()
        self._start = self._tag
        self._live.clear()
        self._recorded.clear()

    def _based(self, table: Any) -> Any:
        """With the baseline's decisions beside; what it refused is measured of neither."""
        import pyarrow.compute as pc  # noqa: PLC0415

        base = self.facts.table(self.columns[1])
        found = pc.index_in(table["n"], value_set=base["n"])
        table, base = table.filter(pc.is_valid(found)), base.take(found.drop_null())
        return table.append_column("base_outcome", base["outcome"]).append_column("base_fired", base["fired"])

    def _beside(self, table: Any) -> Any:
        """With what took effect then."""
        import pyarrow as pa  # noqa: PLC0415

        places = [tag - self._start for tag in table["n"].to_pylist()] if self._knows_more else []
        if any(self._recorded):
            return self._compared(table, [self._recorded[place] for place in places])
        if places:
            parts = [pa.nulls(each, pa.string()) if isinstance(each, int) else each for each in self._live]
            live = pa.chunked_array([part.cast(pa.string()) for part in parts])
            table = table.append_column("live", live.take(pa.array(places)))
        return table

    @property
    def _knows_more(self) -> bool:
        return any(self._recorded) or not all(isinstance(each, int) for each in self._live)

    def _compared(self, table: Any, recorded: list[Decision | None]) -> Any:
        """With a store's decisions beside."""
        import pyarrow as pa  # noqa: PLC0415

        outcomes = pa.array([None if d is None else d.outcome for d in recorded], pa.string())
        if len(self.columns) == 1:
            fired = pa.array([None if d is None else d.fired for d in recorded], pa.list_(pa.string()))
            table = table.append_column("base_outcome", outcomes).append_column("base_fired", fired)
        decision_of = self._engines[0].decision_of
        pairs = zip(table["record"].to_pylist(), recorded, strict=True)
        same = [None if d is None else is_same(decision_of(record), d) for record, d in pairs]
        return table.append_column("live", outcomes).append_column("same", pa.array(same, pa.bool_()))


def is_same(a: Decision, b: Decision) -> bool:
    """Bit for bit the same verdict from the same values: all that a decision says, but when and by which policy."""
    return (
        (a.outcome, a.score, a.fired, a.shadow, a.unknown, a.exempted, a.lists, a.notes, a.late)
        == (b.outcome, b.score, b.fired, b.shadow, b.unknown, b.exempted, b.lists, b.notes, b.late)
    ) and _bits(a) == _bits(b)


def _bits(decision: Decision) -> list[tuple[str, Any]]:
    """Floats as the bits that they are: -0.0 is not 0.0."""
    return [(name, value.hex() if isinstance(value, float) else value) for name, value in decision.features.items()]
