"""The twin of `frmcore.Engine`."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from frmcore.errors import EventConflict, EventTooOld, InvalidEvent, UnknownEvent, UnknownName
from frmcore.plan import Mode
from frmcore.policy.tree import InList
from twin.control import Control
from twin.decision import Decision, Shown, actions_of, judge, reasons_of, rules_of
from twin.evaluate import evaluate
from twin.explain import Explanation, explained
from twin.fields import read_event, read_value
from twin.groups import UNBOUNDED, place_features, walk
from twin.lists import List
from twin.records import Event, Told
from twin.retention import Retention
from twin.values import shown
from twin.windows import Reader, floored

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from frmcore.policy.tree import Aggregate, Feature, Point, Policy, Rule
    from twin.groups import Group
    from twin.retention import Why
    from twin.values import Value

FORGET_MAX = 4
LAST = 2**64 - 1  # a sequence after every other
NOTES = {
    "late": "is absent: the event is later than limits.horizon, and its window reaches events that were given up",
    "capped": "is absent: its window reaches beyond limits.ring_events_max events of one key",
    "lost": "is absent: the event it rests on was retracted, and the one before is no longer kept",
    "evicted": "is absent: its window reaches what was evicted to keep within limits.max_memory or limits.entities",
    "overflow": "is absent: its value does not fit into 64 bits",
    "incomplete": "is incomplete: its window reaches events that had been forgotten when a reload added it",
}


class Twin:
    def __init__(self, policy: Policy, clock: Callable[[], int]) -> None:
        self.policy = policy
        self.clock = clock
        self.seq = 0
        self.events: list[Event] = []  # all that were ever recorded, in order
        self.known: dict[str, Event] = {}  # those whose ids are remembered, in recorded order
        self.log: deque[tuple[Event, bool]] = deque()  # records of decisions and observations; True: the event's first
        self.ids_limit = 2**64  # what evictions left of ids_max
        self.floor: int | None = None  # the greatest time of an event whose id was forgotten
        self.lists = {spec.name: List(spec, self.take_seq) for spec in policy.lists}
        self.retention = Retention(policy)
        self.control = Control(policy)
        self.groups, self.group_of = place_features(policy, [])

    # -- operations ----------------------------------------------------------------------------------------------
    def decide(self, event: Mapping[str, object], point: str | None = None) -> Decision:
        fresh = self.read(event)
        known = self.known.get(fresh.id)
        where = self.first_point(fresh.kind, point)
        if known is not None:
            self.check_repeat(known, fresh)
            return self.decided_again(known, where, self.now(), {})
        self.check_age(fresh)
        decision = self.judged(fresh, where)
        self.seq += 1
        fresh.decide(decision, Told(fresh.time, self.seq, self.policy.outcomes.index(decision.outcome)))
        self.remember(fresh)
        self.follow(fresh, decision)
        return decision

    def follow(self, event: Event, decision: Decision) -> None:
        """What a decision brings about is recorded behind it, an operation each."""
        fired = [rule for rule in decision.asked if rule.id in decision.fired]
        self.seq += self.control.count(decision.asked, fired, event.time)
        self.seq += self.control.remember(decision.raised, event.time)

    def evaluate(self, event: Mapping[str, object], point: str | None = None) -> Decision:
        """What `decide` would return; nothing is recorded."""
        fresh = self.read(event)
        known = self.known.get(fresh.id)
        where = self.first_point(fresh.kind, point)
        if known is not None:
            self.check_repeat(known, fresh)
            if where.name in known.decisions:
                return replace(known.decisions[where.name], duplicate=True)
            return replace(self.judged(known, where), seq=0)
        self.check_age(fresh)
        return replace(self.judged(fresh, where), seq=0)

    def decide_again(self, event_id: str, point: str, at: int | None = None, **updates: object) -> Decision:
        told = self.read_updates(updates)
        at = self.told_at(at)
        known = self.find(event_id)
        return self.decided_again(known, self.named_point(point), at, told)

    def decided_again(self, known: Event, point: Point, at: int, told: Mapping[str, Value]) -> Decision:
        """A further decision about a known event, as of its own place, with everything known now."""
        if point.name in known.decisions:
            decision = replace(known.decisions[point.name], duplicate=True)
            if any(name not in known.told or known.told[name].value != value for name, value in told.items()):
                raise conflict(f"{known.id} was decided at {point.name} with other updates", decision)
            return decision
        if point.after and point.after not in known.decisions:
            raise InvalidEvent(f"{point.name} comes after {point.after}")
        asking = replace(known, told=dict(known.told), remembered={})  # the rings still hold it as it was
        asking.tell_all(told, at, self.seq + 1)
        decision = self.judged(asking, point)
        self.seq += 1
        final = Told(at, self.seq, self.policy.outcomes.index(decision.outcome))
        with self.retention.mended(self.groups, known):
            known.tell_all(told, at, self.seq)
            known.decide(decision, final)
        self.log.append((known, False))
        self.follow(known, decision)
        self.forget()
        return decision

    def observe(self, event: Mapping[str, object]) -> None:
        fresh = self.read(event)
        names = [*(field.name for field in self.policy.updates), "final"]
        told = self.read_updates({name: event[name] for name in names if event.get(name) is not None})
        known = self.known.get(fresh.id)
        if known is not None:
            return self.check_content(known, fresh)
        self.check_age(fresh)
        self.seq += 1
        fresh.observed = True
        fresh.tell_all({"final": 0, **told}, fresh.time, self.seq)
        self.remember(fresh)
        return None

    def update(self, event_id: str, at: int | None = None, **updates: object) -> None:
        if not updates:
            raise InvalidEvent("an update tells at least one field")
        told = self.read_updates(updates)
        at = self.told_at(at)
        known = self.find(event_id)
        self.seq += 1
        with self.retention.mended(self.groups, known):
            known.tell_all(told, at, self.seq)

    def switch(self, kind: str, name: str, state: str) -> None:
        self.control.switch(kind, name, state)
        self.seq += 1

    def snooze(self, rule: str, entity: str | None, until: int) -> None:
        self.control.snooze(rule, entity, until)
        self.seq += 1

    def unsnooze(self, rule: str, entity: str | None) -> None:
        self.control.unsnooze(rule, entity, self.retention.list_line)
        self.seq += 1

    def reset_breaker(self, rule: str) -> None:
        self.control.reset(rule)
        self.seq += 1

    def explain(self, event_id: str, point: str | None = None) -> Explanation:
        event = self.find(event_id)
        name = None if point is None else self.named_point(point).name
        if not event.decisions or (name is not None and name not in event.decisions):
            raise UnknownEvent(f"{event_id} was not decided there")
        return explained(self, event, event.decisions[name or list(event.decisions)[-1]])

    def features(self, at: int | None = None, **entities: str) -> dict[str, Shown]:
        """The aggregates whose key is given, as an event of no kind would read them after all that was recorded."""
        fields = {field.name: field for field in (*self.policy.fields, *self.policy.derived)}
        if not entities.keys() <= {field.entity for field in fields.values()}:
            raise UnknownName(f"not all of {', '.join(entities)} are entities")
        time = max(self.now(), self.retention.watermark) if at is None else at
        given = {name: entities.get(field.entity or "") for name, field in fields.items()}
        values = {name: read_value(name, fields[name].type, value) for name, value in given.items()}
        scope = Scope(self, Event(LAST, "", time, None, values, {}, late=False), counts_itself=False)
        return {
            feature.name: shown(scope.value(feature.name), feature.type)
            for feature in self.policy.features
            if feature.aggregate is not None and None not in scope.reader.key(feature.aggregate.lookup)
        }

    def reload(self, policy: Policy) -> None:
        kept = self.lists
        self.policy, self.ids_limit = policy, 2**64
        self.lists = {spec.name: List(spec, self.take_seq) for spec in policy.lists}
        for spec in policy.lists:
            if spec.values is None and spec.name in kept:
                self.lists[spec.name].expiry = kept[spec.name].expiry
        for group in self.groups:
            group.given_up = self.retention.limit(group)
        self.groups, self.group_of = place_features(policy, self.groups)
        self.retention.policy = policy
        self.control.reload(policy)
        known = {event.seq for event in self.known.values()}
        for group in self.groups:
            if not group.fixed:
                group.unknown = frozenset(event.seq for event in self.events) - known
                group.gap = None if self.floor is None else floored(self.floor, group.members.every_ms)
        for event in self.events:
            event.remembered.clear()
            for group in self.groups:
                group.file(event)
        for group in self.groups:
            for key in group.filed:
                self.retention.settle(group, key)
        self.seq += 1

    def take_seq(self) -> None:
        self.seq += 1

    # -- what comes in -------------------------------------------------------------------------------------------
    def read(self, event: Mapping[str, object]) -> Event:
        policy = self.policy
        values, originals = read_event(policy, event)
        kind = values[policy.kind_field] if policy.kind_field else None
        time = int(values[policy.time_field] or 0)
        if self.now() > 10**11 and abs(time - self.now() // 1_000) < 31_536_000:
            raise InvalidEvent(f"{time} is in seconds", policy.time_field)
        if time > self.now() + policy.limits.max_ahead_ms:
            raise InvalidEvent(f"{time} is ahead of the clock", policy.time_field)
        return Event(
            seq=self.seq + 1,
            id=str(values[policy.id_field]),
            time=time,
            late=self.retention.oldest is not None and time < self.retention.watermark,
            kind=None if kind is None else policy.kinds[int(kind)],
            values=values,
            originals=originals,
        )

    def check_repeat(self, known: Event, fresh: Event) -> None:
        """A known id may come again with the same content, if it was decided."""
        self.check_content(known, fresh)
        if known.observed:
            raise conflict(f"{fresh.id} was observed, not decided", None)

    def check_content(self, known: Event, fresh: Event) -> None:
        if self.content(known) != self.content(fresh):
            decision = None if known.observed else next(iter(known.decisions.values()))
            raise conflict(f"{fresh.id} came with other content", decision and replace(decision, duplicate=True))

    def check_age(self, fresh: Event) -> None:
        if self.floor is not None and fresh.time <= self.floor:
            raise EventTooOld(f"{fresh.id} is at or before {self.floor}", self.policy.time_field)

    def now(self) -> int:
        return self.clock()

    def told_at(self, at: int | None) -> int:
        now = self.now()
        if at is not None and at > now + self.policy.limits.max_ahead_ms:
            raise InvalidEvent(f"{at} is ahead of the clock", "at")
        return now if at is None else at

    def content(self, event: Event) -> list[Value]:
        """What a retry must repeat."""
        return [
            event.originals.get(field.name, event.values[field.name])
            for field in self.policy.fields
            if not field.may_change
        ]

    def read_updates(self, updates: Mapping[str, object]) -> dict[str, Value]:
        fields = {field.name: field for field in self.policy.updates}
        told: dict[str, Value] = {}
        for name, value in updates.items():
            if name == "final":
                told[name] = self.outcome_code(value)
            elif name not in fields or (value is None and not fields[name].optional):
                raise InvalidEvent(f"{name} can't be told {value}", name)
            else:
                told[name] = read_value(name, fields[name].type, value)
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
        """The point that was asked for, or the first that decides this kind, or the first of all."""
        if name is not None:
            point = self.named_point(name)
            if point.after:
                raise InvalidEvent(f"{name} decides again")
            if point.on is not None and kind not in point.on:
                raise InvalidEvent(f"{name} does not decide {kind}")
            return point
        firsts = [point for point in self.policy.points if not point.after]
        named = {kind for point in firsts for kind in point.on or ()}
        fits = [point for point in firsts if (kind in point.on if point.on is not None else kind not in named)]
        return (fits or self.policy.points)[0]

    def named_point(self, name: str) -> Point:
        for point in self.policy.points:
            if point.name == name:
                return point
        raise UnknownName(f"no point is called {name}")

    # -- what goes out -------------------------------------------------------------------------------------------
    def judged(self, event: Event, point: Point) -> Decision:
        scope = Scope(self, event)
        features = {feature.name: shown(scope.value(feature.name), feature.type) for feature in self.policy.features}
        line, time = self.retention.list_line, event.time
        verdict = judge(self.policy, point, event.kind, scope, self.control, time, line)
        raised = self.control.alerts(verdict.fired, time, line, scope)
        exempted = [f"{rule.id} is exempted (group {rule.group})" for rule in verdict.exempted]
        return Decision(
            event_id=event.id,
            point=point.name,
            outcome=verdict.outcome,
            score=verdict.score,
            fired=tuple(rule.id for rule in verdict.fired),
            shadow=tuple(rule.id for rule in verdict.shadow),
            unknown=tuple(rule.id for rule in verdict.unknown),
            actions=actions_of(verdict.acting),
            intended=verdict.intended,
            holdout=verdict.holdout,
            probability=verdict.probability,
            alerts=tuple(self.alert(rule, entity, event) for rule, entity in raised),
            off=verdict.off,
            asked=tuple(rules_of(self.policy, point, event.kind)),
            raised=raised,
            reasons=reasons_of(verdict.fired, scope),
            features=features,
            lists=self.hit_lists(scope),
            seq=self.seq + 1,
            late=event.late,
            notes=(*sorted(scope.notes), *verdict.notes, *exempted),
            policy=self.policy,
        )

    def alert(self, rule: Rule, entity: Value, event: Event) -> tuple[object, ...]:
        """All that the twin can tell of an alert: not its evidence."""
        assert rule.alert is not None
        about = rule.alert.about
        named = "private" if about.type.private else shown(entity, about.type)
        return rule.id, about.name, named, rule.alert.typology, event.id, event.time

    def hit_lists(self, scope: Scope) -> tuple[str, ...]:
        """Lists that hold what features and rules (all that are not off) look up in them."""
        rules = [rule.when for rule in self.policy.rules if rule.mode is not Mode.OFF]
        roots = [feature.expression for feature in self.policy.features] + rules
        asked = [node for root in roots for node in walk(root) if isinstance(node, InList)]
        hit = {node.list for node in asked if evaluate(node, scope)}
        return tuple(spec.name for spec in self.policy.lists if spec.name in hit)

    # -- what is remembered --------------------------------------------------------------------------------------
    def remember(self, event: Event) -> None:
        self.events.append(event)
        self.known[event.id] = event
        self.log.append((event, True))
        self.retention.record(event.time)
        self.forget()
        for group in self.groups:
            if (key := group.key(event)) is not None:
                if self.retention.belongs(group, event):
                    self.retention.admit(group, key, event)
                group.file(event)
                self.retention.settle(group, key)

    def evict(self, windows: Mapping[str, int], ids: int | None) -> None:
        """`windows`: a feature, or "~" and a feature whose `since` is meant, -> up to which time its idle keys go."""
        for name, until in windows.items():
            group = self.group_of[name.lstrip("~")]
            self.retention.evict(cast("Group", group.marks) if name.startswith("~") else group, until)
        self.ids_limit = self.ids_limit if ids is None else ids
        self.seq += 1

    def forget(self) -> None:
        """Records leave in recorded order, FORGET_MAX at most an operation; with an event's first goes its id."""
        for _ in range(FORGET_MAX):
            if not self.log or not self.may_forget(self.log[0][0]):
                return
            event, is_first = self.log.popleft()
            if is_first:
                del self.known[event.id]
                self.floor = event.time if self.floor is None else max(self.floor, event.time)

    def may_forget(self, head: Event) -> bool:
        """Above `ids_max` any; above `ids_min` those out of reach."""
        known, limits = len(self.known), self.policy.limits
        return known > min(limits.ids_max, self.ids_limit) or (known > limits.ids_min and self.out_of_reach(head))

    def out_of_reach(self, event: Event) -> bool:
        """Past the horizon, and past every window in which an update of it could still be seen."""
        spans = [UNBOUNDED if group.life else group.span_ms for group in self.groups if group.reads_updates]
        if UNBOUNDED in spans:
            return False
        return event.time < self.retention.watermark - self.policy.limits.horizon_ms - max(spans, default=0)


def conflict(message: str, decision: Decision | None) -> EventConflict:
    return EventConflict(message, cast("Any", decision))


class Scope:
    """What features and rules see of the event that is being decided. Features are computed when first asked for."""

    def __init__(self, twin: Twin, event: Event, counts_itself: bool = True) -> None:
        self.twin = twin
        self.event = event
        self.notes: list[str] = []
        self.reader = Reader(twin.policy, event, counts_itself)
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
        value, why = self.aggregate(feature.aggregate, self.twin.group_of[feature.name])
        if why is not None:
            self.notes.append(f"{feature.name} {NOTES[why]}")
        return value

    def aggregate(self, aggregate: Aggregate, group: Group) -> tuple[Value, Why | None]:
        """The value, and why it is absent where a limit says so."""
        if None in self.reader.key(aggregate.lookup):
            return None, None
        bounds = self.reader.bounds(aggregate, group)
        why = self.twin.retention.lost(self.reader, aggregate, group, bounds)
        if why is not None:
            return None, why
        value = self.reader.aggregate(aggregate, group, bounds)
        if aggregate.function == "sum" and value is None:
            return value, "overflow"
        return value, "incomplete" if self.reader.lacks(aggregate, group, bounds) else None

    def original(self, name: str) -> Value:
        return self.event.originals[name]

    def fired(self, rule: str) -> bool:
        raise AssertionError(f"only filters ask whether {rule} fired")

    def listed(self, name: str, value: Value) -> bool:
        return self.twin.lists[name].holds(str(value), max(self.event.time, self.twin.retention.list_line))
