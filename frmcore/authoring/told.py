"""Results of tests as lines for people and as plain data for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from frmcore.authoring.coverage import Coverage
    from frmcore.authoring.differences import Difference
    from frmcore.authoring.runner import Result

_INDENT = "    "


def title(result: Result) -> str:
    case = result.case
    return f"{case.rule}: {case.name}" if case.rule else case.name


def lines(result: Result) -> Iterator[str]:
    """What a failed test says: each difference, and below it what made it."""
    for difference in result.differences:
        place = difference.place
        yield f"{place.file}:{place.line}:{place.column}:"
        yield f"{_INDENT}expected  {difference.expected}"
        yield f"{_INDENT}found     {difference.found}"
        width = max((2 * depth + len(text) for depth, text, _ in difference.because), default=0)
        for index, (depth, text, shown) in enumerate(difference.because):
            yield f"{_INDENT}{'because' if not index else '':9} {'  ' * depth + text:{width}}  {shown}"


def missing(found: Coverage) -> Iterator[str]:
    """What no test reaches, a line each."""
    for what, names in (
        ("no test fires", found.never_fired),
        ("no test leaves silent", found.never_silent),
        ("no test decides", found.outcomes),
    ):
        if names:
            yield f"{what}: {', '.join(names)}"
    for branch in found.branches:
        yield f"never {'true' if branch.value else 'false'} in {branch.rule}: {branch.text}"


def as_data(result: Result) -> dict[str, Any]:
    case = result.case
    return {
        "name": case.name,
        "rule": case.rule or None,
        "file": case.place.file,
        "line": case.place.line,
        "ok": result.ok,
        "differences": [_difference(each) for each in result.differences],
    }


def _difference(found: Difference) -> dict[str, Any]:
    because = [{"text": text, "shown": shown, "depth": depth} for depth, text, shown in found.because]
    return {"line": found.place.line, "expected": found.expected, "found": found.found, "because": because}


def coverage_data(found: Coverage) -> dict[str, Any]:
    return {**found._asdict(), "branches": [branch._asdict() for branch in found.branches]}
