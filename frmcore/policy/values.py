"""Single values as text -> register form, by type: an update's default, an item of a list."""

from __future__ import annotations

import re
from decimal import Decimal
from math import isfinite
from typing import TYPE_CHECKING, Final

from frmcore.currency import parse_money
from frmcore.durations import parse_timestamp
from frmcore.limits import INT_MAX, STRING_BYTES_MAX, TIME_MS_MAX
from frmcore.plan import Kind
from frmcore.policy.literals import canonical_ip

if TYPE_CHECKING:
    from collections.abc import Callable

    from frmcore.policy.tree import Type

_DECIMAL: Final = re.compile(r"-?[0-9]{1,19}(?:\.[0-9]{1,18})?")
_FLOAT: Final = re.compile(r"-?[0-9]{1,300}(?:\.[0-9]{1,300})?(?:[eE][-+]?[0-9]{1,3})?")
_SHARE: Final = re.compile(r"([0-9]{1,3})(?:\.([0-9]{1,2}))?\s*%")
WHOLE: Final = 10_000  # a share's grain: hundredths of a per cent
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def parse_value(text: str, type_: Type) -> int | float | str | None:
    """`text` as a value of `type_` in register form, None where it is none."""
    return _PARSERS[type_.kind](text, type_)


def describe_kind(type_: Type) -> str:
    """What `parse_value` expects, for hints."""
    if type_.kind is Kind.ENUM:
        return f"one of {', '.join(type_.values)}"
    if type_.kind is Kind.MONEY:
        return f"an amount of {type_.currency}, such as 12.50"
    return _EXPECTED[type_.kind]


def parse_date(text: str) -> int | None:
    """A day (its first instant in UTC) or an RFC 3339 timestamp -> epoch ms."""
    return parse_timestamp(f"{text}T00:00:00Z" if _DATE.fullmatch(text) else text)


def parse_share(text: str) -> int | None:
    """`"0.5%"` -> 50, hundredths of a per cent; None where `text` is no share, or more than the whole."""
    match = _SHARE.fullmatch(text.strip())
    share = int(match[1]) * 100 + int((match[2] or "0").ljust(2, "0")) if match else WHOLE + 1
    return share if share <= WHOLE else None


def parse_scaled(text: str, scale: int) -> int | None:
    """`"1.5", 3` -> 1500; None where `text` is no number, has more digits behind the point, or leaves 64 bits."""
    if not _DECIMAL.fullmatch(text):
        return None
    value = Decimal(text).scaleb(scale)
    return int(value) if value == int(value) and abs(value) <= INT_MAX else None


def _string(text: str, _: Type) -> str | None:
    return text if len(text.encode()) <= STRING_BYTES_MAX else None


def _int(text: str, _: Type) -> int | None:
    return parse_scaled(text, 0) if "." not in text else None


def _float(text: str, _: Type) -> float | None:
    value = float(text) if _FLOAT.fullmatch(text) else None
    return value if value is not None and isfinite(value) else None


def _timestamp(text: str, _: Type) -> int | None:
    value = parse_scaled(text, 0) if text.lstrip("-").isdigit() else parse_date(text)
    return value if value is not None and abs(value) <= TIME_MS_MAX else None


_PARSERS: Final[dict[Kind, Callable[[str, Type], int | float | str | None]]] = {
    Kind.STRING: _string,
    Kind.INT: _int,
    Kind.DECIMAL: lambda text, type_: parse_scaled(text, type_.scale),
    Kind.FLOAT: _float,
    Kind.BOOL: lambda text, _: {"true": 1, "false": 0}.get(text),
    Kind.ENUM: lambda text, type_: type_.values.index(text) if text in type_.values else None,
    Kind.MONEY: lambda text, type_: parse_money(text, type_.currency),
    Kind.TIMESTAMP: _timestamp,
    Kind.IP: lambda text, _: canonical_ip(text),
}
_EXPECTED: Final = {
    Kind.STRING: f"a text of at most {STRING_BYTES_MAX:,} bytes",
    Kind.INT: "a whole number of 64 bits",
    Kind.DECIMAL: "a number with no more digits behind the point than its scale",
    Kind.FLOAT: "a number",
    Kind.BOOL: "true or false",
    Kind.TIMESTAMP: "a date, an RFC 3339 timestamp or epoch milliseconds",
    Kind.IP: "an ip address",
}
