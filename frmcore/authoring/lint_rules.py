"""Rules beside each other: which are never looked at, and which another one makes needless."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frmcore.plan import Mode
from frmcore.policy.tree import Const
from frmcore.policy.walk import references
from frmcore.policy.words import quoted

if TYPE_CHECKING:
    from frmcore.policy import Policy
    from frmcore.policy.logic import Logic
    from frmcore.policy.source import Problems
    from frmcore.policy.tree import Point, Rule


def idle(policy: Policy, problems: Problems) -> None:
    """Rules whose kinds are decided at none of their points."""
    for rule in policy.rules:
        if rule.mode is Mode.OFF or rule.on is None:
            continue
        points = [point for point in policy.points if rule.points is None or point.name in rule.points]
        if points and all(kinds_of(rule, point, policy) == frozenset() for point in points):
            names = ", ".join(point.name for point in points)
            message = f"rule {quoted(rule.id)} is never looked at: {names} decides no {' or '.join(rule.on)}"
            problems.add(rule.place, message, "name another point, or other kinds")


def kinds_of(rule: Rule, point: Point, policy: Policy) -> frozenset[str] | None:
    """The kinds of events for which a rule is looked at at a point; empty for none, None where there are no kinds."""
    if rule.points is not None and point.name not in rule.points:
        return frozenset()
    if not policy.kinds:
        return None
    decided = _decided(point, policy)
    return decided if rule.on is None else decided & frozenset(rule.on)


def _decided(point: Point, policy: Policy) -> frozenset[str]:
    by_name = {each.name: each for each in policy.points}
    while point.after in by_name:
        point = by_name[point.after]
    if point.on is not None:
        return frozenset(point.on)
    named = {kind for each in policy.points if not each.after for kind in each.on or ()}
    return frozenset(policy.kinds) - named


def implied(policy: Policy, logic: Logic, problems: Problems) -> None:
    """Rules that change nothing, because another one fires whenever they do, with no less effect."""
    rows = {rule for table in policy.tables for _, rule in table.rows}
    live = [rule for rule in policy.rules if rule.mode is Mode.LIVE and rule.id not in rows]
    asked = {rule.id: frozenset(ref.name for ref in references(rule.when)) for rule in live}
    for rule in live:
        for other in live:
            # What `other` asks for and the rule does not, the rule implies nothing of: most pairs end here.
            if (
                other is not rule
                and asked[other.id] <= asked[rule.id]
                and _covers(other, rule, policy)
                and _follows(rule, other, logic)
            ):
                message = (
                    f"rule {quoted(rule.id)} adds nothing to rule {quoted(other.id)}, which fires whenever it does"
                )
                problems.add(rule.place, message, f"{quoted(other.id)} stands in line {other.place.line}: keep one")
                break


def _follows(rule: Rule, other: Rule, logic: Logic) -> bool:
    if isinstance(rule.when, Const) or not logic.implies(rule.when, other.when):
        return False
    return rule.place.line > other.place.line or not logic.implies(other.when, rule.when)  # of twins the second


def _covers(other: Rule, rule: Rule, policy: Policy) -> bool:
    """Whether `other`, when it fires too, leaves nothing for `rule` to do."""
    if (
        rule.score
        or rule.alert is not None
        or rule.if_unknown == "fires"
        or _is_limited(other)
        or not rule.outcome
        or not other.outcome
    ):
        return False
    order = policy.outcomes.index
    return (
        order(other.outcome) >= order(rule.outcome)
        and set(rule.actions) <= set(other.actions)
        and set(rule.exempts) <= set(other.exempts)
        and other.group in ("", rule.group)  # what exempts it exempts both
        and _wider(other.points, rule.points)
        and _wider(other.on, rule.on)
    )


def _is_limited(rule: Rule) -> bool:
    """Whether it may be out of force at times: by rollout, dates or a breaker."""
    return any(each is not None for each in (rule.rollout, rule.from_ms, rule.until_ms, rule.breaker))


def _wider(other: tuple[str, ...] | None, own: tuple[str, ...] | None) -> bool:
    return other is None or (own is not None and set(own) <= set(other))
