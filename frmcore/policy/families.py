"""The types of the language by family: what belongs together, what it is called in a message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from frmcore.plan import Kind
from frmcore.policy.tree import Type

if TYPE_CHECKING:
    from collections.abc import Sequence

STRING: Final = Type(Kind.STRING)
INT: Final = Type(Kind.INT)
FLOAT: Final = Type(Kind.FLOAT)
BOOL: Final = Type(Kind.BOOL)
TIMESTAMP: Final = Type(Kind.TIMESTAMP)
IP: Final = Type(Kind.IP)
DURATION: Final = Type(Kind.DURATION)

SCALE_MAX: Final = 18  # 10**18 is the greatest power of ten in 64 bits

_FAMILIES: Final = {
    Kind.INT: "number",
    Kind.DECIMAL: "number",
    Kind.FLOAT: "number",
    Kind.MONEY: "money",
    Kind.DURATION: "duration",
    Kind.TIMESTAMP: "timestamp",
    Kind.STRING: "string",
    Kind.IP: "ip",
    Kind.ENUM: "enum",
    Kind.BOOL: "bool",
}
NUMBERS: Final = frozenset(["number", "money", "duration"])  # what can be calculated with
ORDERED: Final = NUMBERS | {"timestamp"}  # what has a less and a more
_SHOWN_VALUES_MAX: Final = 6


def decimal(scale: int) -> Type:
    return Type(Kind.DECIMAL, scale=scale)


def family(of: Type) -> str:
    return _FAMILIES[of.kind]


def describe(of: Type) -> str:
    """A type in a message: "an int", "money in EUR", "an enum of pending, approved"."""
    match of.kind:
        case Kind.MONEY:
            return f"money in {of.currency}"
        case Kind.ENUM:
            return "an enum of " + listed(of.values)
        case Kind.INT | Kind.IP:
            return f"an {of.kind.name.lower()}"
    return f"a {of.kind.name.lower()}"


def listed(values: Sequence[str]) -> str:
    """`a, b, c`, cut short."""
    return ", ".join(values[:_SHOWN_VALUES_MAX]) + (", ..." if len(values) > _SHOWN_VALUES_MAX else "")


def comparable(a: Type, b: Type) -> bool:
    """One family, and one unit: currency, values of an enum."""
    return family(a) == family(b) and a.currency == b.currency and a.values == b.values


def common(types: Sequence[Type]) -> Type:
    """The type that holds every one of `types`, which are comparable."""
    first = types[0]
    private = any(each.private for each in types)
    if family(first) != "number":
        return replace(first, fractional=any(each.fractional for each in types), private=private)
    if any(each.kind is Kind.FLOAT for each in types):
        return FLOAT
    if any(each.kind is Kind.DECIMAL for each in types):
        return decimal(max(each.scale for each in types))
    return INT
