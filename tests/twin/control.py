"""What steers rules beside their conditions: dates, switches, snoozes, breakers, alerts. Plain dicts and lists."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from frmcore.errors import InvalidEvent, UnknownName
from frmcore.plan import Mode
from frmcore.policy.canonical import Texts
from frmcore.policy.digests import rule_digest
from twin.fields import read_value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from frmcore.policy.tree import Policy, Rule
    from twin.evaluate import Scope
    from twin.values import Value

STATES = {"off": Mode.OFF, "shadow": Mode.SHADOW, "on": Mode.LIVE}
WHY = {
    "snoozed": "is in shadow: it is snoozed",
    "tripped": "is in shadow: its breaker tripped",
    "switched": "is in shadow: it was switched there",
}
CELLS = 60


def out_of_dates(rule: Rule, time: int) -> bool:
    return (rule.from_ms is not None and time < rule.from_ms) or (rule.until_ms is not None and time >= rule.until_ms)


@dataclass
class Counted:
    """Decisions since a breaker began to count: the cell of each, and whether the rule fired."""

    decisions: list[tuple[int, bool]] = field(default_factory=list)

    def add(self, cell: int, fired: bool) -> bool:
        """False for what is older than the window."""
        if self.decisions and cell <= self.latest() - CELLS:
            return False
        self.decisions.append((cell, fired))
        return True

    def latest(self) -> int:
        return max(cell for cell, _ in self.decisions)

    def window(self) -> list[bool]:
        line = self.latest() - CELLS
        return [fired for cell, fired in self.decisions if cell > line]


@dataclass
class Control:
    policy: Policy
    switches: dict[tuple[str, str], tuple[str, object]] = field(default_factory=dict)  # state; what it holds on to
    snoozes: dict[tuple[str, str, Value], int] = field(default_factory=dict)
    tripped: dict[str, object] = field(default_factory=dict)
    counted: dict[tuple[str, object], Counted] = field(default_factory=dict)
    alerted: dict[tuple[str, str, Value], int] = field(default_factory=dict)  # until when

    # -- operations ----------------------------------------------------------------------------------------------
    def switch(self, kind: str, name: str, state: str) -> None:
        own = Mode.LIVE
        if kind == "rule":
            own = self.rule(name).mode
        elif name not in {rule.group for rule in self.policy.rules if rule.group}:
            raise UnknownName(name)
        elif any(group.name == name and not group.enabled for group in self.policy.groups):
            own = Mode.OFF
        self.switches.pop((kind, name), None)
        if STATES[state] is not own:
            self.switches[kind, name] = state, self.meaning(kind, name)

    def snooze(self, rule: str, entity: str | None, until: int) -> None:
        self.snoozes[self.whom(rule, entity)] = until

    def unsnooze(self, rule: str, entity: str | None, list_line: int) -> None:
        key = self.whom(rule, entity)
        if self.snoozes.get(key, list_line) <= list_line:
            raise UnknownName(rule)
        del self.snoozes[key]

    def reset(self, name: str) -> None:
        self.rule(name)
        if name not in self.tripped:
            raise UnknownName(name)
        del self.tripped[name]
        self.clear(name)

    def clear(self, name: str) -> None:
        self.counted = {key: counted for key, counted in self.counted.items() if key[0] != name}

    def reload(self, policy: Policy) -> None:
        self.policy = policy
        meant = {rule.id: self.meaning("rule", rule.id) for rule in policy.rules if rule.mode is not Mode.OFF}
        groups = {rule.group for rule in policy.rules}
        self.switches = {
            (kind, name): said
            for (kind, name), said in self.switches.items()
            if (meant.get(name) if kind == "rule" else name in groups and self.meaning(kind, name)) == said[1]
        }
        self.tripped = {name: meaning for name, meaning in self.tripped.items() if meant.get(name) == meaning}
        self.snoozes = {key: until for key, until in self.snoozes.items() if key[0] in meant}
        self.counted = {key: counted for key, counted in self.counted.items() if meant.get(key[0]) == key[1]}

    def rule(self, name: str) -> Rule:
        for rule in self.policy.rules:
            if rule.id == name:
                if rule.mode is Mode.OFF:
                    raise InvalidEvent(name)
                return rule
        raise UnknownName(name)

    def whom(self, rule: str, entity: str | None) -> tuple[str, str, Value]:
        self.rule(rule)
        if not entity:
            return rule, "", None
        name, _, value = entity.partition(":")
        fields = {field.name: field for field in (*self.policy.fields, *self.policy.derived) if field.entity}
        if name not in fields:
            raise UnknownName(name)
        return rule, name, read_value(name, fields[name].type, value)

    def meaning(self, kind: str, name: str) -> object:
        """What a rule's control holds on to; of a group what the policy says of it."""
        if kind == "rule":
            return rule_digest(next(rule for rule in self.policy.rules if rule.id == name), Texts().of)
        return next(((g.enabled, g.takes_max) for g in self.policy.groups if g.name == name), (True, False))

    # -- deciding ------------------------------------------------------------------------------------------------
    def mode(self, rule: Rule, time: int, list_line: int, scope: Scope) -> tuple[Mode, str]:
        """What the rule is for this event; and why it is in shadow, where the policy does not say so."""
        if out_of_dates(rule, time):
            return Mode.OFF, ""
        mode, why = min(self.of_rule(rule), self.of_group(rule)), ""
        if mode is Mode.SHADOW and rule.mode is Mode.LIVE:
            why = "switched"
        if mode is Mode.LIVE and rule.id in self.tripped:
            mode, why = Mode.SHADOW, "tripped"
        if mode is Mode.LIVE and self.is_snoozed(rule, max(time, list_line), scope):
            mode, why = Mode.SHADOW, "snoozed"
        return mode, why

    def of_rule(self, rule: Rule) -> Mode:
        said = self.switches.get(("rule", rule.id))
        return STATES[said[0]] if said else rule.mode

    def of_group(self, rule: Rule) -> Mode:
        said = self.switches.get(("group", rule.group))
        if said:
            return STATES[said[0]]
        off = any(group.name == rule.group and not group.enabled for group in self.policy.groups)
        return Mode.OFF if off else Mode.LIVE

    def is_snoozed(self, rule: Rule, time: int, scope: Scope) -> bool:
        return any(
            name == rule.id and time < until and (not field or scope.value(field) == value)
            for (name, field, value), until in self.snoozes.items()
            if not field or scope.value(field) is not None
        )

    def alerts(self, fired: Sequence[Rule], time: int, list_line: int, scope: Scope) -> tuple[tuple[Rule, Value], ...]:
        """The rules whose alert is due, and whom each is about."""
        found = []
        for rule in fired:
            entity = None if rule.alert is None else scope.value(rule.alert.about.name)
            if rule.alert is not None and entity is not None:
                until = self.alerted.get((rule.id, rule.alert.about.name, entity))
                if until is None or time >= until or until <= list_line:
                    found.append((rule, entity))
        return tuple(found)

    # -- after a decision ----------------------------------------------------------------------------------------
    def count(self, asked: Sequence[Rule], fired: Sequence[Rule], time: int) -> int:
        """How many breakers tripped. `asked`: the rules that this decision evaluated."""
        tripped = 0
        for rule in asked:
            breaker = rule.breaker
            if breaker is None:
                continue
            counted = self.counted.setdefault((rule.id, self.meaning("rule", rule.id)), Counted())
            hit = rule in fired
            if counted.add(time // max(breaker.over_ms // CELLS, 1), hit) and hit:
                window = counted.window()
                if len(window) >= breaker.least and sum(window) * 10_000 > breaker.share * len(window):
                    self.tripped[rule.id] = self.meaning("rule", rule.id)
                    self.clear(rule.id)
                    tripped += 1
        return tripped

    def remember(self, alerts: Sequence[tuple[Rule, Value]], time: int) -> int:
        """How many operations that is."""
        for rule, entity in alerts:
            assert rule.alert is not None
            self.alerted[rule.id, rule.alert.about.name, entity] = time + rule.alert.once_ms
        return bool(alerts)
