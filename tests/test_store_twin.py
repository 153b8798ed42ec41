"""Random streams through an engine on a store that crashes between operations: the twin, which never does, agrees."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest
import stored_pair

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("seed", range(24))
def test_crashes_and_restarts(seed: int, tmp_path: Path) -> None:
    stored_pair.run(Random(seed), tmp_path, operations=80, hot=seed % 4 == 0)


@pytest.mark.soak
def test_crashes_and_restarts_at_length(tmp_path: Path) -> None:
    for seed in range(10_000, 12_000):
        folder = tmp_path / str(seed)
        folder.mkdir()
        stored_pair.run(Random(seed), folder, operations=200, hot=seed % 4 == 0)
