"""Subjects: entities by their identifier, as people name them when something is held or erased."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frmcore import text
from frmcore._fast import checked_text, shorten
from frmcore.errors import InvalidEvent, UnknownName
from frmcore.names import nearest
from frmcore.plan import Kind
from frmcore.policy.networks import canonical_network

if TYPE_CHECKING:
    from collections.abc import Iterable

    from frmcore._fast import Core
    from frmcore.policy import Policy
    from frmcore.policy.tree import Field

Subject = tuple[str, str]
"""(entity type, identifier)"""


def parse_subject(given: str) -> Subject:
    """`account:a-17` as (entity, identifier). Raises InvalidEvent."""
    entity, colon, value = given.partition(":")
    if not (entity and colon and value):
        raise InvalidEvent(f"{shorten(given)} names no subject: give an entity and its identifier, as account:a-17")
    return entity, value


def check_entities(policy: Policy, names: Iterable[str]) -> None:
    """Raises UnknownName for what is no entity of the policy."""
    known = {field.entity for field in (*policy.fields, *policy.derived) if field.entity}
    for name in names:
        if name not in known:
            hint = nearest(name, known) or f"its entities: {', '.join(sorted(known))}"
            raise UnknownName(f"the policy has no entity {shorten(name)}; {hint}")


def kept_form(core: Core, policy: Policy, entity: str, value: str) -> str:
    """The one form in which an identifier is written down, a private one hashed. Raises InvalidEvent, UnknownName."""
    check_entities(policy, [entity])
    field = _field(policy, entity)
    plain = checked_text(value)
    raw = None if not plain else text.parse_ip(plain) if field.type.kind is Kind.IP else plain.encode()
    if raw is None:
        shown = "a private value" if field.type.private else shorten(value)
        raise InvalidEvent(f"{entity}: no event could bring {shown} as its identifier", field.name)
    if field.type.private:
        return core.hide(raw).hex()
    if field.type.kind is Kind.INT and plain and plain.removeprefix("-").isdecimal():
        return str(int(plain))
    return text.ip_text(raw) if field.type.kind is Kind.IP else raw.decode()


def kept_network(policy: Policy, entity: str, value: str) -> str | None:
    """As lists of networks have an address: the network that holds it alone. None where the identifier is none."""
    return canonical_network(value) if _field(policy, entity).type.kind is Kind.IP else None


def _field(policy: Policy, entity: str) -> Field:
    return next(field for field in (*policy.fields, *policy.derived) if field.entity == entity)
