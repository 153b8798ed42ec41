"""Events in batches: rows of an Arrow batch, or mappings, that an engine decides without coming back in between."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from frmcore._fast import ArrowRows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from frmcore import Decision

NO_TIME: Final = -(2**63)  # of a row without a time: those come first


@dataclass
class Batch:
    """Events one after the other. rows: a pyarrow.RecordBatch, or a list of mappings. times: epoch ms. place: of a row,
    for messages. live: outcomes that took effect then; recorded: decisions that a store has; both by
    row. alone: rows that can't go with the others: an event of odd values as a batch of its own, None for a row that is
    no event."""

    rows: Any
    times: Sequence[int]
    place: Callable[[int], str]
    live: Any = None
    recorded: Sequence[Decision] | None = None
    point: str | None = None
    alone: Mapping[int, Batch | None] = field(default_factory=dict)
    _sources: list[Any] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.times)

    def source(self, engine: int) -> Any:
        """The rows as an engine takes them: of Arrow each has its own reader, which knows the columns of its policy."""
        if isinstance(self.rows, list):
            return self.rows
        while len(self._sources) <= engine:
            self._sources.append(_reader(self.rows))
        return self._sources[engine]

    def together(self, first: int) -> int:
        """The row up to which those from `first` on can go together."""
        return next((row for row in self.alone if row >= first), len(self)) if self.alone else len(self)

    def due(self, first: int, time: int, *, after: bool) -> int:
        """The row before which something of that time happens: behind the events of the same instant, or before."""
        return (bisect_right if after else bisect_left)(self.times, time, first)


class Span(NamedTuple):
    """batch[first:last], to be decided."""

    batch: Batch
    first: int
    last: int


def _reader(rows: Any) -> ArrowRows:
    import pyarrow as pa  # noqa: PLC0415

    reader = ArrowRows(pa.Table.from_batches([rows]))
    reader.next_batch()
    return reader
