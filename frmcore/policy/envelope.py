"""The envelope: YAML text -> a tree of nodes that know their places.

Every scalar is text: what it means is decided where it is used, so `on: payout`, `mode: off` and `[NO, SE]` mean what
they say. What could surprise the reader of a policy is refused: duplicate keys, merge keys, tags, several documents,
tabs as indentation, control characters and marks that reorder text. Aliases are allowed, and counted as if written out.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn

import msgspec
import yaml

from frmcore.limits import YAML_DEPTH_MAX, YAML_NODES_MAX
from frmcore.policy.scalars import Span, scalar_of
from frmcore.policy.source import Place, Problems, Scalar
from frmcore.policy.syntax import explain
from frmcore.policy.words import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

Cut = Literal["", "comment", "flow"]
_Event = Any  # PyYAML's, whose stubs know neither tags nor anchors


class Leaf(msgspec.Struct, frozen=True):
    """A scalar. `cut`: what ended it, where it is unquoted and might have been meant to go on. `quoted`: certainly a
    text, whatever it looks like."""

    scalar: Scalar
    cut: Cut = ""
    quoted: bool = False
    size: int = 1
    height: int = 1

    @property
    def text(self) -> str:
        return self.scalar.text

    @property
    def place(self) -> Place:
        return self.scalar.place


class Seq(msgspec.Struct, frozen=True):
    """A list. `size`: nodes in it, aliases written out; `height`: levels of nesting, itself included."""

    items: tuple[Node, ...]
    place: Place
    size: int
    height: int


class Map(msgspec.Struct, frozen=True):
    """A mapping, in file order; keys are unique."""

    entries: tuple[tuple[Leaf, Node], ...]
    place: Place
    size: int
    height: int

    def get(self, key: str) -> Node | None:
        return next((node for leaf, node in self.entries if leaf.text == key), None)


Node = Leaf | Seq | Map

# The C parser where PyYAML was built with it: a rule book of a megabyte takes 0.2 s instead of 10.
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_COMMENT: Final = re.compile(r"[ \t]+#")
_UNPRINTABLE: Final = re.compile(
    "[^\t\n\x20-\x7e\xa0-\u2027\u202f-\u2065\u206a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def read_envelope(file: str, text: str, problems: Problems) -> Node | None:
    """The tree of one file, or None where its syntax is broken. Problems are added. O(length)."""
    problems.add_file(file, _UNPRINTABLE.sub("\ufffd", text))  # what is shown may not steer a terminal
    if not _printable(file, text, problems):
        return None
    composer = _Composer(file, text, problems)
    try:
        return composer.document()
    except _Refused:
        return None
    except yaml.MarkedYAMLError as error:
        line, column, message, hint = explain(error, composer.lines)
        problems.add(Place(file, line + 1, column + 1), message, hint)
        return None


def normalised(text: str) -> str:
    """One kind of line break and no byte order mark: a checkout on another system is the same policy."""
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def _printable(file: str, text: str, problems: Problems) -> bool:
    found = next(_UNPRINTABLE.finditer(text), None)
    if found is None:
        return True
    before = text[: found.start()]
    place = Place(file, before.count("\n") + 1, found.start() - (before.rfind("\n") + 1) + 1)
    code = f"U+{ord(found.group()):04X}"
    hint = f'write it as "\\u{ord(found.group()):04x}" in double quotes if it is meant'
    problems.add(place, f"the invisible or control character {code} can't stand in a policy", hint)
    return False


class _Refused(Exception):
    """The rest of the file is not worth reading; the problem was added."""


class _Composer:
    """Builds nodes from PyYAML's parser events: never its constructors, which give texts a meaning."""

    def __init__(self, file: str, text: str, problems: Problems) -> None:
        self.file = file
        self.lines = [*text.split("\n"), ""]  # the parser may place the end behind the last line
        self.problems = problems
        self.events: Iterator[_Event] = iter(yaml.parse(text, Loader=_LOADER))
        self.anchors: dict[str, Node | None] = {}  # None: not finished, so an alias to it would never end
        self.nodes = 0
        self.flow = 0

    def document(self) -> Node | None:
        node: Node | None = None
        documents = 0
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if event.version or event.tags:
                    self.add(event, "directives have no meaning here", "remove the lines that start with %")
                if documents > 1:
                    self.refuse(event, "a second document starts here", 'a policy is one document: remove "---"')
            elif isinstance(event, yaml.NodeEvent):
                node = self.node(event, 1)
        if documents == 0:
            self.problems.add(Place(self.file, 1, 1), "the file is empty")
        return node

    def node(self, event: _Event, depth: int) -> Node:
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event, depth)
        self.count(event, 1, depth)
        if event.tag is not None:
            self.add(event, "a tag has no meaning here", "remove it: a policy's values are text")
        if event.anchor is not None:
            self.anchors[event.anchor] = None
        node = self.inner(event, depth)
        if event.anchor is not None:
            self.anchors[event.anchor] = node
        return node

    def inner(self, event: _Event, depth: int) -> Node:
        if isinstance(event, yaml.ScalarEvent):
            return self.leaf(event)
        self.flow += bool(event.flow_style)
        node = self.seq(event, depth) if isinstance(event, yaml.SequenceStartEvent) else self.map(event, depth)
        self.flow -= bool(event.flow_style)
        return node

    def alias(self, event: _Event, depth: int) -> Node:
        if event.anchor not in self.anchors:
            self.refuse(event, f"*{event.anchor} names no anchor", f"define &{event.anchor} above, or quote the value")
        node = self.anchors[event.anchor]
        if node is None:
            self.refuse(event, f"*{event.anchor} holds itself", "write out what is meant")
        self.count(event, node.size, depth + node.height - 1)
        return node

    def leaf(self, event: _Event) -> Leaf:
        start, end = event.start_mark, event.end_mark
        span = Span(start.line, start.column, end.line, end.column)
        style = event.style if event.style in ("'", '"', "|", ">") else None
        scalar = scalar_of(event.value, style, self.file, self.lines, span)
        if _SURROGATE.search(event.value):
            self.add(event, "half of a surrogate pair is no character", "write the whole character")
        return Leaf(scalar, "" if style else self.cut(span), quoted=style is not None)

    def cut(self, span: Span) -> Cut:
        if _COMMENT.match(self.lines[span.end_line], span.end_column):
            return "comment"
        return "flow" if self.flow else ""

    def seq(self, event: _Event, depth: int) -> Seq:
        items = []
        while not isinstance(item := next(self.events), yaml.SequenceEndEvent):
            items.append(self.node(item, depth + 1))
        size = 1 + sum(node.size for node in items)
        return Seq(tuple(items), self.place(event), size, 1 + max((node.height for node in items), default=0))

    def map(self, event: _Event, depth: int) -> Map:
        entries: dict[str, tuple[Leaf, Node]] = {}
        size, height = 1, 0
        while not isinstance(start := next(self.events), yaml.MappingEndEvent):
            key = self.node(start, depth + 1)
            value = self.node(next(self.events), depth + 1)
            size, height = size + key.size + value.size, max(height, value.height)
            if isinstance(key, Leaf) and self.is_key(key, start, entries):
                entries[key.text] = key, value
            elif not isinstance(key, Leaf):
                self.add(start, "a key must be a name", "put the value in quotes if it starts with { or [")
        return Map(tuple(entries.values()), self.place(event), size, 1 + height)

    def is_key(self, key: Leaf, event: _Event, entries: dict[str, tuple[Leaf, Node]]) -> bool:
        if key.text == "<<":
            self.add(event, "merge keys are not supported", "write the entries out, or use an alias as a whole value")
            return False
        if first := entries.get(key.text):
            hint = f"it stands in line {first[0].place.line} already: remove or rename one of them"
            self.problems.add(key.place, f"duplicate key {quoted(key.text)}", hint)
            return False
        return True

    def count(self, event: _Event, nodes: int, depth: int) -> None:
        self.nodes += nodes
        if self.nodes > YAML_NODES_MAX:
            hint = "aliases count as if they were written out; put long lists of values into files"
            self.refuse(event, f"the file holds more than {YAML_NODES_MAX:,} values", hint)
        if depth > YAML_DEPTH_MAX:
            self.refuse(event, f"nested deeper than {YAML_DEPTH_MAX} levels", "a policy needs about six")

    def place(self, event: _Event) -> Place:
        return Place(self.file, event.start_mark.line + 1, event.start_mark.column + 1)

    def add(self, event: _Event, message: str, hint: str) -> None:
        self.problems.add(self.place(event), message, hint)

    def refuse(self, event: _Event, message: str, hint: str) -> NoReturn:
        self.add(event, message, hint)
        raise _Refused
