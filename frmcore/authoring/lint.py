"""What is odd about a sound policy: rules that can never fire, what nobody reads, scores that nothing reaches.

Every warning is certain: what is only likely is not said. Parameters count as they are now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from frmcore.authoring.aspects import flat
from frmcore.authoring.changes import readers_of
from frmcore.authoring.lint_rules import idle, implied, kinds_of
from frmcore.authoring.suite import shown_files
from frmcore.authoring.table_notes import conditions, dead_rows, logic_of
from frmcore.durations import format_duration
from frmcore.plan import Mode
from frmcore.policy.source import Problem, Problems
from frmcore.policy.tree import Aggregate, Arith, BoolOp, Const, Duration, Fired, Ref
from frmcore.policy.unused import nodes_of
from frmcore.policy.words import quoted
from frmcore.store.options import StoreOptions

if TYPE_CHECKING:
    from pathlib import Path

    from frmcore.policy import Policy
    from frmcore.policy.logic import Logic
    from frmcore.policy.tree import Expr, Point, Rule


_DIVIDING: Final = ("/", "//", "%")
KEEP_MS: Final = StoreOptions().keep_ms


def lint(policy: Policy, path: Path | None, keep_ms: int = KEEP_MS) -> tuple[Problem, ...]:
    """Warnings with their places and hints, in file order. `path`: of the policy's main file; `keep_ms`: how long the
    store's journal is kept. Quadratic in the rules."""
    problems = Problems()
    for name, text in shown_files(policy, path):
        problems.add_file(name, text)
    logic = logic_of(policy)
    _conditions(policy, logic, problems)
    _tables(policy, logic, problems)
    idle(policy, problems)
    implied(policy, logic, problems)
    _thresholds(policy, problems)
    _divisions(policy, problems)
    _lists(policy, problems)
    _windows(policy, keep_ms, problems)
    return problems.found


# -- conditions --------------------------------------------------------------------------------------------------------
def _conditions(policy: Policy, logic: Logic, problems: Problems) -> None:
    rows = {rule for table in policy.tables for _, rule in table.rows}
    for rule in policy.rules:
        if rule.mode is Mode.OFF or rule.id in rows or isinstance(rule.when, Const):
            continue
        if logic.never(rule.when):
            problems.add(rule.when.place, f"rule {quoted(rule.id)} can never fire", _why_never(rule.when, logic))
        elif logic.always(rule.when):
            hint = "say true if that is meant"
            problems.add(rule.when.place, f"rule {quoted(rule.id)} fires for every event", hint)
        else:
            _needless(rule, logic, problems)


def _why_never(when: Expr, logic: Logic) -> str:
    """Two conditions that contradict each other, where it is only two."""
    items = flat(when) if isinstance(when, BoolOp) and when.op == "and" else (when,)
    for index, one in enumerate(items):
        if logic.never(one):
            return f"{one.text} is never true"
        for other in items[index + 1 :]:
            if logic.never(one, other):
                return f"{one.text} contradicts {other.text}"
    return "its conditions contradict each other"


def _needless(rule: Rule, logic: Logic, problems: Problems) -> None:
    """Conditions of an `and` that another implies, alternatives of an `or` that imply another."""
    if not isinstance(rule.when, BoolOp):
        return
    items = flat(rule.when)
    for item in items:
        for other in items:
            strong, weak = (other, item) if rule.when.op == "and" else (item, other)
            if other is not item and logic.implies(strong, weak):
                hint = f"{other.text} says more" if rule.when.op == "and" else f"{other.text} says it already"
                problems.add(item.place, f"in rule {quoted(rule.id)} this condition makes no difference", hint)
                return


def _tables(policy: Policy, logic: Logic, problems: Problems) -> None:
    rules = {rule.id: rule for rule in policy.rules}
    for table in policy.tables:
        ids = dict(table.rows)
        for number, why in dead_rows(conditions(policy, table), table, logic):
            problems.add(rules[ids[number]].place, f"this row can never hit: {why}", "remove it, or move it up")


# -- scores, lists, state ----------------------------------------------------------------------------------------------
def _thresholds(policy: Policy, problems: Problems) -> None:
    for point in policy.points:
        most = _score_most(policy, point)
        for score, outcome in point.thresholds:
            if score > most and point.place is not None:
                message = f"no score at {quoted(point.name)} reaches {score:,}: {outcome} is never decided by it"
                problems.add(point.place, message, f"all live rules there together add {most:,}")


def _score_most(policy: Policy, point: Point) -> int:
    """The sum of what can be added at a point; of a table whose rows exclude each other only the greatest."""
    single = {rule: table.name for table in policy.tables if table.hit != "collect" for _, rule in table.rows}
    most: dict[str, int] = {}
    for rule in policy.rules:
        if rule.mode is Mode.LIVE and kinds_of(rule, point, policy) != frozenset():
            key = single.get(rule.id, f"rule {rule.id}")
            most[key] = max(most.get(key, 0), rule.score)
    return sum(most.values())


def _divisions(policy: Policy, problems: Problems) -> None:
    features = [feature.aggregate or feature.expression for feature in policy.features]
    for node in nodes_of([*(rule.when for rule in policy.rules), *features]):
        if isinstance(node, Arith) and node.op in _DIVIDING and isinstance(node.right, Const) and not node.right.value:
            problems.add(node.place, f"{node.text} is always absent", "a division by zero has no result")


def _lists(policy: Policy, problems: Problems) -> None:
    read = readers_of(policy)
    for spec in policy.lists:
        if spec.name not in read:
            problems.add(spec.place, f"no rule asks for list {quoted(spec.name)}", "remove it, or write a rule with in")


def _windows(policy: Policy, keep_ms: int, problems: Problems) -> None:
    """Aggregates that a reload could not fill again, and those over all that was recorded which read what is told
    later, and so keep the facts of every event."""
    for feature in policy.features:
        aggregate = feature.aggregate
        if aggregate is None:
            continue
        reach = aggregate.over.ms + aggregate.delay_ms if isinstance(aggregate.over, Duration) else 0
        if reach > keep_ms:
            message = f"feature {quoted(feature.name)} looks back {format_duration(reach)}"
            hint = f"a store's journal is kept for {format_duration(keep_ms)}: later windows can't be filled from it"
            problems.add(feature.place, f"{message}, further than the journal reaches", hint)
        if aggregate.over is None and _reads_what_is_told(aggregate):
            message = f"feature {quoted(feature.name)} keeps the facts of every event, up to ids_max"
            problems.add(feature.place, message, "it reads what is told later, without an end: give it an over")


def _reads_what_is_told(aggregate: Aggregate) -> bool:
    return any(
        isinstance(node, Fired) or (isinstance(node, Ref) and node.source in ("update", "final", "score"))
        for node in nodes_of(aggregate)
    )
