"""The short form of `make faults`: flipped bits."""

from __future__ import annotations

from shared import faults


def test_flipped_bits() -> None:
    assert "400 flipped bits" in faults("rot", 400)
