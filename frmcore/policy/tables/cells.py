"""One cell of a condition column as an expression: `> 100`, `[1..5]`, `DE, AT`, `not(DE)`, `absent`, `in a_list`, `-`.

These are the unary tests of DMN (S-FEEL), in the words of our own language. Texts stand without quotes.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from frmcore.currency import exponent
from frmcore.durations import parse_duration, parse_timestamp
from frmcore.plan import Kind
from frmcore.policy.families import ORDERED, describe, family
from frmcore.policy.words import quoted

if TYPE_CHECKING:
    from frmcore.policy.tree import Type

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9_]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_AMOUNT: Final = re.compile(r"(-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?)(?: *([A-Z]{3}))?")
_SIGNED: Final = re.compile(r"(<=|>=|<|>|!=|==|=)\s*(.*)", re.DOTALL)
_INTERVAL: Final = re.compile(r"([\[(\]])\s*(.*?)\s*\.\.\s*(.*?)\s*([\])\[])", re.DOTALL)
_NOT: Final = re.compile(r"not\s*\((.*)\)", re.DOTALL)
_LISTED: Final = re.compile(r"(not +)?in +([A-Za-z][A-Za-z0-9_]*)")
_PRESENCE: Final = {"absent": "missing", "present": "not missing"}
_PARTS: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[^,"]+|[,"]')
_GROUPED: Final = re.compile(r"[0-9],[0-9]")
_THOUSANDS: Final = "a comma parts alternatives: write 1000 for a thousand, 0.5 for a half, and 1, 5 for 1 or 5"


class Unfit(Exception):
    """The cell holds no condition on its column."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


def condition(text: str, subject: str, of: Type) -> str:
    """The expression that `text` says of `subject`, "" where anything will do. Raises Unfit."""
    if text in ("", "-"):
        return ""
    if match := _NOT.fullmatch(text):
        return f"not ({_alternatives(match[1].strip(), subject, of)})"
    return _alternatives(text, subject, of)


def _alternatives(text: str, subject: str, of: Type) -> str:
    if family(of) in ORDERED and _GROUPED.search(text):
        raise Unfit(f"{quoted(text)} could be one number or several", _THOUSANDS)
    parts = _split(text)
    plain = [part for part in parts if not _is_test(part, of)]
    tests = [_test(part, subject, of) for part in parts if _is_test(part, of)]
    if plain and of.kind is Kind.BOOL:
        tests += [_truth(part, subject) for part in plain]
    elif len(plain) == 1:
        tests.append(f"{subject} == {_literal(plain[0], of)}")
    elif plain:
        values = [_literal(part, of) for part in plain]
        if any(_NAME.fullmatch(value) for value in values):
            tests += [f"{subject} == {value}" for value in values]
        else:
            tests.append(f"{subject} in ({', '.join(values)})")
    return " or ".join(tests) if len(tests) == 1 else "(" + " or ".join(tests) + ")"


def _split(text: str) -> list[str]:
    """At commas outside of quotes."""
    parts = [""]
    for match in _PARTS.finditer(text):
        if match[0] == ",":
            parts.append("")
        elif match[0] == '"':
            raise Unfit("a quote that is never closed", 'a text with a comma in it stands in quotes: "a, b"')
        else:
            parts[-1] += match[0]
    parts = [part.strip() for part in parts]
    if not all(parts):
        raise Unfit("a value is missing beside a comma", "write DE, AT")
    return parts


def _is_test(part: str, of: Type) -> bool:
    """Whether it is more than a value; of texts only signs and lists are: they may hold anything else."""
    if part in _PRESENCE or _SIGNED.fullmatch(part) or _LISTED.fullmatch(part):
        return True
    return family(of) in ORDERED and ".." in part


def _test(part: str, subject: str, of: Type) -> str:
    if part in _PRESENCE:
        return f"{_PRESENCE[part]}({subject})"
    if match := _LISTED.fullmatch(part):
        return f"{subject} not in {match[2]}" if match[1] else f"{subject} in {match[2]}"
    if match := _SIGNED.fullmatch(part):
        sign = "==" if match[1] == "=" else match[1]
        if sign not in ("==", "!=") and family(of) not in ORDERED:
            raise Unfit(f"{describe(of)} has no order", "write the values, or not(...) of them")
        return f"{subject} {sign} {_literal(match[2], of)}"
    match = _INTERVAL.fullmatch(part)
    if match is None:
        raise Unfit(f"{quoted(part)} is no interval", "[1..5] with its ends, (1..5) without, [1..5) with the first")
    low = "<=" if match[1] == "[" else "<"
    high = "<=" if match[4] == "]" else "<"
    return f"{_literal(match[2], of)} {low} {subject} {high} {_literal(match[3], of)}"


def _truth(part: str, subject: str) -> str:
    if part not in ("true", "false"):
        raise Unfit(f"{quoted(part)} is neither true nor false", "write true, false, absent or -")
    return subject if part == "true" else f"not {subject}"


def _literal(text: str, of: Type) -> str:
    """A value as an expression writes it. Of what has an order a name may stand for it: a parameter, a feature."""
    if family(of) in ORDERED and _NAME.fullmatch(text):
        return text
    match of.kind:
        case Kind.INT | Kind.DECIMAL | Kind.FLOAT:
            return _fitting(text, bool(_NUMBER.fullmatch(text)), "number", "write 12, 0.5, or the name of a parameter")
        case Kind.MONEY:
            return _money(text, of.currency)
        case Kind.DURATION:
            return json.dumps(_fitting(text, parse_duration(text) is not None, "duration", "write 90s, 10m, 24h or 7d"))
        case Kind.TIMESTAMP:
            hint = "an instant is written with its offset: 2026-01-31T12:00:00Z"
            return json.dumps(_fitting(text, parse_timestamp(text) is not None, "timestamp", hint))
        case Kind.BOOL:
            return _fitting(text, text in ("true", "false"), "bool", "write true or false")
    return json.dumps(_unquoted(text), ensure_ascii=False)


def _fitting(text: str, fits: bool, what: str, hint: str) -> str:
    if not fits:
        raise Unfit(f"{quoted(text)} is no {what}", hint)
    return text


def _money(text: str, currency: str) -> str:
    match = _AMOUNT.fullmatch(text)
    if match is None:
        raise Unfit(f"{quoted(text)} is no amount", f"write 12.90 or 12.90 {currency}")
    if match[2] not in (None, currency):
        raise Unfit(f"the column is in {currency}, not in {match[2]}", f"write {match[1]} {currency}")
    if len(match[1].partition(".")[2].rstrip("0")) > (exponent(currency) or 0):
        raise Unfit(f"{quoted(text)} is finer than {currency} is", f"write 12.90 or 12.90 {currency}")
    whole, _, part = match[1].partition(".")
    part = part[: exponent(currency) or 0]  # 12.900, as a spreadsheet may write it
    return f'money("{whole}{"." if part else ""}{part}")'


def _unquoted(text: str) -> str:
    if not text.startswith('"'):
        return text
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        raise Unfit(f"{quoted(text)} is no text in quotes", 'inside of quotes write \\" and \\\\') from None
    return str(found)
