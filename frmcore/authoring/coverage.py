"""What no test reaches: rules that never fired or were never silent, conditions never true or false, outcomes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from frmcore.authoring.conditions import conditions, leaves
from frmcore.plan import Mode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from frmcore.authoring.runner import Result
    from frmcore.policy import Policy
    from frmcore.policy.tree import Rule


class Branch(NamedTuple):
    """A condition of a rule that was never seen to be `value`."""

    rule: str
    text: str
    value: bool


class Coverage(NamedTuple):
    """What is missing. `untested`: rules without a test beside them that no test names either."""

    never_fired: tuple[str, ...]
    never_silent: tuple[str, ...]
    branches: tuple[Branch, ...]
    outcomes: tuple[str, ...]
    untested: tuple[str, ...]


def coverage(policy: Policy, results: Iterable[Result]) -> Coverage:
    """Of the decisions that are tested; what happened in their history asserts nothing. Rules that are off are not
    asked for."""
    rules = {rule.id: rule for rule in policy.rules if rule.mode is not Mode.OFF}
    held: dict[str, set[Any]] = {rule: set() for rule in rules}
    seen: dict[tuple[str, int], set[Any]] = {}
    outcomes: set[str] = set()
    named: set[str] = set()
    for result in results:
        named |= {result.case.rule} | {each.name for each in result.case.expected if each.key != "features"}
        if result.explained is None:
            continue
        outcomes.add(result.explained.decision.outcome)
        for trace in result.explained.rules:
            if trace.id in rules and trace.state != "not evaluated":
                held[trace.id].add(trace.tree.value)
                for index, (_, node) in enumerate(conditions(rules[trace.id].when, trace.tree)):
                    seen.setdefault((trace.id, index), set()).add(node.value)
    return Coverage(
        never_fired=tuple(rule for rule in rules if True not in held[rule]),
        never_silent=tuple(rule for rule in rules if True in held[rule] and len(held[rule]) == 1),
        branches=tuple(branch for rule in rules.values() for branch in _branches(rule, seen)),
        outcomes=tuple(outcome for outcome in policy.outcomes if outcome not in outcomes),
        untested=tuple(rule for rule in rules if rule not in named),
    )


def _branches(rule: Rule, seen: dict[tuple[str, int], set[Any]]) -> Iterator[Branch]:
    """Of rules that some test reaches and that have several conditions: of one condition the rule itself says it."""
    parts = list(leaves(rule.when))
    if len(parts) == 1 or (rule.id, 0) not in seen:
        return
    for index, part in enumerate(parts):
        for value in (True, False):
            if value not in seen[rule.id, index]:
                yield Branch(rule.id, part.text, value)
