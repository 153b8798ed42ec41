"""Conditions and values in plain English, from the checked tree: "the card is on the list blocked_cards"."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from frmcore.authoring.windows import aggregate_phrase, plain_name, words_of_duration
from frmcore.plan import Kind
from frmcore.policy.tree import (
    Arith,
    BoolOp,
    Call,
    Compare,
    Const,
    Expr,
    Fired,
    If,
    InList,
    InSet,
    LookUp,
    Neg,
    Not,
    Ref,
)
from frmcore.values import show

if TYPE_CHECKING:
    from collections.abc import Sequence

    from frmcore.policy import Policy
    from frmcore.policy.tree import Type

_SIGNS: Final = {
    ("==", False): "is", ("!=", False): "is not", ("<", False): "is less than", ("<=", False): "is at most",
    ("==", True): "is", ("!=", True): "is not", ("<", True): "is more than", ("<=", True): "is at least",
}  # fmt: skip
_OPPOSITE: Final = {
    "is": "is not", "is not": "is", "is less than": "is at least", "is at most": "is more than",
    "is more than": "is at most", "is at least": "is less than",
}  # fmt: skip
_ARITHMETIC: Final = {
    "+": "{} plus {}", "-": "{} minus {}", "*": "{} times {}", "/": "{} divided by {}",
    "//": "{} divided by {}, rounded down", "%": "what is left of {} after division by {}",
}  # fmt: skip
_FUNCTIONS: Final = {
    "coalesce": "the first known of {}", "min": "the smallest of {}", "max": "the largest of {}",
    "abs": "the size of {}", "round": "{} rounded", "lower": "{} in lower case", "upper": "{} in upper case",
    "len": "the length of {}", "domain": "the domain of {}", "canonical_email": "the mailbox behind {}",
    "fold": "{} without disguises", "hour": "the hour of {}", "weekday": "the weekday of {} (Monday is 0)",
    "original": "{} in its own currency", "network": "the network of {}", "slice": "a part of {}",
    "days_between": "the days between {}", "distance_km": "the distance in km between {}",
    "bucket": "the place in the rollout of {}",
}  # fmt: skip
_QUESTIONS: Final = {
    "startswith": ("starts with {}", "does not start with {}"), "endswith": ("ends with {}", "does not end with {}"),
    "contains": ("contains {}", "does not contain {}"),
    "matches": ("matches the pattern {}", "does not match the pattern {}"),
}  # fmt: skip


class Phrases:
    """Words for the expressions of one policy."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._features = {feature.name: feature for feature in policy.features}
        self._rows = {table.name: dict(table.rows) for table in policy.tables}

    # -- conditions

    def clause(self, expr: Expr, *, negated: bool = False) -> str:
        """A condition as a part of a sentence, or its opposite."""
        match expr:
            case Not(item=item):
                return self.clause(item, negated=not negated)
            case BoolOp(op=op, items=items):
                return self._several(op, items, negated)
            case Compare(left=Ref(source="feature", name=name), right=Const(value=row)) if name in self._rows:
                return self._row(name, int(row), negated)
            case Compare():
                return self._comparison(expr, negated)
            case InSet(item=item, values=values):
                return self._among(item, values, negated)
            case InList(item=item, list=name):
                return f"{self.noun(item)} {'is not' if negated else 'is'} on the list {name}"
            case Ref(source="feature", name=name) if (inner := self._features[name].expression) is not None:
                found = self.clause(inner, negated=negated)
                return f"({found})" if isinstance(inner, BoolOp) else found
            case Call(function="missing", args=(Expr() as item,)):
                return f"{self.noun(item)} is {'known' if negated else 'unknown'}"
            case Call(function=function, args=(Expr() as item, Expr() as other)) if function in _QUESTIONS:
                return f"{self.noun(item)} {_QUESTIONS[function][negated].format(self.noun(other))}"
            case Fired(rule=rule):
                return f"the rule {rule} {'did not fire' if negated else 'fired'}"
            case Const(value=value):
                return "always" if bool(value) is not negated else "never"
        return f"{self.noun(expr)} is {'false' if negated else 'true'}"

    def bare(self, expr: Expr) -> str:
        """A condition that stands alone, without brackets around it."""
        inner = self._features[expr.name].expression if isinstance(expr, Ref) and expr.source == "feature" else None
        return self.clause(expr if inner is None else inner)

    def _several(self, op: str, items: Sequence[Expr], negated: bool) -> str:
        word = op if not negated else "or" if op == "and" else "and"
        items = [
            item
            for item in items
            if not (isinstance(item, Const) and word == "and" and bool(item.value) is not negated)
        ]
        parts = [self.clause(item, negated=negated) for item in items]
        nested = [isinstance(item.item if isinstance(item, Not) else item, BoolOp) for item in items]
        return f" {word} ".join(
            f"({part})" if inner and len(parts) > 1 else part for part, inner in zip(parts, nested, strict=True)
        )

    def _comparison(self, expr: Compare, negated: bool) -> str:
        """As it was written: a tree has < and <= alone, and the places of its sides tell which stood first."""
        left, right = expr.left, expr.right
        behind = (right.place.line, right.place.column) < (left.place.line, left.place.column)
        swapped = isinstance(left, Const) or (behind and not isinstance(right, Const))
        sign = _SIGNS[expr.op, swapped]
        one, other = (right, left) if swapped else (left, right)
        return f"{self.noun(one)} {_OPPOSITE[sign] if negated else sign} {self.noun(other)}"

    def _among(self, item: Expr, values: Sequence[float | str], negated: bool) -> str:
        shown = [constant(value, item.type) for value in values]
        if len(shown) == 1:
            return f"{self.noun(item)} {'is not' if negated else 'is'} {shown[0]}"
        return f"{self.noun(item)} is {'none' if negated else 'one'} of {', '.join(shown)}"

    def _row(self, table: str, row: int, negated: bool) -> str:
        if row == 0:
            return f"{'a' if negated else 'no'} row of the table {table} fits"
        if negated:
            return f"row {row} of the table {table} is not the first that fits"
        return f"no row above row {row} of the table {table} fits"

    # -- values

    def noun(self, expr: Expr) -> str:
        """A value as a part of a sentence."""
        match expr:
            case Const(value=value, type=of, param=param):
                return f"{constant(value, of)} ({plain_name(param)})" if param else constant(value, of)
            case Ref(source="feature", name=name):
                return self._feature(name)
            case Ref(source="final"):
                return "the outcome that took effect"
            case Ref(name=name):
                return "the time of the event" if name == self._policy.time_field else f"the {plain_name(name)}"
            case LookUp(item=item, table=table):
                return f"what {plain_name(table.name)} says of {self.noun(item)}"
            case Arith(op=op, left=left, right=right):
                return _ARITHMETIC[op].format(self._operand(left), self._operand(right))
            case Neg(item=item):
                return f"minus {self._operand(item)}"
            case If(test=test, then=then, other=other):
                return f"({self.noun(then)} if {self.clause(test)}, otherwise {self.noun(other)})"
            case Call(function=function, args=args) if function in _FUNCTIONS:
                return self._call(function, [arg for arg in args if arg is not None])
        return f"whether {self.clause(expr)}"

    def _call(self, function: str, args: list[Expr]) -> str:
        """How far a slice reaches, and which network, is no part of a sentence; the time zone is."""
        if function in ("slice", "network", "round", "bucket"):
            args = args[:1]
        zone = args.pop() if function in ("hour", "weekday", "days_between") else None
        said = _FUNCTIONS[function].format(_listed([self.noun(arg) for arg in args]))
        return f"{said} ({zone.value})" if isinstance(zone, Const) else said

    def _operand(self, expr: Expr) -> str:
        found = self.noun(expr)
        return f"({found})" if isinstance(expr, Arith) else found

    def _feature(self, name: str) -> str:
        feature = self._features[name]
        if name in self._rows:
            return f"the row of the table {name} that fits"
        if feature.aggregate is not None:
            return aggregate_phrase(feature.aggregate, self)
        assert feature.expression is not None  # noqa: S101  one of both
        found = self.noun(feature.expression)
        return f"({found})" if isinstance(feature.expression, Arith) else found


def constant(value: float | str, of: Type) -> str:
    """A literal for people: money with its currency, durations in words, texts in quotes."""
    if of.kind is Kind.DURATION:
        return words_of_duration(int(value))
    shown = show(of, value)
    return f'"{shown}"' if of.kind in (Kind.STRING, Kind.ENUM) else shown


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
