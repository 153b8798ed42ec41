"""The functions of the language: names, arguments, what each gives. The checker reads this table, and so do people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from frmcore.policy.families import BOOL, FLOAT, INT, IP, STRING, TIMESTAMP

if TYPE_CHECKING:
    from frmcore.policy.tree import Type


class Function(msgspec.Struct, frozen=True):
    """`takes`: the types of the leading arguments; `result` None: it depends on them, calls.py says how."""

    usage: str
    least: int
    most: int
    takes: tuple[Type, ...] = ()
    result: Type | None = None
    keywords: tuple[str, ...] = ()


_MANY = 64  # arguments of coalesce, min, max

FUNCTIONS: Final = {
    "missing": Function("missing(x)", 1, 1, result=BOOL),
    "coalesce": Function("coalesce(x, y, ...)", 2, _MANY),
    "abs": Function("abs(x)", 1, 1),
    "min": Function("min(x, y, ...)", 2, _MANY),
    "max": Function("max(x, y, ...)", 2, _MANY),
    "round": Function("round(x) or round(x, digits)", 1, 2),
    "money": Function('money("5.00")', 1, 1),
    "lower": Function("lower(text)", 1, 1, (STRING,), STRING),
    "upper": Function("upper(text)", 1, 1, (STRING,), STRING),
    "len": Function("len(text)", 1, 1, (STRING,), INT),
    "startswith": Function('startswith(text, "a")', 2, 2, (STRING, STRING), BOOL),
    "endswith": Function('endswith(text, "a")', 2, 2, (STRING, STRING), BOOL),
    "contains": Function('contains(text, "a")', 2, 2, (STRING, STRING), BOOL),
    "domain": Function("domain(email)", 1, 1, (STRING,), STRING),
    "canonical_email": Function("canonical_email(email)", 1, 1, (STRING,), STRING),
    "fold": Function("fold(text)", 1, 1, (STRING,), STRING),
    "network": Function("network(ip, 24) or network(ip, 24, 64)", 2, 3, (IP,), STRING),
    "matches": Function('matches(text, "regex")', 2, 2, (STRING,), BOOL),
    "hour": Function('hour(ts, tz="Europe/Berlin")', 1, 1, (TIMESTAMP,), INT, ("tz",)),
    "weekday": Function('weekday(ts, tz="Europe/Berlin")', 1, 1, (TIMESTAMP,), INT, ("tz",)),
    "days_between": Function('days_between(a, b, tz="UTC")', 2, 2, (TIMESTAMP, TIMESTAMP), INT, ("tz",)),
    "distance_km": Function("distance_km(lat1, lon1, lat2, lon2)", 4, 4, (FLOAT, FLOAT, FLOAT, FLOAT), FLOAT),
    "original": Function("original(amount)", 1, 1, result=INT),
    "fired": Function('fired("rule")', 1, 1, result=BOOL),
}
AGGREGATES: Final = {
    "count": 'count(by=card, over="10m")',
    "sum": 'sum(amount, by=card, over="24h")',
    "mean": 'mean(amount, by=card, over="30d")',
    "min": 'min(amount, by=card, over="30d")',
    "max": 'max(amount, by=card, over="30d")',
    "std": 'std(amount, by=card, over="30d")',
    "count_distinct": 'count_distinct(account, by=device, over="24h")',
    "share": 'share(label == "fraud", by=merchant, over="28d")',
    "first": "first(country, by=account)",
    "last": "last(country, by=account)",
    "since_last": "since_last(by=account)",
    "since_first": "since_first(by=account)",
}
WORDS: Final = frozenset(["and", "or", "not", "in", "if", "else", "true", "false", "final", "score"])
RESERVED: Final = WORDS.union(AGGREGATES, FUNCTIONS)  # no field, parameter, list or feature may be called so
