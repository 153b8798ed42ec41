"""The measures: latency buckets and detection counts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frmcore.report.detection import Detection
from frmcore.report.latency import SUB, Latency


def recorded(values: list[int]) -> Latency:
    latency = Latency()
    for value in values:
        latency.record(value)
    return latency


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=200), st.sampled_from([0.1, 50, 90, 99, 99.9, 100]))
def test_percentiles_are_at_most_a_bucket_above_the_true_ones(values: list[int], percent: float) -> None:
    latency = recorded(values)
    ordered = sorted(values)
    true = next(v for i, v in enumerate(ordered, 1) if i >= percent / 100 * len(ordered))
    assert true <= latency.percentile(percent) <= true + true // SUB
    assert (latency.count, latency.total_ns, latency.max_ns) == (len(values), sum(values), max(values))


def test_small_durations_are_exact_and_nothing_is_zero() -> None:
    latency = recorded(list(range(128)))
    assert [latency.percentile(100 * (i + 1) / 128) for i in range(128)] == list(range(128))
    assert Latency().percentile(99) == 0


def test_detection_counts_rules_and_scenarios() -> None:
    found = Detection(["a", "b", "never"])
    found.add(["a"], True, "mule", 1_000)
    found.add(["a", "b"], True, "mule", 2_000)
    found.add([], False, "mule", 4_000)
    found.add(["b"], False, "takeover", 50)
    found.add(["a"], True, "", 10)
    found.add([], False, "", 10)
    a, b, never = (found.rules[rule] for rule in ("a", "b", "never"))
    assert (a.fired, a.precision, found.recall(a)) == (3, pytest.approx(2 / 3), 0.5)
    assert (b.fired, b.precision, found.target(b)) == (2, 1.0, ("takeover", 1.0))
    assert (never.precision, found.recall(never), found.target(never)) == (None, 0.0, None)
    assert found.target(a) == ("mule", pytest.approx(2 / 3))
    mule = found.scenarios["mule"]
    assert (mule.events, mule.caught, mule.amount, mule.amount_caught) == (3, 2, 7_000, 3_000)
    assert (found.honest.events, found.honest.caught, found.precision) == (2, 1, pytest.approx(2 / 3))


def test_detection_of_nothing_has_no_rates() -> None:
    empty = Detection(["a"])
    assert empty.precision is None
    assert empty.recall(empty.rules["a"]) is None
