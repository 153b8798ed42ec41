"""The owner's own numbers, beside the engine's."""

from __future__ import annotations

import os
import resource
from typing import TYPE_CHECKING

from frmcore.serve.meter import BOUNDS_US
from frmcore.telemetry.families import Family, Sample, by, engine_families, family

if TYPE_CHECKING:
    from collections.abc import Iterator

    from frmcore.serve.meter import Histogram
    from frmcore.serve.server import Server


def owner_families(server: Server) -> Iterator[Family]:
    meter = server.meter
    yield from engine_families(server.engine)
    samples = [sample for op, histogram in list(meter.seconds.items()) for sample in _samples(op, histogram)]
    told = "From reading a request to its answer, in the owner; of a batch as a whole."
    yield Family("frmcore_request_seconds", "histogram", told, samples)
    yield family(
        "request_errors_total", "counter", "Requests that ended with an error.", by("error", dict(meter.errors))
    )
    told = "Events that clients settled by themselves, the owner being away or slow."
    fallbacks = dict.fromkeys(server.engine.policy.outcomes, 0) | server.fallbacks  # from 0: a rate misses a first one
    yield family("fallbacks_total", "counter", told, by("outcome", fallbacks))
    yield family("connections", "gauge", "Clients that are connected.", server.connections)
    told = "Connections refused: too many, another user, or bytes that are no request."
    yield family("connections_refused_total", "counter", told, meter.refused)
    told = "Connections closed for a frame left unfinished, or answers left unread."
    yield family("connections_overdue_total", "counter", told, meter.overdue)
    yield family("resident_bytes", "gauge", "Memory of the process.", _resident())
    used = resource.getrusage(resource.RUSAGE_SELF)
    yield family("cpu_seconds_total", "counter", "Processor time of the process.", used.ru_utime + used.ru_stime)


def _samples(op: str, histogram: Histogram) -> Iterator[Sample]:
    label, below = ("op", op), 0
    for bound, count in zip(BOUNDS_US, histogram.counts, strict=False):
        below += count
        yield Sample((label, ("le", f"{bound / 1e6:g}")), below, "_bucket")
    below += histogram.counts[-1]
    yield Sample((label, ("le", "+Inf")), below, "_bucket")
    yield Sample((label,), histogram.total_ns / 1e9, "_sum")
    yield Sample((label,), below, "_count")


def _resident() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123  no path object for the kernel's file
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
