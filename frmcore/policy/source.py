"""Where a text came from, and what is wrong with it: places, scalars that know their places, collected problems."""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

import msgspec

from frmcore.errors import PolicyError
from frmcore.limits import PROBLEMS_MAX

_SHOWN_MAX: Final = 160  # characters of a source line: one long line must not make a long message of every problem


class Place(msgspec.Struct, frozen=True):
    """A stretch of one line of one file; line and column count from 1, column in characters. `cell`: of a table, whose
    rows are its lines, the name of the cell."""

    file: str
    line: int
    column: int
    length: int = 1
    cell: str = ""

    @property
    def named(self) -> str:
        """As messages begin: `policy.yaml:3:11`, or `limits.xlsx, cell Limits!B3`."""
        return f"{self.file}, cell {self.cell}" if self.cell else f"{self.file}:{self.line}:{self.column}"


class Problem(msgspec.Struct, frozen=True):
    """One mistake: where, what, and how to mend it."""

    place: Place
    message: str
    hint: str
    source: str  # the line it stands on

    def __str__(self) -> str:
        place = self.place
        lines = [f"{place.named}: {self.message}"]
        if self.source:
            is_short = len(self.source) <= _SHOWN_MAX or place.column <= _SHOWN_MAX // 2
            start = 0 if is_short else place.column - _SHOWN_MAX // 4
            source, column = self.source[start : start + _SHOWN_MAX], place.column - start
            marker = "^" * max(1, min(place.length, len(source) - column + 1))
            pad = "".join("\t" if char == "\t" else " " for char in source[: column - 1])
            lines += [f"    {source}", f"    {pad}{marker}"]
        if self.hint:
            lines.append(f"    hint: {self.hint}")
        return "\n".join(lines)


class Scalar(msgspec.Struct, frozen=True):
    """A YAML scalar as text. `starts[i]` is where line i of `text` begins in the file.

    Where YAML joined lines or resolved an escape, one line of `text` comes from several stretches of the file:
    `folds` has (line, column, place) for each further one, in order.
    """

    text: str
    starts: tuple[Place, ...]
    folds: tuple[tuple[int, int, Place], ...] = ()

    @property
    def place(self) -> Place:
        line = self.text.split("\n", 1)[0]
        if self.folds and self.folds[0][0] == 0:
            line = line[: self.folds[0][1]].rstrip()
        return self.at(0, 0, len(line))

    def at(self, line: int, column: int, length: int = 1) -> Place:
        """The place of (line, column), both from 0, in `text`."""
        line = min(line, len(self.starts) - 1)
        since, start = 0, self.starts[line]
        index = bisect_right(self.folds, (line, column), key=lambda fold: fold[:2]) - 1
        if index >= 0 and self.folds[index][0] == line:
            _, since, start = self.folds[index]
        if start.cell:  # what a cell says was put into words of our own: all of it is the cell's
            return start
        return Place(start.file, start.line, start.column + column - since, max(1, length))


class Problems:
    """Collects every mistake of a policy, so that its author sees all of them at once (and at most `PROBLEMS_MAX`)."""

    def __init__(self) -> None:
        self._found: dict[tuple[Place, str], Problem] = {}
        self._lines: dict[str, list[str]] = {}

    def add_file(self, name: str, text: str) -> None:
        self._lines[name] = text.split("\n")

    def add(self, place: Place, message: str, hint: str = "") -> None:
        lines = self._lines.get(place.file, [])
        source = lines[place.line - 1].rstrip("\r") if place.line <= len(lines) else ""
        self._found.setdefault((place, message), Problem(place, message, hint, source))
        if len(self._found) == PROBLEMS_MAX:
            self._found[place, ""] = Problem(
                place, "too many problems: the search ended here", "mend the others first", ""
            )
            self.raise_if_any()

    def __bool__(self) -> bool:
        return bool(self._found)

    @property
    def found(self) -> tuple[Problem, ...]:
        """In file order."""
        return tuple(sorted(self._found.values(), key=lambda p: (p.place.file, p.place.line, p.place.column)))

    def raise_if_any(self) -> None:
        if self._found:
            raise PolicyError(self.found)
