"""The short form of `make faults`: a disk that fails, hangs, or is full."""

from __future__ import annotations

from shared import faults


def test_failing_disk() -> None:
    assert "nothing durable lost" in faults("disk", 120)


def test_hanging_disk() -> None:
    assert "decisions went on" in faults("stall", 4)
