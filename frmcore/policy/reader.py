"""Reading the tree of an envelope by type: one small function for each thing a value can be. Each adds its problem."""

from __future__ import annotations

import re
from itertools import zip_longest
from typing import TYPE_CHECKING, Final, NamedTuple

from frmcore.durations import parse_duration
from frmcore.names import nearest
from frmcore.policy.envelope import Leaf, Map, Node, Seq
from frmcore.policy.words import quoted, shown
from frmcore.sizes import parse_size

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from frmcore.policy.source import Place, Problems, Scalar

_INT: Final = re.compile(r"[+-]?[0-9]{1,30}(?:_[0-9]{3})*")
_UNFINISHED: Final = re.compile(r"(?:[-+*/%<>=!,.]|\b(?:and|or|not|in|is|if|else))\s*$")
_OPENING: Final = {"(": ")", "[": "]", "{": "}"}
_SHAPES: Final = {Leaf: "a single value", Seq: "a list", Map: "a mapping"}
_QUOTE: Final = {
    "comment": 'a "#" after a space starts a comment: put the whole value in quotes if it belongs to it',
    "flow": 'inside { } and [ ] an unquoted value ends at "," or a closing bracket: put the whole value in quotes',
}


def is_unfinished(text: str) -> bool:
    """Whether `text` lacks its end: an open bracket or quote, or an operator in the last place. O(length)."""
    closing: list[str] = []
    quote, escaped = "", False
    for char in text:
        if quote:
            quote, escaped = ("" if char == quote and not escaped else quote), char == "\\" and not escaped
        elif char in "'\"":
            quote = char
        elif char in _OPENING:
            closing.append(_OPENING[char])
        elif closing and char == closing[-1]:
            closing.pop()
    return bool(quote or closing) or _UNFINISHED.search(text) is not None


class Reader:
    """Typed reading; None, or an empty result, means that the problem was added."""

    def __init__(self, problems: Problems) -> None:
        self.problems = problems

    def wrong_shape(self, node: Node, what: str, wanted: type[Node], hint: str) -> None:
        if isinstance(node, Leaf) and not node.text:
            self.problems.add(node.place, f"{what} is empty", hint or f"give {_SHAPES[wanted]}")
        else:
            found = _SHAPES[type(node)]
            self.problems.add(node.place, f"{what} must be {_SHAPES[wanted]}, not {found}", hint)

    def leaf(self, node: Node, what: str, hint: str = "") -> Leaf | None:
        if isinstance(node, Leaf) and node.text:
            return node
        self.wrong_shape(node, what, Leaf, hint)
        return None

    def text(self, node: Node, what: str) -> Scalar | None:
        """A value that a comment or a bracket must not have cut short: expressions and reasons."""
        leaf = self.leaf(node, what, "" if isinstance(node, Leaf) else "put it in quotes if it starts with { or [")
        if leaf is None or self.is_cut(leaf):
            return None
        return leaf.scalar

    def is_cut(self, leaf: Leaf) -> bool:
        if not leaf.cut or not is_unfinished(leaf.text):
            return False
        self.problems.add(leaf.place, f"this value is cut short after {shown(leaf.text[-20:])}", _QUOTE[leaf.cut])
        return True

    def items(
        self, node: Node, what: str, hint: str = "write it as [a, b] or as lines that start with -"
    ) -> tuple[Node, ...]:
        if isinstance(node, Seq):
            return node.items
        self.wrong_shape(node, what, Seq, hint)
        return ()

    def one_or_more(self, node: Node, what: str) -> tuple[Leaf, ...]:
        """`payment` or `[payment, payout]`; twice the same is a problem."""
        nodes = node.items if isinstance(node, Seq) else (node,)
        if not nodes:
            self.problems.add(node.place, f"{what} is empty", "name at least one, or remove it")
        leaves = [leaf for item in nodes if (leaf := self.leaf(item, what))]
        seen: set[str] = set()
        for leaf in leaves:
            if leaf.text in seen:
                self.problems.add(leaf.place, f"{quoted(leaf.text)} stands twice in {what}", "remove one of them")
            seen.add(leaf.text)
        return tuple(leaves)

    def entries(self, node: Node, what: str) -> Iterator[tuple[Leaf, Node]]:
        """The entries of a mapping with names of the author's own, up to one that a comma has torn apart."""
        if not isinstance(node, Map):
            self.wrong_shape(node, what, Map, "write it as lines of name: value")
            return
        followers = [value for _, value in node.entries[1:]]
        for (key, value), following in zip_longest(node.entries, followers):
            yield key, value
            if self.is_torn(value, following):
                return

    def is_torn(self, value: Node, following: Node | None) -> bool:
        """Whether a comma ended `value` in the middle, so that its rest reads as a key with nothing behind it."""
        if not isinstance(value, Leaf) or not isinstance(following, Leaf) or following.text:
            return False
        return value.cut == "flow" and self.is_cut(value)

    def section(self, node: Node, what: str, known: Sequence[str]) -> Section | None:
        """A mapping whose keys are ours: unknown ones are problems."""
        if not isinstance(node, Map):
            self.wrong_shape(node, what, Map, f"it may hold {', '.join(known)}")
            return None
        found = dict[str, tuple[Leaf, Node]]()
        for key, value in self.entries(node, what):
            if key.text in known:
                found[key.text] = key, value
            else:
                hint = nearest(key.text, known) or f"{what} may hold {', '.join(known)}"
                self.problems.add(key.place, f"unknown key {quoted(key.text)} in {what}", hint)
        return Section(self, what, node.place, found)

    def integer(self, node: Node, what: str, least: int, most: int) -> int | None:
        leaf = self.leaf(node, what)
        if leaf is None:
            return None
        if not _INT.fullmatch(leaf.text):
            self.problems.add(leaf.place, f"{what} must be a whole number, not {quoted(leaf.text)}")
            return None
        value = int(leaf.text.replace("_", ""))
        if not least <= value <= most:
            self.problems.add(leaf.place, f"{what} must lie between {least:,} and {most:,}")
            return None
        return value

    def duration(self, node: Node, what: str, most: int) -> int | None:
        """Milliseconds, 1 to `most`."""
        leaf = self.leaf(node, what)
        if leaf is None:
            return None
        value = parse_duration(leaf.text)
        if value is None:
            hint = "write a number and a unit: 500ms, 30s, 10m, 24h, 7d, 2w"
            self.problems.add(leaf.place, f"{what} must be a duration, not {quoted(leaf.text)}", hint)
        elif not 1 <= value <= most:
            self.problems.add(leaf.place, f"{what} must lie between 1ms and {most // 86_400_000:,}d")
            value = None
        return value

    def size(self, node: Node, what: str, least: int, most: int) -> int | None:
        """Bytes, `least` to `most`."""
        leaf = self.leaf(node, what)
        if leaf is None:
            return None
        value = parse_size(leaf.text)
        if value is None:
            hint = "write a number and a unit: 512MB, 4GB, 4GiB"
            self.problems.add(leaf.place, f"{what} must be an amount of memory, not {quoted(leaf.text)}", hint)
        elif not least <= value <= most:
            self.problems.add(leaf.place, f"{what} must lie between {least >> 20:,} MiB and {most >> 40:,} TiB")
            value = None
        return value

    def choice(self, node: Node, what: str, options: Sequence[str]) -> str | None:
        wanted = " or ".join(options)
        leaf = self.leaf(node, what, f"write {wanted}")
        if leaf is not None and leaf.text not in options:
            hint = nearest(leaf.text, options)
            self.problems.add(leaf.place, f"{what} must be {wanted}, not {quoted(leaf.text)}", hint)
            return None
        return leaf.text if leaf else None

    def unknown(self, leaf: Leaf, what: str, known: Sequence[str]) -> None:
        """`leaf` names none of `known`."""
        hint = nearest(leaf.text, known) or (f"known: {', '.join(known[:20])}" if known else "the policy declares none")
        self.problems.add(leaf.place, f"unknown {what} {quoted(leaf.text)}", hint)


class Section(NamedTuple):
    """One mapping with known keys. An absent key reads as None, False or an empty tuple."""

    reader: Reader
    what: str
    place: Place
    found: dict[str, tuple[Leaf, Node]]

    def get(self, key: str) -> Node | None:
        return self.found[key][1] if key in self.found else None

    def place_of(self, key: str) -> Place:
        return self.found[key][0].place if key in self.found else self.place

    def add(self, key: str, message: str, hint: str = "") -> None:
        self.reader.problems.add(self.place_of(key), message, hint)

    def leaf(self, key: str) -> Leaf | None:
        node = self.get(key)
        return None if node is None else self.reader.leaf(node, f'"{key}"')

    def required(self, key: str, hint: str) -> Leaf | None:
        if key not in self.found:
            self.reader.problems.add(self.place, f'{self.what} lacks "{key}"', hint)
        return self.leaf(key)

    def text(self, key: str) -> Scalar | None:
        node = self.get(key)
        return None if node is None else self.reader.text(node, f'"{key}"')

    def one_or_more(self, key: str) -> tuple[Leaf, ...]:
        node = self.get(key)
        return () if node is None else self.reader.one_or_more(node, f'"{key}"')

    def flag(self, key: str) -> bool:
        return self.choice(key, ("true", "false"), "false") == "true"

    def choice(self, key: str, options: Sequence[str], default: str) -> str:
        node = self.get(key)
        return default if node is None else self.reader.choice(node, f'"{key}"', options) or default

    def integer(self, key: str, least: int, most: int) -> int | None:
        node = self.get(key)
        return None if node is None else self.reader.integer(node, f'"{key}"', least, most)

    def duration(self, key: str, most: int) -> int | None:
        node = self.get(key)
        return None if node is None else self.reader.duration(node, f'"{key}"', most)

    def size(self, key: str, least: int, most: int) -> int | None:
        node = self.get(key)
        return None if node is None else self.reader.size(node, f'"{key}"', least, most)
