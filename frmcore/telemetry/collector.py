"""An embedded engine's numbers for `prometheus_client`, the optional extra `frmcore[prometheus]`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frmcore.telemetry.families import engine_families

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    from frmcore import Engine
    from frmcore.telemetry.families import Family


class EngineCollector:
    """`prometheus_client.REGISTRY.register(EngineCollector(engine))`: each scrape reads the engine anew.

    Latency is the caller's to measure: an engine does not look at the clock for it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        for family in engine_families(self._engine):
            yield _converted(family)


def _converted(family: Family) -> CounterMetricFamily | GaugeMetricFamily:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily  # noqa: PLC0415  an optional extra

    kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    names = [name for name, _ in family.samples[0].labels] if family.samples else []
    found = kind(family.name, family.help, labels=names)
    for sample in family.samples:
        found.add_metric([value for _, value in sample.labels], sample.value)
    return found
