"""The small sections: parameters, outcomes, points with their thresholds, limits."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec.structs import replace

from frmcore.durations import parse_duration
from frmcore.limits import (
    COUNT_MAX,
    ENTITIES_LEAST,
    HORIZON_MS,
    IDS_MAX,
    IDS_MIN,
    MAX_AHEAD_MS,
    MAX_MEMORY,
    MAX_MEMORY_LEAST,
    MAX_MEMORY_MOST,
    OUTCOMES_MAX,
    PARAMS_MAX,
    POINTS_MAX,
    RING_EVENTS_MAX,
    SCORE_MAX,
    WINDOW_MS_MAX,
)
from frmcore.plan import Kind, Limits
from frmcore.policy.check import check_expression
from frmcore.policy.scope import DERIVED
from frmcore.policy.tree import Const, Point, Type
from frmcore.policy.words import Names, check_label, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from frmcore.policy.envelope import Leaf, Node
    from frmcore.policy.reader import Reader
    from frmcore.policy.scope import Scope
    from frmcore.policy.source import Scalar

DEFAULT_POINT: Final = "default"
_LIMITS: Final = ("horizon", "ids_min", "ids_max", "ring_events_max", "max_ahead", "max_memory", "entities")
_LITERAL: Final = re.compile(r"""[-+]?[0-9].*|true|false|money\(.*|".*"|'.*'""", re.DOTALL)


def read_params(node: Node, reader: Reader, scope: Scope, names: Names, told: Mapping[str, str]) -> None:
    """`params:`: a number, true or false, money("5.00"), a duration; anything else is a text. told: other values."""
    for name, value in reader.entries(node, '"params"'):
        text = reader.text(value, f"parameter {quoted(name.text)}")
        text = replace(text, text=told.get(name.text, text.text)) if text else None
        const = _const(text, reader, scope) if text else None
        declared = names.declare(name.scalar, "parameter")
        if declared and const is not None:
            scope.params[declared] = replace(const, param=declared)
        elif declared:
            scope.broken.add(declared)
        if len(scope.params) > PARAMS_MAX:
            reader.problems.add(name.place, f"more than {PARAMS_MAX:,} parameters")
            return


def _const(text: Scalar, reader: Reader, scope: Scope) -> Const | None:
    duration = parse_duration(text.text)
    if duration is not None:
        return Const(Type(Kind.DURATION), text.place, text.text, duration)
    if not _LITERAL.fullmatch(text.text):
        return Const(Type(Kind.STRING), text.place, text.text, text.text)
    found = check_expression(text, scope, reader.problems, names=DERIVED)
    if found is not None and not isinstance(found, Const):
        hint = 'a number, true, false, a duration such as 10m, money("5.00"), or a text'
        reader.problems.add(text.place, "a parameter is one value, not an expression", hint)
        return None
    return found


def read_outcomes(node: Node, reader: Reader) -> tuple[str, ...]:
    """`outcomes: [allow, review, block]`, weakest first; () after a problem was added."""
    leaves = reader.one_or_more(node, '"outcomes"')
    labels = [check_label(leaf.scalar, "outcome", reader.problems) for leaf in leaves]
    if leaves and not 2 <= len(leaves) <= OUTCOMES_MAX:
        hint = "name them weakest first: [allow, review, block]"
        reader.problems.add(node.place, f"a policy has 2 to {OUTCOMES_MAX} outcomes, not {len(leaves)}", hint)
    return tuple(dict.fromkeys(label for label in labels if label))


def read_limits(node: Node, reader: Reader, scope: Scope) -> Limits:
    """`limits:`; what it does not name keeps its default."""
    section = reader.section(node, '"limits"', _LIMITS)
    if section is None:
        return DEFAULT_LIMITS
    limits = Limits(
        horizon_ms=section.duration("horizon", WINDOW_MS_MAX) or HORIZON_MS,
        ids_min=section.integer("ids_min", 1, COUNT_MAX) or IDS_MIN,
        ids_max=section.integer("ids_max", 1, COUNT_MAX) or IDS_MAX,
        ring_events_max=section.integer("ring_events_max", 1, COUNT_MAX) or RING_EVENTS_MAX,
        max_ahead_ms=section.duration("max_ahead", WINDOW_MS_MAX) or MAX_AHEAD_MS,
        max_memory=section.size("max_memory", MAX_MEMORY_LEAST, MAX_MEMORY_MOST) or MAX_MEMORY,
        entities=_entity_limits(section.get("entities"), reader, scope),
    )
    if limits.ids_min > limits.ids_max:
        key = "ids_min" if "ids_min" in section.found else "ids_max"
        message = f"ids_min ({limits.ids_min:,}) is greater than ids_max ({limits.ids_max:,})"
        section.add(key, message, "raise ids_max, or lower ids_min")
    return limits


DEFAULT_LIMITS: Final = Limits(HORIZON_MS, IDS_MIN, IDS_MAX, RING_EVENTS_MAX, MAX_AHEAD_MS, MAX_MEMORY, ())


def _entity_limits(node: Node | None, reader: Reader, scope: Scope) -> tuple[tuple[str, int], ...]:
    """`{account: 5_000_000, card+merchant: 20_000_000}`: how many keys each window may be kept for."""
    found: dict[str, int] = {}
    for name, value in () if node is None else reader.entries(node, '"entities"'):
        for part in name.text.split("+"):
            if part not in scope.entities:
                reader.unknown(name, "entity", sorted(scope.entities))
        found[name.text] = (
            reader.integer(value, f"limit of {quoted(name.text)}", ENTITIES_LEAST, COUNT_MAX) or COUNT_MAX
        )
    return tuple(sorted(found.items()))


class _Draft(NamedTuple):
    """A point, and the places of what can be checked only once every point is known."""

    name: Leaf
    point: Point
    on: tuple[Leaf, ...]
    after: Leaf | None


class PointReader:
    """Reads `points:` and the top-level `score:`."""

    def __init__(self, reader: Reader, scope: Scope) -> None:
        self._reader = reader
        self._problems = reader.problems
        self._scope = scope
        self._drafts: dict[str, _Draft] = {}

    def read(self, points: Node | None, score: Node | None) -> tuple[Point, ...]:
        """Every point, in file order, then the one for the kinds that no other names."""
        if points is not None:
            self._read_drafts(points)
        self._check_kinds()
        found = tuple(draft.point for draft in self._drafts.values())
        is_open = DEFAULT_POINT not in self._drafts and self._is_open(found)
        self._check_after((*self._drafts, DEFAULT_POINT) if is_open else tuple(self._drafts))
        thresholds = () if score is None else self._thresholds(score)
        if not is_open:
            if score is not None:
                hint = "give thresholds to the points themselves"
                self._problems.add(score.place, '"score" here is for events that no point names: there are none', hint)
            return found
        return (*found, Point(DEFAULT_POINT, None, "", thresholds, None if score is None else score.place))

    def _is_open(self, points: tuple[Point, ...]) -> bool:
        """Whether some event is decided at no point."""
        first = [point for point in points if not point.after]
        named = {kind for point in first for kind in point.on or ()}
        return not any(point.on is None for point in first) and (
            not self._scope.kinds or named < set(self._scope.kinds)
        )

    def _read_drafts(self, node: Node) -> None:
        for name, value in self._reader.entries(node, '"points"'):
            label = check_label(name.scalar, "point", self._problems)
            draft = self._draft(name, value)
            if label and draft:
                self._drafts[label] = draft
            if len(self._drafts) > POINTS_MAX:
                self._problems.add(name.place, f"more than {POINTS_MAX} points")
                return

    def _draft(self, name: Leaf, node: Node) -> _Draft | None:
        section = self._reader.section(node, f"point {quoted(name.text)}", ("on", "after", "score"))
        if section is None:
            return None
        on, after, score = section.one_or_more("on"), section.leaf("after"), section.get("score")
        kinds = kinds_of(on, self._reader, self._scope)
        if on and after:
            section.add("on", "a point that follows another decides the same events", 'remove "on", or "after"')
        if on and name.text == DEFAULT_POINT:
            section.add("on", f'the point "{DEFAULT_POINT}" decides what no other point names', 'remove "on"')
        thresholds = () if score is None else self._thresholds(score)
        point = Point(name.text, kinds, after.text if after else "", thresholds, name.place)
        return _Draft(name, point, on, after)

    def _thresholds(self, node: Node) -> tuple[tuple[int, str], ...]:
        """`{review: 50, block: 80}` as ((50, "review"), (80, "block")): a stronger outcome needs more."""
        found: dict[int, tuple[int, Leaf]] = {}
        for name, value in self._reader.entries(node, '"score"'):
            number = self._reader.integer(value, f"threshold of {quoted(name.text)}", -SCORE_MAX, SCORE_MAX)
            if name.text not in self._scope.outcomes:
                self._reader.unknown(name, "outcome", self._scope.outcomes)
            elif name.text == self._scope.outcomes[0]:
                self._problems.add(
                    name.place, f"{quoted(name.text)} is the weakest outcome: it needs no score", "remove it"
                )
            elif number is not None:
                found[self._scope.outcomes.index(name.text)] = number, name
        order = [found[index] for index in sorted(found)]
        for (lower, weaker), (number, stronger) in itertools.pairwise(order):
            if number <= lower:
                message = f"{stronger.text} is stronger than {weaker.text}, so it needs more than {lower}, not {number}"
                self._problems.add(stronger.place, message, "stronger outcomes need greater scores")
        return tuple((number, leaf.text) for number, leaf in order)

    def _check_kinds(self) -> None:
        """Every event is first decided at one point."""
        owners: dict[str, str] = {}
        rest = ""
        for name, draft in self._drafts.items():
            for leaf in draft.on:
                if (owner := owners.setdefault(leaf.text, name)) != name:
                    message = f"events of kind {quoted(leaf.text)} are decided at {quoted(owner)} already"
                    self._problems.add(leaf.place, message, f'let this point follow: "after: {owner}"')
            if not draft.on and draft.after is None:
                if rest:
                    hint = 'give one of them "on" (kinds) or "after" (a point)'
                    self._problems.add(
                        draft.name.place, f"both {quoted(rest)} and {quoted(name)} decide every other kind", hint
                    )
                rest = name

    def _check_after(self, names: tuple[str, ...]) -> None:
        for name, draft in self._drafts.items():
            if draft.after is None:
                continue
            if draft.after.text not in names:
                self._reader.unknown(draft.after, "point", names)
            elif self._leads_to(draft.after.text, name):
                self._problems.add(
                    draft.after.place, f"point {quoted(name)} follows itself", 'one point of a row has no "after"'
                )

    def _leads_to(self, start: str, name: str) -> bool:
        seen: set[str] = set()
        while start in self._drafts and start not in seen:
            seen.add(start)
            start = self._drafts[start].point.after
        return name in seen


def kinds_of(leaves: tuple[Leaf, ...], reader: Reader, scope: Scope) -> tuple[str, ...] | None:
    """`on: payment` or `on: [payment, payout]`; None for every kind."""
    for leaf in leaves:
        if not scope.kind_field:
            hint = 'name the enum field that sorts events: "kind: ..." in "event"'
            reader.problems.add(leaf.place, '"on" needs a kind field', hint)
        elif leaf.text not in scope.kinds:
            reader.unknown(leaf, "kind", scope.kinds)
    return tuple(leaf.text for leaf in leaves) or None
