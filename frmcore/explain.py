"""A decision taken apart: every rule with every value, every window with its bounds and its events.

The values come from the record and one more run of the same program over it, without its jumps; there is no second
evaluator that could disagree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from frmcore.changes import Change, changes_of_outcome, changes_of_rule
from frmcore.errors import UnknownEvent
from frmcore.limits import CHANGES_MAX, EVIDENCE_MAX
from frmcore.plan import Kind
from frmcore.values import feature_value, render_reason, show

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from frmcore._fast import Core, Decision
    from frmcore.plan import FeaturePlan, RulePlan, TraceNode
    from frmcore.values import Raw, Value


class Node(msgspec.Struct, frozen=True):
    """One part of a rule's expression: its text, its value, how a person reads it, and what it is made of."""

    text: str
    value: Value
    shown: str
    children: tuple[Node, ...]


class RuleTrace(msgspec.Struct, frozen=True):
    """One rule. `state`: fired, exempted, shadow, unknown, silent, off (out of its dates, or switched off), or not
    evaluated (another kind of event). `failed`: the parts of its condition for want of which it is not true; `changes`:
    of which number another value would have made it true, or not true."""

    id: str
    state: str
    outcome: str
    score: int
    reason: str
    tree: Node
    failed: tuple[str, ...]
    changes: tuple[Change, ...]


class FeatureTrace(msgspec.Struct, frozen=True):
    """One feature. For an aggregate: the window (ms; `start` None for "all that is recorded", `end` exclusive) and
    the ids of
    the events in it, newest first, at most 100."""

    name: str
    value: Value
    shown: str
    start: int | None
    end: int | None
    evidence: tuple[str, ...]


class Explanation(msgspec.Struct, frozen=True):
    """What `Engine.explain` returns. `fields` and `final` as known now; everything else as it was decided.

    `changes`: of which number another value would have altered the outcome."""

    decision: Decision
    fields: Mapping[str, Value]
    final: str
    features: tuple[FeatureTrace, ...]
    rules: tuple[RuleTrace, ...]
    lists: tuple[str, ...]
    changes: tuple[Change, ...]


def explain(core: Core, decision: Decision) -> Explanation:
    """Cost: one traced run, for each window a read of at most 100 events, and for each number that a rule rests on some
    hundred runs of the program; of rules beyond the first CHANGES_MAX numbers no changes are looked for."""
    raw: Sequence[Raw] = core.trace(decision)
    plan = decision.plan
    try:
        facts = dict(core.known_now(decision.event_id))
        evidence = core.evidence(decision, EVIDENCE_MAX)
    except UnknownEvent:  # memory has forgotten the event: the record is what is left
        facts, evidence = decision.facts(), {}
    what_if, budget = core.what_if(decision), CHANGES_MAX
    rules = []
    for index in plan.points[decision.point_index].rules:
        budget -= len(plan.rules[index].rests_on)
        changes = changes_of_rule(what_if, decision, index, raw) if budget >= 0 else ()
        rules.append(_rule(plan.rules[index], decision, raw, changes))
    return Explanation(
        decision=decision,
        final=str(facts.pop("final")),
        fields=facts,
        features=tuple(_feature(spec, raw, evidence) for spec in plan.features),
        rules=tuple(rules),
        lists=decision.lists,
        changes=changes_of_outcome(what_if, decision, raw) if budget >= 0 else (),
    )


def _feature(
    spec: FeaturePlan, raw: Sequence[Raw], evidence: Mapping[str, tuple[int | None, int, list[str]]]
) -> FeatureTrace:
    start, end, ids = evidence.get(spec.name, (None, None, []))
    value = raw[spec.reg]
    return FeatureTrace(spec.name, feature_value(spec, value), show(spec, value), start, end, tuple(ids))


def _rule(rule: RulePlan, decision: Decision, raw: Sequence[Raw], changes: tuple[Change, ...]) -> RuleTrace:
    return RuleTrace(
        id=rule.id,
        state=_state(rule, decision, raw),
        outcome=decision.plan.outcomes[rule.outcome] if rule.outcome >= 0 else "",
        score=rule.score,
        reason=render_reason(rule.reason, dict(enumerate(raw))),
        tree=_node(rule.trace, raw),
        failed=() if raw[rule.result] else tuple(_failed(rule.trace, raw)),
        changes=changes,
    )


def _state(rule: RulePlan, decision: Decision, raw: Sequence[Raw]) -> str:
    if rule.kinds is not None and raw[decision.plan.kind] not in rule.kinds:
        return "not evaluated"
    for state in ("fired", "exempted", "shadow", "unknown"):
        if rule.id in getattr(decision, state):
            return state
    is_dated = (rule.from_ms is None or rule.from_ms <= decision.time) and (
        rule.until_ms is None or decision.time < rule.until_ms
    )
    return "silent" if is_dated and raw[rule.result] == 0 else "off"  # a true one would have been heard of


def _failed(node: TraceNode, raw: Sequence[Raw]) -> Iterator[str]:
    """The smallest parts of a condition that are not true, though it would have to be."""
    parts = [child for child in node.children if child.kind is Kind.BOOL and not raw[child.reg]]
    for part in parts:
        yield from _failed(part, raw)
    if not parts:
        yield node.text


def _node(node: TraceNode, raw: Sequence[Raw]) -> Node:
    children = tuple(_node(child, raw) for child in node.children)
    value = raw[node.reg]
    if node.private:
        hidden = "unknown" if value is None else "private"
        return Node(node.text, None if value is None else "private", hidden, children)
    return Node(node.text, feature_value(node, value), show(node, value), children)
