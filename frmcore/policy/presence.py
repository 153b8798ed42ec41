"""Can an expression be absent? Asked of what aggregates read: an event whose value is absent is left out of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from frmcore.policy.tree import Arith, Call, Const, Expr, Field, Fired, LookUp, Ref
from frmcore.policy.walk import children

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_MAY_FAIL: Final = frozenset({"domain", "canonical_email", "round", "distance_km"})


def can_be_absent(expr: Expr, kinds: Sequence[str], fields: Mapping[str, Field]) -> bool:
    """True where nothing rules it out for an event of `kinds`; empty: an event of any kind of a policy without kinds.

    Arithmetic can overflow or divide by zero, so it counts as absent sometimes.
    """
    match expr:
        case Const() | Fired() | Call(function="missing") | Ref(source="final" | "score"):
            return False
        case Ref(name=name, source="update"):
            return fields[name].default is None or fields[name].optional
        case Ref(name=name, source="field" | "derived"):
            return field_can_be_absent(fields[name], kinds, fields)
        case Ref() | Arith() | LookUp():
            return True
        case Call(function="coalesce"):
            return all(can_be_absent(child, kinds, fields) for child in children(expr))
        case Call(function=function) if function in _MAY_FAIL:
            return True
    return any(can_be_absent(child, kinds, fields) for child in children(expr))


def field_can_be_absent(field: Field, kinds: Sequence[str], fields: Mapping[str, Field]) -> bool:
    if field.expression is not None:
        return can_be_absent(field.expression, kinds, fields)
    if field.currency_field and field_can_be_absent(fields[field.currency_field], kinds, fields):
        return True
    return field.optional and (not kinds or not set(kinds) <= set(field.required_on))
