"""The event as a msgspec Struct, generated from the schema: the hot path reads its fields at fixed offsets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from frmcore.plan import Kind

if TYPE_CHECKING:
    from typing import Any

    from frmcore.policy.tree import Field, Policy

    _Member = tuple[str, Any] | tuple[str, Any, Any]

# What JSON may bring. msgspec allows one text-like type in a union, so a `Decimal` or a `datetime` is not named here;
# constructors check nothing, and the engine takes both.
_TYPES: Final = {
    Kind.STRING: str,
    Kind.INT: int,
    Kind.DECIMAL: int | float | str,
    Kind.FLOAT: float,
    Kind.BOOL: bool,
    Kind.ENUM: str,
    Kind.MONEY: int,
    Kind.TIMESTAMP: int | str,
    Kind.IP: str,
}


def struct_of(policy: Policy) -> type[msgspec.Struct]:
    """`Event`: the schema's fields in order, keyword-only, then the updates and `final`, which `observe` may carry.

    Optional fields, updates and `final` default to None. A field whose `path` is one other name is renamed for JSON; a
    schema with nested paths gives a flat struct, to be filled by hand. Every value is atomic, so instances stay out of
    the garbage collector. Frozen, because the hot path reads texts where they lie.
    """
    members = [_member(field, optional=field.optional) for field in policy.fields]
    members += [_member(field, optional=True) for field in policy.updates]
    members.append(("final", str | None, None))
    return msgspec.defstruct("Event", members, kw_only=True, gc=False, frozen=True, rename=_renamed(policy.fields))


def _member(field: Field, *, optional: bool) -> _Member:
    type_ = _TYPES[field.type.kind]
    return (field.name, type_ | None, None) if optional else (field.name, type_)


def _renamed(fields: tuple[Field, ...]) -> dict[str, str]:
    return {field.name: field.path[0] for field in fields if len(field.path) == 1 and field.path[0] != field.name}
