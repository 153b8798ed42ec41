"""The short form of `make soak`: stores that are killed and closed while they decide."""

from __future__ import annotations

from shared import faults


def test_soak() -> None:
    assert "60,000 decisions: 0 acknowledged lost, 0 decided twice" in faults("soak", 60_000)
