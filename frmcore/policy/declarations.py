"""The declarations of a policy as a plan has them: fields, lists, rates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frmcore.currency import exponent
from frmcore.plan import FieldPlan, Kind, ListPlan, LookupPlan, Rate, Rep
from frmcore.policy.emit import text_form

if TYPE_CHECKING:
    from frmcore.policy.tree import Field, ListSpec, LookupTable, Policy, Type


def field_plan(field: Field, policy: Policy) -> FieldPlan:
    kind = field.type
    return FieldPlan(
        name=field.name,
        kind=Kind.FLOAT if kind.fractional else kind.kind,  # a derived 0.9 * amount is held as a double
        path=field.path,
        optional=field.optional,
        required_on=tuple(sorted(map(policy.kinds.index, field.required_on))),
        values=kind.values,
        scale=kind.scale,
        private=kind.private,
        default=field.default,
        may_change=field.may_change,
        currency=kind.currency,
    )


def list_plan(spec: ListSpec) -> ListPlan:
    return ListPlan(spec.name, spec.type.kind, spec.network, spec.type.private, spec.values)


def lookup_plan(table: LookupTable) -> LookupPlan:
    """Its rows by key, as the hot path searches them. O(rows * log rows)."""
    keys = sorted(table.rows, key=None if table.key.rep is Rep.INT else str)
    values = (table.rows[key] for key in keys)
    return LookupPlan(
        table.name,
        tuple(_raw(key, table.key) for key in keys),  # type: ignore[arg-type]
        tuple(_raw(value, table.value) for value in values),
        table.key.rep,
        table.value.rep,
    )


def _raw(value: float | str, kind: Type) -> int | float | str | bytes:
    return text_form(value, kind.kind) if kind.rep is Rep.TEXT else value


def rate_plans(policy: Policy) -> tuple[Rate, ...]:
    """By currency, then time."""
    rates = sorted(policy.rates, key=lambda rate: (rate.currency, rate.since_ms))
    return tuple(Rate(rate.currency, digits_of(rate.currency), rate.since_ms, rate.rate) for rate in rates)


def digits_of(currency: str) -> int:
    """Minor-unit digits; 2 for a policy without a base currency, where nothing is converted."""
    digits = exponent(currency)
    return 2 if digits is None else digits
