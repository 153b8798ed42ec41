"""What the parts of a policy mean, as texts to compare: by part, by name, aspect by aspect. Layout, order, brackets and
comments do not show; a parameter shows by its name, so that a new value of it is one change and not many."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from msgspec.structs import asdict

from frmcore.durations import format_duration, format_timestamp
from frmcore.policy.canonical import Texts, type_text
from frmcore.policy.rates import RATE_DIGITS
from frmcore.policy.tree import Aggregate, BoolOp, Const, Duration, Expr
from frmcore.values import show

if TYPE_CHECKING:
    from collections.abc import Iterable

    from frmcore.policy import Policy
    from frmcore.policy.tree import Alert, Breaker, Feature, Field, Holdout, ListSpec, Point, Rule, Table

Aspects = dict[str, str]  # aspect -> how it is; "" for what is not there


class Meanings(Texts):
    """Canonical texts in which parameters have their names, and the order of `and` and `or` does not count."""

    def _render(self, expr: Expr) -> str:
        if isinstance(expr, Const) and expr.param:
            return f"parameter {expr.param}"
        if isinstance(expr, BoolOp):
            return f"{expr.op}({', '.join(sorted(self.of(item) for item in flat(expr)))})"
        return super()._render(expr)


def flat(expr: Expr, op: str = "") -> tuple[Expr, ...]:
    """The items of an `and` (or `or`) with those of the same within it; of anything else itself."""
    op = op or (expr.op if isinstance(expr, BoolOp) else "")
    if not isinstance(expr, BoolOp) or expr.op != op:
        return (expr,)
    return tuple(part for item in expr.items for part in flat(item, op))


class Told(str):
    """How an expression is written; `meaning` is what counts."""

    meaning: str


def told(expr: Expr | None) -> str:
    if expr is None:
        return ""
    text = Told(expr.text)
    text.meaning = Meanings().of(expr)
    return text


def parts_of(policy: Policy) -> dict[str, dict[str, Aspects]]:
    """Kind of part -> name -> aspects. Of rules all but the condition."""
    return {
        "policy": {policy.name: _head(policy)},
        "limit": {
            name.removesuffix("_ms"): {"is": _limit(name, value)} for name, value in asdict(policy.limits).items()
        },
        "point": {point.name: _point(point) for point in policy.points},
        "field": {field.name: _field(field) for field in policy.fields},
        "derived field": {field.name: _field(field) for field in policy.derived},
        "update": {field.name: _field(field) for field in policy.updates},
        "parameter": {name: {"is": show(const.type, const.value)} for name, const in policy.params.items()},
        "list": {spec.name: _list(spec) for spec in policy.lists},
        "rates of": _rates(policy),
        "feature": {feature.name: _feature(feature) for feature in _own_features(policy)},
        "lookup": {
            table.name: {
                "key": type_text(table.key),
                "value": type_text(table.value),
                "rows": repr(sorted(table.rows.items())),
            }
            for table in policy.lookups
        },
        "group": {
            group.name: {"on": "yes" if group.enabled else "no", "score": "max" if group.takes_max else "sum"}
            for group in policy.groups
        },
        "table": {table.name: _table(table) for table in policy.tables},
        "rule": {rule.id: _rule(rule) for rule in policy.rules},
    }


def _own_features(policy: Policy) -> Iterable[Feature]:
    """Without those that tables bring: their rows are rules, and shown as such."""
    tables = {table.name for table in policy.tables}
    return (feature for feature in policy.features if feature.name not in tables)


def _head(policy: Policy) -> Aspects:
    return {
        "outcomes": " < ".join(policy.outcomes),
        "base currency": policy.base_currency,
        "id": policy.id_field,
        "time": policy.time_field,
        "kind": policy.kind_field,
        "holdout": "" if policy.holdout is None else _holdout(policy.holdout),
    }


def _holdout(found: Holdout) -> str:
    excepted = f", except {', '.join(found.excepted)}" if found.excepted else ""
    return f"{found.share / 100:g}% by {found.by.name}{excepted}"


def _point(point: Point) -> Aspects:
    thresholds = {f"score for {outcome}": str(score) for score, outcome in point.thresholds}
    return {"kinds": _kinds(point.on), "after": point.after, **thresholds}


def _kinds(on: tuple[str, ...] | None) -> str:
    return "all" if on is None else ", ".join(sorted(on))


def _field(field: Field) -> Aspects:
    return {
        "type": type_text(field.type),
        "values": ", ".join(field.type.values),
        "entity": field.entity,
        "currency": field.currency_field,
        "path": ".".join(field.path) if field.path != (field.name,) else "",
        "optional": "yes" if field.optional else "no",
        "required on": ", ".join(sorted(field.required_on)),
        "may change in a retry": "yes" if field.may_change else "no",
        "default": "" if field.default is None else show(field.type, field.default),
        "expression": told(field.expression),
    }


def _list(spec: ListSpec) -> Aspects:
    values = "filled at run time" if spec.values is None else ", ".join(sorted(spec.values))
    return {"of": spec.of, "match": "network" if spec.network else "exact", "values": values}


def _rates(policy: Policy) -> dict[str, Aspects]:
    found: dict[str, Aspects] = {}
    for point in policy.rates:
        rate = Decimal(point.rate).scaleb(-RATE_DIGITS).normalize()
        found.setdefault(point.currency, {})[f"from {format_timestamp(point.since_ms)}"] = f"{rate:f}"
    return found


def _limit(name: str, value: int | tuple[tuple[str, int], ...]) -> str:
    if not isinstance(value, int):
        return ", ".join(f"{entity} {most:,}" for entity, most in value)
    return format_duration(value) if name.endswith("_ms") else f"{value:,}"


def _feature(feature: Feature) -> Aspects:
    if feature.aggregate is not None:
        return _aggregate(feature.aggregate)
    return {"expression": told(feature.expression)}


def _aggregate(found: Aggregate) -> Aspects:
    over = found.over
    window = format_duration(over.ms) if isinstance(over, Duration) else ""
    if over is not None and not isinstance(over, Duration):
        window = f"{over.count} calendar {over.unit.name.lower()}, {over.zone}"
    return {
        "aggregate": found.function,
        "value": told(found.value),
        "by": ", ".join(found.by),
        "looked up by": ", ".join(found.lookup) if found.lookup != found.by else "",
        "kinds": _kinds(found.on),
        "filter": told(found.where),
        "window": window,
        "since": told(found.since),
        "cells": format_duration(found.every_ms) if found.every_ms else "",
        "delay": format_duration(found.delay_ms) if found.delay_ms else "",
        "closed": found.closed,
        "ddof": str(found.ddof),
    }


def _table(table: Table) -> Aspects:
    return {"hit": table.hit}


def _breaker(found: Breaker) -> str:
    return f"{found.share / 100:g}% over {format_duration(found.over_ms)}, of at least {found.least}"


def _alert(found: Alert) -> str:
    return f"about {found.about.name}, once in {format_duration(found.once_ms)} {found.typology}".rstrip()


def _rule(rule: Rule) -> Aspects:
    reason = "".join(part if isinstance(part, str) else f"{{{part.text}}}" for part in rule.reason.parts)
    return {
        "outcome": rule.outcome,
        "score": str(rule.score),
        "mode": rule.mode.name.lower(),
        "rollout": "" if rule.rollout is None else rule.rollout.text,
        "group": rule.group,
        "exempts": ", ".join(sorted(rule.exempts)),
        "actions": ", ".join(sorted(rule.actions)),
        "kinds": _kinds(rule.on),
        "points": "all" if rule.points is None else ", ".join(sorted(rule.points)),
        "if unknown": rule.if_unknown,
        "from": "" if rule.from_ms is None else format_timestamp(rule.from_ms),
        "until": "" if rule.until_ms is None else format_timestamp(rule.until_ms),
        "breaker": "" if rule.breaker is None else _breaker(rule.breaker),
        "alert": "" if rule.alert is None else _alert(rule.alert),
        "reason": reason if reason != rule.id else "",
        "owner": rule.owner,
    }
