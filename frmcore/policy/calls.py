"""Function calls and slices: the functions of functions.py, those whose result depends on their arguments above all."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Final

import re2  # type: ignore[import-untyped]
from msgspec.structs import replace

from frmcore.currency import exponent, parse_money
from frmcore.limits import REGEX_BYTES_MAX
from frmcore.names import nearest
from frmcore.plan import Kind, Re2
from frmcore.policy.compare import together
from frmcore.policy.families import BOOL, FLOAT, INT, NUMBERS, ORDERED, STRING, describe, family
from frmcore.policy.functions import AGGREGATES, FUNCTIONS, Function
from frmcore.policy.literals import become, cited, literal_int, literal_text
from frmcore.policy.regex import compile_regex
from frmcore.policy.tree import Call, Const, Expr, Fired, LookUp, LookupTable, Ref, Type
from frmcore.policy.words import quoted
from frmcore.policy.zones import load_zone, zone_names

if TYPE_CHECKING:
    from collections.abc import Callable

    from frmcore.policy.checker import Checker

_AGGREGATE_ARGUMENTS: Final = frozenset(["by", "over", "lookup", "on", "where", "since", "every", "delay", "closed"])


def call(c: Checker, node: ast.Call) -> Expr:
    name = function_name(c, node)
    function = FUNCTIONS.get(name)
    if is_aggregate(name, node) or function is None:
        hint = "give it a name as a feature of its own, and use that name here"
        raise c.wrong(node, f'"{name}" over a window is a whole feature, not a part of an expression', hint)
    _check_arguments(c, node, name, function)
    special = _SPECIAL.get(name)
    return special(c, node) if special else _plain(c, node, name, function)


def function_name(c: Checker, node: ast.Call) -> str:
    """The known function that is called."""
    if not isinstance(node.func, ast.Name):
        raise c.wrong(node.func, "only a function can be called", "operators are written out: a * (b + c)")
    name = node.func.id
    if name in FUNCTIONS or name in AGGREGATES:
        return name
    scope = c.scope
    if any(name in names for names in (scope.keys, scope.updates, scope.params, scope.features, scope.lists)):
        raise c.wrong(node.func, f'"{name}" is no function', f"write {name} without brackets; a product needs its *")
    raise c.wrong(node.func, f"unknown function {quoted(name)}", nearest(name, [*FUNCTIONS, *AGGREGATES]))


def is_aggregate(name: str, node: ast.Call) -> bool:
    """`min` and `max` are aggregates where they have an aggregate's arguments."""
    if name not in AGGREGATES or name not in FUNCTIONS:
        return name in AGGREGATES
    return any(keyword.arg in _AGGREGATE_ARGUMENTS for keyword in node.keywords)


def named(c: Checker, node: ast.Call) -> dict[str, ast.keyword]:
    """Arguments given by name, each once: Python's parser lets repetitions pass."""
    found: dict[str, ast.keyword] = {}
    for keyword in node.keywords:
        name = keyword.arg or ""
        if name in found:
            raise c.wrong(keyword, f"{name} is given twice")
        found[name] = keyword
    return found


def _check_arguments(c: Checker, node: ast.Call, name: str, function: Function) -> None:
    usage = f"write {function.usage}"
    for argument, keyword in named(c, node).items():
        if argument not in function.keywords:
            raise c.wrong(keyword, f"{name} has no argument {quoted(argument)}", usage)
    given = len(node.args)
    if not function.least <= given <= function.most:
        if name in AGGREGATES and given == 1:
            usage = f"of a window, write {AGGREGATES[name]}; of two values, {function.usage}"
        least, most = function.least, function.most
        wanted = f"{least}" if least == most else f"{least} to {most}"
        raise c.wrong(node, f"{name} takes {wanted} argument{'' if wanted == '1' else 's'}, not {given}", usage)


def _plain(c: Checker, node: ast.Call, name: str, function: Function) -> Expr:
    items = c.exprs(node.args)
    args = [argument(c, name, item, wanted) for item, wanted in zip(items, function.takes, strict=True)]
    private = function.result == STRING and name != "domain" and any(arg.type.private for arg in args)
    return Call(replace(function.result or STRING, private=private), *c.at(node), name, tuple(args))


def argument(c: Checker, name: str, item: Expr, wanted: Type) -> Expr:
    """An argument of the wanted family."""
    if isinstance(item, Const) and item.type.kind is Kind.STRING:
        item = become(c, item, wanted)
    if family(item.type) != family(wanted):
        what = "a number" if wanted == FLOAT else describe(wanted)
        hint = "network(ip, 24) makes a text of an ip" if item.type.kind is Kind.IP else ""
        raise c.wrong(item, f"{name} wants {what}, and {cited(item)} is {describe(item.type)}", hint)
    return item


# -- values


def _missing(c: Checker, node: ast.Call) -> Expr:
    return Call(BOOL, *c.at(node), "missing", (c.expr(node.args[0], private=True),))


def _coalesce(c: Checker, node: ast.Call) -> Expr:
    args, of = together(c, node, c.exprs(node.args))
    return Call(of, *c.at(node), "coalesce", tuple(args))


def _least(c: Checker, node: ast.Call) -> Expr:
    name = function_name(c, node)
    args, of = together(c, node, c.exprs(node.args))
    if family(of) not in ORDERED:
        raise c.wrong(node, f"{name} compares numbers, money, durations or timestamps, not {describe(of)}")
    return Call(of, *c.at(node), name, tuple(args))


def _abs(c: Checker, node: ast.Call) -> Expr:
    item = c.expr(node.args[0])
    if family(item.type) not in NUMBERS:
        raise c.wrong(item, f"abs wants a number, money or a duration, and this is {describe(item.type)}")
    return Call(item.type, *c.at(node), "abs", (item,))


def _round(c: Checker, node: ast.Call) -> Expr:
    """To an int; money and durations to whole minor units and milliseconds."""
    item = c.expr(node.args[0])
    of = family(item.type)
    if of not in NUMBERS:
        raise c.wrong(item, f"round wants a number, money or a duration, and this is {describe(item.type)}")
    if len(node.args) == 1:
        return Call(replace(item.type, fractional=False) if of != "number" else INT, *c.at(node), "round", (item,))
    if of != "number":
        raise c.wrong(
            node.args[1], f"{describe(item.type)} is rounded to whole units: digits don't apply", "write round(x)"
        )
    return Call(FLOAT, *c.at(node), "round", (item, literal_int(c, node.args[1], "round", 0, 9)))


def _money(c: Checker, node: ast.Call) -> Expr:
    written = node.args[0]
    if isinstance(written, ast.Constant) and not isinstance(written.value, str):
        raise c.wrong(written, "money is written as a text", f'write money("{c.source.text(written)}")')
    text = literal_text(c, written, "money", 'money("5.00")')
    currency = _currency(c, node)
    minor = parse_money(text, currency)
    if minor is None:
        hint = f"write it like 5.00, with at most {exponent(currency)} digits after the point"
        raise c.wrong(written, f"{quoted(text)} is no amount in {currency}", hint)
    return Const(Type(Kind.MONEY, currency=currency), *c.at(node), minor)


def _currency(c: Checker, node: ast.Call) -> str:
    """The policy's base, or else that of its first money field; beside money of another currency it is read anew."""
    fields = [*c.scope.keys.values(), *c.scope.updates.values()]
    found = [c.scope.base_currency, *(declared.type.currency for declared in fields)]
    currency = next(filter(None, found), "")
    if not currency:
        raise c.wrong(node, "there is no money in this policy", "declare a field of type money, with its currency")
    return currency


def _original(c: Checker, node: ast.Call) -> Expr:
    """Minor units of the event's own currency. They differ from event to event, so it is an int, no money."""
    item = c.expr(node.args[0])
    declared = c.scope.fields.get(item.name) if isinstance(item, Ref) else None
    if declared is None or not declared.currency_field:
        raise c.wrong(item, "original wants a money field whose currency is another field", "write original(amount)")
    return Call(INT, *c.at(node), "original", (item,))


# -- texts


def _network(c: Checker, node: ast.Call) -> Expr:
    address = argument(c, "network", c.expr(node.args[0]), FUNCTIONS["network"].takes[0])
    short = literal_int(c, node.args[1], "network", 0, 32)
    long = [literal_int(c, given, "network", 0, 128) for given in node.args[2:]] or [Const(INT, *c.at(node), 64)]
    return Call(STRING, *c.at(node), "network", (address, short, *long))


def _matches(c: Checker, node: ast.Call) -> Expr:
    item = argument(c, "matches", c.expr(node.args[0]), STRING)
    written = node.args[1]
    pattern = literal_text(c, written, "matches", r'matches(email, r"[0-9]{4,}@")')
    wrong = _regex_problem(pattern)
    if wrong:
        raise c.wrong(written, *wrong)
    if isinstance(compile_regex(pattern), Re2):
        c.warn(written, f"{quoted(pattern)} is run by google-re2: in linear time, but in microseconds, not nanoseconds")
    return Call(BOOL, *c.at(node), "matches", (item, Const(STRING, *c.at(written), pattern)))


def _regex_problem(pattern: str) -> tuple[str, str] | None:
    if len(pattern.encode()) > REGEX_BYTES_MAX:
        return f"the pattern is longer than {REGEX_BYTES_MAX} bytes", "a long choice of words belongs into a list"
    if "\b" in pattern:
        return "this pattern holds a backspace", r'the end of a word is written in a text without escapes: r"\bword\b"'
    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(pattern, options)
    except re2.error as error:
        said = error.args[0].decode() if isinstance(error.args[0], bytes) else str(error.args[0])
        return f"this is no regex: {said}", "patterns have RE2's syntax: no look-around, no back-references"
    return None


def subscript(c: Checker, node: ast.Subscript) -> Expr:
    """`x[a:b]`, in characters; `table[key]`."""
    cut = node.slice
    if isinstance(node.value, ast.Name) and not isinstance(cut, ast.Slice):
        if node.value.id in c.scope.lookups:
            return _look_up(c, node, c.scope.lookups[node.value.id])
        if c.scope.lookups and not is_declared(c, node.value.id):
            raise c.wrong(
                node.value, f"unknown lookup {quoted(node.value.id)}", nearest(node.value.id, c.scope.lookups)
            )
    if not isinstance(cut, ast.Slice):
        raise c.wrong(
            node, "a text is cut by a slice", f"write {c.source.text(node.value)}[{_slice(c.source.text(cut))}]"
        )
    if cut.step is not None:
        raise c.wrong(cut.step, "a slice has no step", "write x[a:b]")
    bounds = [cut.lower, cut.upper]
    item, *ends = c.exprs([node.value, *(end for end in bounds if end is not None)])
    args: list[Expr | None] = [argument(c, "a slice", item, STRING)]
    for end in ends:
        if end.type != INT:
            raise c.wrong(end, f"a slice is cut at an int, not at {describe(end.type)}")
    left = iter(ends)
    args += [None if end is None else next(left) for end in bounds]
    return Call(STRING, *c.at(node), "slice", tuple(args))


def is_declared(c: Checker, name: str) -> bool:
    scope = c.scope
    return any(name in names for names in (scope.keys, scope.updates, scope.params, scope.features, scope.broken))


def _look_up(c: Checker, node: ast.Subscript, table: LookupTable) -> Expr:
    if "lookup" not in c.names:
        hint = "its content changes with the policy: look it up in a derived field, which is recorded with its event"
        raise c.wrong(node, f"the lookup {quoted(table.name)} can't be read here", hint)
    item = c.expr(node.slice)
    if isinstance(item, Const) and item.type.kind is Kind.STRING:
        item = become(c, item, table.key)
    if item.type.kind is not table.key.kind:
        kind = item.type.kind.name.lower()
        hint = f"declare its keys: of: {kind}" if kind in ("string", "int", "ip") else ""
        raise c.wrong(
            item,
            f"the keys of {quoted(table.name)} are {table.key.kind.name.lower()}s, and this is {describe(item.type)}",
            hint,
        )
    return LookUp(table.value, *c.at(node), item, table)


def _slice(index: str) -> str:
    """What a slice says instead of an index."""
    if not re.fullmatch(r"-?[0-9]{1,9}", index):
        return "a:b"
    return f"{index}:" if index == "-1" else f"{index}:{int(index) + 1}"


# -- time, decisions


def zone_name(c: Checker, node: ast.expr) -> str:
    """A time zone by its IANA name."""
    name = literal_text(c, node, "tz", 'tz="Europe/Berlin"')
    if not _use_zone(c, name):
        raise c.wrong(
            node, f"unknown time zone {quoted(name)}", nearest(name, zone_names()) or 'write tz="Europe/Berlin"'
        )
    return name


def _use_zone(c: Checker, name: str) -> bool:
    """From here on the zone's transitions are part of the policy."""
    zone = c.scope.known_zones.get(name) or load_zone(name)
    if zone is not None:
        c.scope.zones[name] = zone
    return zone is not None


def _local(c: Checker, node: ast.Call) -> Expr:
    """hour, weekday, days_between: what a clock or calendar on the wall says."""
    name = function_name(c, node)
    function = FUNCTIONS[name]
    items = c.exprs(node.args)
    args = [argument(c, name, item, wanted) for item, wanted in zip(items, function.takes, strict=True)]
    given = [keyword.value for keyword in node.keywords]
    if not given and name != "days_between":
        raise c.wrong(node, f"{name} depends on the time zone", f"write {function.usage}")
    if given:
        zone = zone_name(c, given[0])
    else:
        _use_zone(c, zone := "UTC")
    place, text = c.at(given[0] if given else node)
    return Call(INT, *c.at(node), name, (*args, Const(STRING, place, text, zone)))


def _fired(c: Checker, node: ast.Call) -> Expr:
    if "fired" not in c.names:
        raise c.wrong(node, "fired(...) asks about past events", "it can be used in where= and since=")
    rule = literal_text(c, node.args[0], "fired", 'fired("rule")')
    if rule not in c.scope.rules:
        raise c.wrong(node.args[0], f"unknown rule {quoted(rule)}", nearest(rule, c.scope.rules))
    return Fired(BOOL, *c.at(node), rule)


_SPECIAL: Final[dict[str, Callable[[Checker, ast.Call], Expr]]] = {
    "missing": _missing,
    "coalesce": _coalesce,
    "abs": _abs,
    "min": _least,
    "max": _least,
    "round": _round,
    "money": _money,
    "network": _network,
    "matches": _matches,
    "hour": _local,
    "weekday": _local,
    "days_between": _local,
    "original": _original,
    "fired": _fired,
}
