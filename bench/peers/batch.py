"""The same 21 features over a whole stream at once: DuckDB and polars. One pass of window expressions each.

Events of one key and one millisecond are told apart by a place: time * 1024 and a number among those of that
millisecond.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

M1, M5, M10, H1, H24, D7 = 60_000, 300_000, 600_000, 3_600_000, 86_400_000, 604_800_000
TIES: Final = 1024
# feature, key, aggregate, window
WINDOWS: Final = (
    *((f"acc_{short}_{label}", "account_id", name, over)
      for short, name in (("cnt", "count"), ("sum", "sum"), ("max", "max"))
      for label, over in (("10m", M10), ("1h", H1), ("24h", H24))),
    ("card_cnt_5m", "card_id", "count", M5), ("card_cnt_1h", "card_id", "count", H1),
    ("card_cnt_24h", "card_id", "count", H24),
    ("card_sum_24h", "card_id", "sum", H24), ("dev_cnt_1h", "device_id", "count", H1),
    ("dev_acc_24h", "device_id", "account_id", H24), ("ip_cnt_10m", "ip", "count", M10),
    ("ip_card_1h", "ip", "card_id", H1),
    ("mer_cnt_1m", "merchant_id", "count", M1), ("acc_avg_7d", "account_id", "mean", D7),
    ("acc_std_7d", "account_id", "std", D7),
)  # fmt: skip


def table(events: Sequence[dict[str, Any]]) -> Any:
    """The events, without retries, as an Arrow table."""
    import pyarrow

    fresh = list({event["id"]: event for event in events}.values())
    names = ("ts", "account_id", "card_id", "device_id", "ip", "merchant_id", "amount")
    columns: dict[str, list[Any]] = {name: [event[name] for event in fresh] for name in names}
    tie, places = 0, []
    for number, ts in enumerate(columns["ts"]):
        tie = tie + 1 if number and columns["ts"][number - 1] == ts else 0
        places.append(ts * TIES + tie)
    return pyarrow.table({"n": list(range(len(fresh))), "place": places, **columns})


def _window(key: str, over: int) -> str:
    return f"PARTITION BY {key} ORDER BY place RANGE BETWEEN {(over - 1) * TIES} PRECEDING AND CURRENT ROW"


def duckdb_features(given: Any) -> list[tuple[Any, ...]]:
    import duckdb

    expressions = {
        "count": "count(*)",
        "sum": "sum(amount)",
        "max": "max(amount)",
        "mean": "avg(amount)",
        "std": "stddev_pop(amount)",
    }
    columns = ", ".join(
        f"{expressions.get(aggregate, f'count(DISTINCT {aggregate})')} OVER ({_window(key, over)}) AS {feature}"
        for feature, key, aggregate, over in WINDOWS
    )
    gap = "coalesce(ts - lag(ts) OVER (PARTITION BY account_id ORDER BY place), -1) AS acc_gap_ms"
    with duckdb.connect(":memory:", config={"threads": 1}) as db:
        db.register("given", given)
        rows: list[tuple[Any, ...]] = db.execute(f"SELECT {columns}, {gap} FROM given ORDER BY n").fetchall()
        return rows


def polars_features(given: Any) -> list[tuple[Any, ...]]:
    import polars as pl

    frame = pl.DataFrame(given)
    amount = pl.col("amount")
    made = {
        "count": pl.len(),
        "sum": amount.sum(),
        "max": amount.max(),
        "mean": amount.mean(),
        "std": amount.std(ddof=0),
    }
    for key, over in dict.fromkeys((key, over) for _, key, _, over in WINDOWS):
        wanted = [
            made.get(aggregate, pl.col(aggregate).n_unique()).alias(feature)
            for feature, of, aggregate, span in WINDOWS
            if (of, span) == (key, over)
        ]
        rolled = frame.rolling("place", period=f"{over * TIES}i", group_by=key, closed="right")
        found = rolled.agg(pl.col("n").last().alias("n_"), *wanted).drop(key, "place")
        frame = frame.join(found, left_on="n", right_on="n_", how="left", maintain_order="left")
    gap = (pl.col("ts") - pl.col("ts").shift(1).over("account_id")).fill_null(-1).alias("acc_gap_ms")
    return frame.with_columns(gap).select(*(each[0] for each in WINDOWS), "acc_gap_ms").rows()
