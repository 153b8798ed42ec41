"""The steps of a test: events, updates, changes of lists, each at its time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from frmcore.authoring.cases import EventStep, ListStep, UpdateStep
from frmcore.authoring.wishes import Unfit, event_values, instant
from frmcore.durations import parse_duration
from frmcore.limits import TEST_EVENTS_MAX, WINDOW_MS_MAX
from frmcore.names import nearest
from frmcore.plan import Kind
from frmcore.policy.envelope import Leaf, Map
from frmcore.policy.tree import Field, Type
from frmcore.policy.words import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from frmcore.authoring.cases import Step
    from frmcore.policy import Policy
    from frmcore.policy.envelope import Node
    from frmcore.policy.reader import Reader, Section
    from frmcore.policy.source import Place

_EVENT_KEYS: Final = ("at", "repeat", "every", "fields")
_UPDATE_KEYS: Final = ("update", "point", "at", "fields")
_LIST_KEYS: Final = ("list", "add", "remove", "at", "expires")
_COUNTER: Final = "{n}"


class StepReader:
    """Reads steps of one test after the other; `begin` starts a test."""

    def __init__(self, policy: Policy, reader: Reader) -> None:
        self._policy = policy
        self._reader = reader
        self._problems = reader.problems
        self._fields = {declared.name: declared for declared in policy.fields}
        self._updates = {declared.name: declared for declared in policy.updates}
        self._updates["final"] = _final(policy)
        self._lists = {spec.name: spec for spec in policy.lists}

    def begin(self, start_ms: int, defaults: Mapping[str, Leaf]) -> None:
        self._start_ms, self._defaults = start_ms, defaults
        self._ids: set[str] = set()
        self._count = 0

    def read(self, node: Node) -> list[Step]:
        """One item of `history`: the key that it has tells what it is."""
        first = {key.text for key, _ in node.entries} if isinstance(node, Map) else set()
        if "update" in first:
            return list(self._update(node))
        if "list" in first and ("list" not in self._fields or first & {"add", "remove"}):
            return list(self._list(node))
        return list(self.event(node, "an event", once=False))

    def event(self, node: Node, what: str, *, once: bool) -> list[EventStep]:
        """An event, as often as it says."""
        section = self._section(node, what, _EVENT_KEYS[:1] + _EVENT_KEYS[3:] if once else _EVENT_KEYS, {
            **self._fields, **self._updates,
        })  # fmt: skip
        if section is None:
            return []
        given = self._given(section)
        times = section.integer("repeat", 1, TEST_EVENTS_MAX) or 1
        every = section.duration("every", WINDOW_MS_MAX) or 0
        if "every" in section.found and "repeat" not in section.found:
            section.add("every", '"every" goes with "repeat"', "say how often: repeat: 5")
        if self._count + times > TEST_EVENTS_MAX:
            section.add("repeat", f"a test has at most {TEST_EVENTS_MAX:,} events", "repeat less")
            return []
        start = self._at(section)
        values = {**self._defaults, **given}
        place = section.place_of(next(iter(section.found), ""))
        return [
            self._one(place, start + n * every, values, n + 1 if "repeat" in section.found else 0) for n in range(times)
        ]

    def _one(self, place: Place, at: int, leaves: Mapping[str, Leaf], number: int) -> EventStep:
        values = self._values(leaves, {**self._fields, **self._updates}, number)
        updates = {name: values.pop(name) for name in self._updates if name in values}
        self._count += 1
        event_id = values.pop(self._policy.id_field, None) or self._new_id()
        if number > 1 and self._policy.id_field in leaves and _COUNTER not in leaves[self._policy.id_field].text:
            leaf = leaves[self._policy.id_field]
            self._problems.add(leaf.place, "events that repeat need different ids", "leave it out, or write x-{n}")
        self._ids.add(event_id)
        return EventStep(place, at, event_id, values, updates)

    def _new_id(self) -> str:
        return f"event-{self._count}"

    def named_values(self, node: Node, what: str) -> dict[str, Leaf]:
        """`name: value` of fields; their values are checked where they are used."""
        section = self._section(node, what, (), self._fields)
        return {} if section is None else self._given(section)

    def _update(self, node: Node) -> list[UpdateStep]:
        section = self._section(node, "an update", _UPDATE_KEYS, self._updates)
        leaf = section and section.required("update", "name the event: update: event-1")
        if section is None or leaf is None:
            return []
        if leaf.text not in self._ids:
            hint = nearest(leaf.text, self._ids) or "give the event above an id; without one they are event-1, event-2"
            self._problems.add(leaf.place, f"no event above has the id {quoted(leaf.text)}", hint)
        point = section.leaf("point")
        later = tuple(each.name for each in self._policy.points if each.after)
        if point is not None and point.text not in later:
            self._reader.unknown(point, "later point", later)
        values = self._values(self._given(section), self._updates, 0)
        if not values and point is None:
            section.add("update", "nothing is told", f"name what was learned: {', '.join(self._updates)}")
        place = section.place_of("update")
        return [UpdateStep(place, self._at(section), leaf.text, point.text if point else "", values)]

    def _list(self, node: Node) -> list[ListStep]:
        section = self._reader.section(node, "a change of a list", _LIST_KEYS)
        name = section and section.leaf("list")
        if section is None or name is None:
            return []
        if name.text not in self._lists:
            self._reader.unknown(name, "list", tuple(self._lists))
            return []
        if self._lists[name.text].values is not None:
            self._problems.add(name.place, f"list {quoted(name.text)} comes from the policy", "its values are there")
        removed = "remove" in section.found
        if removed == ("add" in section.found):
            section.add("list", "a value comes or goes", "{list: blocked_cards, add: c-1}, or remove: c-1")
            return []
        value = section.leaf("remove" if removed else "add")
        expires = self._expiry(section)
        if value is None:
            return []
        return [ListStep(section.place_of("list"), self._at(section), name.text, value.text, removed, expires)]

    def _expiry(self, section: Section) -> int | None:
        leaf = section.leaf("expires")
        if leaf is None:
            return None
        if "remove" in section.found:
            section.add("expires", '"expires" goes with "add"', "remove it")
        ms = parse_duration(leaf.text)
        if ms is not None:
            return self._at(section) + ms
        return self._instant(leaf, "a duration from then on: 90d; or a time: +10m, 2026-01-31T12:00:00Z")

    def _section(self, node: Node, what: str, keys: tuple[str, ...], names: Mapping[str, Field]) -> Section | None:
        """A mapping of our keys and of names of the schema."""
        time = self._policy.time_field
        if isinstance(node, Map) and (own := next((leaf for leaf, _ in node.entries if leaf.text == time), None)):
            if time not in keys:
                self._problems.add(own.place, f"the time of an event is told by at, not by {time}", "at: +10m")
            node = Map(tuple(entry for entry in node.entries if entry[0].text != time), node.place, 1, 1)
        return self._reader.section(node, what, (*keys, *(name for name in names if name not in keys)))

    def _given(self, section: Section) -> dict[str, Leaf]:
        """The values of names of the schema, in the mapping itself or under `fields` (where a name is taken)."""
        keys = {"at", "repeat", "every", "fields", "update", "point"} & section.found.keys()
        entries = {name: node for name, (_, node) in section.found.items() if name not in keys}
        inner = section.get("fields")
        names = (*self._fields, *self._updates)
        nested = self._reader.section(inner, '"fields"', names) if inner is not None else None
        if nested is not None:
            entries |= {name: node for name, (_, node) in nested.found.items()}
        found = {}
        for name, node in entries.items():
            if isinstance(node, Leaf):
                found[name] = node
            else:
                self._reader.wrong_shape(node, quoted(name), Leaf, "")
        return found

    def _values(self, leaves: Mapping[str, Leaf], fields: Mapping[str, Field], number: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, leaf in sorted(leaves.items(), key=lambda item: fields[item[0]].type.kind is Kind.MONEY):
            text = leaf.text.replace(_COUNTER, str(number)) if number else leaf.text
            try:
                values = event_values(leaf, text, fields[name], self._start_ms)
            except Unfit as unfit:
                self._problems.add(leaf.place, unfit.message, unfit.hint)
                continue
            for other in values.keys() & leaves.keys() - {name}:  # its currency
                if leaves[other] is not self._defaults.get(other) and leaves[other].text != values[other]:
                    message = f"{other} is {quoted(leaves[other].text)}, and {name} in {values[other]}"
                    self._problems.add(leaf.place, message, f"leave {other} out: the amount tells it")
            found |= values
        return found

    def _at(self, section: Section) -> int:
        leaf = section.leaf("at")
        found = self._instant(leaf, "") if leaf else None
        return self._start_ms if found is None else found

    def _instant(self, leaf: Leaf, hint: str) -> int | None:
        try:
            return instant(leaf.text, self._start_ms)
        except Unfit as unfit:
            self._problems.add(leaf.place, unfit.message, hint or unfit.hint)
            return None


def _final(policy: Policy) -> Field:
    """`final` is told like an update."""
    type_ = Type(Kind.ENUM, values=policy.outcomes)
    return Field("final", type_, "", ("final",), True, (), False, None, None, "", policy.fields[0].place)
