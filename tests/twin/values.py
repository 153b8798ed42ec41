"""Values: None is absent, an enum its code, money minor units, a decimal scaled, an ip its canonical text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from frmcore.plan import Kind, Rep

if TYPE_CHECKING:
    from frmcore.policy.tree import Type

Value = int | float | str | None

INT_MAX = 2**63 - 1  # -2**63 is no value: its negation would not fit


def int64(value: int) -> int | None:
    """Beyond int64 there is no value."""
    return value if -INT_MAX <= value <= INT_MAX else None


def finite(value: float) -> float | None:
    """NaN and infinity are no values."""
    return value if math.isfinite(value) else None


def scale_of(kind: Type) -> int:
    return kind.scale if kind.kind is Kind.DECIMAL else 0


def as_float(value: int | float, kind: Type) -> float:
    """double(value), a decimal divided by 10**scale."""
    if isinstance(value, float) or not scale_of(kind):
        return float(value)
    return float(value) / float(10 ** scale_of(kind))


def convert(value: Value, kind: Type, target: Type) -> Value:
    """The same number in the representation of another type of its family."""
    if value is None or isinstance(value, str):
        return value
    if target.rep is Rep.FLOAT:
        return as_float(value, kind)
    shift = scale_of(target) - scale_of(kind)
    return int64(int(value) * 10**shift) if shift > 0 else value


def shown(value: Value, kind: Type) -> int | float | str | bool | None:
    """As `Decision.features` shows it: int, float, str, bool or None."""
    if value is None:
        return None
    if kind.kind is Kind.BOOL:
        return bool(value)
    if kind.kind is Kind.ENUM:
        return kind.values[int(value)]
    if kind.kind is Kind.DECIMAL and isinstance(value, int):
        return float(value / 10**kind.scale)
    return value
