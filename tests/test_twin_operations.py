"""Seeded runs of engine against twin: 50,000 operations and 500 programs; in soak a million and 100,000."""

from __future__ import annotations

import pytest
import soak

PARTS, OPERATIONS, PROGRAMS = 25, 2_000, 500


@pytest.mark.parametrize("part", range(PARTS))
def test_operations(part: int) -> None:
    """A failure names its seed; `python tests/soak.py operations 1 --seed SEED` replays it."""
    soak.runs("operations", OPERATIONS, seed=1_000 * part)


@pytest.mark.soak
def test_a_million_operations() -> None:
    soak.runs("operations", 1_000_000, seed=1_000_000)


@pytest.mark.soak
def test_a_hundred_thousand_programs() -> None:
    soak.runs("programs", 100_000, seed=1_000_000)


@pytest.mark.parametrize("part", range(5))
def test_programs(part: int) -> None:
    """A failure names its seed; `python tests/soak.py programs 1 --seed SEED` replays it."""
    soak.runs("programs", PROGRAMS // 5, seed=1_000 * part)
