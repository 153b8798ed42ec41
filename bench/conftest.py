"""Options and fixtures of the benchmarks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from bench.machine import machine
from bench.ratio import baseline, keep_baseline
from bench.world import FULL, RESULTS, World

if TYPE_CHECKING:
    from collections.abc import Iterator


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rebase", action="store_true", help="what is measured becomes bench/baseline.json")


@pytest.fixture(scope="session")
def world() -> World:
    return World(FULL)


@pytest.fixture(scope="session")
def results(request: pytest.FixtureRequest) -> Iterator[dict[str, dict[str, Any]]]:
    """What every benchmark took; kept in bench/results/regression.json, and as the baseline where that is asked for."""
    found: dict[str, dict[str, Any]] = {}
    yield found
    RESULTS.mkdir(exist_ok=True)
    kept = RESULTS / "regression.json"
    before = json.loads(kept.read_text())["benchmarks"] if kept.exists() else {}
    kept.write_text(json.dumps({"machine": machine(), "benchmarks": before | found}, indent=1, sort_keys=True) + "\n")
    if request.config.getoption("--rebase"):
        known = baseline()
        for name, each in found.items():
            known.setdefault(name, {}).update(ratio=each["ratio"], noise=each["noise"])
        keep_baseline(known)
