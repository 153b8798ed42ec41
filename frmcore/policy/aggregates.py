"""Aggregates: what is counted, by which key, over which window."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import msgspec
from msgspec.structs import replace

from frmcore.durations import parse_duration
from frmcore.limits import KEY_PARTS_MAX, WINDOW_MS_MAX
from frmcore.names import nearest
from frmcore.plan import CalendarUnit, Kind
from frmcore.policy.calls import function_name, named, zone_name
from frmcore.policy.checker import Wrong
from frmcore.policy.families import BOOL, DURATION, FLOAT, INT, ORDERED, describe, family
from frmcore.policy.functions import AGGREGATES
from frmcore.policy.literals import literal_int, literal_text
from frmcore.policy.scope import FILTER
from frmcore.policy.tree import Aggregate, AggregateName, Calendar, Duration, Expr, Field, Type
from frmcore.policy.words import quoted

if TYPE_CHECKING:
    from collections.abc import Callable

    from frmcore.policy.checker import Checker

Closed = Literal["right", "left", "both", "neither"]

_CLOSED: Final = ("right", "left", "both", "neither")
_COUNTED: Final = frozenset(["count", "since_last", "since_first"])  # no value: events themselves
_NEED_WINDOW: Final = frozenset(["min", "max", "count_distinct"])
_SUMMED: Final = frozenset([Kind.INT, Kind.DECIMAL, Kind.MONEY, Kind.DURATION])
_DAY_MS: Final = 86_400_000
_CALENDARS: Final = {"today": CalendarUnit.DAY, "this week": CalendarUnit.WEEK, "this month": CalendarUnit.MONTH}
_DAYS: Final = re.compile(r"([1-9][0-9]{0,4}) days?")
_OVER: Final = 'over="24h", "today", "this week", "this month" or "3 days"'


class _Call(msgspec.Struct, frozen=True):
    """One call of an aggregate, its arguments by name."""

    c: Checker
    node: ast.Call
    name: AggregateName
    given: dict[str, ast.expr]

    def wrong_at(self, argument: str, message: str, hint: str = "") -> Wrong:
        return self.c.wrong(self.given.get(argument, self.node), message, hint)


def aggregate(c: Checker, node: ast.Call) -> tuple[Aggregate, Type]:
    """The aggregate, checked in full, and the type of its result."""
    name = cast("AggregateName", function_name(c, node))
    call = _Call(replace(c, names=FILTER), node, name, _arguments(c, node, name))
    parts = _all(
        lambda: _value(call),
        lambda: _keys(call),
        lambda: _kinds(call),
        lambda: _condition(call, "where"),
        lambda: _condition(call, "since"),
        lambda: _window(call),
        lambda: _closed(call),
        lambda: _ddof(call),
    )
    value, (by, lookup), on, where, since, (over, every, delay), closed, ddof = parts
    if closed is None:
        closed = "both" if isinstance(over, Calendar) else "right"
    result = Aggregate(name, value, by, lookup, on, where, over, since, every, delay, closed, ddof)
    return result, _result(name, value)


def _all(*checks: Callable[[], object]) -> list[Any]:
    """Runs every check, so that the mistakes of all arguments are seen."""
    found, wrong = [], False
    for check in checks:
        try:
            found.append(check())
        except Wrong:
            wrong = True
    if wrong:
        raise Wrong
    return found


_ARGUMENTS: Final = ("by", "lookup", "on", "where", "over", "tz", "since", "every", "delay", "closed")


def _arguments(c: Checker, node: ast.Call, name: str) -> dict[str, ast.expr]:
    known = (*_ARGUMENTS, "ddof") if name == "std" else _ARGUMENTS
    given = {}
    for argument, keyword in named(c, node).items():
        if argument not in known:
            hint = "ddof belongs to std" if argument == "ddof" else nearest(argument, known)
            raise c.wrong(
                keyword, f"{name} has no argument {quoted(argument)}", hint or f"there are {', '.join(known)}"
            )
        given[argument] = keyword.value
    return given


# -- what


def _value(call: _Call) -> Expr | None:
    c, node, name = call.c, call.node, call.name
    if name in _COUNTED:
        if node.args:
            raise c.wrong(
                node.args[0], f"{name} takes no value: it looks at the events themselves", _counted_hint(name)
            )
        return None
    if len(node.args) != 1:
        raise c.wrong(node, f"{name} takes one value, not {len(node.args)}", f"write {AGGREGATES[name]}")
    value = c.expr(node.args[0], private=name == "count_distinct")
    _check_value(c, name, value)
    return value


def _counted_hint(name: str) -> str:
    return "to count those with a value, add where=not missing(...)" if name == "count" else f"write {AGGREGATES[name]}"


def _check_value(c: Checker, name: str, value: Expr) -> None:
    of = value.type
    if name == "share" and of != BOOL:
        raise c.wrong(value, f"share wants a bool, and this is {describe(of)}", f"write {AGGREGATES['share']}")
    if name in ("sum", "mean", "std") and (of.kind not in _SUMMED or of.fractional):
        hint = "declare the field as a decimal with a scale" if of.kind is Kind.FLOAT else ""
        if of.fractional:
            hint = "round it to whole units: round(...)"
        what = f"{'fractional ' * of.fractional}{describe(of)}"
        raise c.wrong(value, f"{name} wants an int, a decimal, money or a duration, and this is {what}", hint)
    if name in ("min", "max") and family(of) not in ORDERED:
        raise c.wrong(value, f"{name} wants a number, money, a duration or a timestamp, and this is {describe(of)}")


def _result(name: AggregateName, value: Expr | None) -> Type:
    match name:
        case "count" | "count_distinct":
            return INT
        case "share":
            return FLOAT
        case "since_last" | "since_first":
            return DURATION
    assert value is not None  # noqa: S101  the others take one
    if name in ("mean", "std"):
        return FLOAT if family(value.type) == "number" else replace(value.type, fractional=True)
    return value.type


# -- whose


def _keys(call: _Call) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if "by" not in call.given:
        raise call.c.wrong(
            call.node, f"{call.name} needs a key", f"by=card, or by=(card, merchant): {AGGREGATES[call.name]}"
        )
    by = _key(call, "by")
    if "lookup" not in call.given:
        return _names(by), _names(by)
    lookup = _key(call, "lookup")
    if [field.entity for field in lookup] != [field.entity for field in by]:
        one, other = (", ".join(field.entity for field in key) for key in (by, lookup))
        message = f"by names entities of type {one}, lookup of type {other}"
        raise call.c.wrong(
            call.given["lookup"], message, "lookup names other roles of the same entities, in the same order"
        )
    return _names(by), _names(lookup)


def _names(fields: list[Field]) -> tuple[str, ...]:
    return tuple(field.name for field in fields)


def _key(call: _Call, argument: str) -> list[Field]:
    c, node = call.c, call.given[argument]
    elements = node.elts if isinstance(node, ast.Tuple | ast.List) else [node]
    if not elements:
        raise c.wrong(node, f"{argument} names no key", "write by=card, or by=(card, merchant)")
    if len(elements) > KEY_PARTS_MAX:
        message = f"a key has at most {KEY_PARTS_MAX} parts, not {len(elements)}"
        raise c.wrong(node, message, "name fewer fields, and say the rest with where=")
    found: list[Field] = []
    for element in elements:
        field = _key_field(c, element)
        if field in found:
            raise c.wrong(element, f'"{field.name}" stands twice')
        found.append(field)
    return found


def _key_field(c: Checker, node: ast.expr) -> Field:
    if not isinstance(node, ast.Name):
        raise c.wrong(
            node, "a key is the name of a field", "an expression gets a name, and an entity, as a derived field"
        )
    field = c.scope.keys.get(node.id)
    if field is not None and field.entity:
        return field
    if field is not None:
        hint = f"declare it: {node.id}: {{entity: {node.id}}}, or name a field with an entity"
        raise c.wrong(node, f'"{node.id}" refers to no entity', hint)
    if node.id in c.scope.broken:
        raise Wrong
    if node.id in c.scope.updates or node.id in c.scope.feature_names:
        raise c.wrong(node, f'"{node.id}" is no field: it is not known when an event arrives', "a key is a field")
    raise c.wrong(node, f"unknown field {quoted(node.id)}", nearest(node.id, c.scope.keys))


# -- which events


def _kinds(call: _Call) -> tuple[str, ...] | None:
    c = call.c
    if "on" not in call.given:
        return None
    node = call.given["on"]
    elements = node.elts if isinstance(node, ast.Tuple | ast.List | ast.Set) else [node]
    if not elements:
        raise c.wrong(node, "on names no kind", "leave it out for every kind")
    return tuple(dict.fromkeys(_kind(c, element) for element in elements))


def _kind(c: Checker, node: ast.expr) -> str:
    if not c.scope.kinds:
        raise c.wrong(node, "on= needs kinds, and the events have none", "declare kind: under event:, an enum field")
    if isinstance(node, ast.Name):
        kind = node.id
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        kind = node.value
    else:
        raise c.wrong(node, "on names kinds of events", f"write on={c.scope.kinds[0]}; conditions belong into where=")
    if kind not in c.scope.kinds:
        hint = nearest(kind, c.scope.kinds) or f"there are {', '.join(c.scope.kinds)}"
        raise c.wrong(node, f"unknown kind {quoted(kind)}", hint)
    return kind


def _condition(call: _Call, argument: str) -> Expr | None:
    if argument not in call.given:
        return None
    condition = call.c.expr(call.given[argument])
    if condition.type != BOOL:
        hint = (
            'a condition: since=threeds == "passed"'
            if argument == "since"
            else 'a condition: where=amount > money("5")'
        )
        raise call.c.wrong(condition, f"{argument} wants a bool, and this is {describe(condition.type)}", hint)
    return condition


# -- when


def _window(call: _Call) -> tuple[Duration | Calendar | None, int, int]:
    over = _over(call)
    every, delay = _duration(call, "every"), _duration(call, "delay")
    if over is None and "since" not in call.given and call.name in _NEED_WINDOW:
        raise call.c.wrong(call.node, f"{call.name} needs a window", 'add over="30d", or since=')
    if isinstance(over, Calendar) or "since" in call.given:
        _check_plain(call, "a calendar span" if isinstance(over, Calendar) else "since")
    if every:
        _check_cells(call, over, every, delay)
    if (over.ms if isinstance(over, Duration) else 0) + delay > WINDOW_MS_MAX:
        raise call.wrong_at("delay", "over and delay together reach back too far", "ten years are the most")
    return over, every, delay


def _over(call: _Call) -> Duration | Calendar | None:
    c = call.c
    if "over" not in call.given:
        if "tz" in call.given:
            raise c.wrong(call.given["tz"], "tz has no use without a calendar span", 'such as over="today"')
        return None
    node = call.given["over"]
    written = _written(c, node, "over", _OVER)
    text = written if isinstance(written, str) else ""
    days = _DAYS.fullmatch(text)
    if text in _CALENDARS or days:
        return _calendar(call, _CALENDARS.get(text, CalendarUnit.DAY), int(days[1]) if days else 1)
    if "tz" in call.given:
        raise c.wrong(
            call.given["tz"], "tz has no use without a calendar span", 'write over="today", or "3 days" for "3d"'
        )
    return Duration(_ms(c, node, written, "over", _OVER))


def _calendar(call: _Call, unit: CalendarUnit, count: int) -> Calendar:
    c, node = call.c, call.given["over"]
    if count * _DAY_MS > WINDOW_MS_MAX:
        raise c.wrong(node, "the window is too long", "ten years are the most")
    if "tz" not in call.given:
        raise c.wrong(node, "a calendar span depends on the time zone", 'add tz="Europe/Berlin"')
    if "since" in call.given:
        raise c.wrong(node, "since does not go with a calendar span", 'write a duration: over="24h"')
    return Calendar(unit, count, zone_name(c, call.given["tz"]))


def _duration(call: _Call, argument: str) -> int:
    """`every` or `delay` in ms; 0 where it is not given."""
    if argument not in call.given:
        return 0
    node, example = call.given[argument], f'{argument}="1d"'
    return _ms(call.c, node, _written(call.c, node, argument, example), argument, example)


def _written(c: Checker, node: ast.expr, argument: str, example: str) -> int | str:
    """A literal text, or the milliseconds of a parameter that is a duration."""
    if isinstance(node, ast.Name) and node.id in c.scope.params:
        param = c.scope.params[node.id]
        if param.type == DURATION:
            return int(param.value)
    return literal_text(c, node, argument, example)


def _ms(c: Checker, node: ast.expr, written: int | str, argument: str, example: str) -> int:
    ms = parse_duration(written) if isinstance(written, str) else written
    if ms is None:
        text = str(written)
        hint = f'the unit is missing: {argument}="{text}m"' if text.isdecimal() else f"write {example}"
        raise c.wrong(node, f"{quoted(text)} is no duration", hint)
    if not 0 < ms <= WINDOW_MS_MAX:
        raise c.wrong(node, f"{argument} must be longer than nothing, and not above ten years")
    return ms


def _check_plain(call: _Call, what: str) -> None:
    for argument in ("every", "delay"):
        if argument in call.given:
            raise call.wrong_at(argument, f"{argument} does not go with {what}", 'it wants a duration: over="30d"')


def _check_cells(call: _Call, over: Duration | Calendar | None, every: int, delay: int) -> None:
    if not isinstance(over, Duration):
        raise call.wrong_at("every", "every cuts a window into cells, and there is none", 'add over="30d"')
    if over.ms % every or delay % every:
        which = "over" if over.ms % every else "delay"
        raise call.wrong_at(which, f"{which} is no multiple of every", "a window is made of whole cells")


def _closed(call: _Call) -> Closed | None:
    if "closed" not in call.given:
        return None
    node = call.given["closed"]
    text = literal_text(call.c, node, "closed", 'closed="left"')
    for closed in _CLOSED:
        if text == closed:
            return closed
    raise call.c.wrong(node, f"closed is right, left, both or neither, not {quoted(text)}", nearest(text, _CLOSED))


def _ddof(call: _Call) -> int:
    if "ddof" not in call.given:
        return 0
    return int(literal_int(call.c, call.given["ddof"], "ddof", 0, 1).value)
