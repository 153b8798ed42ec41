"""The words an author may choose: names, and how what they wrote is shown back to them."""

from __future__ import annotations

import keyword
import re
from typing import TYPE_CHECKING, Final

from frmcore.limits import NAME_BYTES_MAX
from frmcore.policy.functions import RESERVED

if TYPE_CHECKING:
    from frmcore.policy.source import Place, Problems, Scalar

_IDENTIFIER: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_LABEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_RESERVED: Final = RESERVED | frozenset(word.lower() for word in keyword.kwlist) | {"null"}
_SHOWN_MAX: Final = 60


def shown(text: str) -> str:
    """`text` fit for one line of a message: short, and nothing in it steers a terminal."""
    text = text if len(text) <= _SHOWN_MAX else text[: _SHOWN_MAX - 3] + "..."
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def quoted(text: str) -> str:
    return f'"{shown(text)}"'


def check_label(scalar: Scalar, what: str, problems: Problems) -> str:
    """A name that stands in records and messages: a rule id, a group, a point, an outcome. "" if wrong."""
    return _matching(scalar, what, _LABEL, "letters, digits, _ - and . starting with a letter or digit", problems)


def check_identifier(scalar: Scalar, what: str, problems: Problems) -> str:
    """A name that expressions or Python code may use; "" after a problem was added."""
    name = _matching(scalar, what, _IDENTIFIER, "letters, digits and _ starting with a letter", problems)
    if name.lower() not in _RESERVED:
        return name
    hint = f'use another name, such as "{name}_"'
    if what == "field":
        hint += f', and "path: {name}" to read it from where it is'
    problems.add(scalar.place, f"the {what} name {quoted(name)} is a word of the language", hint)
    return ""


def _matching(scalar: Scalar, what: str, pattern: re.Pattern[str], allowed: str, problems: Problems) -> str:
    if not scalar.text:
        problems.add(scalar.place, f"the {what} has no name", f"a name is made of {allowed}")
    elif not pattern.fullmatch(scalar.text):
        problems.add(scalar.place, f"{quoted(scalar.text)} is no {what} name", f"a name is made of {allowed}")
    elif len(scalar.text) > NAME_BYTES_MAX:
        problems.add(scalar.place, f"this {what} name is longer than {NAME_BYTES_MAX} characters", "shorten it")
    else:
        return scalar.text
    return ""


class Names:
    """The names that expressions use: each stands for one thing in the whole policy."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._taken: dict[str, tuple[str, Place]] = {}

    def declare(self, scalar: Scalar, what: str) -> str:
        """The new name, or "" after a problem was added."""
        name = check_identifier(scalar, what, self._problems)
        if name in self._taken:
            taken, place = self._taken[name]
            hint = f"it is declared in {place.file}, line {place.line}: rename one of them"
            self._problems.add(scalar.place, f"the name {quoted(name)} is taken by a {taken}", hint)
            return ""
        if name:
            self._taken[name] = what, scalar.place
        return name
