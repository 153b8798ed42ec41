"""What a switch or a broken rule holds on to: as long as a rule or a group means the same, it stays switched."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from msgspec.structs import astuple

from frmcore.plan import RuleGroupPlan

if TYPE_CHECKING:
    from collections.abc import Callable

    from frmcore.policy.tree import Expr, Policy, Rule


def rule_digest(rule: Rule, text: Callable[[Expr], str]) -> str:
    """16 hex digits over a rule's condition, effect and control; not over its reason, owner, tests and alert.

    text: the canonical text of an expression.
    """
    effect = (rule.outcome, rule.score, rule.exempts, rule.actions, rule.group, rule.if_unknown)
    control = (rule.mode, rule.rollout and text(rule.rollout), rule.from_ms, rule.until_ms)
    breaker = rule.breaker and astuple(rule.breaker)
    return _digest(text(rule.when), rule.on, rule.points, effect, control, breaker)


def group_plans(policy: Policy) -> tuple[RuleGroupPlan, ...]:
    """Every group that rules belong to or exempt, by name."""
    declared = {group.name: group for group in policy.groups}
    plans = []
    for name in sorted({rule.group for rule in policy.rules if rule.group}):
        group = declared.get(name)
        enabled, takes_max = (group.enabled, group.takes_max) if group else (True, False)
        plans.append(RuleGroupPlan(name, enabled, takes_max, _digest(enabled, takes_max)))
    return tuple(plans)


def _digest(*parts: object) -> str:
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=8).hexdigest()
