"""The subset construction: an automaton over bytes with one next state for each, for unanchored search.

A state is the set of NFA nodes that some match could have reached, and what was before, as far as an assertion that
waits for the next byte will ask. The search may start anew at every byte, so every state holds the start as well.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final, NamedTuple

from frmcore import limits
from frmcore.policy.regex.charset import WORD
from frmcore.policy.regex.nfa import Assert, Bytes, Nfa, Split
from frmcore.policy.regex.syntax import Kind, Unsupported

if TYPE_CHECKING:
    from collections.abc import Iterable

DEAD: Final = 0
MATCHED: Final = 1
WORK_MAX: Final = 1_000_000  # nodes put into sets: some 200 ms; ordinary patterns need thousands
_ASSERT_WORK: Final = 8  # what looking at an assertion costs beside a node put into a set

# What is on one side of a place in the text: bits, so that a state can remember them.
_OTHER: Final = 0
_EDGE: Final = 1  # the text's begin or end
_NEWLINE: Final = 2
_WORD: Final = 4
Nodes = frozenset[int]


class ByteDfa(NamedTuple):
    """State s on byte b goes to `rows[s][class_of[b]]`; `accept_end[s]`: a match if the text ends there."""

    rows: list[list[int]]
    class_of: bytes
    accept_end: list[bool]
    start: int


def build_dfa(nfa: Nfa) -> ByteDfa:
    """`Unsupported` beyond limits.REGEX_STATES_MAX states or WORK_MAX."""
    return _Construction(nfa).run()


class _Construction:
    def __init__(self, nfa: Nfa) -> None:
        self._nfa = nfa
        self._asserts = {number: node for number, node in enumerate(nfa.nodes) if isinstance(node, Assert)}
        self._waiting = frozenset(self._asserts)
        self._kinds = {node.kind for node in self._asserts.values()}
        self._starts = self._class_starts()
        self._index = self._class_of()
        self._sides = self._classes_by_side()
        self._closures: dict[int, Nodes] = {}
        self._states: dict[tuple[Nodes, int], int] = {}
        self._queue: list[tuple[Nodes, int]] = []
        self._work = 0

    def run(self) -> ByteDfa:
        count = len(self._starts)
        start = self._state(self._closure(self._nfa.start), _EDGE)
        rows, ends = [[DEAD] * count, [MATCHED] * count], [False, True]
        for nodes, before in self._queue:  # grows while it is walked
            rows.append(self._row(nodes, before))
            ends.append(self._nfa.match in self._resolve(nodes, before, _EDGE))
        return ByteDfa(rows, self._index, ends, start)

    # -- classes of bytes that no node tells apart ---------------------------------------------------------------------
    def _class_starts(self) -> list[int]:
        """The first byte of each class; a class ends where the next one starts."""
        ranges = [(node.low, node.high) for node in self._nfa.nodes if isinstance(node, Bytes)]
        if self._kinds & {Kind.BEGIN_LINE, Kind.END_LINE}:
            ranges.append((10, 10))
        if self._kinds & {Kind.BOUNDARY, Kind.NO_BOUNDARY}:
            ranges.extend(WORD)
        return sorted({0} | {low for low, _ in ranges} | {high + 1 for _, high in ranges if high < 0xFF})

    def _class_of(self) -> bytes:
        marks = set(self._starts[1:])
        index, classes = 0, bytearray()
        for byte in range(256):
            index += byte in marks
            classes.append(index)
        return bytes(classes)

    def _classes_by_side(self) -> dict[int, list[int]]:
        """The classes by what an assertion sees of them."""
        words = {code for low, high in WORD for code in range(low, high + 1)}
        sides = defaultdict(list)
        for index, byte in enumerate(self._starts):
            sides[_NEWLINE if byte == 10 else _WORD if byte in words else _OTHER].append(index)
        return sides

    # -- states --------------------------------------------------------------------------------------------------------
    def _state(self, nodes: Nodes, before: int) -> int:
        self._spend(len(nodes))
        nodes = self._resolve(nodes, before, None)
        if self._nfa.match in nodes:
            return MATCHED
        if not nodes and Kind.BEGIN_LINE not in self._kinds:  # else a new line may still begin a match
            return DEAD
        key = nodes, _OTHER if nodes.isdisjoint(self._waiting) else before
        if key not in self._states:
            if len(self._states) + 2 >= limits.REGEX_STATES_MAX:
                raise Unsupported("too many states")
            self._states[key] = len(self._states) + 2
            self._queue.append(key)
        return self._states[key]

    def _row(self, nodes: Nodes, before: int) -> list[int]:
        row = [DEAD] * len(self._starts)
        for side, classes in self._sides.items():
            here = self._resolve(nodes, before, side)
            if self._nfa.match in here:
                targets = dict.fromkeys(classes, MATCHED)
            else:
                targets = {index: self._state(reached, side) for index, reached in self._step(here, classes)}
            for index, target in targets.items():
                row[index] = target
        return row

    def _step(self, nodes: Nodes, classes: list[int]) -> Iterable[tuple[int, Nodes]]:
        again = self._closure(self._nfa.start)
        reached = {index: set(again) for index in classes}
        self._spend(len(again) * len(classes))
        for number in nodes:
            node = self._nfa.nodes[number]
            if isinstance(node, Bytes):
                closure = self._closure(node.next)
                covered = range(self._index[node.low], self._index[node.high] + 1)
                self._spend(len(covered) * (1 + len(closure)))
                for index in covered:
                    if index in reached:
                        reached[index] |= closure
        return [(index, frozenset(found)) for index, found in reached.items()]

    def _spend(self, work: int) -> None:
        self._work += work
        if self._work > WORK_MAX:
            raise Unsupported("too large")

    def _closure(self, number: int) -> Nodes:
        """The nodes that wait for something (a byte, a place) or match, reached without either."""
        if number not in self._closures:
            seen, stack = {number}, [number]
            while stack:
                node = self._nfa.nodes[stack.pop()]
                if isinstance(node, Split):
                    stack.extend(new := set(node.nexts) - seen)
                    seen |= new
            self._spend(len(seen))
            self._closures[number] = frozenset(n for n in seen if not isinstance(self._nfa.nodes[n], Split))
        return self._closures[number]

    def _resolve(self, nodes: Nodes, before: int, after: int | None) -> Nodes:
        """Goes past the assertions that hold, drops those that don't; without `after`, keeps those that ask for it."""
        stack = list(nodes & self._waiting)
        if not stack:
            return nodes
        found = set(nodes - self._waiting)
        seen = set(stack)
        while stack:
            number = stack.pop()
            assertion = self._asserts[number]
            holds = _holds(assertion.kind, before, after)
            if holds is None:
                found.add(number)
            elif holds:
                reached = self._closure(assertion.next)
                found |= reached - self._waiting
                stack.extend(new := (reached & self._waiting) - seen)
                seen |= new
                self._spend(len(reached))
        self._spend(_ASSERT_WORK * len(seen))
        return frozenset(found)


def _holds(kind: Kind, before: int, after: int | None) -> bool | None:
    """None: only the next byte can tell."""
    if kind is Kind.BEGIN_TEXT:
        return before == _EDGE
    if kind is Kind.BEGIN_LINE:
        return before in (_EDGE, _NEWLINE)
    if after is None:
        return None
    if kind is Kind.END_TEXT:
        return after == _EDGE
    if kind is Kind.END_LINE:
        return after in (_EDGE, _NEWLINE)
    return ((before == _WORD) != (after == _WORD)) == (kind is Kind.BOUNDARY)
