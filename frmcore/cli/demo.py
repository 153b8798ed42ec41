"""`frmcore demo`: decides a generated stream live, and shows what was caught at what speed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from time import perf_counter_ns
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import msgspec
import typer
from rich.console import Console

import frmcore
from frmcore.cli.arguments import AsJson, Days, Events, Seed
from frmcore.cli.console import Meter
from frmcore.cli.demo_tables import show, summary
from frmcore.errors import UnknownEvent
from frmcore.generate import Event, Stream, Update, euro_cents
from frmcore.generate import generate as made_up
from frmcore.report.detection import Detection

if TYPE_CHECKING:
    from frmcore import Decision, Engine

POLICY = Path(made_up.__code__.co_filename).with_name("card_payments.yaml")


def demo(
    events: Events = 1_000_000,
    seed: Seed = 1,
    days: Days = 60,
    policy: Annotated[Path, typer.Option(help="Another policy over the same events.", show_default=False)] = POLICY,
    as_json: AsJson = False,
) -> None:
    """Decide a made-up stream of payments with fraud in it: speed, latency, and what each rule caught."""
    engine = frmcore.Engine(None, policy=policy, clock=None)
    stream = made_up(events, seed, days)
    with Meter(events) as meter:
        run = Run(engine, stream, meter)
        run.through()
    if as_json:
        typer.echo(msgspec.json.encode(summary(run)))
    else:
        show(Console(), run)


class Pending(NamedTuple):
    """A payment that waits for its issuer."""

    decision: Decision
    scenario: str
    amount: int


class Run:
    """One pass over a stream: every event decided, again when its issuer answers, every label told."""

    def __init__(self, engine: Engine, stream: Stream, meter: Meter) -> None:
        self.engine = engine
        self.stream = stream
        self.meter = meter
        self.detection = Detection(rule.id for rule in engine.policy.rules)
        self.outcomes: Counter[str] = Counter(dict.fromkeys(engine.policy.outcomes, 0))
        self.events = self.decisions = self.duplicates = self.late = self.updates = self.too_late = 0
        self._answered = "answered" in {point.name for point in engine.policy.points}
        self._strength = {outcome: i for i, outcome in enumerate(engine.policy.outcomes)}
        self._pending: dict[str, Pending] = {}

    def through(self) -> None:
        for record in self.stream:
            if isinstance(record, Update):
                self.tell(record)
            else:
                self.decide(record)
                self.meter.show(self.events, self.outcomes)
        self.meter.show(self.events, self.outcomes, at_once=True)

    def decide(self, event: Event) -> None:
        started = perf_counter_ns()
        decision = self.engine.decide(event)
        self.meter.latency.record(perf_counter_ns() - started)
        self.events += 1
        self.decisions += 1
        self.late += decision.late
        if decision.duplicate:
            self.duplicates += 1
            return
        pending = Pending(decision, self.stream.truth.pop(decision.event_id, ""), euro_cents(event))
        if event["kind"] == "payment" and self._answered:
            self._pending[decision.event_id] = pending
        else:
            self.count(pending, decision)

    def tell(self, update: Update) -> None:
        self.updates += 1
        told: dict[str, Any] = {update.field: update.value}
        pending = self._pending.pop(update.id, None)
        if pending is not None:
            started = perf_counter_ns()
            decision = self.engine.decide_again(update.id, "answered", at=update.at, **told)
            self.meter.latency.record(perf_counter_ns() - started)
            self.decisions += 1
            self.count(pending, decision)
            return
        try:
            self.engine.update(update.id, at=update.at, **told)
        except UnknownEvent:  # a label for an event that has left the memory
            self.too_late += 1

    def count(self, pending: Pending, last: Decision) -> None:
        """An event is through: what any of its decisions found counts once."""
        first = pending.decision
        fired = dict.fromkeys((*first.fired, *last.fired, *first.shadow, *last.shadow))
        outcome = max(first.outcome, last.outcome, key=self._strength.__getitem__)
        self.outcomes[outcome] += 1
        self.detection.add(fired, self._strength[outcome] > 0, pending.scenario, pending.amount)
