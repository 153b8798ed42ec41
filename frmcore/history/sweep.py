"""`sweep`: what other thresholds would have done, on the past."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from frmcore.errors import HistoryError, WrongOption
from frmcore.history.backtest import amount_field, backtest, currency_of
from frmcore.history.rates import Confusion, knee, ratio
from frmcore.history.variants import Axis, affected, axis, combined, feedback, variants
from frmcore.names import nearest
from frmcore.policy import load

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from frmcore.history.backtest import Backtest, Progress, Setup
    from frmcore.history.variants import Variant
    from frmcore.history.workspace import Workspace
    from frmcore.policy import Policy

    Table = list[dict[str, Any]]


@dataclass(frozen=True)
class Sweep:
    """The curve. Each point has one value an axis (as texts), what the rules would have fired on, and what that means.

    anew: why each point took a run of its own; "" where one pass did for all. knee, keeps_all: indices of the point
    where the curve bends, and of the one with the fewest good events among those that keep every fraud which any point
    catches; None where there is no fraud.
    """

    axes: tuple[Axis, ...]
    rules: tuple[str, ...]
    points: Table
    anew: str
    knee: int | None
    keeps_all: int | None
    live: int | None
    notes: tuple[str, ...]
    interrupted_at: int | None = None
    currency: str = ""  # of the amounts, which are in its minor units


def sweep(
    source: str | Path, setup: Setup, params: Sequence[str], rule: str | None = None,
    progress: Progress = lambda done, total: None,
) -> Sweep:  # fmt: skip
    """source: the policy's file. params: one or two axes, such as "card_attempts_10m=3..20". rule: whose literal is
    meant; not needed for a value under `params:`.

    Cost: one backtest with a shadow rule for each point; where the value feeds back into windows, one backtest a point.
    Raises PolicyError, HistoryError, StoreError.
    """
    policy = load(source)
    meant = None if rule is None else next((each for each in policy.rules if each.id == rule), None)
    if rule is not None and meant is None:
        ids = [each.id for each in policy.rules]
        hint = nearest(rule, ids) or f"it has {', '.join(ids)}"
        raise WrongOption(f"--rule {rule}: the policy has no such rule; {hint}")
    if not 1 <= len(params) <= 2:
        raise WrongOption(f"one or two values can be swept at once, not {len(params)}")
    axes = tuple(axis(policy, meant, spec) for spec in params)
    tried = variants(source, policy, meant, axes)
    rules = affected(policy, tried)
    if not rules:
        raise WrongOption(f"no rule depends on {', '.join(each.name for each in axes)}")
    anew = feedback(policy, tried)
    found = _each(policy, tried, rules, setup, progress) if anew else _at_once(policy, tried, setup, progress)
    return _judged(axes, tuple(rules), found, anew, currency_of(policy, amount_field(policy, setup.amount)))


@dataclass(frozen=True)
class _Found:
    points: Table
    tried: Sequence[Variant]
    notes: tuple[str, ...]
    interrupted_at: int | None


def _at_once(policy: Policy, tried: Sequence[Variant], setup: Setup, progress: Progress) -> _Found:
    together, marks = combined(policy, tried)
    with backtest(together, setup, progress) as run:
        return _Found(_points(run, marks, len(tried)), tried, tuple(run.quality.notes), run.interrupted_at)


def _each(policy: Policy, tried: Sequence[Variant], rules: Sequence[str], setup: Setup, progress: Progress) -> _Found:
    points: Table = []
    notes: tuple[str, ...] = ()
    for variant in tried:
        with backtest(variant.policy, setup, progress) as run:
            if run.interrupted_at is not None:
                return _Found(points, tried[: len(points)], notes, run.interrupted_at)
            points += _points(run, [(rule, 0, "") for rule in rules], 1)
            notes = tuple(run.quality.notes)
    return _Found(points, tried, notes, None)


def _points(run: Backtest, marks: list[tuple[str, int, str]], count: int) -> Table:
    """What the rules of each variant fired on. A live rule whose group was exempted did not. Raises HistoryError where
    nothing was decided."""
    if run.nothing:
        raise HistoryError("; ".join([*run.quality.examples[:1], run.nothing]))
    columns = {"rule": "VARCHAR", "variant": "BIGINT", "grp": "VARCHAR"}
    run.space.create("marks", columns)
    run.space.append("marks", columns, marks)
    total = run.space.row(
        "SELECT coalesce(sum(weight) FILTER (truth = 'fraud'), 0) AS fraud, "
        "coalesce(sum(weight) FILTER (truth = 'good'), 0) AS good, count(*) AS events FROM scored"
    )
    found = {row["variant"]: row for row in _counted(run.space)}
    return [_point(found.get(number, {}), total) for number in range(count)]


def _counted(space: Workspace) -> Table:
    fired = "SELECT n, truth, weight, amount, silenced, unnest(list_concat(fired, shadow)) AS rule FROM scored"
    once = (
        f"SELECT DISTINCT n, truth, weight, amount, variant FROM ({fired}) JOIN marks USING (rule) "
        "WHERE NOT coalesce(list_contains(silenced, grp), false)"
    )
    return space.rows(
        "SELECT variant, count(*) AS fired, coalesce(sum(weight) FILTER (truth = 'fraud'), 0) AS fraud, "
        "coalesce(sum(weight) FILTER (truth = 'good'), 0) AS good, "
        "coalesce(sum(weight * amount) FILTER (truth = 'fraud'), 0) AS amount_caught, "
        f"coalesce(sum(weight * amount) FILTER (truth = 'good'), 0) AS good_amount FROM ({once}) GROUP BY variant"
    )


def _point(row: dict[str, Any], total: dict[str, Any]) -> dict[str, Any]:
    names = ("fired", "fraud", "good", "amount_caught", "good_amount")
    counts = {name: row.get(name, 0) for name in names}
    matrix = Confusion(
        counts["fraud"], counts["good"], total["fraud"] - counts["fraud"], total["good"] - counts["good"]
    )
    return counts | {
        "precision": matrix.precision,
        "recall": matrix.recall,
        "false_positive_rate": matrix.false_positive_rate,
        "alert_rate": ratio(counts["fired"], total["events"]),
    }


def _judged(axes: tuple[Axis, ...], rules: tuple[str, ...], found: _Found, anew: str, currency: str) -> Sweep:
    names = [each.name for each in axes]
    points: Table = [dict(zip(names, v.texts, strict=True)) | p for v, p in zip(found.tried, found.points, strict=True)]
    live = next(
        (i for i, v in enumerate(found.tried) if all(_same(a.live, t) for a, t in zip(axes, v.texts, strict=True))),
        None,
    )
    order = sorted(range(len(points)), key=lambda i: (points[i]["good"], -points[i]["fraud"]))
    most = max((point["fraud"] for point in points), default=0)
    keeping = [i for i in order if points[i]["fraud"] == most and most]
    at = knee([(points[i]["good"], points[i]["fraud"]) for i in order])
    return Sweep(
        axes, rules, points, anew, None if at is None or not most else order[at], next(iter(keeping), None), live,
        found.notes, found.interrupted_at, currency,
    )  # fmt: skip


def _same(live: str, text: str) -> bool:
    """8 and 8.0 are one value."""
    try:
        return float(live) == float(text)
    except ValueError:
        return live == text
