"""What the twin decides: the fields of `frmcore.Decision` that the recorded operations determine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from frmcore import values
from frmcore.plan import Mode
from twin.evaluate import evaluate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from frmcore.policy.tree import Point, Policy, Rule
    from twin.evaluate import Scope

Shown = int | float | str | bool | None


@dataclass(frozen=True)
class Decision:
    event_id: str
    point: str
    outcome: str
    score: int
    fired: tuple[str, ...]
    shadow: tuple[str, ...]
    unknown: tuple[str, ...]
    actions: tuple[str, ...]
    reasons: tuple[str, ...]
    features: Mapping[str, Shown]
    lists: tuple[str, ...]
    seq: int
    late: bool
    notes: tuple[str, ...]
    policy: Policy
    duplicate: bool = False


@dataclass(frozen=True)
class Verdict:
    """What the rules of a point said, in file order."""

    outcome: str
    score: int
    fired: tuple[Rule, ...]
    shadow: tuple[Rule, ...]
    unknown: tuple[Rule, ...]
    exempted: tuple[Rule, ...]


def rules_of(policy: Policy, point: Point, kind: str | None) -> list[Rule]:
    return [
        rule
        for rule in policy.rules
        if rule.mode is not Mode.OFF
        and (rule.points is None or point.name in rule.points)
        and (rule.on is None or kind in rule.on)
    ]


def judge(policy: Policy, point: Point, kind: str | None, scope: Scope) -> Verdict:
    """All rules are evaluated; fired live rules exempt groups; the strongest of what remains decides."""
    rules = rules_of(policy, point, kind)
    truth = {rule.id: evaluate(rule.when, scope) for rule in rules}
    unknown = tuple(rule for rule in rules if truth[rule.id] is None)
    hit = [rule for rule in rules if truth[rule.id] or (truth[rule.id] is None and rule.if_unknown == "fires")]
    live = [rule for rule in hit if is_live(rule, scope)]
    exempt = {group for rule in live for group in rule.exempts}
    fired = tuple(rule for rule in live if rule.group not in exempt)
    score = sum(rule.score for rule in fired)
    reached = [outcome for least, outcome in point.thresholds if score >= least]
    asked = [rule.outcome for rule in fired if rule.outcome]
    return Verdict(
        outcome=max([policy.outcomes[0], *reached, *asked], key=policy.outcomes.index),
        score=score,
        fired=fired,
        shadow=tuple(rule for rule in hit if rule not in live),
        unknown=unknown,
        exempted=tuple(rule for rule in live if rule.group in exempt),
    )


def is_live(rule: Rule, scope: Scope) -> bool:
    return rule.mode is Mode.LIVE and (rule.rollout is None or evaluate(rule.rollout, scope) is True)


def actions_of(fired: tuple[Rule, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(action for rule in fired for action in rule.actions))


def reason_of(rule: Rule, scope: Scope) -> str:
    return "".join(
        part if isinstance(part, str) else values.show(part.type, evaluate(part, scope)) for part in rule.reason.parts
    )


def reasons_of(fired: tuple[Rule, ...], scope: Scope) -> tuple[str, ...]:
    return tuple(reason_of(rule, scope) for rule in fired if rule.reason.parts)
