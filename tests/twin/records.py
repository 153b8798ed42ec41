"""What the twin remembers of one event, and how expressions see it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from twin.evaluate import evaluate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from frmcore.policy.tree import Expr, Policy
    from twin.decision import Decision
    from twin.values import Value


class Told(NamedTuple):
    """One telling of an update; the greatest (at, seq) wins."""

    at: int
    seq: int
    value: Value


@dataclass
class Event:
    """One recorded event with everything told of it. `values`: fields and derived fields."""

    seq: int
    id: str
    time: int
    kind: str | None
    values: Mapping[str, Value]
    originals: Mapping[str, Value]
    late: bool
    observed: bool = False
    told: dict[str, Told] = field(default_factory=dict)
    decisions: dict[str, Decision] = field(default_factory=dict)  # by point, in the order in which they were made
    score: int = 0
    fired: frozenset[str] = frozenset()
    remembered: dict[int, Value] = field(default_factory=dict)  # what expressions said of it since it last changed

    def tell(self, name: str, told: Told) -> None:
        known = self.told.get(name)
        if known is None or (told.at, told.seq) >= (known.at, known.seq):
            self.told[name] = told
            self.remembered.clear()

    def tell_all(self, values: Mapping[str, Value], at: int, seq: int) -> None:
        for name, value in values.items():
            self.tell(name, Told(at, seq, value))

    def decide(self, decision: Decision, final: Told) -> None:
        self.decisions[decision.point] = decision
        self.score = decision.score
        self.fired = frozenset(decision.fired)
        self.remembered.clear()
        self.tell("final", final)


class Facts:
    """What a filter sees of an event: fields, updates known now, and what was decided.

    While an event is being decided its `final` is the weakest outcome, its score 0, and no rule of it has fired.
    """

    def __init__(self, policy: Policy, event: Event, deciding: bool = False) -> None:
        self._event = event
        self._deciding = deciding
        self._policy = policy

    def of(self, expr: Expr) -> Value:
        """What an expression says of the event. Remembered, for a filter is asked about every event each time."""
        if self._deciding:
            return evaluate(expr, self)
        remembered = self._event.remembered
        if id(expr) not in remembered:
            remembered[id(expr)] = evaluate(expr, self)
        return remembered[id(expr)]

    def value(self, name: str) -> Value:
        event = self._event
        if name == "final":
            return 0 if self._deciding or "final" not in event.told else event.told["final"].value
        if name == "score":
            return 0 if self._deciding else event.score
        if name in event.values:
            return event.values[name]
        if name in event.told:
            return event.told[name].value
        return next(update.default for update in self._policy.updates if update.name == name)

    def original(self, name: str) -> Value:
        return self._event.originals[name]

    def fired(self, rule: str) -> bool:
        return not self._deciding and rule in self._event.fired

    def listed(self, name: str, value: Value) -> bool:
        raise AssertionError("filters do not ask lists")
