"""Events that earlier policies recorded, as a later one reads them: what may be absent though it is required now, and
which labels mean something else than when a ring was filled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from frmcore.plan import Kind
from frmcore.policy.presence import can_be_absent, field_can_be_absent
from frmcore.policy.walk import references

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from frmcore.policy.tree import Aggregate, Expr, Field, Policy, Ref

_FINAL: Final = "final"  # no field has that name


class Earlier:
    """`policies`: all whose events are still at hand, the running one last. None: there are no such events."""

    def __init__(self, policy: Policy, policies: Sequence[Policy]) -> None:
        self._policy = policy
        self._policies = _distinct(policies)
        self._fields = _fields(policy)
        self._moved = _moved(policy, self._policies)

    def lacks(self, aggregate: Aggregate) -> bool:
        """May an event of theirs lack the value that the aggregate looks at."""
        value = aggregate.value
        return value is not None and any(self._lacks(value, aggregate.on, old) for old in self._policies)

    def moved(self, *expressions: Expr | None) -> bool:
        """May one of these say of an event something else than under the running policy."""
        return any(_name(ref) in self._moved for expr in expressions if expr is not None for ref in references(expr))

    def _lacks(self, value: Expr, on: Sequence[str] | None, old: Policy) -> bool:
        kinds = self._kinds(on, old)
        then = _fields(old)
        read = [self._fields[ref.name] for ref in references(value) if ref.name in self._fields]
        known = {field.name: self._as_recorded(field, then, kinds or ()) for field in read}
        return kinds is not None and can_be_absent(value, kinds, known)

    def _kinds(self, on: Sequence[str] | None, old: Policy) -> tuple[str, ...] | None:
        """The kinds of its events that count; empty: any. None: it has no such events."""
        if on is None or old.kind_field != self._policy.kind_field:
            return old.kinds if on is None else ()
        return tuple(kind for kind in on if kind in old.kinds) or None

    def _as_recorded(self, field: Field, then: Mapping[str, Field], kinds: Sequence[str]) -> Field:
        """The field as one that is given, absent where it may be in what was recorded then."""
        was = then.get(field.name)
        lost = was is None or _form(was) != _form(field) or not set(was.type.values) <= set(field.type.values)
        if field in self._policy.updates:  # what was not told is the present default
            return replace(field, optional=field.optional or (was is not None and lost))
        absent = was is None or lost or field_can_be_absent(was, kinds, then)
        return replace(field, optional=absent, required_on=(), expression=None, currency_field="")


def gains_labels(policy: Policy, running: Policy) -> bool:
    """Has an enum, or have the outcomes, a label that the running policy lacks? Some older one may have recorded it."""
    before = _labels(running)
    return any(not set(labels) <= set(before.get(name, labels)) for name, labels in _labels(policy).items())


def _distinct(policies: Sequence[Policy]) -> list[Policy]:
    """One of those that follow each other with one schema: most reloads change rules alone."""
    found: list[Policy] = []
    for policy in policies:
        if not found or _schema(found[-1]) != _schema(policy):
            found.append(policy)
    return found


def _schema(policy: Policy) -> tuple[object, ...]:
    return policy.outcomes, policy.kind_field, policy.fields, policy.derived, policy.updates


def _moved(policy: Policy, policies: Sequence[Policy]) -> frozenset[str]:
    """Enums (and `final`) with a label that is gone, or there again: events are in rings as it was meanwhile."""
    if not policies:
        return frozenset()
    before, now = _labels(policies[-1]), _labels(policy)
    older = [_labels(each) for each in policies]
    found = set()
    for name in before.keys() & now.keys():
        ever = {label for labels in older for label in labels.get(name, ())}
        other = name == _FINAL and before[name][0] != now[name][0] and not ever <= set(now[name])
        if other or set(before[name]) ^ (set(now[name]) & ever):
            found.add(name)
    return frozenset(found)


def _labels(policy: Policy) -> dict[str, tuple[str, ...]]:
    fields = _fields(policy).values()
    return {_FINAL: policy.outcomes} | {each.name: each.type.values for each in fields if each.type.kind is Kind.ENUM}


def _fields(policy: Policy) -> dict[str, Field]:
    return {field.name: field for field in (*policy.fields, *policy.derived, *policy.updates)}


def _form(field: Field) -> tuple[Kind, int, bool, str]:
    """What must be equal for a recorded value to be the field's."""
    kind = field.type
    return Kind.FLOAT if kind.fractional else kind.kind, kind.scale, kind.private, kind.currency


def _name(ref: Ref) -> str:
    return _FINAL if ref.source == "final" else ref.name
