"""A made-up world of payments with labelled fraud in it: the demo's, the tests' and the bench's input."""

from __future__ import annotations

from frmcore.generate.describe import describe
from frmcore.generate.population import euro_cents
from frmcore.generate.records import FIELDS, Event, Record, Update
from frmcore.generate.stream import SCENARIOS, Stream, generate

__all__ = ["FIELDS", "SCENARIOS", "Event", "Record", "Stream", "Update", "describe", "euro_cents", "generate"]
