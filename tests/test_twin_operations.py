"""Seeded runs of engine against twin: 50,000 operations, 500 programs. `python tests/soak.py` runs millions."""

from __future__ import annotations

import pytest
import soak

PARTS, OPERATIONS, PROGRAMS = 25, 2_000, 500


@pytest.mark.parametrize("part", range(PARTS))
def test_operations(part: int) -> None:
    """A failure names its seed; `python tests/soak.py operations 1 --seed SEED` replays it."""
    soak.runs("operations", OPERATIONS, seed=1_000 * part)


@pytest.mark.parametrize("part", range(5))
def test_programs(part: int) -> None:
    """A failure names its seed; `python tests/soak.py programs 1 --seed SEED` replays it."""
    soak.runs("programs", PROGRAMS // 5, seed=1_000 * part)
