"""What the twin remembers of one event, and how expressions see it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from frmcore.policy.tree import Policy
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

    def tell(self, name: str, told: Told) -> None:
        known = self.told.get(name)
        if known is None or (told.at, told.seq) >= (known.at, known.seq):
            self.told[name] = told

    def decide(self, decision: Decision, final: Told) -> None:
        self.decisions[decision.point] = decision
        self.score = decision.score
        self.fired = frozenset(decision.fired)
        self.tell("final", final)


class Facts:
    """What a filter sees of an event: fields, updates known now, and what was decided.

    While an event is being decided its `final` is the weakest outcome, its score 0, and no rule of it has fired.
    """

    def __init__(self, policy: Policy, event: Event, deciding: bool = False) -> None:
        self._event = event
        self._deciding = deciding
        self._defaults = {update.name: update.default for update in policy.updates}

    def value(self, name: str) -> Value:
        event = self._event
        if name == "final":
            return 0 if self._deciding or "final" not in event.told else event.told["final"].value
        if name == "score":
            return 0 if self._deciding else event.score
        if name in self._defaults:
            return event.told[name].value if name in event.told else self._defaults[name]
        return event.values[name]

    def original(self, name: str) -> Value:
        return self._event.originals[name]

    def fired(self, rule: str) -> bool:
        return not self._deciding and rule in self._event.fired

    def listed(self, name: str, value: Value) -> bool:
        raise AssertionError("filters do not ask lists")
