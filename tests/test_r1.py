"""The reference workload: 50,000 events whose every feature, list flag, outcome and score is known."""

from __future__ import annotations

import gzip
import json
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest
from shared import ROOT, SHARED, ndjson, needs

if TYPE_CHECKING:
    from collections.abc import Mapping

R1 = ROOT / "bench" / "r1.yaml"
LISTS = ("bl_card", "bl_device", "bl_ip", "bl_email")


def listed() -> dict[str, set[str]]:
    """The listed values that occur in the stream: those published, and the few of the million others (random and
    unpublished) that happen to be in it too. The expected flags tell which: 2 addresses and 9 e-mails, no more."""
    values = json.loads(gzip.decompress((SHARED / "r1" / "listed_live.json.gz").read_bytes()))
    lists = {f"bl_{name}": set(found) for name, found in values.items()}
    for event, row in rows():
        for name, field, hit in zip(LISTS, ("card_id", "device_id", "ip", "email"), row.get("lists", ()), strict=False):
            if hit:
                lists[name].add(event[field])
    assert [len(found) for found in lists.values()] == [500, 500, 502, 509]
    return lists


def expected_of(row: dict[str, Any], names: list[str]) -> tuple[object, ...]:
    """Counts, sums and extremes are equal; the mean and the deviation, which the file computes otherwise, to 1e-9."""
    features = dict(zip(names, row["features"], strict=True))
    if features["acc_gap_ms"] == -1:
        features["acc_gap_ms"] = None
    for name in ("acc_avg_7d", "acc_std_7d"):
        features[name] = pytest.approx(features[name], rel=1e-9)
    lists = tuple(name for name, hit in zip(LISTS, row["lists"], strict=True) if hit)
    return row["outcome"], row["score"], lists, features


def rows(count: int | None = None) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    events, expected = ndjson(SHARED / "r1" / "events.ndjson.gz"), ndjson(SHARED / "r1" / "expected.ndjson.gz")
    return list(islice(zip(events, expected, strict=True), count))


def decided(decision: Any) -> tuple[object, ...]:
    features: Mapping[str, object] = decision.features
    return decision.outcome, decision.score, decision.lists, dict(features)


@needs("r1")
def test_the_engine_reproduces_every_row() -> None:
    import frmcore

    with frmcore.Engine(None, policy=R1) as engine:
        for name, values in listed().items():
            engine.lists[name].add_many(values)
        seen: set[str] = set()
        for event, row in rows():
            decision = engine.decide(event)
            assert decision.duplicate == (event["id"] in seen) == row.get("duplicate", False)
            if decision.duplicate:
                assert (decision.outcome, decision.score) == (row["outcome"], row["score"])
            else:
                assert decided(decision) == expected_of(row, list(decision.features)), event
            seen.add(event["id"])


@needs("r1")
def test_the_twin_reproduces_the_first_rows() -> None:
    from twin import Twin

    from frmcore.policy import load

    twin = Twin(load(R1), clock=lambda: 1_800_000_000_000)
    for name, values in listed().items():
        for value in values:
            twin.lists[name].add(value)
    for event, row in rows(400):
        decision = twin.decide(event)
        assert decided(decision) == expected_of(row, list(decision.features)), event
