"""The twin of `frmcore.Engine`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from frmcore.errors import EventConflict, EventTooOld, InvalidEvent, UnknownEvent, UnknownName
from frmcore.policy.tree import InList
from twin.decision import Decision, actions_of, judge, reasons_of
from twin.evaluate import evaluate
from twin.fields import read_event, read_value
from twin.groups import UNBOUNDED, walk
from twin.lists import List
from twin.records import Event, Told
from twin.retention import Retention
from twin.values import shown
from twin.windows import Reader

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from frmcore.policy.tree import Aggregate, Feature, Point, Policy
    from twin.values import Value

NOTES = {
    "late": "is absent: the event is later than limits.horizon, and its window reaches events that were given up",
    "capped": "is absent: its window reaches beyond limits.ring_events_max events of one key",
    "overflow": "is absent: its value does not fit into 64 bits",
}


class Twin:
    def __init__(self, policy: Policy, clock: Callable[[], int]) -> None:
        self.policy = policy
        self.clock = clock
        self.seq = 0
        self.events: list[Event] = []  # all that were ever recorded, in order
        self.known: dict[str, Event] = {}  # those whose ids are remembered, in recorded order
        self.floor: int | None = None  # the greatest time of an event whose id was forgotten
        self.lists = {spec.name: List(spec) for spec in policy.lists}
        self.retention = Retention(policy)

    # -- operations ----------------------------------------------------------------------------------------------
    def decide(self, event: Mapping[str, object], point: str | None = None) -> Decision:
        fresh = self.read(event)
        where = self.first_point(fresh.kind, point)
        known = self.admit(fresh)
        if known is not None and where.name in known.decisions:
            return replace(known.decisions[where.name], duplicate=True)
        decision = self.judged(known or fresh, where)
        self.record_decision(known or fresh, decision, (known or fresh).time)
        return decision

    def evaluate(self, event: Mapping[str, object], point: str | None = None) -> Decision:
        fresh = self.read(event)
        where = self.first_point(fresh.kind, point)
        known = self.admit(fresh)
        if known is not None and where.name in known.decisions:
            return replace(known.decisions[where.name], duplicate=True)
        return self.judged(known or fresh, where)

    def decide_again(self, event_id: str, point: str, at: int | None = None, **updates: object) -> Decision:
        known = self.find(event_id)
        where = self.later_point(known, point)
        if point in known.decisions:
            return replace(known.decisions[point], duplicate=True)
        told = self.read_updates(updates)
        at = self.clock() if at is None else at
        for name, value in told.items():
            known.tell(name, Told(at, self.seq + 1, value))
        decision = self.judged(known, where)
        self.record_decision(known, decision, at)
        return decision

    def observe(self, event: Mapping[str, object]) -> None:
        fresh = self.read(event)
        updates = {field.name: event[field.name] for field in self.policy.updates if event.get(field.name) is not None}
        told = self.read_updates(updates)
        if self.admit(fresh) is not None:
            return
        for name, value in told.items():
            fresh.tell(name, Told(fresh.time, self.seq + 1, value))
        self.seq += 1
        self.remember(fresh)

    def update(self, event_id: str, at: int | None = None, **updates: object) -> None:
        known = self.find(event_id)
        told = self.read_updates(updates)
        self.seq += 1
        for name, value in told.items():
            known.tell(name, Told(self.clock() if at is None else at, self.seq, value))
        self.settle()

    def add(self, name: str, value: str, expires: int | None = None) -> None:
        self.lists[name].add(value, expires)
        self.seq += 1

    def remove(self, name: str, value: str) -> None:
        if self.lists[name].remove(value):
            self.seq += 1

    def reload(self, policy: Policy) -> None:
        self.policy = policy
        kept = self.lists
        self.lists = {spec.name: List(spec) for spec in policy.lists}
        for spec in policy.lists:
            if spec.values is None and spec.name in kept:
                self.lists[spec.name].expiry = kept[spec.name].expiry
        old, self.retention = self.retention, Retention(policy)
        self.retention.watermark, self.retention.oldest = old.watermark, old.oldest
        self.seq += 1

    # -- what comes in -------------------------------------------------------------------------------------------
    def read(self, event: Mapping[str, object]) -> Event:
        policy = self.policy
        values, originals = read_event(policy, event)
        kind = values[policy.kind_field] if policy.kind_field else None
        return Event(
            seq=self.seq + 1,
            id=str(values[policy.id_field]),
            time=int(values[policy.time_field] or 0),
            kind=None if kind is None else policy.kinds[int(kind)],
            values=values,
            originals=originals,
        )

    def admit(self, fresh: Event) -> Event | None:
        """The event that is known by this id; None for a new one that may be recorded."""
        known = self.known.get(fresh.id)
        if known is not None:
            if self.content(known) != self.content(fresh):
                raise EventConflict(f"{fresh.id} came with other content", None)
            return known
        if self.floor is not None and fresh.time <= self.floor:
            raise EventTooOld(f"{fresh.id} is at or before {self.floor}", self.policy.time_field)
        if fresh.time > self.clock() + self.policy.limits.max_ahead_ms:
            raise InvalidEvent(f"{fresh.id} is ahead of the clock", self.policy.time_field)
        return None

    def content(self, event: Event) -> list[Value]:
        """What a retry must repeat."""
        return [
            event.originals.get(field.name, event.values[field.name])
            for field in self.policy.fields
            if not field.may_change
        ]

    def read_updates(self, updates: Mapping[str, object]) -> dict[str, Value]:
        types = {field.name: field.type for field in self.policy.updates}
        told: dict[str, Value] = {}
        for name, value in updates.items():
            if name == "final":
                told[name] = self.outcome_code(value)
            elif name in types:
                told[name] = read_value(name, types[name], value)
            else:
                raise UnknownName(f"no update is called {name}")
        return told

    def outcome_code(self, value: object) -> int:
        if value not in self.policy.outcomes:
            raise InvalidEvent(f"final: no outcome is called {value}", "final")
        return self.policy.outcomes.index(str(value))

    def find(self, event_id: str) -> Event:
        if event_id not in self.known:
            raise UnknownEvent(f"no event {event_id} is remembered")
        return self.known[event_id]

    def first_point(self, kind: str | None, name: str | None) -> Point:
        """The point that was asked for, or the first that decides this kind."""
        firsts = [point for point in self.policy.points if not point.after]
        if name is not None:
            return self.named_point(name)
        named = {kind for point in firsts for kind in point.on or ()}
        fits = [point for point in firsts if (kind in point.on if point.on is not None else kind not in named)]
        if not fits:
            raise InvalidEvent(f"no point decides {kind}", self.policy.kind_field)
        return fits[0]

    def later_point(self, known: Event, name: str) -> Point:
        return self.named_point(name)

    def named_point(self, name: str) -> Point:
        for point in self.policy.points:
            if point.name == name:
                return point
        raise UnknownName(f"no point is called {name}")

    # -- what goes out -------------------------------------------------------------------------------------------
    def judged(self, event: Event, point: Point) -> Decision:
        scope = Scope(self, event)
        features = {feature.name: shown(scope.value(feature.name), feature.type) for feature in self.policy.features}
        verdict = judge(self.policy, point, event.kind, scope)
        exempted = [f"{rule.id} is exempted (group {rule.group})" for rule in verdict.exempted]
        return Decision(
            event_id=event.id,
            point=point.name,
            outcome=verdict.outcome,
            score=verdict.score,
            fired=tuple(rule.id for rule in verdict.fired),
            shadow=tuple(rule.id for rule in verdict.shadow),
            unknown=tuple(rule.id for rule in verdict.unknown),
            actions=actions_of(verdict.fired),
            reasons=reasons_of(verdict.fired, scope),
            features=features,
            lists=self.hit_lists(scope),
            seq=self.seq + 1,
            late=self.retention.watermark is not None and event.time < self.retention.watermark,
            notes=tuple(sorted(scope.notes) + exempted),
        )

    def hit_lists(self, scope: Scope) -> tuple[str, ...]:
        """Lists that hold what the policy's rules and features look up in them, in the lists' order."""
        roots = [feature.expression for feature in self.policy.features] + [rule.when for rule in self.policy.rules]
        asked = [node for root in roots for node in walk(root) if isinstance(node, InList)]
        hit = {node.list for node in asked if evaluate(node, scope)}
        return tuple(spec.name for spec in self.policy.lists if spec.name in hit)

    # -- what is remembered --------------------------------------------------------------------------------------
    def record_decision(self, event: Event, decision: Decision, at: int) -> None:
        self.seq += 1
        event.decisions[decision.point] = decision
        event.score = decision.score
        event.fired = frozenset(decision.fired)
        event.tell("final", Told(at, self.seq, self.policy.outcomes.index(decision.outcome)))
        if event.id in self.known:
            self.settle()
        else:
            self.remember(event)

    def remember(self, event: Event) -> None:
        self.events.append(event)
        self.known[event.id] = event
        self.retention.record(event.time)
        self.forget()
        self.settle()

    def forget(self) -> None:
        """Ids leave in recorded order: those out of reach above `ids_min`, any above `ids_max`."""
        limits = self.policy.limits
        while self.known:
            head = next(iter(self.known.values()))
            if not (len(self.known) > limits.ids_max or (len(self.known) > limits.ids_min and self.out_of_reach(head))):
                return
            del self.known[head.id]
            self.floor = head.time if self.floor is None else max(self.floor, head.time)

    def out_of_reach(self, event: Event) -> bool:
        """Past the horizon, and past every window in which an update of it could still be seen."""
        spans = [reach.span_ms for reach in self.retention.reaches.values() if reach.reads_updates]
        if UNBOUNDED in spans:
            return False
        assert self.retention.watermark is not None
        return event.time < self.retention.watermark - self.policy.limits.horizon_ms - max(spans, default=0)

    def settle(self) -> None:
        if len(self.events) > self.policy.limits.ring_events_max:
            self.retention.drop(self.events)


class Scope:
    """What features and rules see of the event that is being decided. Features are computed when first asked for."""

    def __init__(self, twin: Twin, event: Event) -> None:
        self.twin = twin
        self.event = event
        self.notes: list[str] = []
        self.reader = Reader(twin.policy, twin.events, event)
        self.updates = {field.name: field.default for field in twin.policy.updates}
        self.updates |= {name: told.value for name, told in event.told.items()}
        self.pending = {feature.name: feature for feature in twin.policy.features}
        self.features: dict[str, Value] = {}

    def value(self, name: str) -> Value:
        if name in self.pending:
            feature = self.pending.pop(name)
            self.features[name] = self.compute(feature)
        for known in (self.features, self.event.values, self.updates):
            if name in known:
                return known[name]
        raise AssertionError(f"no such name: {name}")

    def compute(self, feature: Feature) -> Value:
        if feature.aggregate is None:
            assert feature.expression is not None
            return evaluate(feature.expression, self)
        value, why = self.aggregate(feature.aggregate)
        if why is not None:
            self.notes.append(f"{feature.name} {NOTES[why]}")
        return value

    def aggregate(self, aggregate: Aggregate) -> tuple[Value, str | None]:
        """The value, and why it is absent where a limit says so."""
        window = self.reader.window(aggregate)
        if window is None:
            return None, None
        key = tuple(self.event.values[name] for name in aggregate.lookup)
        why = self.twin.retention.note(aggregate, window, key)
        if why is not None:
            return None, why
        value = self.reader.aggregate(aggregate, window)
        return value, "overflow" if aggregate.function == "sum" and value is None else None

    def original(self, name: str) -> Value:
        return self.event.originals[name]

    def fired(self, rule: str) -> bool:
        raise AssertionError(f"only filters ask whether {rule} fired")

    def listed(self, name: str, value: Value) -> bool:
        return self.twin.lists[name].holds(str(value), self.event.time)
