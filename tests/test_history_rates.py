"""Measures against published figures and against definitions counted by hand."""

from __future__ import annotations

import json
from itertools import product
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shared import SHARED, needs

from frmcore.errors import HistoryError
from frmcore.history import kpi
from frmcore.history.rates import Confusion, Step, auc_roc, average_precision, knee

if TYPE_CHECKING:
    from pathlib import Path

TOY = SHARED / "data" / "handbook" / "kpi_toy_example.json"
SCORED = st.lists(st.tuples(st.sampled_from((0.0, 0.1, 0.5, 0.9)), st.booleans()), min_size=1, max_size=30)


@needs("data/handbook")
@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_the_handbooks_toy_table_in_full(tmp_path: Path, ending: str) -> None:
    toy = json.loads(TOY.read_text())
    rows = list(zip(toy["scores"], toy["labels"], strict=True))
    path = tmp_path / f"toy.{ending}"
    if ending == "csv":
        path.write_text("score,label\n" + "".join(f"{score},{label}\n" for score, label in rows))
    else:
        path.write_text("".join(json.dumps({"score": s, "label": label}) + "\n" for s, label in rows))
    found = kpi.from_file(str(path))
    assert [list(row) for row in found.rows] == [toy["columns"]] * 7
    shown = [[round(value or 0, 6) for value in row.values()] for row in found.rows]  # unknown is printed as 0 there
    assert shown == toy["published_rows"]
    assert [list(axis) for axis in zip(*found.roc, strict=True)] == [
        toy["published_roc"]["fpr"],
        toy["published_roc"]["tpr"],
    ]
    assert found.auc_roc == toy["recomputed"]["auc_roc"]
    assert found.average_precision == toy["recomputed"]["average_precision"]


def test_a_ratio_of_nothing_is_unknown() -> None:
    matrix = Confusion(0, 0, 0, 5)
    assert (matrix.precision, matrix.recall, matrix.f1, matrix.balanced_error, matrix.g_mean) == (None,) * 5
    assert (matrix.false_positive_rate, matrix.error, matrix.negative_precision) == (0, 0, 1)


@given(SCORED)
def test_auc_is_the_chance_that_a_fraud_scores_higher(scored: list[tuple[float, bool]]) -> None:
    frauds, goods = ([score for score, fraud in scored if fraud is kind] for kind in (True, False))
    pairs = [(a > b) + (a == b) / 2 for a, b in product(frauds, goods)]
    found = kpi.kpis(scored).auc_roc
    assert found == (pytest.approx(sum(pairs) / len(pairs)) if pairs else None)


@given(SCORED)
def test_average_precision_is_the_mean_over_frauds(scored: list[tuple[float, bool]]) -> None:
    """Of each fraud the precision at its own score: the same sum, taken fraud by fraud."""
    frauds = [score for score, fraud in scored if fraud]
    precisions = [
        sum(fraud for other, fraud in scored if other >= score) / sum(other >= score for other, _ in scored)
        for score in frauds
    ]
    found = kpi.kpis(scored).average_precision
    assert found == (pytest.approx(sum(precisions) / len(frauds)) if frauds else None)


def test_areas_of_weighed_counts() -> None:
    steps = [Step(2, 1.5, 0.5), Step(1, 0.5, 1.5)]
    assert auc_roc(steps) == pytest.approx((1.5 * 1.5 + (1.5 * 0.5 + 0.5 * 1.5) / 2) / 4)
    assert average_precision(steps) == pytest.approx(0.75 * 0.75 + 0.25 * 0.5)


def test_the_knee_is_where_the_curve_leaves_its_chord() -> None:
    assert knee([(0, 0), (0.1, 0.8), (0.5, 0.9), (1, 1)]) == 1
    assert knee([(0, 0), (1, 1)]) is None
    assert knee([(0, 1), (1, 1), (2, 1)]) is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("score,label\n0.5,1\nx,0\n", "row 2: 'x' is no score"),
        ("score,label\n0.5,1\nnan,0\n", "row 2: 'nan' is no score"),
        ("score,label\n0.5,1\n0.5,\n", "row 2: there is no label"),
        ("score,label\n0.5,maybe\n", "is 'maybe' fraud, or good"),
        ("scores,label\n0.5,1\n", 'no column "score"; did you mean "scores"'),
        ("score,label\n", "it has no rows"),
    ],
)
def test_what_is_no_table_of_scores(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "table.csv"
    path.write_text(text)
    with pytest.raises(HistoryError) as error:
        kpi.from_file(str(path))
    assert says in str(error.value)
