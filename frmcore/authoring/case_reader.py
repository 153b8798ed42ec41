"""Tests from YAML, typed against the policy's schema. Every mistake is a problem with its place."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from frmcore.authoring.cases import START_MS, Case
from frmcore.authoring.expectations import ExpectationReader
from frmcore.authoring.steps import StepReader
from frmcore.authoring.wishes import Unfit, instant
from frmcore.policy.envelope import Leaf, Map
from frmcore.policy.words import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from frmcore.authoring.cases import EventStep
    from frmcore.policy import Policy
    from frmcore.policy.envelope import Node
    from frmcore.policy.reader import Reader, Section
    from frmcore.policy.source import Place
    from frmcore.policy.tree import Rule

_SETUP_KEYS: Final = ("start", "defaults")
_FILE_KEYS: Final = ("policy", *_SETUP_KEYS, "tests")
_CASE_KEYS: Final = ("name", *_SETUP_KEYS, "point", "history", "event", "expect")
_EVENT_HINT: Final = "the event that is decided: event: {at: +10m, card: c-1}"


@dataclass(frozen=True, slots=True)
class Setup:
    """When a test starts, and what its events have unless they say otherwise."""

    start_ms: int = START_MS
    defaults: Mapping[str, Leaf] = field(default_factory=dict)


class CaseReader:
    """Reads the tests of one policy."""

    def __init__(self, policy: Policy, reader: Reader) -> None:
        self._policy = policy
        self._reader = reader
        self._steps = StepReader(policy, reader)
        self._points = {point.name: point for point in policy.points}

    def beside_rules(self) -> list[Case]:
        """Those that stand beside the rules, with what the policy's `tests:` says of all of them."""
        node = self._policy.test_setup
        section = node and self._reader.section(node, '"tests"', _SETUP_KEYS)
        setup = self._setup(section, Setup()) if section else Setup()
        found = (
            self._case(node, number, setup, rule)
            for rule in self._policy.rules
            for number, node in enumerate(rule.tests, 1)
        )
        return [case for case in found if case]

    def of_file(self, tree: Node) -> list[Case]:
        section = self._reader.section(tree, "a file of tests", _FILE_KEYS)
        if section is None or section.get("tests") is None:
            if section is not None:
                section.add("tests", 'the file lacks "tests"', "tests: a list of {name, history, event, expect}")
            return []
        setup = self._setup(section, Setup())
        nodes = self._reader.items(section.found["tests"][1], '"tests"')
        return [case for number, node in enumerate(nodes, 1) if (case := self._case(node, number, setup, None))]

    def _setup(self, section: Section, outer: Setup) -> Setup:
        leaf, node = section.leaf("start"), section.get("defaults")
        defaults = {} if node is None else self._steps.named_values(node, '"defaults"')
        start_ms = outer.start_ms if leaf is None else self._start(leaf)
        return Setup(start_ms, {**outer.defaults, **defaults})

    def _start(self, leaf: Leaf) -> int:
        try:
            if leaf.text[:1] not in ("+", "-"):
                return instant(leaf.text, 0)
        except Unfit:
            pass
        self._reader.problems.add(leaf.place, f"{quoted(leaf.text)} is no start", "write 2026-01-31T12:00:00Z")
        return START_MS

    def _case(self, node: Node, number: int, outer: Setup, rule: Rule | None) -> Case | None:
        section = self._reader.section(node, "a test", _CASE_KEYS)
        if section is None:
            return None
        setup = self._setup(section, outer)
        history = section.get("history")
        items = (
            () if history is None else self._reader.items(history, '"history"', "write it as lines that start with -")
        )
        self._steps.begin(setup.start_ms, setup.defaults)
        steps = tuple(step for item in items for step in self._steps.read(item))
        event = self._event(section)
        point = self._point(section, rule)
        expected = ExpectationReader(self._policy, self._reader, setup.start_ms, rule).read(section)
        if event is None:
            return None
        self._check_updates(event, point)
        name = section.leaf("name")
        place = _start_of(node)
        return Case(
            name.text if name else f"test {number}", rule.id if rule else "", place, point, steps, event, expected
        )

    def _event(self, section: Section) -> EventStep | None:
        node = section.get("event")
        if node is None:
            section.add("event", 'a test lacks "event"', _EVENT_HINT)
            return None
        if isinstance(node, Leaf) and not node.text:
            node = Map((), section.place_of("event"), 1, 1)  # all that it has are the defaults
        steps = self._steps.event(node, "event", once=True)
        return steps[0] if steps else None

    def _point(self, section: Section, rule: Rule | None) -> str:
        """The point that is named, or the one later point at which the rule is evaluated."""
        leaf = section.leaf("point")
        if leaf is not None:
            if leaf.text not in self._points:
                self._reader.unknown(leaf, "point", tuple(self._points))
            return leaf.text
        points = rule.points if rule else None
        return points[0] if points and len(points) == 1 and self._points[points[0]].after else ""

    def _check_updates(self, event: EventStep, point: str) -> None:
        told = next(iter(event.updates), "")
        if told and point in self._points and self._points[point].after:
            return
        if told:
            hint = "put an earlier event with it into history, or name a later point"
            self._reader.problems.add(event.place, f'"{told}" is told after the decision that is tested', hint)


def _start_of(node: Node) -> Place:
    """A test is where its first key is."""
    return node.entries[0][0].place if isinstance(node, Map) and node.entries else node.place
