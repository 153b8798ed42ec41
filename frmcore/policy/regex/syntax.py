"""The syntax tree of a pattern, and the parser of our subset of RE2's syntax.

google-re2 has accepted the pattern before it comes here, so the parser need not tell right from wrong: it only has to
understand what is right, and to raise `Unsupported` for what it leaves to google-re2.
"""

from __future__ import annotations

import re
from enum import IntEnum
from typing import TYPE_CHECKING, Final

import msgspec

from frmcore.policy.regex import charset

if TYPE_CHECKING:
    from frmcore.policy.regex.charset import Ranges

DEPTH_MAX: Final = 64  # nested groups; keeps every recursion far from Python's limit
_COUNT: Final = re.compile(r"\{(0|[1-9][0-9]{0,3})(?:(,)(0|[1-9][0-9]{0,3})?)?\}")
_GROUP: Final = re.compile(r"\((?:\?P?<\w+>|(?!\?))")
_FLAGS: Final = re.compile(r"\(\?([imsU]*)(?:-([imsU]+))?([:)])")
_OCTAL: Final = re.compile(r"[0-7]{1,3}")
_HEX: Final = re.compile(r"x(?:\{([0-9A-Fa-f]+)\}|([0-9A-Fa-f]{2}))")
_CONTROL: Final = {"a": 7, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11}


class Unsupported(Exception):
    """Outside the subset, or too large for a DFA."""


class Kind(IntEnum):
    """What an assertion asks of its place in the text."""

    BEGIN_TEXT = 0
    END_TEXT = 1
    BEGIN_LINE = 2
    END_LINE = 3
    BOUNDARY = 4
    NO_BOUNDARY = 5


class Chars(msgspec.Struct, frozen=True):
    """One character out of a set."""

    ranges: Ranges


class Assertion(msgspec.Struct, frozen=True):
    kind: Kind


class Concat(msgspec.Struct, frozen=True):
    items: tuple[Node, ...]


class Alternate(msgspec.Struct, frozen=True):
    items: tuple[Node, ...]


class Repeat(msgspec.Struct, frozen=True):
    item: Node
    least: int
    most: int | None  # None: no bound


Node = Chars | Assertion | Concat | Alternate | Repeat
_QUANTIFIERS: Final[dict[str, tuple[int, int | None]]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
_ANCHORS: Final = {"A": Kind.BEGIN_TEXT, "z": Kind.END_TEXT, "b": Kind.BOUNDARY, "B": Kind.NO_BOUNDARY}


_EMPTY: Final = Concat(())


def parse(pattern: str) -> Node:
    """The tree of a pattern that google-re2 accepts; `Unsupported` for what is outside the subset."""
    return _Parser(pattern).alternation()


def search_core(node: Node, first: bool = True, last: bool = True) -> Node:
    """A smaller pattern that is found in the same texts: repetitions at the very begin and end need not go on.

    `[a-z]{1,64}@.*` is found where `[a-z]@` is. The automaton would come to the same states, after more work.
    """
    if not (first or last):
        return node
    if isinstance(node, Alternate):
        return Alternate(tuple(search_core(item, first, last) for item in node.items))
    if isinstance(node, Concat):
        return _concat_core(list(node.items), first, last)
    if not isinstance(node, Repeat):
        return node
    if node.least == 0:
        return _EMPTY
    return search_core(node.item, first, last) if node.least == 1 else Repeat(node.item, node.least, node.least)


def _concat_core(items: list[Node], first: bool, last: bool) -> Node:
    while first and items:
        items[0] = search_core(items[0], True, last and len(items) == 1)
        if items[0] != _EMPTY:
            break
        del items[0]
    while last and items:
        items[-1] = search_core(items[-1], first and len(items) == 1, True)
        if items[-1] != _EMPTY:
            break
        del items[-1]
    return Concat(tuple(items))


class _Parser:
    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self._at = 0
        self._flags: frozenset[str] = frozenset()
        self._depth = 0

    def _peek(self, text: str) -> bool:
        return self._text.startswith(text, self._at)

    def _take(self, text: str) -> bool:
        found = self._peek(text)
        self._at += len(text) * found
        return found

    def _next(self) -> str:
        self._at += 1
        return self._text[self._at - 1]

    def _match(self, expression: re.Pattern[str]) -> re.Match[str] | None:
        found = expression.match(self._text, self._at)
        self._at = found.end() if found else self._at
        return found

    # -- structure -----------------------------------------------------------------------------------------------------
    def alternation(self) -> Node:
        branches = [self._sequence()]
        while self._take("|"):
            branches.append(self._sequence())
        return branches[0] if len(branches) == 1 else Alternate(tuple(branches))

    def _sequence(self) -> Node:
        items: list[Node] = []
        while self._at < len(self._text) and self._text[self._at] not in "|)":
            if self._peek("(?") and (flags := self._match(_FLAGS)):
                items.extend(self._with_flags(flags))
            else:
                items.append(self._quantified(self._atom()))
        return items[0] if len(items) == 1 else Concat(tuple(items))

    def _quantified(self, item: Node) -> Node:
        bounds = self._bounds()
        if bounds is None:
            return item
        self._take("?")  # lazy or greedy: the same texts match
        if self._bounds() is not None:
            raise Unsupported("a quantifier of a quantifier")
        return Repeat(item, *bounds)

    def _bounds(self) -> tuple[int, int | None] | None:
        for sign, bounds in _QUANTIFIERS.items():
            if self._take(sign):
                return bounds
        count = self._match(_COUNT)
        if not count:
            return None
        least = int(count[1])
        return least, (int(count[3]) if count[3] else None) if count[2] else least

    def _group(self) -> Node:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise Unsupported("deeply nested groups")
        before = self._flags
        node = self.alternation()
        self._flags = before
        self._depth -= 1
        self._at += 1  # the closing bracket
        return node

    def _with_flags(self, found: re.Match[str]) -> list[Node]:
        """`(?i)` holds to the end of the group around it, `(?i:...)` for its own."""
        before = self._flags
        self._flags = (before | set(found[1])) - set(found[2] or "")
        if found[3] == ":":
            node = self._group()
            self._flags = before
            return [self._quantified(node)]
        if self._bounds() is not None:
            raise Unsupported("a quantifier of a flag")
        return []

    # -- atoms ---------------------------------------------------------------------------------------------------------
    def _atom(self) -> Node:
        if self._match(_GROUP):
            return self._group()
        if self._take("["):
            return Chars(self._class())
        if self._take("\\"):
            return self._escape()
        char = self._next()
        if char == "^":
            return Assertion(Kind.BEGIN_LINE if "m" in self._flags else Kind.BEGIN_TEXT)
        if char == "$":
            return Assertion(Kind.END_LINE if "m" in self._flags else Kind.END_TEXT)
        if char == ".":
            return Chars(charset.ANY if "s" in self._flags else charset.negate(((10, 10),)))
        if char == "(":
            raise Unsupported("a group of another kind")
        return Chars(self._folded(((ord(char), ord(char)),)))

    def _escape(self) -> Node:
        char = self._text[self._at]
        if char in _ANCHORS:
            self._at += 1
            return Assertion(_ANCHORS[char])
        if char in "pPCQ":
            raise Unsupported(f"\\{char}")
        group = self._perl()
        if group is None:
            code = self._escaped_code()
            group = self._folded(((code, code),))
        return Chars(group)

    def _perl(self) -> Ranges | None:
        """The set of `\\d`, `\\W` and so on, after its backslash."""
        char = self._text[self._at]
        ranges = charset.PERL.get(char.lower())
        if ranges is None:
            return None
        self._at += 1
        return charset.negate(self._folded(ranges)) if char.isupper() else self._folded(ranges)

    def _escaped_code(self) -> int:
        """The code point of an escape, after its backslash."""
        if octal := self._match(_OCTAL):
            return int(octal[0], 8)
        if number := self._match(_HEX):
            return int(number[1] or number[2], 16)
        char = self._next()
        return _CONTROL[char] if char in _CONTROL else ord(char)

    def _folded(self, ranges: Ranges) -> Ranges:
        if "i" not in self._flags:
            return ranges
        if ranges[-1][1] > 0x7F:
            raise Unsupported("(?i) beyond ASCII")
        return charset.fold_ascii(ranges)

    # -- classes -------------------------------------------------------------------------------------------------------
    def _class(self) -> Ranges:
        negated = self._take("^")
        ranges = list(self._class_item())  # a bracket that comes first is a character
        while not self._take("]"):
            ranges.extend(self._class_item())
        return charset.negate(tuple(ranges)) if negated else charset.union(ranges)

    def _class_item(self) -> Ranges:
        if self._peek("[:") and (end := self._text.find(":]", self._at + 2)) >= 0:
            name = self._text[self._at + 2 : end]
            self._at = end + 2
            ranges = self._folded(charset.POSIX[name.removeprefix("^")])
            return charset.negate(ranges) if name.startswith("^") else ranges
        if self._peek("\\p") or self._peek("\\P"):
            raise Unsupported("\\p")
        if self._take("\\"):
            group = self._perl()
            if group is not None:
                return group
            self._at -= 1
        low = high = self._class_code()
        if self._peek("-") and self._text[self._at + 1] != "]":
            self._at += 1
            high = self._class_code()
        return self._folded(((low, high),))

    def _class_code(self) -> int:
        return self._escaped_code() if self._take("\\") else ord(self._next())
