"""What the twin decides: the fields of `frmcore.Decision` that the recorded operations determine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from frmcore import values
from frmcore.plan import Mode
from twin.control import WHY, out_of_dates
from twin.evaluate import evaluate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from frmcore.policy.tree import Point, Policy, Rule
    from twin.control import Control
    from twin.evaluate import Scope
    from twin.values import Value

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
    intended: str
    holdout: bool
    probability: float
    alerts: tuple[object, ...]
    off: tuple[str, ...]
    asked: tuple[Rule, ...]  # rules that were evaluated
    raised: tuple[tuple[Rule, Value], ...]
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
    notes: tuple[str, ...]
    off: tuple[str, ...]  # rules that are seen to be off: by their dates, or true and yet silent
    intended: str
    holdout: bool
    probability: float
    acting: tuple[Rule, ...]  # those whose actions count


def rules_of(policy: Policy, point: Point, kind: str | None) -> list[Rule]:
    return [
        rule
        for rule in policy.rules
        if rule.mode is not Mode.OFF
        and (rule.points is None or point.name in rule.points)
        and (rule.on is None or kind in rule.on)
    ]


def judge(
    policy: Policy, point: Point, kind: str | None, scope: Scope, control: Control, time: int, list_line: int
) -> Verdict:
    """All rules are evaluated; fired live rules exempt groups; the strongest of what remains decides."""
    modes = {rule.id: control.mode(rule, time, list_line, scope) for rule in rules_of(policy, point, kind)}
    rules = [rule for rule in rules_of(policy, point, kind) if modes[rule.id][0] is not Mode.OFF]
    others = [rule for rule in rules_of(policy, point, kind) if rule not in rules]
    off = tuple(rule.id for rule in others if out_of_dates(rule, time) or evaluate(rule.when, scope) is not False)
    truth = {rule.id: evaluate(rule.when, scope) for rule in rules}
    unknown = tuple(rule for rule in rules if truth[rule.id] is None)
    hit = [rule for rule in rules if truth[rule.id] or (truth[rule.id] is None and rule.if_unknown == "fires")]
    live = [rule for rule in hit if modes[rule.id][0] is Mode.LIVE and in_rollout(rule, scope)]
    held_back = [rule for rule in hit if rule not in live and modes[rule.id][1]]
    exempt = {group for rule in live for group in rule.exempts}
    fired = tuple(rule for rule in live if rule.group not in exempt)
    intended, acting = outcome_of(policy, point, fired), fired
    outcome, holdout, probability = intended, False, 1.0
    if policy.holdout is not None and scope.value(policy.holdout.by.name) is not None:
        holdout = evaluate(policy.holdout.inside, scope) is True
        share = policy.holdout.share
        probability = (share if holdout else 10_000 - share) / 10_000
        if holdout:
            acting = tuple(rule for rule in fired if rule.group in policy.holdout.excepted)
            outcome = outcome_of(policy, point, acting)
    notes = [f"{rule.id} {WHY[modes[rule.id][1]]}" for rule in held_back]
    notes += [f"let through by the holdout: the rules asked for {intended}"] * (outcome != intended)
    return Verdict(
        outcome=outcome,
        intended=intended,
        holdout=holdout,
        probability=probability,
        acting=acting,
        notes=tuple(notes),
        off=off,
        score=score_of(policy, fired),
        fired=fired,
        shadow=tuple(rule for rule in hit if rule not in live),
        unknown=unknown,
        exempted=tuple(rule for rule in live if rule.group in exempt),
    )


def score_of(policy: Policy, fired: tuple[Rule, ...]) -> int:
    """The sum; of a group that takes the greatest, that."""
    taking = {group.name for group in policy.groups if group.takes_max}
    score = sum(rule.score for rule in fired if rule.group not in taking)
    return score + sum(
        max(rule.score for rule in fired if rule.group == name) for name in taking & {rule.group for rule in fired}
    )


def outcome_of(policy: Policy, point: Point, fired: tuple[Rule, ...]) -> str:
    score = score_of(policy, fired)
    reached = [outcome for least, outcome in point.thresholds if score >= least]
    asked = [rule.outcome for rule in fired if rule.outcome]
    return max([policy.outcomes[0], *reached, *asked], key=policy.outcomes.index)


def in_rollout(rule: Rule, scope: Scope) -> bool:
    return rule.rollout is None or evaluate(rule.rollout, scope) is True


def actions_of(fired: tuple[Rule, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(action for rule in fired for action in rule.actions))


def reason_of(rule: Rule, scope: Scope) -> str:
    return "".join(
        part if isinstance(part, str) else values.show(part.type, evaluate(part, scope)) for part in rule.reason.parts
    )


def reasons_of(fired: tuple[Rule, ...], scope: Scope) -> tuple[str, ...]:
    return tuple(reason_of(rule, scope) for rule in fired if rule.reason.parts)
