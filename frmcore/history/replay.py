"""Operations through engines: every event decided, every decision written down."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Final

from frmcore.errors import EventConflict, InvalidEvent, ReadOnlyList, UnknownEvent, UnknownName
from frmcore.history.batches import Span
from frmcore.history.operations import Again, Broken, Change, Observe, Tell
from frmcore.policy.needs import reads_decision

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from frmcore import Engine
    from frmcore._fast import Columns
    from frmcore.history.batches import Batch
    from frmcore.history.operations import Operation, Single
    from frmcore.history.quality import Quality
    from frmcore.history.writer import Writer
    from frmcore.policy.tree import Policy

_REFUSALS: Final = (InvalidEvent, EventConflict, UnknownEvent, UnknownName, ReadOnlyList)
_STRIDE: Final = 1_024  # operations between two reports of progress, and two occasions for Ctrl-C
NEVER: Final = -(2**62)  # a `since` before all events


class Replay:
    """Applies operations to the engine of a policy, and to that of another one that it is compared with.

    since: events before it only fill windows, epoch ms. Where windows read what was decided (`final`, `score`,
    `fired`), earlier events are decided too, but not measured.
    """

    def __init__(self, engines: Sequence[Engine], writer: Writer, quality: Quality, since: int) -> None:
        self.engines, self.writer, self.quality, self.since = engines, writer, quality, since
        self.warmed = 0
        self._warming = [writer.facts.columns(each.book) for each in self.engines]
        self._observes = not any(decisions_are_read(each.policy) for each in self.engines)
        self._points = {point.name for point in engines[0].policy.points}
        self._operations = 0

    @property
    def decided(self) -> int:
        """Decisions that are measured, so far."""
        return self.writer.written + self.writer.columns[0].count

    @property
    def last_time(self) -> int:
        """Of the event decided last, epoch ms."""
        return self.writer.columns[0].last_time

    def run(self, operations: Iterable[Operation], progress: Callable[[int], None]) -> None:
        """All of them; what was decided is in the table then. Ctrl-C leaves what was decided until then to `finish`."""
        for operation in operations:
            if isinstance(operation, Span):
                self._span(operation, progress)
            else:
                self._single(operation)
                self._count(1, progress)

    def finish(self) -> None:
        """Writes what is not yet in the table, and what was counted."""
        self.writer.flush()
        self.quality.duplicates += self.writer.columns[0].duplicates + self._warming[0].duplicates
        self.quality.late = self.writer.late

    def _count(self, operations: int, progress: Callable[[int], None]) -> None:
        before, self._operations = self._operations, self._operations + operations
        if before // _STRIDE != self._operations // _STRIDE:
            progress(self.decided + self.warmed)

    # -- events --------------------------------------------------------------------------------------------------------
    def _span(self, span: Span, progress: Callable[[int], None]) -> None:
        self.quality.events += span.last - span.first
        if self.since <= NEVER and span.last - span.first <= _STRIDE:  # most often, where updates cut the batches short
            self._measure(span.batch, span.first, span.last)
            self._count(span.last - span.first, progress)
            return
        for measured, begin, end in self._runs(span):
            for first in range(begin, end, _STRIDE):
                last = min(first + _STRIDE, end)
                (self._measure if measured else self._warm)(span.batch, first, last)
                self._count(last - first, progress)

    def _runs(self, span: Span) -> Iterator[tuple[bool, int, int]]:
        """(is measured, first, last): a store's events are not in order of their times."""
        if self.since <= NEVER:
            yield True, span.first, span.last
            return
        first = span.first
        for measured, run in groupby(time >= self.since for time in span.batch.times[span.first : span.last]):
            last = first + sum(1 for _ in run)
            yield measured, first, last
            first = last

    def _measure(self, batch: Batch, first: int, last: int) -> None:
        tag = self.writer.place(batch, first, last)
        self._through(batch, first, last, self.writer.columns, tag)
        self.writer.filled()

    def _warm(self, batch: Batch, first: int, last: int) -> None:
        before = self._warming[0].duplicates
        refused = self._through(batch, first, last, self._warming, None if self._observes else 0)
        self.warmed += last - first - refused - (self._warming[0].duplicates - before)
        for columns in self._warming:
            columns.take()

    def _through(self, batch: Batch, first: int, last: int, out: list[Columns], tag: int | None) -> int:
        """The rows through each engine; tag None: observed. How many were refused: a row that any of them refuses is
        not measured."""
        refused: set[int] = set()
        point = batch.point if batch.point in self._points else None
        for number, (engine, columns) in enumerate(zip(self.engines, out, strict=True)):
            at, rows = first, batch.source(number)
            while at < last:
                try:
                    if tag is None:
                        engine.observe_columns(rows, at, last, columns)
                    else:
                        engine.decide_columns(rows, at, last, columns, tag=tag + at - first, point=point)
                    break
                except _REFUSALS as error:
                    at = columns.row + 1
                    if columns.row not in refused:
                        refused.add(columns.row)
                        self._refuse(batch.place(columns.row), error)
        return len(refused)

    # -- what happens between them -------------------------------------------------------------------------------------
    def _single(self, operation: Single) -> None:
        try:
            self._apply(operation)
        except _REFUSALS as error:
            self._refuse(operation.place, error)

    def _refuse(self, place: str, error: Exception) -> None:
        self.quality.refuse(type(error).__name__, place, str(error), getattr(error, "field", None) or "")

    def _apply(self, operation: Single) -> None:
        match operation:
            case Tell():
                for engine in self.engines:
                    engine.update(operation.id, at=operation.at, **operation.told)
            case Again():
                self._again(operation)
            case Change():
                for engine in self.engines:
                    change(engine, operation)
            case Observe():
                for engine in self.engines:
                    engine.observe(operation.event)
            case Broken():
                self.quality.refuse("no row", operation.place, operation.what)

    def _again(self, operation: Again) -> None:
        found = [
            engine.decide_again(operation.id, operation.point, at=operation.at, **operation.told)
            for engine in self.engines
        ]
        if not found[0].duplicate and found[0].time >= self.since:
            self.writer.add(found, operation.decision)


def change(engine: Engine, operation: Change) -> None:
    """A list's change; one that the policy does not have, or that is the policy's own, is refused."""
    entries = engine.lists[operation.list]
    if operation.action == "remove":
        entries.remove(operation.value, reason=operation.reason)
    else:
        entries.add(operation.value, reason=operation.reason, source="history", expires=operation.expires)


def decisions_are_read(policy: Policy) -> bool:
    """Do windows depend on what was decided?"""
    aggregates = [feature.aggregate for feature in policy.features if feature.aggregate is not None]
    return any(reads_decision(expr) for each in aggregates for expr in (each.value, each.where, each.since))
