"""The Fraud Detection Handbook's simulated payments, made anew from their published description and seeds (chapter 3,
"Transaction data simulator"): 5,000 customers, 10,000 terminals, days from 2018-04-01 on. No file is read."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import polars as pl

CUSTOMERS, TERMINALS, RADIUS = 5_000, 10_000, 5
START_MS = 1_522_540_800_000  # 2018-04-01
DAY_S = 86_400


def world(days: int) -> pl.DataFrame:
    """TRANSACTION_ID, TX_DATETIME, CUSTOMER_ID, TERMINAL_ID, TX_AMOUNT, TX_FRAUD of the first `days` days, in order."""
    columns = list(zip(*(row for customer in _customers() for row in _payments(customer, days)), strict=True))
    frame = pl.DataFrame(dict(zip(("second", "CUSTOMER_ID", "TERMINAL_ID", "amount"), columns, strict=True)))
    frame = frame.with_columns(day=pl.col("second") // DAY_S)
    frame = frame.sort("second", maintain_order=True)
    amount, fraud = _with_fraud(frame, days)
    return frame.select(
        TRANSACTION_ID=pl.int_range(pl.len()),
        TX_DATETIME=(pl.col("second") * 1_000 + START_MS).cast(pl.Datetime("ms")),
        CUSTOMER_ID="CUSTOMER_ID",
        TERMINAL_ID="TERMINAL_ID",
        TX_AMOUNT=pl.Series(amount).round(2),
        TX_FRAUD=pl.Series(fraud),
        TX_TIME_DAYS="day",
    )


def _customers() -> list[dict[str, Any]]:
    draw = np.random.RandomState(0).uniform
    profiles = [[draw(0, 100), draw(0, 100), draw(5, 100), draw(0, 4)] for _ in range(CUSTOMERS)]
    places = np.random.RandomState(1).uniform(0, 100, (TERMINALS, 2))
    return [
        {"id": i, "mean": mean, "rate": rate,
         "near": list(np.where(np.sqrt(((np.array([x, y]) - places) ** 2).sum(axis=1)) < RADIUS)[0])}
        for i, (x, y, mean, rate) in enumerate(profiles)
    ]  # fmt: skip


def _payments(customer: dict[str, Any], days: int) -> list[tuple[int, int, int, float]]:
    numbers, choose = np.random.RandomState(customer["id"]), random.Random(customer["id"])
    mean, near, rows = customer["mean"], customer["near"], []
    for day in range(days):
        for _ in range(numbers.poisson(customer["rate"])):
            second = int(numbers.normal(DAY_S / 2, 20_000))
            if 0 < second < DAY_S:
                amount = numbers.normal(mean, mean / 2)
                amount = numbers.uniform(0, mean * 2) if amount < 0 else amount
                amount = np.round(amount, decimals=2)
                if near:
                    rows.append((second + day * DAY_S, customer["id"], int(choose.choice(near)), float(amount)))
    return rows


def _with_fraud(frame: pl.DataFrame, days: int) -> tuple[Any, Any]:
    """Scenario 1: large amounts; 2: compromised terminals, 28 days; 3: stolen cards, a third of 14 days, five times the
    amount."""
    day, customer, terminal = (frame[name].to_numpy() for name in ("day", "CUSTOMER_ID", "TERMINAL_ID"))
    amount = frame["amount"].to_numpy().copy()
    fraud = (amount > 220).astype(int)
    for start in range(days):
        some = np.random.RandomState(start).choice(TERMINALS, 2, replace=False)
        fraud[(day >= start) & (day < start + 28) & np.isin(terminal, some)] = 1
    for start in range(days):
        some = np.random.RandomState(start).choice(CUSTOMERS, 3, replace=False)
        rows = np.where((day >= start) & (day < start + 14) & np.isin(customer, some))[0]
        taken = random.Random(start).sample(list(rows), k=len(rows) // 3)
        amount[taken] *= 5
        fraud[taken] = 1
    return amount, fraud
