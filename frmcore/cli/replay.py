"""Events of a file through an engine, with the updates that belong between them: what `run` and `explain` share."""

from __future__ import annotations

from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from frmcore.cli.console import plain
from frmcore.cli.rows_in import read_rows
from frmcore.errors import EventConflict, InvalidEvent, UnknownEvent, UnknownName
from frmcore.history.cells import UPDATE_FIELDS, epoch_ms, event_fields, typed
from frmcore.plan import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from frmcore import Decision, Engine
    from frmcore.cli.rows_in import Row
    from frmcore.report.latency import Latency

REFUSALS: Final = (InvalidEvent, EventConflict, UnknownEvent, UnknownName)


class Invalid(NamedTuple):
    """A row that was left out, and why."""

    file: str
    line: int
    error: str


class Replay:
    """Decides the rows of a file in their order.

    An update is told when an event reaches its `at`, before that event is decided; what is left is told at the end.
    """

    def __init__(self, engine: Engine, source: str, updates: str | None, latency: Latency) -> None:
        self._engine = engine
        self._source = source
        self._updates = updates
        self._latency = latency
        self._kinds = {field.name: field.type.kind for field in engine.policy.updates}
        fields = event_fields(engine.policy)
        self._rows = read_rows(source, fields, (engine.policy.id_field, engine.policy.time_field))
        self._time = fields[engine.policy.time_field][0]
        self.first: int | None = None  # the time of the first event that has one

    def results(self) -> Iterator[Decision | Invalid]:
        """A decision or a refusal for each event in order; refused updates between them."""
        waiting = read_rows(self._updates, UPDATE_FIELDS, UPDATE_FIELDS) if self._updates else iter(())
        update = next(waiting, None)
        for row in self._rows:
            reached = self._time_of(row)
            self.first = reached if self.first is None else self.first
            while update is not None and reached is not None and _at(update) <= reached:
                yield from self._tell(update)
                update = next(waiting, None)
            yield self._decide(row)
        while update is not None:
            yield from self._tell(update)
            update = next(waiting, None)

    def _time_of(self, row: Row) -> int | None:
        value: Any = row.event
        for part in self._time:
            value = value.get(part) if isinstance(value, dict) else None
        return epoch_ms(value)

    def _decide(self, row: Row) -> Decision | Invalid:
        if row.event is None:
            return Invalid(self._source, row.line, row.error)
        started = perf_counter_ns()
        try:
            return self._engine.decide(row.event)
        except REFUSALS as error:
            return Invalid(self._source, row.line, plain(str(error)))
        finally:
            self._latency.record(perf_counter_ns() - started)

    def _tell(self, row: Row) -> Iterator[Invalid]:
        file = self._updates or ""
        if row.event is None or not row.event.keys() >= UPDATE_FIELDS.keys():
            yield Invalid(file, row.line, row.error or f"an update has the columns {', '.join(UPDATE_FIELDS)}")
            return
        name, value = row.event["field"], row.event["value"]
        if isinstance(value, str):
            value = typed(value, self._kinds.get(name, Kind.STRING))
        try:
            self._engine.update(row.event["id"], at=row.event["at"], **{str(name): value})
        except REFUSALS as error:
            yield Invalid(file, row.line, plain(str(error)))


def _at(update: Row) -> int:
    """When it is told; a broken one at once, to be refused."""
    at = epoch_ms(update.event.get("at")) if update.event else None
    return -(2**63) if at is None else at
