"""What steers rules while an engine runs: switches of rules and groups, snoozes, breakers that tripped.

A change is one recorded operation. It is checked here, and put in force by the hot path, between two decisions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, Self

import msgspec

from frmcore._fast import shorten
from frmcore.errors import InvalidEvent, UnknownName
from frmcore.limits import SNOOZES_MAX
from frmcore.lists import checked_note, expiry
from frmcore.names import nearest
from frmcore.plan import Kind, Mode
from frmcore.text import ip_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from frmcore._fast import Core
    from frmcore.lists import Expiry
    from frmcore.policy import Policy
    from frmcore.policy.tree import Field

STATES: Final = ("on", "shadow", "off")
KINDS: Final = ("rule", "group")
State = Literal["on", "shadow", "off"]


class Switch(msgspec.Struct, frozen=True):
    """A rule or a group that is not as the policy says. `at`: epoch ms by the engine's clock."""

    kind: str
    name: str
    state: str
    reason: str
    by: str
    at: int


class Snooze(msgspec.Struct, frozen=True):
    """A rule in shadow until a time (epoch ms, of events), for one value of a field, or for all where that is ""."""

    rule: str
    field: str
    value: str
    until: int
    reason: str
    by: str
    at: int

    @property
    def entity(self) -> str:
        """As `Engine.snooze` takes it."""
        return f"{self.field}:{self.value}" if self.field else ""


class Tripped(msgspec.Struct, frozen=True):
    """A rule whose breaker tripped: it fired for `fired` of `decisions`. `at`: time of the event that did it."""

    rule: str
    fired: int
    decisions: int
    at: int


class Controls(msgspec.Struct, frozen=True):
    """What differs now from what the policy says."""

    switches: tuple[Switch, ...]
    snoozes: tuple[Snooze, ...]
    tripped: tuple[Tripped, ...]

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Self:
        """From what `Core.control_state` says."""
        return cls(
            tuple(_made(Switch, said) for said in state["switches"]),
            tuple(_made(Snooze, said) for said in state["snoozes"]),
            tuple(_made(Tripped, said) for said in state["tripped"]),
        )


def _made(kind: type[Any], said: Mapping[str, Any]) -> Any:
    return kind(**{name: said[name] for name in kind.__struct_fields__})


def switched(policy: Policy, kind: str, name: str, state: str, *, reason: str, by: str) -> dict[str, Any]:
    """The operation that switches a rule or a group. Raises UnknownName, InvalidEvent."""
    if kind not in KINDS:
        raise InvalidEvent(f"kind: expected rule or group, got {shorten(kind)}", "kind")
    if state not in STATES:
        raise InvalidEvent(f"state: expected on, shadow or off, got {shorten(state)}", "state")
    if kind == "rule":
        _check_rule(policy, name)
    else:
        _known("group", name, {rule.group for rule in policy.rules if rule.group})
    return {"control": "switch", "kind": kind, "name": name, "state": state, **_said(reason, by)}


def snoozed(
    core: Core, policy: Policy, rule: str, entity: str | None, *, until: Expiry, reason: str, by: str
) -> dict[str, Any]:
    """The operation that snoozes a rule. Raises UnknownName, InvalidEvent."""
    if until is None:
        raise InvalidEvent("until: a snooze ends: give a duration from now, or a time", "until")
    content = {"control": "snooze", **_whom(core, policy, rule, entity), **_said(reason, by)}
    if len(core.control_state()["snoozes"]) >= SNOOZES_MAX:
        raise InvalidEvent(f"{SNOOZES_MAX:,} snoozes are in force: end some, or switch the rule to shadow")
    return {**content, "until": expiry("until", until, core.now())}


def woken(core: Core, policy: Policy, rule: str, entity: str | None, *, reason: str, by: str) -> dict[str, Any]:
    """The operation that ends a snooze. Raises UnknownName, where there is none."""
    content = {"control": "unsnooze", **_whom(core, policy, rule, entity), **_said(reason, by)}
    whom = [(said["rule"], said["field"], said["value"]) for said in core.control_state()["snoozes"]]
    if (content["rule"], content["field"], content["value"]) not in whom:
        raise UnknownName(f"rule {rule} is not snoozed" + (f" for {shorten(entity)}" if entity else ""))
    return content


def reset(core: Core, policy: Policy, rule: str, *, reason: str, by: str) -> dict[str, Any]:
    """The operation that makes a rule live again whose breaker tripped. Raises UnknownName, where it has not."""
    _check_rule(policy, rule)
    if rule not in [said["rule"] for said in core.control_state()["tripped"]]:
        raise UnknownName(f"the breaker of rule {rule} has not tripped")
    return {"control": "reset", "rule": rule, **_said(reason, by)}


def _said(reason: str, by: str) -> dict[str, str]:
    return {"reason": checked_note("reason", reason), "by": checked_note("by", by)}


def _known(what: str, name: str, known: Iterable[str]) -> None:
    names = sorted(known)
    if name not in names:
        hint = nearest(str(name), names) or f"known: {', '.join(names[:20]) or 'none'}"
        raise UnknownName(f"the policy has no {what} {shorten(name)}; {hint}")


def _check_rule(policy: Policy, name: str) -> None:
    _known("rule", name, (rule.id for rule in policy.rules))
    if any(rule.id == name and rule.mode is Mode.OFF for rule in policy.rules):
        raise InvalidEvent(f"rule {name} is off in the policy: change its mode there, and reload", "rule")


def _whom(core: Core, policy: Policy, rule: str, entity: str | None) -> dict[str, Any]:
    """The rule, and the value `field:value` as records and events have it."""
    _check_rule(policy, rule)
    if not entity:
        return {"rule": rule, "field": "", "value": "", "raw": None}
    name, colon, text = str(entity).partition(":")
    fields = {field.name: field for field in (*policy.fields, *policy.derived) if field.entity}
    if not colon:
        raise InvalidEvent(
            f"entity: expected a field and its value, such as account:a-17, got {shorten(entity)}", "entity"
        )
    _known("field with an entity", name, fields)
    raw = core.entity_raw(name, _value(fields[name], text))
    return {"rule": rule, "field": name, "value": _kept(fields[name], raw, text), "raw": raw}


def _kept(field: Field, raw: Any, text: str) -> str:
    """The one way to write it: what is snoozed in one spelling ends, and is erased, in any."""
    if field.type.private:
        return str(raw.hex())
    return ip_text(raw) if field.type.kind is Kind.IP else str(raw) if field.type.kind is Kind.INT else text


def _value(field: Field, text: str) -> str | int:
    """As events bring it: what is typed at a command line is text."""
    if field.type.kind is not Kind.INT:
        return text
    try:
        return int(text)
    except ValueError:
        raise InvalidEvent(f"{field.name}: expected a whole number, got {shorten(text)}", field.name) from None
