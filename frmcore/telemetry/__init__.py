"""What operations want to see of an engine: numbers for Prometheus, spans for OpenTelemetry. docs/operations.md."""

from __future__ import annotations

from frmcore.telemetry.collector import EngineCollector
from frmcore.telemetry.tracing import traced

__all__ = ["EngineCollector", "traced"]
