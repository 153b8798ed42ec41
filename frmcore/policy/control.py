"""What controls rules beside their conditions: dates, breakers, alerts, groups with a switch, the holdout."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from frmcore.limits import BREAKER_MIN_MAX, TIME_MS_MAX, WINDOW_MS_MAX
from frmcore.policy.check import check_expression
from frmcore.policy.reasons import inside, text_field
from frmcore.policy.tree import Alert, Breaker, Holdout, Ref, RuleGroup
from frmcore.policy.values import parse_date, parse_share
from frmcore.policy.words import check_label, quoted

if TYPE_CHECKING:
    from frmcore.policy.envelope import Leaf, Node
    from frmcore.policy.reader import Reader, Section
    from frmcore.policy.scope import Scope

BREAKER_KEYS: Final = ("share", "over", "min")
ALERT_KEYS: Final = ("about", "once", "typology")
GROUP_KEYS: Final = ("enabled", "score")
HOLDOUT_KEYS: Final = ("share", "by", "except")
HOLDOUT_SALT: Final = "a holdout"  # no rule can have this id, so no rollout falls together with the holdout

_DATE_HINT: Final = "write 2026-01-31 (its first instant in UTC) or 2026-01-31T09:00:00Z"
_SHARE_HINT: Final = "write 5% or 0.5%"
_BREAKER_HINT: Final = "write {share: 5%, over: 1h, min: 1000}"
_ALERT_HINT: Final = "write {about: account, once: 7d}"
_HOLDOUT_HINT: Final = "write {share: 1%, by: account}"


def read_date(section: Section, key: str) -> int | None:
    """`from: 2026-01-31`, as epoch ms."""
    leaf = section.leaf(key)
    if leaf is None:
        return None
    date = parse_date(leaf.text)
    if date is None or abs(date) > TIME_MS_MAX:
        section.reader.problems.add(leaf.place, f"{quoted(leaf.text)} is no date", _DATE_HINT)
        return None
    return date


def read_dates(section: Section) -> tuple[int | None, int | None]:
    """`from` and `until` of a rule."""
    first, end = read_date(section, "from"), read_date(section, "until")
    if first is not None and end is not None and first >= end:
        section.add("until", f'{section.what} ends before it begins: "until" is not after "from"', "swap the two")
    return first, end


def _share(section: Section, hint: str) -> int | None:
    """A share above 0."""
    leaf = section.required("share", hint)
    if leaf is None:
        return None
    share = parse_share(leaf.text)
    if not share:
        section.reader.problems.add(leaf.place, f"{quoted(leaf.text)} is no share between 0.01% and 100%", _SHARE_HINT)
    return share or None


def read_breaker(section: Section) -> Breaker | None:
    """`breaker: {share: 5%, over: 1h, min: 1000}`; None without one, or after a problem was added."""
    node = section.get("breaker")
    found = None if node is None else section.reader.section(node, f"the breaker of {section.what}", BREAKER_KEYS)
    if found is None:
        return None
    share, over = _share(found, _BREAKER_HINT), found.duration("over", WINDOW_MS_MAX)
    found.required("over", _BREAKER_HINT)
    if "min" not in found.found:
        found.reader.problems.add(found.place, f'{found.what} lacks "min"', "of how few decisions a share says nothing")
    least = found.integer("min", 1, BREAKER_MIN_MAX)
    return Breaker(share, over, least) if share and over and least else None


def read_alert(section: Section, scope: Scope) -> Alert | None:
    """`alert: {about: account, once: 7d, typology: structuring}`; None without one, or after a problem was added."""
    node = section.get("alert")
    found = None if node is None else section.reader.section(node, f"the alert of {section.what}", ALERT_KEYS)
    if found is None:
        return None
    leaf, once = found.required("about", _ALERT_HINT), found.duration("once", WINDOW_MS_MAX)
    found.required("once", _ALERT_HINT)
    about = _entity(leaf, scope, section.reader) if leaf else None
    kind = found.leaf("typology")
    typology = check_label(kind.scalar, "typology", section.reader.problems) if kind else ""
    return Alert(about, once, typology) if about and once else None


def _entity(leaf: Leaf, scope: Scope, reader: Reader) -> Ref | None:
    """The field that names the entity."""
    field = scope.keys.get(leaf.text)
    if field is not None and field.entity:
        return Ref(field.type, leaf.place, leaf.text, leaf.text, "field" if leaf.text in scope.fields else "derived")
    known = tuple(name for name, each in scope.keys.items() if each.entity)
    if leaf.text not in scope.broken:
        if field is not None:
            hint = f"declare it: {leaf.text}: {{entity: {leaf.text}}}, or name a field with an entity"
            reader.problems.add(leaf.place, f"{quoted(leaf.text)} refers to no entity", hint)
        else:
            reader.unknown(leaf, "field", known)
    return None


def read_groups(node: Node, groups: tuple[str, ...], reader: Reader) -> tuple[RuleGroup, ...]:
    """`groups: {velocity: {enabled: false, score: max}}`. `groups`: those that rules belong to."""
    found = []
    for name, value in reader.entries(node, '"groups"'):
        section = reader.section(value, f"group {quoted(name.text)}", GROUP_KEYS)
        if name.text not in groups:
            reader.unknown(name, "group", groups)
        elif section is not None:
            enabled = section.choice("enabled", ("true", "false"), "true") == "true"
            found.append(RuleGroup(name.text, enabled, section.choice("score", ("sum", "max"), "sum") == "max"))
    return tuple(found)


def read_holdout(node: Node, groups: tuple[str, ...], reader: Reader, scope: Scope) -> Holdout | None:
    """`holdout: {share: 1%, by: account, except: [sanctions]}`; None after a problem was added."""
    section = reader.section(node, '"holdout"', HOLDOUT_KEYS)
    if section is None:
        return None
    share, leaf = _share(section, _HOLDOUT_HINT), section.required("by", _HOLDOUT_HINT)
    excepted = section.one_or_more("except")
    for name in excepted:
        if name.text not in groups:
            reader.unknown(name, "group", groups)
    if leaf is None or share is None:
        return None
    read = partial(check_expression, scope=scope, problems=reader.problems)
    key = text_field(leaf.scalar, "a holdout", _HOLDOUT_HINT, reader.problems, read)
    if key is None:
        return None
    return Holdout(inside(leaf.scalar, key, HOLDOUT_SALT, share), key, share, tuple(each.text for each in excepted))
