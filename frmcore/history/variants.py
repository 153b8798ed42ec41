"""Policies that differ in one or two values, and how they can be tried: all in one pass, or each in its own.

In one pass each variant's rules run as shadow rules of one policy, over the very windows that the policy computes: the
same engine, the same program, no second evaluator. That holds as long as no window depends on the swept value.
"""

from __future__ import annotations

import re
from itertools import product
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from msgspec.structs import replace

from frmcore.currency import format_money, parse_money
from frmcore.durations import parse_duration
from frmcore.errors import WrongOption
from frmcore.names import nearest
from frmcore.plan import Kind, Mode
from frmcore.policy import load
from frmcore.policy.families import INT
from frmcore.policy.tree import Const, Expr, Fired, Ref, Type
from frmcore.policy.walk import references, walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from frmcore.policy.tree import Feature, Policy, Rule

GRID_MAX: Final = 400  # variants of one sweep
_RANGE: Final = re.compile(r"(?P<low>[^.:]+(?:\.\d+)?)\.\.(?P<high>[^.:]+(?:\.\d+)?)(?::(?P<step>.+))?")
_PARTS: Final = 20  # of a range without a step


class Axis(NamedTuple):
    """One swept value: a parameter, or the literal that a rule compares `name` with. `texts`: how each is written."""

    name: str
    texts: tuple[str, ...]
    is_param: bool
    live: str  # the value in force


class Variant(NamedTuple):
    texts: tuple[str, ...]  # one an axis
    policy: Policy


def axis(policy: Policy, rule: Rule | None, spec: str) -> Axis:
    """`max_tries=3..20`, `amount=5..50:5`, `window=5m,10m,1h`. Raises WrongOption."""
    name, mark, values = spec.partition("=")
    if not (name and mark and values):
        raise WrongOption(f"--param {spec}: expected NAME=LOW..HIGH, NAME=LOW..HIGH:STEP or NAME=A,B,C")
    if name in policy.params:
        const: Const = policy.params[name]
    elif rule is not None:
        const = _literal(rule, name)
    else:
        hint = nearest(name, policy.params) or "name the rule whose literal is meant: --rule"
        raise WrongOption(f"--param {name}: the policy has no parameter of that name; {hint}")
    return Axis(name, _texts(name, values, const.type), name in policy.params, spelled(const))


def variants(source: str | Path, policy: Policy, rule: Rule | None, axes: Sequence[Axis]) -> list[Variant]:
    """Every combination of the axes' values as a whole policy. Raises WrongOption beyond GRID_MAX."""
    grid = list(product(*(each.texts for each in axes)))
    if len(grid) > GRID_MAX:
        raise WrongOption(f"the grid has {len(grid):,} points, more than {GRID_MAX}: give a greater step")
    return [Variant(texts, _variant(source, policy, rule, axes, texts)) for texts in grid]


def _variant(
    source: str | Path, policy: Policy, rule: Rule | None, axes: Sequence[Axis], texts: Sequence[str]
) -> Policy:
    told = {each.name: text for each, text in zip(axes, texts, strict=True) if each.is_param}
    changed = load(source, params=told) if told else policy
    for each, text in zip(axes, texts, strict=True):
        if not each.is_param and rule is not None:
            kind = _literal(rule, each.name).type
            rules = tuple(_with(r, each.name, constant(text, kind)) if r.id == rule.id else r for r in changed.rules)
            changed = replace(changed, rules=rules)
    return changed


# -- what a sweep feeds back into --------------------------------------------------------------------------------------
def affected(policy: Policy, tried: Iterable[Variant]) -> list[str]:
    """The rules that differ in any of the variants, in file order."""
    found = {rule.id for each in tried for rule in changed_rules(policy, each.policy)}
    return [rule.id for rule in policy.rules if rule.id in found]


def feedback(policy: Policy, tried: Sequence[Variant]) -> str:
    """Why the variants can't share the windows of one pass; "" where they can."""
    for each in tried:
        for old, new in zip(policy.features, each.policy.features, strict=True):
            if old.aggregate != new.aggregate:
                return f"the window of {old.name} depends on it"
    rules = [rule for rule in policy.rules if rule.id in affected(policy, tried)]
    live = [rule for rule in rules if rule.mode is Mode.LIVE]
    read = {node.rule for expr in _conditions(policy) for node in walk(expr) if isinstance(node, Fired)}
    asked = [rule.id for rule in rules if rule.id in read]
    if asked:
        return f"windows ask whether {asked[0]} fired"
    read_all = {ref.source for expr in _conditions(policy) for ref in references(expr)}
    if live and read_all & {"final", "score"}:
        return f"windows read what was decided (final, score), and {live[0].id} is live"
    exempted = {group for rule in policy.rules for group in rule.exempts}
    partly = [rule.id for rule in live if rule.rollout is not None and rule.group in exempted]
    return f"{partly[0]} is live for a part, and can be exempted" if partly else ""


def changed_rules(policy: Policy, other: Policy) -> list[Rule]:
    """Those of `other` that decide otherwise: by themselves, or by an expression that they read."""
    new = _changed_features(policy, other)
    return [b for a, b in zip(policy.rules, other.rules, strict=True)
            if a.when != b.when or any(ref.name in new for ref in references(b.when))]  # fmt: skip


def combined(policy: Policy, tried: Sequence[Variant]) -> tuple[Policy, list[tuple[str, int, str]]]:
    """One policy with every variant's rules in shadow, and (rule, number of its variant, group that can be
    exempted)."""
    features, rules = list(policy.features), list(policy.rules)
    marks: list[tuple[str, int, str]] = []
    for number, each in enumerate(tried):
        renamed = {name: f"{name}@{number}" for name in _changed_features(policy, each.policy)}
        features += [
            replace(f, name=renamed[f.name], expression=rename(f.expression, renamed))
            for f in each.policy.features
            if f.name in renamed
        ]
        for rule in _rules(policy, each.policy, tried):
            mark = f"{rule.id}@{number}"
            rules.append(
                replace(
                    rule, id=mark, when=rename(rule.when, renamed), mode=Mode.SHADOW, rollout=None, exempts=(), group=""
                )
            )
            marks.append((mark, number, rule.group if rule.mode is Mode.LIVE else ""))
    return replace(policy, features=tuple(features), rules=tuple(rules)), marks


def _rules(policy: Policy, other: Policy, tried: Sequence[Variant]) -> list[Rule]:
    wanted = affected(policy, tried)
    return [rule for rule in other.rules if rule.id in wanted]


def _changed_features(policy: Policy, other: Policy) -> set[str]:
    """Features that differ, or read one that does."""
    new: set[str] = set()
    pairs = list(zip(policy.features, other.features, strict=True))
    while True:
        found = {b.name for a, b in pairs if a != b or _reads(b, new)} - new
        if not found:
            return new
        new |= found


def _reads(feature: Feature, names: set[str]) -> bool:
    return feature.expression is not None and any(ref.name in names for ref in references(feature.expression))


def _conditions(policy: Policy) -> list[Expr]:
    aggregates = [feature.aggregate for feature in policy.features if feature.aggregate is not None]
    return [expr for each in aggregates for expr in (each.value, each.where, each.since) if expr is not None]


def rename(expr: Any, names: Mapping[str, str]) -> Any:
    """The tree with references to some features led to others."""
    if not names:
        return expr
    return mapped(
        expr,
        lambda node: replace(node, name=names[node.name]) if isinstance(node, Ref) and node.name in names else node,
    )


def mapped(node: Any, change: Callable[[Any], Any]) -> Any:
    """The tree with `change` applied to every node, operands first."""
    if isinstance(node, tuple):
        return tuple(mapped(each, change) for each in node)
    if not isinstance(node, Expr):
        return node
    inner = {
        name: mapped(getattr(node, name), change)
        for name in node.__struct_fields__
        if name not in ("type", "place", "text")
    }
    return change(replace(node, **inner))


# -- literals ----------------------------------------------------------------------------------------------------------
def _literal(rule: Rule, name: str) -> Const:
    """The literal that the rule compares `name` with. Raises WrongOption where there is none, or more than one."""
    found = [_compared(node, name) for node in walk(rule.when)]
    consts = [const for const in found if const is not None]
    if len(consts) != 1:
        names = sorted({ref.name for ref in references(rule.when)})
        hint = (
            nearest(name, names)
            or f"it reads {', '.join(names)}; a value under params: can be swept wherever it stands"
        )
        many = f"compares {name} with {len(consts)} values" if consts else f"compares {name} with no number"
        raise WrongOption(f"--param {name}: rule {rule.id} {many}; {hint}")
    return consts[0]


def _compared(node: Expr, name: str) -> Const | None:
    sides = (getattr(node, "left", None), getattr(node, "right", None))
    if type(node).__name__ != "Compare" or not any(isinstance(side, Ref) and side.name == name for side in sides):
        return None
    const = next((side for side in sides if isinstance(side, Const)), None)
    return const if const is not None and const.type.kind in _SWEPT else None


_SWEPT: Final = (Kind.INT, Kind.FLOAT, Kind.DECIMAL, Kind.MONEY, Kind.DURATION)


def _with(rule: Rule, name: str, const: Callable[[Const], Const]) -> Rule:
    def change(node: Expr) -> Expr:
        old = _compared(node, name)
        if old is None:
            return node
        side = "left" if getattr(node, "left", None) is old else "right"
        return replace(node, **{side: const(old)})

    return replace(rule, when=mapped(rule.when, change))


def constant(text: str, kind: Type) -> Callable[[Const], Const]:
    """What makes a literal another one."""
    value, found = _value(text, kind)
    return lambda old: replace(old, value=value, type=found, text=text)


def _value(text: str, kind: Type) -> tuple[int | float, Type]:
    """A text in register form, and its type. Raises WrongOption."""
    try:
        if kind.kind is Kind.MONEY:
            found = parse_money(text.removeprefix("-"), kind.currency)
            if found is not None:
                return (-found if text.startswith("-") else found), replace(kind, fractional=False)
        elif kind.kind is Kind.DURATION:
            span = parse_duration(text)
            if span is not None:
                return span, replace(kind, fractional=False)
        elif kind.kind is Kind.FLOAT:
            return float(text), kind
        else:
            whole, _, part = text.partition(".")
            return int(whole + part), replace(kind, kind=Kind.DECIMAL, scale=len(part)) if part else INT
    except ValueError:
        pass
    raise WrongOption(f"--param: {text!r} is no {kind.kind.name.lower()}")


def spelled(const: Const) -> str:
    """A literal as it is given to --param."""
    if const.type.kind is Kind.MONEY:
        return format_money(int(const.value), const.type.currency).rpartition(" ")[0]
    if const.type.kind is Kind.DECIMAL and const.type.scale:
        return f"{int(const.value) / 10**const.type.scale:.{const.type.scale}f}"
    return const.text.strip('"') if const.type.kind is Kind.DURATION else str(const.value)


def _texts(name: str, values: str, kind: Type) -> tuple[str, ...]:
    """The values of an axis, as texts, in order."""
    match = _RANGE.fullmatch(values)
    if match is None:
        return tuple(text.strip() for text in values.split(",") if _value(text.strip(), kind))
    (low, _), (high, _) = _value(match["low"], kind), _value(match["high"], kind)
    digits = max(len(match[side].partition(".")[2]) for side in ("low", "high"))
    if kind.kind in (Kind.INT, Kind.DECIMAL, Kind.FLOAT):
        return _numbers(name, float(match["low"]), float(match["high"]), match["step"], digits)
    step = _value(match["step"], kind)[0] if match["step"] else max((high - low) // _PARTS, 1)
    _upwards(name, values, low, high)
    if step <= 0 or (high - low) / step >= GRID_MAX:
        raise WrongOption(f"--param {name}={values}: expected LOW..HIGH:STEP with fewer than {GRID_MAX} steps")
    found = [low + i * step for i in range(int((high - low) // step) + 1)]
    if kind.kind is Kind.MONEY:
        return tuple(format_money(int(value), kind.currency).rpartition(" ")[0] for value in found)
    return tuple(_span(int(value)) for value in found)


def _upwards(name: str, values: str, low: float, high: float) -> None:
    if low > high:
        raise WrongOption(f"--param {name}={values}: the low end is above the high one; expected LOW..HIGH")


def _span(ms: int) -> str:
    return next(
        f"{ms // size}{unit}"
        for unit, size in (("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1))
        if ms % size == 0
    )


def _numbers(name: str, low: float, high: float, step: str | None, digits: int) -> tuple[str, ...]:
    size = float(step) if step else 1.0 if digits == 0 else 10.0**-digits
    digits = max(digits, len((step or "").partition(".")[2]))
    _upwards(name, f"{low:g}..{high:g}", low, high)
    if size <= 0 or (high - low) / size >= GRID_MAX:
        raise WrongOption(f"--param {name}: expected LOW..HIGH:STEP with fewer than {GRID_MAX} steps")
    return tuple(f"{low + i * size:.{digits}f}" for i in range(int((high - low) / size + 1e-9) + 1))
