"""Thompson's construction: a syntax tree as a non-deterministic automaton over bytes."""

from __future__ import annotations

from typing import Final, NamedTuple

from frmcore.policy.regex.charset import utf8_sequences
from frmcore.policy.regex.syntax import Alternate, Assertion, Chars, Kind, Node, Repeat, Unsupported

NODES_MAX: Final = 8_192  # (a{1,30}){1,30} has 900; beyond this the DFA would not fit either


class Bytes(NamedTuple):
    """Takes one byte of low..high."""

    low: int
    high: int
    next: int


class Split(NamedTuple):
    """Goes on everywhere at once."""

    nexts: tuple[int, ...]


class Assert(NamedTuple):
    """Goes on where the place fits."""

    kind: Kind
    next: int


class Match(NamedTuple):
    """The pattern was found."""


NfaNode = Bytes | Split | Assert | Match


class Nfa(NamedTuple):
    nodes: list[NfaNode]
    start: int
    match: int


def build_nfa(tree: Node) -> Nfa:
    """`Unsupported` beyond NODES_MAX nodes."""
    builder = _Builder()
    match = builder.add(Match())
    return Nfa(builder.nodes, builder.compile(tree, match), match)


class _Builder:
    """Builds from the end: every piece knows the node that follows it."""

    def __init__(self) -> None:
        self.nodes: list[NfaNode] = []
        self._bytes: dict[Bytes, int] = {}  # equal tails of UTF-8 sequences are one

    def add(self, node: NfaNode) -> int:
        if len(self.nodes) >= NODES_MAX:
            raise Unsupported("too large")
        self.nodes.append(node)
        return len(self.nodes) - 1

    def compile(self, tree: Node, after: int) -> int:
        """The first node of `tree` when `after` follows it."""
        if isinstance(tree, Chars):
            return self._chars(tree, after)
        if isinstance(tree, Assertion):
            return self.add(Assert(tree.kind, after))
        if isinstance(tree, Repeat):
            return self._repeat(tree, after)
        if isinstance(tree, Alternate):
            return self.add(Split(tuple(self.compile(item, after) for item in tree.items)))
        for item in reversed(tree.items):
            after = self.compile(item, after)
        return after

    def _chars(self, tree: Chars, after: int) -> int:
        firsts = []
        for sequence in utf8_sequences(tree.ranges):
            node = after
            for low, high in reversed(sequence):
                node = self._byte(Bytes(low, high, node))
            firsts.append(node)
        return firsts[0] if len(firsts) == 1 else self.add(Split(tuple(firsts)))

    def _byte(self, node: Bytes) -> int:
        if node not in self._bytes:
            self._bytes[node] = self.add(node)
        return self._bytes[node]

    def _repeat(self, tree: Repeat, after: int) -> int:
        first = self._loop(tree.item, after) if tree.most is None else after
        for _ in range((tree.most or tree.least) - tree.least):
            first = self.add(Split((self.compile(tree.item, first), after)))
        for _ in range(tree.least):
            first = self.compile(tree.item, first)
        return first

    def _loop(self, item: Node, after: int) -> int:
        loop = self.add(Split(()))
        self.nodes[loop] = Split((self.compile(item, loop), after))
        return loop
