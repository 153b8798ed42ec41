"""How well rules find fraud: counts of decisions against what the events turned out to be."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from frmcore.history.rates import ratio

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(slots=True)
class RuleScore:
    """One rule over all decided events."""

    rule: str
    fired: int = 0
    fraud: int = 0  # fired on fraud
    by_scenario: Counter[str] = field(default_factory=Counter)  # fraud it fired on

    @property
    def precision(self) -> float | None:
        """The part of its firings that hit fraud; None when it never fired."""
        return ratio(self.fraud, self.fired)


@dataclass(slots=True)
class ScenarioScore:
    """One kind of fraud: events and money (minor units of the base currency), and how much of both was caught."""

    scenario: str
    events: int = 0
    caught: int = 0
    amount: int = 0
    amount_caught: int = 0

    def add(self, caught: bool, amount: int) -> None:
        self.events += 1
        self.amount += amount
        if caught:
            self.caught += 1
            self.amount_caught += amount


class Detection:
    """Adds up decided events one at a time; memory is O(rules x scenarios)."""

    def __init__(self, rules: Iterable[str]) -> None:
        self.rules = {rule: RuleScore(rule) for rule in rules}
        self.scenarios: dict[str, ScenarioScore] = {}
        self.fraud = ScenarioScore("fraud")
        self.honest = ScenarioScore("honest")

    def add(self, fired: Iterable[str], caught: bool, scenario: str, amount: int) -> None:
        """One event: the rules that fired, whether its outcome stopped it, its scenario ("" is honest), its amount."""
        for rule in fired:
            score = self.rules[rule]
            score.fired += 1
            if scenario:
                score.fraud += 1
                score.by_scenario[scenario] += 1
        if not scenario:
            self.honest.add(caught, amount)
            return
        self.fraud.add(caught, amount)
        if scenario not in self.scenarios:
            self.scenarios[scenario] = ScenarioScore(scenario)
        self.scenarios[scenario].add(caught, amount)

    def recall(self, score: RuleScore) -> float | None:
        """The part of all fraud that the rule fired on; None without fraud."""
        return ratio(score.fraud, self.fraud.events)

    def target(self, score: RuleScore) -> tuple[str, float] | None:
        """The scenario of which the rule finds the greatest part, and that part; None when it found none."""
        parts = [(n / self.scenarios[name].events, name) for name, n in score.by_scenario.items()]
        if not parts:
            return None
        part, name = max(parts)
        return name, part

    @property
    def precision(self) -> float | None:
        """The part of all stopped events that is fraud; None when nothing was stopped."""
        return ratio(self.fraud.caught, self.fraud.caught + self.honest.caught)
