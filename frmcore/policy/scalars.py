"""Where each character of a YAML scalar stands: YAML joins lines, strips indentation and resolves escapes, and a caret
must point into the file all the same."""

from __future__ import annotations

import re
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from frmcore.policy.source import Place, Scalar

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_PIECES = {
    "'": re.compile(r"''|[^']+"),
    '"': re.compile(r"\\(?:x..|u.{4}|U.{8}|.|$)|[^\\]+"),
}
_ESCAPE = {"'": "''", '"': "\\"}


class Span(NamedTuple):
    """A stretch of a file, lines and columns from 0; `end_column` is the first one behind it."""

    line: int
    column: int
    end_line: int
    end_column: int


class _Piece(NamedTuple):
    """Characters of a scalar from `offset` on stand at (line, column) of the file."""

    offset: int
    line: int
    column: int


def scalar_of(value: str, style: str | None, file: str, lines: Sequence[str], span: Span) -> Scalar:
    """The scalar `value` that YAML read from `span` of `lines` in `style` (None plain, quotes, `|`, `>`). O(length)."""
    if style is None and span.line == span.end_line:  # nearly all of them
        return Scalar(value, (Place(file, span.line + 1, span.column + 1),))
    if style in ("|", ">"):
        value = value.rstrip("\n")
        pieces = list(_block_pieces(value, lines, span))
    else:
        pieces = list(_flow_pieces(value, style or "", lines, span))
    return _scalar(value, file, pieces or [_Piece(0, span.line, span.column)])


def _scalar(value: str, file: str, pieces: list[_Piece]) -> Scalar:
    text_lines = value.split("\n")
    offsets = [0, *accumulate(len(line) + 1 for line in text_lines)]
    starts: list[Place] = []
    folds: list[tuple[int, int, Place]] = []
    current, following = pieces[0], 1
    for number in range(len(text_lines)):
        while following < len(pieces) and pieces[following].offset <= offsets[number]:
            current, following = pieces[following], following + 1
        column = current.column + max(0, offsets[number] - current.offset)
        starts.append(Place(file, current.line + 1, column + 1))
        while following < len(pieces) and pieces[following].offset < offsets[number + 1]:
            current, following = pieces[following], following + 1
            place = Place(file, current.line + 1, current.column + 1)
            folds.append((number, current.offset - offsets[number], place))
    return Scalar(value, tuple(starts), tuple(folds))


def _block_pieces(value: str, lines: Sequence[str], span: Span) -> Iterator[_Piece]:
    """Every line of a block scalar is in its value as it stands, but for the indentation."""
    offset = 0
    for number in range(span.line + 1, min(span.end_line + 1, len(lines))):
        content = lines[number].strip(" ")
        found = value.find(content, offset)
        if content and found >= 0:
            gap = value[offset:found]
            kept = len(gap) - len(gap.rstrip(" "))  # spaces beyond the indentation belong to the value
            yield _Piece(found - kept, number, len(lines[number]) - len(lines[number].lstrip(" ")) - kept)
            offset = found + len(content)


def _flow_pieces(value: str, style: str, lines: Sequence[str], span: Span) -> Iterator[_Piece]:
    offset = 0
    for number in range(span.line, span.end_line + 1):
        start, end = _content(lines[number], number, style, span)
        for column, chunk in _chunks(lines[number], style, start, end):
            if style and chunk.startswith(_ESCAPE[style]):
                yield _Piece(offset, number, column)
                offset += chunk != "\\"  # an escaped line break is nothing; every other escape is one character
            elif (found := value.find(chunk, offset)) >= 0:
                yield _Piece(found, number, column)
                offset = found + len(chunk)


def _content(line: str, number: int, style: str, span: Span) -> tuple[int, int]:
    """Where a line's part of the scalar starts and ends: without quotes and the spaces that YAML folds away."""
    end = span.end_column - len(style) if number == span.end_line else len(line)
    start = span.column + len(style) if number == span.line else end - len(line[:end].lstrip(" \t"))
    if number != span.end_line:
        end = max(start, len(line[:end].rstrip(" \t")))
    return start, end


def _chunks(line: str, style: str, start: int, end: int) -> Iterator[tuple[int, str]]:
    if not style:
        yield start, line[start:end]
        return
    for match in _PIECES[style].finditer(line, start, end):
        yield match.start(), match.group()
