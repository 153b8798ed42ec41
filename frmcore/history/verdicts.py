"""What rules that fired come to, once more: for what would have been without one of them, and in the holdout's other
arm."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from frmcore import Decision
    from frmcore.plan import Plan, RulePlan


class Verdicts:
    """Under one policy, as the engine concludes (`verdict.pxi`). Rules are named by their ids; those that the policy
    does not have count for nothing. An outcome is told by its place among the policy's."""

    def __init__(self, plan: Plan) -> None:
        self._rules = {rule.id: rule for rule in plan.rules}
        self._thresholds = {point.name: point.thresholds for point in plan.points}
        self._greatest = [group.name for group in plan.rule_groups if group.takes_max]
        self._spared = frozenset(plan.holdout.excepted if plan.holdout is not None else ())

    def outcome(self, point: str, fired: Iterable[str]) -> int:
        return self._tally(point, self._known(fired))

    def held_out(self, point: str, fired: Iterable[str]) -> int:
        """The outcome of an event that the holdout lets through: by the rules of the excepted groups."""
        return self._tally(point, [rule for rule in self._known(fired) if rule.group in self._spared])

    def alone(
        self, bound: int, point: str, fired: Sequence[str], shadow: Sequence[str], exempted: Sequence[str]
    ) -> tuple[bool, list[str]]:
        """Is the event stopped, by an outcome from `bound` on, and by whom alone: the rules without which it would not
        be. Where it isn't: the shadow rules with which it would be."""
        live = self._known((*fired, *exempted))
        stopped = self._tally(point, _counting(live)) >= bound
        if stopped:
            without = ((rule.id, [other for other in live if other is not rule]) for rule in self._known(fired))
            return True, [rule for rule, rest in without if self._tally(point, _counting(rest)) < bound]
        added = ((rule.id, [*live, rule]) for rule in self._known(shadow))
        return False, [rule for rule, all_ in added if self._tally(point, _counting(all_)) >= bound]

    def _known(self, rules: Iterable[str]) -> list[RulePlan]:
        return [self._rules[rule] for rule in rules if rule in self._rules]

    def _tally(self, point: str, rules: Sequence[RulePlan]) -> int:
        score = sum(rule.score for rule in rules if rule.group not in self._greatest)
        score += sum(max((rule.score for rule in rules if rule.group == name), default=0) for name in self._greatest)
        reached = [outcome for at_least, outcome in self._thresholds.get(point, ()) if score >= at_least]
        return max([0, *reached, *(rule.outcome for rule in rules)])


def _counting(live: Sequence[RulePlan]) -> list[RulePlan]:
    """Without those whose group another one exempts."""
    exempt = {group for rule in live for group in rule.exempts}
    return [rule for rule in live if rule.group not in exempt]


class Lots:
    """Of how many events a recorded one speaks when frauds and good ones are summed up. What the holdout let through
    that would have been stopped stands, by 1 / its probability, for those that were, whose truth nobody could learn:
    these count 0 (Horvitz and Thompson, 1952). What goes the same way whatever the lot says speaks for itself."""

    def __init__(self, stops: str) -> None:
        self._stops = stops
        self._verdicts: dict[str, Verdicts] = {}  # by the hash of the policy

    def weight(self, decision: Decision) -> float:
        if decision.probability == 1.0:
            return 1.0
        names = decision.plan.outcomes
        bound = names.index(self._stops) if self._stops in names else len(names)
        stopped = names.index(decision.outcome) >= bound
        if (self._otherwise(decision) >= bound) == stopped:
            return 1.0
        return 0.0 if stopped else 1.0 / decision.probability

    def _otherwise(self, decision: Decision) -> int:
        """The outcome, had the lot fallen otherwise."""
        if decision.holdout:
            return decision.plan.outcomes.index(decision.intended)
        if decision.policy not in self._verdicts:
            self._verdicts[decision.policy] = Verdicts(decision.plan)
        return self._verdicts[decision.policy].held_out(decision.point, decision.fired)
