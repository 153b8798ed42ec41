"""What a test expects: `expect: fires` beside a rule, or a mapping of what the decision must hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from frmcore.authoring.cases import Expectation
from frmcore.authoring.wishes import Unfit, Wish, wish
from frmcore.limits import SCORE_MAX
from frmcore.policy.envelope import Leaf, Map, Seq

if TYPE_CHECKING:
    from frmcore.policy import Policy
    from frmcore.policy.envelope import Node
    from frmcore.policy.reader import Reader, Section
    from frmcore.policy.tree import Rule

STATES: Final = {"fires": "fired", "silent": "silent", "shadow": "shadow", "unknown": "unknown", "exempted": "exempted"}
BY_RULE: Final = ("fired", "not_fired", "shadow", "unknown", "exempted")
BY_TEXT: Final = ("reasons", "notes", "error")  # what is expected stands somewhere in one of them
_NAMES: Final = ("actions", "lists")
_FLAGS: Final = ("late",)
_KEYS: Final = ("outcome", "score", *BY_RULE, *_NAMES, *BY_TEXT, *_FLAGS, "features")
_NONE: Final = "none"
_SCORES: Final = 4_096 * SCORE_MAX  # every rule at its most


class ExpectationReader:
    """Reads `expect:` of one test."""

    def __init__(self, policy: Policy, reader: Reader, start_ms: int, rule: Rule | None) -> None:
        self._policy = policy
        self._reader = reader
        self._problems = reader.problems
        self._start_ms = start_ms
        self._rule = rule
        self._rules = tuple(each.id for each in policy.rules)

    def read(self, test: Section) -> tuple[Expectation, ...]:
        node = test.get("expect")
        if node is None:
            test.add("expect", 'a test lacks "expect"', self._hint())
            return ()
        if isinstance(node, Leaf):
            return self._state(node)
        section = self._reader.section(node, '"expect"', _KEYS)
        found = () if section is None else tuple(each for key in section.found for each in self._of(key, section))
        if section is not None and not section.found:
            self._problems.add(node.place, '"expect" is empty', self._hint())
        return found

    def _hint(self) -> str:
        return f"expect: {'fires' if self._rule else '{outcome: block, fired: [a_rule]}'}"

    def _state(self, leaf: Leaf) -> tuple[Expectation, ...]:
        """`fires` and its like, beside a rule."""
        if self._rule is None or not leaf.text:
            self._reader.wrong_shape(leaf, '"expect"', Map, self._hint())
            return ()
        state = self._reader.choice(leaf, '"expect"', tuple(STATES))
        return (_expect(leaf, "state", self._rule.id, STATES[state]),) if state else ()

    def _of(self, key: str, section: Section) -> tuple[Expectation, ...]:
        node = section.found[key][1]
        if key == "features":
            return self._features(node)
        if key == "score":
            score = section.integer(key, -_SCORES, _SCORES)
            return () if score is None else (_expect(node, key, "", score),)
        if key in _FLAGS:
            return (_expect(node, key, "", section.flag(key)),)
        if key == "outcome":
            return self._named(key, section, self._policy.outcomes)
        if key in BY_TEXT:
            return tuple(_expect(leaf, key, leaf.text, True) for leaf in section.one_or_more(key))
        return self._several(key, section)

    def _several(self, key: str, section: Section) -> tuple[Expectation, ...]:
        """Names that must be among those of the decision, or `none`."""
        node = section.get(key)
        if isinstance(node, Seq) and not node.items and key != "not_fired":
            section.add(key, f'"{key}" is empty', f"write {key}: none where there must be none")
            return ()
        leaves = section.one_or_more(key)
        if key != "not_fired" and [leaf.text for leaf in leaves] == [_NONE] and isinstance(node, Leaf):
            return (_expect(leaves[0], key, "", _NONE),)
        known = self._known(key)
        for leaf in leaves:
            if leaf.text not in known:
                self._reader.unknown(leaf, key.rstrip("s") if key in _NAMES else "rule", known)
        return tuple(_expect(leaf, key, leaf.text, True) for leaf in leaves)

    def _known(self, key: str) -> tuple[str, ...]:
        if key == "lists":
            return tuple(spec.name for spec in self._policy.lists)
        if key == "actions":
            return tuple({action: None for rule in self._policy.rules for action in rule.actions})
        return self._rules

    def _named(self, key: str, section: Section, known: tuple[str, ...]) -> tuple[Expectation, ...]:
        leaf = section.leaf(key)
        if leaf is None:
            return ()
        if leaf.text not in known:
            self._reader.unknown(leaf, key, known)
        return (_expect(leaf, key, "", leaf.text),)

    def _features(self, node: Node) -> tuple[Expectation, ...]:
        features = {feature.name: feature for feature in self._policy.features}
        found = []
        for name, value in self._reader.entries(node, '"features"'):
            if name.text not in features:
                self._reader.unknown(name, "feature", tuple(features))
            elif not isinstance(value, Leaf):
                self._reader.wrong_shape(value, f'feature "{name.text}"', Leaf, "")
            else:
                try:
                    wanted = wish(value, features[name.text].type, self._start_ms)
                    found.append(Expectation(value.place, "features", name.text, wanted))
                except Unfit as unfit:
                    self._problems.add(value.place, unfit.message, unfit.hint)
        return tuple(found)


def _expect(node: Node, key: str, name: str, value: object) -> Expectation:
    return Expectation(node.place, key, name, Wish(value, str(value)))
