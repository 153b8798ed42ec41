"""The short form of `make faults`: snapshots cut short, with flipped bits, with wrong content under right checksums."""

from __future__ import annotations

from shared import faults


def test_mutated_snapshots() -> None:
    assert "150 mutants with right checksums" in faults("snapshots", 150)
