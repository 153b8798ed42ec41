"""Values as tests write them: what goes into an event, and what a value is expected to be."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final

from frmcore.currency import exponent, parse_money
from frmcore.durations import parse_duration, parse_timestamp
from frmcore.plan import Kind
from frmcore.policy.values import describe_kind, parse_value
from frmcore.policy.words import quoted

if TYPE_CHECKING:
    from frmcore.policy.envelope import Leaf
    from frmcore.policy.tree import Field, Type

ABSENT: Final = "absent"
_MONEY: Final = re.compile(r"(-?[0-9.]+) +([A-Z]{3})")
_MONEY_HINT: Final = "write the amount with its currency: 12.90 EUR"
_TIME_HINT: Final = "+10m after the test's start, -10m before it, or 2026-01-31T12:00:00Z"
_DIGITS: Final = Context(prec=60, rounding=ROUND_HALF_EVEN)


class Unfit(Exception):
    """A text is no value of the type it should have."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


@dataclass(frozen=True, slots=True)
class Wish:
    """An expected value and how it was written. A fraction holds to as many digits as were written: `digits` is None
    for what must be equal. `unit`: 10**unit of the found value make one written (cents of a euro)."""

    value: object
    text: str
    digits: int | None = None
    unit: int = 0

    def holds(self, found: Any) -> bool:
        if self.digits is None or found is None:
            return type(found) is type(self.value) and found == self.value
        return self._rounded(found) == self.value

    def shown(self, found: Any, usually: str) -> str:
        """A found value beside the expected one: with as many digits, or else as it is `usually` shown."""
        rounded = None if self.digits is None or found is None else self._rounded(found)
        return usually if rounded is None else f"{rounded:f}{' ' + self.text.split(' ')[1] if ' ' in self.text else ''}"

    def _rounded(self, found: Any) -> Decimal | None:
        try:
            scaled = Decimal(found).scaleb(-self.unit, _DIGITS)
            return scaled.quantize(Decimal(1).scaleb(-(self.digits or 0)), context=_DIGITS)
        except InvalidOperation:  # more than 60 digits
            return None


def is_absent(leaf: Leaf) -> bool:
    """`absent`, without quotes. What other notations call nothing is refused: a text could be meant."""
    if not leaf.quoted and leaf.text in ("", "null", "~"):
        raise Unfit("a value is missing", 'write absent, or "" for an empty text')
    return leaf.text == ABSENT and not leaf.quoted


def instant(text: str, start_ms: int) -> int:
    """`+10m` and `-10m` count from the test's start. Epoch ms; raises Unfit."""
    signed = text[:1] in ("+", "-")
    found = parse_duration(text[1:]) if signed else parse_timestamp(text)
    if found is None:
        raise Unfit(f"{quoted(text)} is no time", _TIME_HINT)
    if not signed:
        return found
    return start_ms + found if text[0] == "+" else start_ms - found


def event_values(leaf: Leaf, text: str, field: Field, start_ms: int) -> dict[str, Any]:
    """What an event has in `field`, as the engine takes it; money brings the field of its currency too. `text`: the
    leaf's, with the numbers of a repetition filled in. Raises Unfit."""
    if is_absent(leaf):
        return {field.name: None}
    kind = field.type.kind
    if kind is Kind.MONEY:
        return _money(text, field)
    if kind is Kind.TIMESTAMP:
        return {field.name: instant(text, start_ms)}
    value = parse_value(text, field.type)
    if value is None:
        raise Unfit(f"{quoted(text)} can't be {field.name}", f"give {describe_kind(field.type)}")
    if kind is Kind.BOOL:
        return {field.name: bool(value)}
    return {field.name: value if kind in (Kind.INT, Kind.FLOAT) else text}


def _money(text: str, field: Field) -> dict[str, Any]:
    match = _MONEY.fullmatch(text)
    if match is None:
        raise Unfit(f"{quoted(text)} is no amount", _MONEY_HINT)
    amount, code = match[1], match[2]
    minor = parse_money(amount, code)
    if minor is None:
        raise Unfit(f"{quoted(text)} is no amount", _of_currency(code))
    if field.currency_field:
        return {field.name: minor, field.currency_field: code}
    if code != field.type.currency:
        raise Unfit(f"{field.name} is in {field.type.currency}, not in {code}", _MONEY_HINT)
    return {field.name: minor}


def _of_currency(code: str) -> str:
    digits = exponent(code)
    return "give an ISO 4217 code such as EUR" if digits is None else f"{code} has {digits} digits behind the point"


def wish(leaf: Leaf, of: Type, start_ms: int) -> Wish:
    """The value of a feature that `leaf` expects. Raises Unfit."""
    text = leaf.text
    if is_absent(leaf):
        return Wish(None, ABSENT)
    match of.kind:
        case Kind.MONEY:
            return _wished_money(text, of)
        case Kind.FLOAT | Kind.DECIMAL:
            return _wished_number(text, of)
        case Kind.DURATION:
            return _wished_duration(text)
        case Kind.TIMESTAMP:
            return Wish(instant(text, start_ms), text)
    value = parse_value(text, of)
    if value is None:
        raise Unfit(f"{quoted(text)} is no value of this feature", f"give {describe_kind(of)}")
    if of.kind is Kind.BOOL:
        return Wish(bool(value), text)
    return Wish(text if of.kind is Kind.ENUM else value, text)


def _wished_money(text: str, of: Type) -> Wish:
    match = _MONEY.fullmatch(text)
    if match is None or not match[1].replace("-", "").replace(".", "", 1).isdecimal():
        raise Unfit(f"{quoted(text)} is no amount", _MONEY_HINT)
    if match[2] != of.currency:
        raise Unfit(f"the amount is in {of.currency}, not in {match[2]}", f"write {match[1]} {of.currency}")
    if of.fractional:
        return Wish(*_decimal(match[1], text), unit=exponent(of.currency) or 0)
    minor = parse_money(match[1], of.currency)
    if minor is None:
        raise Unfit(f"{quoted(text)} is no amount", _of_currency(of.currency))
    return Wish(minor, text)


def _wished_number(text: str, of: Type) -> Wish:
    if parse_value(text, of) is None:
        raise Unfit(f"{quoted(text)} is no value of this feature", f"give {describe_kind(of)}")
    return Wish(*_decimal(text, text))


def _decimal(number: str, text: str) -> tuple[Decimal, str, int]:
    value = Decimal(number)
    exponent_ = value.as_tuple().exponent
    return value, text, max(0, -exponent_) if isinstance(exponent_, int) else 0


def _wished_duration(text: str) -> Wish:
    ms = parse_duration(text.removeprefix("-"))
    if ms is None:
        raise Unfit(f"{quoted(text)} is no duration", "a number and its unit: 90s, 10m, 1.5h, 7d")
    return Wish(Decimal(-ms if text.startswith("-") else ms), text, 0)
