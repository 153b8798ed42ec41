"""YAML's syntax errors in plain words: what a policy's author did, where, and how to mend it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    import yaml

_QUOTE: Final = "put the whole value in quotes"


class _Case(NamedTuple):
    pattern: str  # of PyYAML's own words, from its C parser and its Python one
    message: str
    hint: str
    at_start: bool = False  # blame where the construct started, not where the parser gave up


_CASES: Final = (
    _Case(
        "mapping values are not allowed",
        "a second `:` in one value, or a key that does not line up with the keys above",
        f"{_QUOTE} if the `:` belongs to it; otherwise check the indentation",
    ),
    _Case(
        "sequence entries are not allowed",
        "a list can't start on the line of its key",
        "start the list on a new line, or write [a, b]",
    ),
    _Case("unknown escape", "an unknown escape after `\\` in double quotes", r"write \\ for a backslash, or use single quotes"),
    _Case("invalid Unicode character", "this escape is no character", "write the whole character"),
    _Case("expected hexadecimal|expected escape sequence", "an escape that is cut short", r"\x takes 2 hex digits, \u takes 4"),
    _Case("found unexpected end of stream", "a quote that is never closed", "close it, or double it inside the text", True),
    _Case("unexpected document indicator", "a quote that is never closed", "close it, or double it inside the text", True),
    _Case(
        "expected ',' or '[]}]'",
        "the brackets of this value don't match",
        "close every { and [; quote a value that holds brackets or commas, such as an expression",
        True,
    ),
    _Case("expected comment or line break|chomping or indentation|a comment or a line break",
          "text on the line of `|` or `>`", "start the text on the next line, indented", True),
    _Case("expected alphabetic or numeric", "`*` and `&` start an alias or an anchor", _QUOTE, True),
    _Case("directive|incompatible YAML", "a `%` directive has no meaning here", "remove the line"),
    _Case("expected (the )?node content", "a value is missing here", f"give one, or {_QUOTE} if it starts with ] or }}"),
    _Case("tag", "tags (`!name`) have no meaning here", f"{_QUOTE} if it starts with `!`"),
)  # fmt: skip


def explain(error: yaml.MarkedYAMLError, lines: Sequence[str]) -> tuple[int, int, str, str]:
    """(line, column, message, hint) of a syntax error; line and column from 0."""
    words = error.problem or ""
    mark = error.problem_mark or error.context_mark
    line, column = min(mark.line, len(lines) - 1), mark.column
    for case in _CASES:
        if re.search(case.pattern, f"{error.context or ''} {words}"):
            start = error.context_mark if case.at_start and error.context_mark else None
            return (start.line, start.column, case.message, case.hint) if start else (line, column, case.message, case.hint)
    if "cannot start any token" in words:
        return line, column, *_start(lines[line][column : column + 1])
    if re.search("expected key|expected '-' indicator|expected <block end>|could not find expected ':'", words):
        return line, column, *_misfit(lines[line][:column])
    return line, column, f"not valid YAML: {words}", "check the indentation and the quotes"


def _start(char: str) -> tuple[str, str]:
    if char == "\t":
        return "a tab can't indent", "indent with spaces"
    return f"a value can't start with `{char}`", _QUOTE


def _misfit(before: str) -> tuple[str, str]:
    """What stands before the point where the parser gave up tells a broken value from a broken indentation."""
    if before.strip(" -"):
        return "text goes on behind the end of a value", f"{_QUOTE}; it can't start with a quoted part or with {{ or ["
    return "this line does not fit the lines around it", "line it up with the keys above; every key needs a `:`"
