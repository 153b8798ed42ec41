"""The measures of a table of scores and labels, at every threshold: `frmcore measure`."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from frmcore.errors import HistoryError
from frmcore.history import truth
from frmcore.history.files import attempt, opened
from frmcore.history.rates import Confusion, Step, auc_roc, average_precision, confusions
from frmcore.history.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from frmcore.history.files import Source

COLUMNS: Final = (
    "threshold", "MME", "TPR", "TNR", "FPR", "FNR", "BER", "G-mean", "precision", "NPV", "FDR", "FOR", "F1",
)  # fmt: skip
"""As the Fraud Detection Handbook heads them (chapter 4, "Threshold-based metrics")."""


class Kpis(NamedTuple):
    """One row a threshold, highest first, by COLUMNS; None where a ratio has no denominator. Areas as `rates` defines
    them. roc: (false positive rate, true positive rate) from (0, 0) on."""

    rows: list[dict[str, Any]]
    auc_roc: float | None
    average_precision: float | None
    roc: list[tuple[float, float]]
    events: int
    frauds: int


def kpis(scored: Iterable[tuple[float, bool]]) -> Kpis:
    """Of (score, is it fraud) pairs; higher scores are more suspicious. O(n log n)."""
    counts: dict[float, list[int]] = {}
    for score, fraud in scored:
        counts.setdefault(score, [0, 0])[fraud] += 1
    return of_steps([Step(score, fraud, good) for score, (good, fraud) in counts.items()])


def of_steps(steps: list[Step]) -> Kpis:
    matrices = confusions(steps)
    rows = [row(threshold, matrix) for threshold, matrix in matrices]
    roc = [(0.0, 0.0), *((r["FPR"] or 0.0, r["TPR"] or 0.0) for r in rows)]
    frauds = int(sum(step.fraud for step in steps))
    events = frauds + int(sum(step.good for step in steps))
    return Kpis(rows, auc_roc(steps), average_precision(steps), roc, events, frauds)


def row(threshold: float, m: Confusion) -> dict[str, Any]:
    values = (
        threshold, m.error, m.recall, m.true_negative_rate, m.false_positive_rate, m.false_negative_rate,
        m.balanced_error, m.g_mean, m.precision, m.negative_precision, m.false_discovery_rate, m.false_omission_rate,
        m.f1,
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))


def from_file(
    path: str, score: str = "score", label: str = "label", fraud: Collection[str] = (), good: Collection[str] = ()
) -> Kpis:
    """Of a CSV, TSV, JSON lines or Parquet file. Raises HistoryError, with the row, for what is no score or no
    label."""
    with Workspace() as space:
        source = opened(space, "table", [path])
        source.need(score, label)
        columns = f"row_number() OVER () AS n, {source.text(score)} AS score, {source.text(label)} AS value"
        attempt(source.what, partial(space.db.execute, f"CREATE TABLE given AS SELECT {columns} FROM {source.scan}"))
        _check(space, source)
        space.db.execute("CREATE TABLE labels AS SELECT n AS id, value, NULL::BIGINT AS told_at FROM given")
        truth.judge(space, fraud, good)
        found = space.rows(
            "SELECT CAST(score AS DOUBLE) AS score, count(*) FILTER (fraud) AS fraud, count(*) FILTER "
            "(NOT fraud) AS good "
            "FROM given JOIN truth ON given.n = truth.id GROUP BY ALL"
        )
    return of_steps([Step(each["score"], each["fraud"], each["good"]) for each in found])


def _check(space: Workspace, source: Source) -> None:
    for each in space.rows(
        "SELECT n, score, value FROM given WHERE value IS NULL OR TRY_CAST(score AS DOUBLE) IS NULL OR "
        "isnan(TRY_CAST(score AS DOUBLE)) ORDER BY n LIMIT 1"
    ):
        what = "there is no label" if each["value"] is None else f"{each['score']!r} is no score: expected a number"
        raise HistoryError(f"{source.what}: row {each['n']}: {what}")
    if not space.row("SELECT count(*) AS n FROM given")["n"]:
        raise HistoryError(f"{source.what}: it has no rows")


def finite(value: float | None) -> str:
    """A figure as a table shows it: six decimals, as the book has them; "-" where it is unknown."""
    return "-" if value is None or math.isnan(value) else f"{value:.6f}".rstrip("0").rstrip(".")
