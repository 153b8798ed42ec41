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
    from frmcore.history.verdicts import Lots
    from frmcore.history.workspace import Workspace

ROWS: Final = 16_384  # that are written at once
BYTES: Final = 1 << 26  # of records, likewise


class Writer:
    """`place` what is to be decided, fill `columns` (of each engine), say `filled`, `flush` at the end. What is decided
    has a tag: its place in the run, from 1."""

    def __init__(self, space: Workspace, facts: Facts, lots: Lots, engines: Sequence[Engine] = ()) -> None:
        self.facts, self.written, self.late = facts, 0, 0
        self.columns = [facts.columns(engine.book) for engine in engines]
        self._space, self._engines, self._lots = space, engines, lots
        self._tag = 1  # of what comes next
        self._live: list[tuple[int, Any]] = []  # tag of the first, pyarrow array of outcomes
        self._recorded: dict[int, Decision] = {}  # by tag
        self._weights: dict[int, float] = {}  # by tag, where it is not 1
        space.create("decided", COLUMNS)

    def place(self, batch: Batch, first: int, last: int) -> int:
        """The tag of the first of these rows."""
        tag, self._tag = self._tag, self._tag + last - first
        if batch.live is not None:
            self._live.append((tag, batch.live.slice(first, last - first)))
        if batch.recorded is not None:
            for at, decision in enumerate(batch.recorded[first:last], tag):
                self._record(at, decision)
        return tag

    def add(self, decisions: Sequence[Decision], recorded: Decision | None = None) -> None:
        """One decision by each engine, about the same event; `recorded`: the one that a store has."""
        for columns, decision in zip(self.columns, decisions, strict=True):
            columns.add(decision, self._tag)
        if recorded is not None:
            self._record(self._tag, recorded)
        self._tag += 1
        self.filled()

    def add_logged(self, decision: Decision) -> None:
        """A decision that a store has, as it is."""
        self._weigh(self._tag, decision)
        self.add([decision])

    def _record(self, tag: int, decision: Decision) -> None:
        self._recorded[tag] = decision
        self._weigh(tag, decision)

    def _weigh(self, tag: int, decision: Decision) -> None:
        weight = self._lots.weight(decision)
        if weight != 1.0:
            self._weights[tag] = weight

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
            self._space.insert("decided", self._recorded_apart(self._weighed(table)))
            self.written += len(table)
            self.late += table["late"].to_pylist().count(True)
        for columns in self.columns:
            columns.take()
        self._live.clear()
        self._recorded.clear()
        self._weights.clear()

    def _weighed(self, table: Any) -> Any:
        import pyarrow as pa  # noqa: PLC0415

        if not self._weights:
            return table.append_column("weight", pa.repeat(1.0, len(table)))
        return table.append_column("weight", pa.array([self._weights.get(tag, 1.0) for tag in table["n"].to_pylist()]))

    def _recorded_apart(self, table: Any) -> Any:
        """With the records in a file of their own: they are most of the bytes, and hardly one of them is read again."""
        import pyarrow as pa  # noqa: PLC0415
        import pyarrow.compute as pc  # noqa: PLC0415

        records = table["record"].combine_chunks()
        sizes = pc.binary_length(records)
        ends = pc.add(pc.cumulative_sum(sizes), self._space.keep(records))
        places = table.column_names.index("record")
        table = table.set_column(places, "record", pc.subtract(ends, sizes))
        return table.append_column("record_size", sizes.cast(pa.int64()))

    def _based(self, table: Any) -> Any:
        """With the baseline's decisions beside; what it refused is measured of neither."""
        import pyarrow.compute as pc  # noqa: PLC0415

        base = self.facts.table(self.columns[1])
        found = pc.index_in(table["n"], value_set=base["n"])
        table, base = table.filter(pc.is_valid(found)), base.take(found.drop_null())
        asked = pc.coalesce(base["intended"], base["outcome"]) if "intended" in base.column_names else base["outcome"]
        return table.append_column("base_outcome", asked).append_column("base_fired", base["fired"])

    def _beside(self, table: Any) -> Any:
        """With what took effect then."""
        if self._recorded:
            return self._compared(table, [self._recorded.get(tag) for tag in table["n"].to_pylist()])
        return self._with_live(table) if self._live else table

    def _with_live(self, table: Any) -> Any:
        import pyarrow as pa  # noqa: PLC0415
        import pyarrow.compute as pc  # noqa: PLC0415

        tags = pa.chunked_array([pa.array(range(tag, tag + len(part)), pa.int64()) for tag, part in self._live])
        live = pa.chunked_array([part for _, part in self._live])
        return table.append_column("live", live.take(pc.index_in(table["n"], value_set=tags)))

    def _compared(self, table: Any, recorded: list[Decision | None]) -> Any:
        """With a store's decisions beside."""
        import pyarrow as pa  # noqa: PLC0415

        outcomes = pa.array([None if d is None else d.outcome for d in recorded], pa.string())
        if len(self.columns) == 1:
            fired = pa.array([None if d is None else d.fired for d in recorded], pa.list_(pa.string()))
            asked = pa.array([None if d is None else d.intended for d in recorded], pa.string())
            table = table.append_column("base_outcome", asked).append_column("base_fired", fired)
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
