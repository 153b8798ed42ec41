"""Decisions worth looking at: what each rule hit, rightly and wrongly, and what nothing caught; taken apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from frmcore.explain import Explanation, Node, RuleTrace
    from frmcore.history.backtest import Backtest

EACH: Final = 3  # examples of a kind for a rule
MISSES: Final = 8
CONDITIONS_MAX: Final = 12  # parts of a condition that are shown


class Example(NamedTuple):
    """One event. `conditions`: (text, values as people read them, does it hold) of the parts of a rule's condition.
    `near`: of a missed fraud (rule, the conditions that did not hold) for the rules that came closest."""

    id: str
    time: int
    truth: str
    outcome: str
    score: int
    amount: int | None
    fired: tuple[str, ...]
    reasons: tuple[str, ...]
    conditions: tuple[tuple[str, str, bool | None], ...]
    features: tuple[tuple[str, str], ...]
    near: tuple[tuple[str, tuple[str, ...]], ...]


def of_rule(run: Backtest, rule: str, truth: str) -> list[Example]:
    """Some events that a rule fired on and that turned out so, spread over the span."""
    found = run.space.rows(
        "SELECT s.*, d.record, d.record_size FROM (SELECT * EXCLUDE (truth), truth FROM scored WHERE truth = ? AND "
        "(list_contains(fired, ?) OR list_contains(shadow, ?)) ORDER BY hash(id) LIMIT ?) s JOIN decided "
        "d USING (n) ORDER BY n",
        truth, rule, rule, EACH,
    )  # fmt: skip
    return [_example(run, row, rule) for row in found]


def missed(run: Backtest) -> list[Example]:
    """Frauds that nothing stopped, the dearest first."""
    found = run.space.rows(
        "SELECT s.*, d.record, d.record_size FROM (SELECT * FROM scored WHERE truth = 'fraud' AND NOT stopped "
        "ORDER BY amount DESC NULLS LAST, n LIMIT ?) s JOIN decided d USING (n) ORDER BY s.amount DESC NULLS LAST, n",
        MISSES,
    )
    return [_example(run, row, None) for row in found]


def _example(run: Backtest, row: dict[str, Any], rule: str | None) -> Example:
    explained = run.explain(run.space.kept(row["record"], row["record_size"]))
    trace = next((each for each in explained.rules if each.id == rule), None)
    return Example(
        row["id"], row["t"], row["truth"], row["outcome"], row["score"], row["amount"],
        tuple(row["fired"]), tuple(explained.decision.reasons), _conditions(trace.tree) if trace else (),
        tuple((feature.name, feature.shown) for feature in explained.features if feature.value is not None),
        () if rule else _near(explained),
    )  # fmt: skip


def _conditions(tree: Node) -> tuple[tuple[str, str, bool | None], ...]:
    parts = tree.children if tree.text.find(" and ") > 0 and _is_true_or_false(tree) else (tree,)
    return tuple((part.text, _values(part), _held(part)) for part in parts[:CONDITIONS_MAX])


def _is_true_or_false(tree: Node) -> bool:
    return len(tree.children) > 1 and all(
        isinstance(child.value, bool) or child.value is None for child in tree.children
    )


def _held(node: Node) -> bool | None:
    return node.value if isinstance(node.value, bool) else None


def _values(node: Node) -> str:
    """The values that a condition read: `amount 12.90 EUR, tries 3`."""
    leaves = dict(_leaves(node))
    return ", ".join(f"{text} {shown}" for text, shown in leaves.items())


def _leaves(node: Node) -> list[tuple[str, str]]:
    if node.children:
        return [leaf for child in node.children for leaf in _leaves(child)]
    return [(node.text, node.shown)]


def _near(explained: Explanation) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The rules of which most conditions held."""
    found = sorted((each for each in map(_distance, explained.rules) if each), key=lambda each: each[0])
    return tuple((rule, failed) for _, rule, failed in found[:2])


def _distance(trace: RuleTrace) -> tuple[int, str, tuple[str, ...]] | None:
    conditions = _conditions(trace.tree)
    failed = tuple(f"{text} ({shown})" for text, shown, held in conditions if not held)
    return (len(failed), trace.id, failed) if failed and len(failed) < len(conditions) else None
