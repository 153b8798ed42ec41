"""Text to syntax tree, and every node's place in the file."""

from __future__ import annotations

import ast
import warnings
from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING

import msgspec

from frmcore.policy.tokens import Refused, check_tokens

if TYPE_CHECKING:
    from frmcore.policy.source import Place, Problems, Scalar


class Source(msgspec.Struct, frozen=True):
    """A text that became a tree. Nodes count bytes of UTF-8; places and `text` count characters."""

    scalar: Scalar
    tree: ast.expr
    lines: tuple[str, ...]
    starts: tuple[int, ...]  # offset of each line in the text

    def place(self, node: ast.expr | ast.keyword) -> Place:
        """Where `node` stands; of several lines, its part of the first."""
        start, end = self._span(node)
        return _place(self.scalar, self.starts, start, end)

    def text(self, node: ast.expr) -> str:
        """The node's source, in one line."""
        start, end = self._span(node)
        return " ".join(line.strip() for line in self.scalar.text[start:end].split("\n"))

    def _span(self, node: ast.expr | ast.keyword) -> tuple[int, int]:
        start = self._offset(node.lineno, node.col_offset)
        return start, self._offset(node.end_lineno or node.lineno, node.end_col_offset or node.col_offset + 1)

    def _offset(self, lineno: int, byte: int) -> int:
        line = lineno - 2  # the text starts in the second line, see parse
        text = self.lines[line]
        return self.starts[line] + (byte if text.isascii() else len(text.encode()[:byte].decode()))


def parse(scalar: Scalar, problems: Problems) -> Source | None:
    """The syntax tree of `scalar`, or None after its problem was added."""
    try:
        check_tokens(scalar.text)
        return Source(scalar, _parse(scalar.text), tuple(scalar.text.split("\n")), _starts(scalar.text))
    except Refused as refused:
        place = place_of(scalar, refused.start, refused.start + refused.length)
        problems.add(place, refused.message, refused.hint)
        return None


def _parse(text: str) -> ast.expr:
    """Brackets around the text let it go on over several lines; on lines of their own they move no column."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # Python only warns of "\d"
            return ast.parse(f"(\n{text}\n)", mode="eval").body
    except SyntaxError as error:
        raise Refused(*_where(text, error), *_what(error)) from None
    except (ValueError, MemoryError, RecursionError):  # NUL, lone surrogates; the parser's own bounds
        raise Refused(0, len(text), "the expression can't be read") from None


def _where(text: str, error: SyntaxError) -> tuple[int, int]:
    lines = text.split("\n")
    line = min(max((error.lineno or 2) - 2, 0), len(lines) - 1)
    column = min(max((error.offset or 1) - 1, 0), max(len(lines[line]) - 1, 0))
    return sum(len(before) + 1 for before in lines[:line]) + column, 1


_KNOWN = {  # part of what Python says -> what we say
    "escape": ("the backslash in this text starts no escape that there is", r'a text without escapes: r"\d+"'),
    "expected 'else'": ("an else is missing", "write a if condition else b"),
    "positional argument": (
        "an argument without a name follows one with a name",
        "write values first: sum(amount, by=card)",
    ),
}


def _what(error: SyntaxError) -> tuple[str, str]:
    found = (said for part, said in _KNOWN.items() if part in error.msg)
    return next(found, ("the expression can't be read from here on", ""))


def place_of(scalar: Scalar, start: int, end: int) -> Place:
    """Where `text[start:end]` stands in the file."""
    return _place(scalar, _starts(scalar.text), start, end)


def _starts(text: str) -> tuple[int, ...]:
    return tuple(accumulate((len(line) + 1 for line in text.split("\n")[:-1]), initial=0))


def _place(scalar: Scalar, starts: tuple[int, ...], start: int, end: int) -> Place:
    line = bisect_right(starts, start) - 1
    line_end = starts[line + 1] - 1 if line + 1 < len(starts) else len(scalar.text)
    return scalar.at(line, start - starts[line], max(1, min(end, line_end) - start))
