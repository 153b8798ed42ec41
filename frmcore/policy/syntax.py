"""YAML's syntax errors in plain words: what a policy's author did, where, and how to mend it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    import yaml

_QUOTE: Final = "put the whole value in quotes"


class _Case(NamedTuple):
    pattern: str  # of PyYAML's own words, from its C parser and its Python one
    message: str
    hint: str
    at_start: bool = False  # blame where the construct started, not where the parser gave up


_NEVER_CLOSED: Final = "a quote that is never closed", "close it, or double it inside the text"
_CASES: Final = (
    _Case(
        "mapping values are not allowed",
        "a second ':' in one value, or a key that does not line up with the keys above",
        f"{_QUOTE} if the ':' belongs to it; otherwise check the indentation",
    ),
    _Case(
        "sequence entries are not allowed",
        "a list can't start on the line of its key",
        "start the list on a new line, or write [a, b]",
    ),
    _Case(
        "unknown escape",
        "an unknown escape after '\\' in double quotes",
        r"write \\ for a backslash, or use single quotes",
    ),
    _Case(
        "expected hexa?decimal|expected escape sequence",
        "an escape that is cut short",
        r"\x takes 2 hex digits, \u takes 4, \U takes 8",
    ),
    _Case("invalid Unicode character", "this escape is no character", "write the character itself"),
    _Case("found unexpected end of stream", *_NEVER_CLOSED, at_start=True),
    _Case("unexpected document indicator", *_NEVER_CLOSED, at_start=True),
    _Case(
        "expected ',' or '[]}]'",
        "the brackets of this value don't match",
        "close every { and [; quote a value that holds brackets or commas, such as an expression",
        at_start=True,
    ),
    _Case(
        "expected comment or line break|chomping or indentation|a comment or a line break",
        "text on the line of '|' or '>'",
        "start the text on the next line, indented",
        at_start=True,
    ),
    _Case("expected alphabetic or numeric", "'*' and '&' start an alias or an anchor", _QUOTE, at_start=True),
    _Case("directive|incompatible YAML", "a '%' directive has no meaning here", "remove the line"),
    _Case(
        "expected (the )?node content",
        "a value is missing here",
        f"give one, or {_QUOTE} if it starts with ] or }}",
    ),
    _Case("expected .?<document start>", "text behind the end of the document", 'remove the line "..."'),
    _Case("tag", "tags ('!name') have no meaning here", f"{_QUOTE} if it starts with '!'"),
)


def explain(error: yaml.MarkedYAMLError, lines: Sequence[str]) -> tuple[int, int, str, str]:
    """(line, column, message, hint) of a syntax error; line and column from 0."""
    words = error.problem or ""
    mark: Any = error.problem_mark or error.context_mark
    line, column = min(mark.line, len(lines) - 1), mark.column
    for case in _CASES:
        if re.search(case.pattern, f"{error.context or ''} {words}"):
            if case.at_start and error.context_mark:
                line, column = error.context_mark.line, error.context_mark.column
            return line, column, case.message, case.hint
    if "cannot start any token" in words:
        return line, column, *_start(lines[line][column : column + 1])
    if re.search("expected key|expected '-' indicator|expected <block end>|could not find expected ':'", words):
        return line, column, *_misfit(lines[line][:column])
    return line, column, f"not valid YAML: {words}", "check the indentation and the quotes"


def _start(char: str) -> tuple[str, str]:
    if char == "\t":
        return "a tab can't indent", "indent with spaces"
    return f"a value can't start with '{char}'", _QUOTE


def _misfit(before: str) -> tuple[str, str]:
    """What stands before the point where the parser gave up tells a broken value from a broken indentation."""
    if before.strip(" -"):
        return "text goes on behind the end of a value", f"{_QUOTE}; it can't start with a quoted part or with {{ or ["
    return "this line does not fit the lines around it", "line it up with the keys above; every key needs a ':'"
