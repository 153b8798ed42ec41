"""The Fraud Detection Handbook's depth-2 decision tree, as rules over raw transactions."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from engines import DAY
from shared import POLICIES, SHARED, needs

from frmcore.history.backtest import Backtest, Setup, backtest
from frmcore.history.measures import measure

if TYPE_CHECKING:
    from pathlib import Path

DATA = SHARED / "data" / "handbook"
POLICY = POLICIES / "handbook_tree.yaml"
EPOCH = datetime(1970, 1, 1)
LABEL_DELAY = 7 * DAY - 1_000  # a label is told a second before its transaction enters the delayed windows


def ms(instant: datetime) -> int:
    return (instant - EPOCH) // timedelta(milliseconds=1)


def tried(folder: Path, raw: pl.DataFrame, **options: Any) -> Backtest:
    """The tree over raw transactions; labels arrive a week late."""
    ident = pl.col("TRANSACTION_ID").cast(pl.String).alias("id")
    raw.drop("TX_FRAUD").write_parquet(folder / "history.parquet")
    raw.select(ident, label="TX_FRAUD").write_parquet(folder / "labels.parquet")
    told = raw.filter(pl.col("TX_FRAUD") == 1).select(
        ident, at=pl.col("TX_DATETIME").dt.epoch("ms") + LABEL_DELAY, field=pl.lit("fraud"), value=pl.lit("true")
    )
    told.write_parquet(folder / "updates.parquet")
    updates, labels = (str(folder / f"{name}.parquet") for name in ("updates", "labels"))
    setup = Setup([str(folder / "history.parquet")], updates, labels, major=True, mature_ms=0, **options)
    return backtest(POLICY, setup)


def leaf(row: dict[str, Any]) -> int:
    """The published tree over the published features."""
    if row["TERMINAL_ID_RISK_7DAY_WINDOW"] <= 0.550505:
        return 3_536 if row["TX_AMOUNT"] < 218.67 else 984_496
    return 952_790 if row["TERMINAL_ID_RISK_30DAY_WINDOW"] <= 0.661905 else 90_278


@needs("data/handbook")
def test_the_rules_are_the_tree_over_the_published_features(tmp_path: Path) -> None:
    raw = pl.read_parquet(DATA / "raw_2018-04-01_2018-05-15.parquet").filter(pl.col("TERMINAL_ID") % 20 == 3)
    raw = raw.drop([name for name in raw.columns if name.startswith("TX_FRAUD_")])
    published = pl.read_parquet(DATA / "expected_features_2018-05-09_2018-05-15.parquet")
    published = published.join(raw.select("TRANSACTION_ID", "TX_AMOUNT"), on="TRANSACTION_ID")
    expected = {str(row["TRANSACTION_ID"]): leaf(row) for row in published.iter_rows(named=True)}
    with tried(tmp_path, raw, since=ms(datetime(2018, 5, 9))) as found:
        scores = {row["id"]: row["score"] for row in found.space.rows("SELECT id, score FROM decided")}
        assert scores == {ident: expected[ident] for ident in scores}
        assert len(scores) > 3_000
        assert len(set(scores.values())) == 4


@pytest.mark.soak
def test_the_published_figures(tmp_path: Path) -> None:
    """AUC ROC 0.763, average precision 0.496, card precision@100 0.241 (chapter 3, test set of 2018-08-08 to 08-14).

    Customers whose card was known to be compromised are left out of the test set, as there. Which of two customers of
    one score comes first is left to chance there, so the last figure is theirs to one customer a day.
    """
    from handbook_world import world

    raw = world(150).filter(pl.col("TX_TIME_DAYS") < 136)  # fraud is staged 14 days ahead
    first = (datetime(2018, 7, 25) - datetime(2018, 4, 1)).days
    frauds = raw.filter(pl.col("TX_FRAUD") == 1)
    known = set(frauds.filter(pl.col("TX_TIME_DAYS").is_between(first, first + 6))["CUSTOMER_ID"])
    left_out = []
    for day in range(7):
        known |= set(frauds.filter(pl.col("TX_TIME_DAYS") == first + 6 + day)["CUSTOMER_ID"])
        date = ms(datetime(2018, 8, 8) + timedelta(days=day)) // DAY
        left_out += [(str(customer), date) for customer in known]
    since = raw.filter(pl.col("TX_DATETIME") >= datetime(2018, 6, 18)).drop("TX_TIME_DAYS")
    with tried(tmp_path, since, since=ms(datetime(2018, 8, 8)), customer="customer") as found:
        columns = {"customer": "VARCHAR", "day": "BIGINT"}
        found.space.create("left_out", columns)
        found.space.append("left_out", columns, left_out)
        found.space.db.execute("DELETE FROM scored s USING left_out l WHERE s.customer = l.customer AND s.day = l.day")
        measures = measure(found, (100,))
    total, (reviews,) = measures.total, measures.reviews
    print(f"AUC ROC {total['auc_roc']:.3f}, average precision {total['average_precision']:.3f}, "
          f"card precision@100 {reviews['card_precision']:.3f}")  # fmt: skip
    assert (total["decisions"], total["fraud"]) == (58_264, 385)
    assert (round(total["auc_roc"], 3), round(total["average_precision"], 3)) == (0.763, 0.496)
    assert reviews["card_precision"] == pytest.approx(0.241, abs=0.01)
