"""The short form of `make faults`: kills."""

from __future__ import annotations

from shared import faults


def test_kills() -> None:
    said = faults("kill", 60)
    assert "0 lost, 0 twice, 0 different" in said
