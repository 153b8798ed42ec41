"""What would have altered a decision: for each number that it rests on, the nearest value with another outcome.

Searched, not derived: from the value outwards in steps that double, then by halving between the last value without and
the first with a difference. Every answer is one that the decision's own program gave with that value put in place; of
several differences within one step, which doubles, a nearer one may go unseen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from frmcore.plan import Rep
from frmcore.values import feature_value, show

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from frmcore._fast import Decision, WhatIf
    from frmcore.plan import ReasonPart
    from frmcore.values import Raw, Value

    Number = int | float
    Differs = Callable[[Number], bool]

_FIRST_STEP = 2.0**-20  # of a float, as a part of it
_HALVINGS = 64
_FARTHEST = 10**15  # beyond it a difference is an overflow's, and nobody's business


class Change(msgspec.Struct, frozen=True):
    """The nearest other value of one number: with `limit` or beyond (`at most`, `at least`) instead of `value`, all
    else as it was, the outcome would have been `outcome` (of a rule: it would have fired, or not)."""

    name: str
    value: Value
    bound: Literal["at most", "at least"]
    limit: Value
    shown: str
    outcome: str

    def __str__(self) -> str:
        sign = "<=" if self.bound == "at most" else ">="
        return f"{self.outcome} if {self.name} {sign} {self.shown}"


def changes_of_outcome(what_if: WhatIf, decision: Decision, raw: Sequence[Raw]) -> tuple[Change, ...]:
    """Those that would have altered the outcome, of every number that a rule of the point rests on."""
    plan = decision.plan
    now, _ = what_if.ask()
    if plan.outcomes[now] != decision.outcome:
        return ()  # the record alone does not tell how it came about: what was controlled is not known any more
    parts = {part.reg: part for index in plan.points[decision.point_index].rules for part in plan.rules[index].rests_on}

    def outcome(part: ReasonPart, value: Number) -> str:
        return plan.outcomes[what_if.ask(part.reg, value)[0]]

    return tuple(_changes(parts.values(), raw, decision.outcome, outcome))


def changes_of_rule(what_if: WhatIf, decision: Decision, index: int, raw: Sequence[Raw]) -> tuple[Change, ...]:
    """Those that would have made the rule's condition true, or not true."""
    now = _said(what_if.ask(rule=index)[1])

    def outcome(part: ReasonPart, value: Number) -> str:
        return _said(what_if.ask(part.reg, value, index)[1])

    return tuple(_changes(decision.plan.rules[index].rests_on, raw, now, outcome))


def _said(truth: bool) -> str:
    return "fires" if truth else "silent"


def _changes(
    parts: Iterable[ReasonPart], raw: Sequence[Raw], now: str, outcome: Callable[[ReasonPart, Number], str]
) -> Iterator[Change]:
    for part in parts:
        value = raw[part.reg]
        if isinstance(value, int | float):
            for limit in _nearest(part, value, lambda other, part=part: outcome(part, other) != now):  # type: ignore[misc]
                bound: Literal["at most", "at least"] = "at most" if limit < value else "at least"
                yield Change(
                    part.text, feature_value(part, value), bound, feature_value(part, limit), show(part, limit),
                    outcome(part, limit),
                )  # fmt: skip


def _nearest(part: ReasonPart, value: Number, differs: Differs) -> Iterator[Number]:
    """The nearest lower and the nearest greater value that makes a difference."""
    for direction in (-1, 1):
        found = _below_and_above(part, value, direction, differs)
        if found is not None:
            yield _halved(*found, differs)


def _below_and_above(part: ReasonPart, value: Number, direction: int, differs: Differs) -> tuple[Number, Number] | None:
    """The last value tried that makes no difference, and the first that does. What is not negative stays so."""
    step: Number = 1 if part.rep is Rep.INT else max(abs(value), 1.0) * _FIRST_STEP
    least = 0 if value >= 0 else -_FARTHEST
    before = value
    while True:
        other = value + direction * step
        if part.rep is Rep.INT:
            other = max(least, other)
        elif least == 0:
            other = max(0.0, other)
        if other == before or abs(other) > max(_FARTHEST, abs(value)):
            return None
        if differs(other):
            return before, other
        before, step = other, step * 2


def _halved(same: Number, other: Number, differs: Differs) -> Number:
    for _ in range(_HALVINGS):
        middle = (same + other) // 2 if isinstance(same, int) and isinstance(other, int) else (same + other) / 2
        if middle in (same, other):
            break
        same, other = (same, middle) if differs(middle) else (middle, other)
    return same + (1 if other > same else -1) if isinstance(other, int) and abs(other - same) == 1 else other
