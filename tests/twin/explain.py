"""The twin of `Engine.explain`: what is known of the event now, each rule's state, the events in each window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from frmcore.limits import EVIDENCE_MAX
from twin.decision import Decision, Shown, rules_of
from twin.records import Facts
from twin.values import shown
from twin.windows import Reader, belongs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from frmcore.policy.tree import Aggregate, Policy
    from twin.engine import Twin
    from twin.groups import Group
    from twin.records import Event

Evidence = tuple[int | None, tuple[str, ...]]  # where the window starts; the ids in it, newest first


@dataclass(frozen=True)
class Explanation:
    decision: Decision
    final: str
    fields: Mapping[str, Shown]
    states: Mapping[str, str]
    evidence: Mapping[str, Evidence]  # of the windows whose events are all kept one by one


def explained(twin: Twin, event: Event, decision: Decision) -> Explanation:
    facts, policy = Facts(twin.policy, event), twin.policy
    fields = {
        field.name: "private"
        if field.type.private and facts.value(field.name) is not None
        else shown(facts.value(field.name), field.type)
        for field in (*policy.fields, *policy.derived, *policy.updates)
    }
    return Explanation(
        decision=decision,
        final=policy.outcomes[int(facts.value("final") or 0)],
        fields=fields,
        states=states_of(decision, event),
        evidence=evidence_of(twin, event) if decision.policy is policy else {},
    )


def states_of(decision: Decision, event: Event) -> dict[str, str]:
    policy = decision.policy
    point = next(point for point in policy.points if point.name == decision.point)
    states = {rule.id: "silent" for rule in rules_of(policy, point, event.kind)}
    states |= {rule: "off" for rule in decision.off if rule in states}
    exempted = [note.split(" ")[0] for note in decision.notes if " is exempted (" in note]
    said = {"unknown": decision.unknown, "shadow": decision.shadow, "exempted": exempted, "fired": decision.fired}
    return states | {rule: state for state, rules in said.items() for rule in rules}


def evidence_of(twin: Twin, event: Event) -> dict[str, Evidence]:
    reader = Reader(twin.policy, event, counts_itself=False)
    found = {}
    for feature in twin.policy.features:
        aggregate = feature.aggregate
        if aggregate is not None and None not in reader.key(aggregate.lookup):
            group = twin.group_of[feature.name]
            if not group.life and not group.members.every_ms:
                found[feature.name] = evidence(twin, reader, aggregate, group)
    return {name: each for name, each in found.items() if each is not None}


def evidence(twin: Twin, reader: Reader, aggregate: Aggregate, group: Group) -> Evidence | None:
    """By what is known now: the event itself too. None where a limit took some of it."""
    bounds, event = reader.bounds(aggregate, group), reader.reader
    if twin.retention.lost(reader, aggregate, group, bounds) is not None:
        return None
    since = twin.retention.since(group, reader.key(aggregate.lookup))
    entries = reversed(reader.window(aggregate, group, bounds))
    seqs = [entry.seq for entry in entries if since is None or entry.time > since][:EVIDENCE_MAX]
    same_key = reader.key(aggregate.by) == reader.key(aggregate.lookup)
    if bounds.right and not aggregate.delay_ms and same_key and counts(twin.policy, group, event):
        seqs.insert(0, event.seq)
    ids = {known.seq: known.id for known in twin.known.values()}
    return bounds.first and bounds.first[0], tuple(ids[seq] for seq in seqs if seq in ids)[:EVIDENCE_MAX]


def counts(policy: Policy, group: Group, event: Event) -> bool:
    return belongs(group.members, event, Facts(policy, event))
