"""Operations through engines: every event decided, every decision written down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from frmcore.errors import EventConflict, InvalidEvent, ReadOnlyList, UnknownEvent, UnknownName
from frmcore.history.cells import nested
from frmcore.history.decided import Row
from frmcore.history.operations import Again, Broken, Change, Decide, Observe, Tell
from frmcore.policy.needs import reads_decision

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from frmcore import Decision, Engine
    from frmcore.history.decided import Writer
    from frmcore.history.operations import Operation
    from frmcore.history.quality import Quality
    from frmcore.policy.tree import Field, Policy

_REFUSALS: Final = (InvalidEvent, EventConflict, UnknownEvent, UnknownName, ReadOnlyList)
_TOLD_EVERY: Final = 1_024  # operations between two reports of progress


def feed(engine: Engine, event: Mapping[str, Any], point: str | None = None) -> Decision:
    """The one place where events go into an engine to be decided."""
    return engine.decide(event, point)


def speaks_for(decision: Decision) -> float:
    """How many events like it a decision stands for, by which every measure weighs: 1, as long as no share of traffic
    is let through to learn from."""
    return 1.0


class Replay:
    """Applies operations to the engine of a policy, and of another one that it is compared with.

    since: events before it only fill windows, epoch ms. Where windows read what was decided (`final`, `score`,
    `fired`), earlier events are decided too, but not measured.
    """

    def __init__(
        self, engine: Engine, base: Engine | None, writer: Writer, quality: Quality, facts: Facts, since: int
    ) -> None:
        self.engines = [engine] if base is None else [engine, base]
        self.writer, self.quality, self.facts, self.since = writer, quality, facts, since
        self.decided = self.warmed = 0
        self.last_time: int | None = None
        self._observes = not any(decisions_are_read(each.policy) for each in self.engines)
        self._points = {point.name for point in engine.policy.points}

    def run(self, operations: Iterable[Operation], progress: Callable[[int], None]) -> None:
        for count, operation in enumerate(operations, 1):
            self.apply(operation)
            if count % _TOLD_EVERY == 0:
                progress(self.decided + self.warmed)

    def apply(self, operation: Operation) -> None:
        try:
            self._apply(operation)
        except _REFUSALS as error:
            culprit = getattr(error, "field", None) or ""
            self.quality.refuse(type(error).__name__, operation.place, str(error), culprit)

    def _apply(self, operation: Operation) -> None:
        match operation:
            case Decide():
                self._event(operation)
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

    def _event(self, operation: Decide) -> None:
        self.quality.events += 1
        if operation.time is not None and operation.time < self.since and self._observes:
            self.warmed += 1
            for engine in self.engines:
                engine.observe(operation.event)
            return
        point = operation.point if operation.point in self._points else None
        found = [feed(engine, operation.event, point) for engine in self.engines]
        if found[0].duplicate:
            self.quality.duplicates += 1
        elif found[0].time < self.since:
            self.warmed += 1
        else:
            self._write(found, operation.event, operation.live, operation.decision)

    def _again(self, operation: Again) -> None:
        found = [
            engine.decide_again(operation.id, operation.point, at=operation.at, **operation.told)
            for engine in self.engines
        ]
        if not found[0].duplicate and found[0].time >= self.since:
            live = operation.decision.outcome if operation.decision is not None else None
            known = found[0].facts()
            event = nested((field.path, known[field.name]) for field in self.engines[0].policy.fields)
            self._write(found, event, live, operation.decision)

    def _write(
        self, found: list[Decision], event: Mapping[str, Any], live: str | None, recorded: Decision | None
    ) -> None:
        self.decided += 1
        self.quality.late += found[0].late
        self.last_time = found[0].time
        other = found[1] if len(found) > 1 else recorded
        same = None if recorded is None else is_same(found[0], recorded)
        self.writer.add(self.facts.row(self.decided, found[0], other, event, live, same))


class Facts:
    """What is measured of an event beside its decision. amount: a money field, customer: who is insulted when a good
    event is stopped; each by name, or None."""

    def __init__(self, policy: Policy, amount: str | None, customer: str | None) -> None:
        fields = {field.name: (i, field) for i, field in enumerate(policy.fields)}
        self._amount = fields.get(amount or "")
        self._customer = fields.get(customer or "")
        self._exempts = {rule.id: rule.exempts for rule in policy.rules if rule.exempts}

    def row(
        self,
        n: int,
        decision: Decision,
        other: Decision | None,
        event: Mapping[str, Any],
        live: str | None,
        same: bool | None,
    ) -> Row:
        fired = decision.fired
        return Row(
            n, decision.event_id, decision.time, decision.point, decision.outcome, decision.score,
            fired, decision.shadow, self._silenced(decision, fired), decision.late, speaks_for(decision),
            self._money(decision, event), self._who(event), live,
            None if other is None else other.outcome, None if other is None else other.fired,
            same, decision.record, None if other is None else other.record,
        )  # fmt: skip

    def _silenced(self, decision: Decision, fired: tuple[str, ...]) -> tuple[str, ...]:
        if not self._exempts or not fired:
            return ()
        return tuple({group for rule in (*fired, *decision.exempted) for group in self._exempts.get(rule, ())})

    def _money(self, decision: Decision, event: Mapping[str, Any]) -> int | None:
        if self._amount is None:
            return None
        register, field = self._amount
        value = decision.values()[register] if field.currency_field else _at(event, field)
        return value if isinstance(value, int) else None

    def _who(self, event: Mapping[str, Any]) -> str | None:
        value = None if self._customer is None else _at(event, self._customer[1])
        return None if value is None else str(value)


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


def is_same(a: Decision, b: Decision) -> bool:
    """Bit for bit the same verdict from the same values: all that a decision says, but when and by which policy."""
    return (
        (a.outcome, a.score, a.fired, a.shadow, a.unknown, a.exempted, a.lists, a.notes, a.late)
        == (b.outcome, b.score, b.fired, b.shadow, b.unknown, b.exempted, b.lists, b.notes, b.late)
    ) and _bits(a) == _bits(b)


def _bits(decision: Decision) -> list[tuple[str, Any]]:
    """Floats as the bits that they are: -0.0 is not 0.0."""
    return [(name, value.hex() if isinstance(value, float) else value) for name, value in decision.features.items()]


def _at(event: Mapping[str, Any], field: Field) -> Any:
    value: Any = event
    for part in field.path:
        value = value.get(part) if isinstance(value, dict) else None
    return value
