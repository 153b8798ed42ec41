"""The Fraud Detection Handbook's published window features: six of the customer, six of the terminal with labels."""

from __future__ import annotations

import math
from collections import Counter, deque
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from shared import POLICIES, SHARED, needs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

POLICY = POLICIES / "handbook.yaml"
DATA = SHARED / "data" / "handbook"
DAY_MS = 86_400_000
LABEL_DELAY_MS = 7 * DAY_MS - 1_000  # a label is told a second before its transaction enters the delayed windows


def transactions(frame: pl.DataFrame) -> Iterator[tuple[dict[str, Any], bool]]:
    """Events in time order, and whether each turned out to be fraud."""
    for row in frame.sort("TRANSACTION_ID").iter_rows(named=True):
        event = {
            "id": str(row["TRANSACTION_ID"]),
            "ts": row["TX_DATETIME"].replace(tzinfo=UTC) if isinstance(row["TX_DATETIME"], datetime) else None,
            "customer": str(row["CUSTOMER_ID"]),
            "terminal": str(row["TERMINAL_ID"]),
            "amount": round(row["TX_AMOUNT"] * 100),
        }
        event["ts"] = int(event["ts"].timestamp() * 1000)
        yield event, bool(row["TX_FRAUD"])


def tied(frame: pl.DataFrame) -> set[str]:
    """Which of two transactions of a customer in one second came first is unknown: those rows are left out."""
    count = Counter(zip(frame["CUSTOMER_ID"], frame["TX_DATETIME"], strict=True))
    triples = zip(frame["TRANSACTION_ID"], frame["CUSTOMER_ID"], frame["TX_DATETIME"], strict=True)
    return {str(ident) for ident, customer, time in triples if count[customer, time] > 1}


def features_of(engine: Any, frame: pl.DataFrame) -> Iterator[tuple[str, Mapping[str, object]]]:
    """Decides every transaction; labels arrive as updates, in time for the delayed windows."""
    labels: deque[tuple[int, str]] = deque()
    for event, fraud in transactions(frame):
        while labels and labels[0][0] <= event["ts"]:
            at, ident = labels.popleft()
            engine.update(ident, at=at, fraud=True)
        decision = engine.decide(event)
        yield decision.event_id, decision.features
        if fraud:
            labels.append((event["ts"] + LABEL_DELAY_MS, event["id"]))


def differences(given: Mapping[str, object], row: Mapping[str, Any]) -> list[str]:
    """Counts are equal, means and risks to 1e-9. The risk of no transaction is absent here and 0 in the book."""
    wrong = []
    for name, want in row.items():
        value = 0 if given[name] is None else given[name]
        assert isinstance(value, int | float)
        value = value / 100 if "_AVG_AMOUNT_" in name else value  # the policy's money is in cents
        close = value == want if isinstance(want, int) else math.isclose(value, want, rel_tol=1e-9)
        wrong += [] if close else [f"{name}: {value} instead of {want}"]
    return wrong


def by_id(rows: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    return {
        str(row["TRANSACTION_ID"]): {name: row[name] for name in row if "_WINDOW" in name or "_DURING_" in name}
        for row in rows
    }


@cache
def raw() -> pl.DataFrame:
    return pl.read_parquet(DATA / "raw_2018-04-01_2018-05-15.parquet")


@needs("data/handbook")
def test_the_engine_reproduces_the_slice() -> None:
    import frmcore

    expected = by_id(pl.read_parquet(DATA / "expected_features_2018-05-09_2018-05-15.parquet").iter_rows(named=True))
    skipped = tied(raw())
    compared = 0
    with frmcore.Engine(None, policy=POLICY) as engine:
        for ident, features in features_of(engine, raw()):
            if ident in expected and ident not in skipped:
                assert differences(features, expected[ident]) == [], ident
                compared += 1
    assert compared == len(expected.keys() - skipped) > 67_000


@needs("data/handbook")
@pytest.mark.parametrize("file", ["customers_0_49_with_expected.csv.gz", "terminals_200_with_expected.csv.gz"])
def test_the_twin_reproduces_the_small_files(file: str) -> None:
    from twin import Twin

    from frmcore.policy import load

    frame = pl.read_csv(DATA / file, try_parse_dates=True)
    keys = "CUSTOMER_ID" if "customers" in file else "TERMINAL_ID"
    some = frame.filter(pl.col(keys).is_in(frame[keys].unique().sort().head(2).to_list()))
    expected = by_id(some.iter_rows(named=True))
    skipped = tied(raw())
    twin = Twin(load(POLICY), clock=lambda: 1_700_000_000_000)
    found = dict(features_of(twin, some.head(400)))
    assert [differences(found[ident], expected[ident]) for ident in found if ident not in skipped] == [[]] * len(
        found.keys() - skipped
    )
