"""Every budget of the design beside what was measured: `python -m bench.budget`, the last step of `make bench`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.peers.blaze import NAME as BLAZERULES
from bench.world import HERE, RESULTS

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Line:
    """One budget: at most (or, with `least`, at least) so much."""

    what: str
    budget: float
    measured: float | None
    unit: str
    least: bool = False

    @property
    def ratio(self) -> float | None:
        """Measured / budget; of a rate the other way round, so that above 1 is always too slow."""
        if not self.measured:
            return None
        return self.budget / self.measured if self.least else self.measured / self.budget

    @property
    def verdict(self) -> str:
        if self.ratio is None:
            return "not measured"
        return "reached" if self.ratio <= 1 else "missed"

    def cells(self) -> tuple[str, ...]:
        sign = ">=" if self.least else "<="
        measured = "-" if self.measured is None else f"{number(self.measured)} {self.unit}".strip()
        ratio = "-" if self.ratio is None else f"{self.ratio:.2f}"
        return self.what, f"{sign} {number(self.budget)} {self.unit}".strip(), measured, ratio, self.verdict


def number(value: float) -> str:
    """Three digits that count."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def results(name: str) -> dict[str, Any]:
    """What a script of bench/ measured last; empty where it never ran."""
    file = RESULTS / f"{name}.json"
    return dict(json.loads(file.read_text())) if file.exists() else {}


def lines() -> list[Line]:
    """All of them, in the order of the design."""
    return [*_decisions(), *_against(), *_pieces(), *_memory(), *_store()]


def _decisions() -> Iterator[Line]:
    found = results("percentiles")
    headline: dict[str, Any] = found.get("headline", {})
    store, floor = headline.get("store", {}), headline.get("floor", {})
    yield Line("decide(policy.Event), p50", 1.5, _us(store, "p50"), "us")
    yield Line("decide(policy.Event), p99", 5, _us(store, "p99"), "us")
    yield Line(
        "decide(policy.Event), p99.9: 30 us, or three floors",
        max(30, 3 * (_us(floor, "p99.9") or 0)),
        _us(store, "p99.9"),
        "us",
    )
    yield Line("decide / floor, p50", 2, store["p50"] / floor["p50"] if store else None, "")
    rates = found.get("rates", {})
    yield Line("decisions on one core", 450_000, rates.get("decide"), "/s", least=True)
    yield Line("decide_many on one core", 700_000, rates.get("decide_many"), "/s", least=True)


def _us(times: dict[str, Any], which: str) -> float | None:
    return times[which] / 1000 if times else None


def _against() -> Iterator[Line]:
    whole = results("peers").get("whole", {})
    for name, times in (
        ("pure Python, tuned", 10),
        (BLAZERULES, 60),
        ("Redis, one Lua call on a unix socket", 150),
        ("PostgreSQL, prepared, asynchronous commit", 300),
    ):
        yield Line(f"{name} / frmcore, p50", times, whole.get(name, {}).get("ratio"), "times", least=True)


def _pieces() -> Iterator[Line]:
    suite = results("regression").get("benchmarks", {})
    peers = results("peers").get("rules", {})
    yield Line("the 30 rules alone", 250, _ns(suite, "rules_alone"), "ns")
    fused = peers.get("Python, one fused function", {}).get("ratio")
    yield Line("fused Python / the 30 rules", 8, fused, "times", least=True)
    yield Line("list probe, hot", 25, _ns(suite, "list_miss_hot"), "ns")
    yield Line("list probe, cold", 150, _ns(suite, "list_miss_cold"), "ns")
    yield Line("list probe, cold, confirmed exactly", 150, _ns(suite, "list_hit"), "ns")
    ceilings = json.loads((HERE / "instructions.json").read_text())
    counted = results("instructions")
    for name in ("decide", "decide_many"):
        yield Line(f"instructions, {name}", ceilings[name], counted.get(name), "")


def _ns(suite: dict[str, Any], name: str) -> float | None:
    return suite[name]["ns"] if name in suite else None


def _memory() -> Iterator[Line]:
    found = results("memory")
    each = found.get("each", {})
    yield Line("an idle entity's record, with its one event", 96, each.get("entity with one event"), "bytes")
    yield Line("an event in a ring", 24, each.get("held event, counted"), "bytes")
    yield Line("an event in a ring, with one value", 32, each.get("held event, summed"), "bytes")
    yield Line("a listed value", 26, each.get("listed value"), "bytes")
    for name, what in (("stream", "all in"), ("by horizon", "all in, `limits: {ids_min: 10_000}`")):
        left = found.get(name, {"events": 1_000_000, "total": 0})
        yield Line(f"R1's {left['events']:,} events, {what}", 200, left["total"] / 1e6 or None, "MB")


def _store() -> Iterator[Line]:
    headline = results("percentiles").get("headline", {})
    durable = max(1, headline["store"]["p50"] - headline["memory"]["p50"]) if headline else None
    yield Line("durability in default mode, of a decision", 250, durable, "ns")
    suite = results("regression").get("benchmarks", {})
    yield Line("recovery from a checkpoint", 1_000_000, _rate(suite, "recovery_checkpoint"), "entities/s", least=True)
    yield Line("recovery from the journal", 500_000, _rate(suite, "recovery_journal"), "events/s", least=True)
    tried = results("history").get("runs", [{}])[0]
    yield Line("backtest from Parquet, one core", 400_000, tried.get("rate"), "events/s", least=True)
    yield Line("import frmcore", 60, results("imports").get("import_ms"), "ms")


def _rate(suite: dict[str, Any], name: str) -> float | None:
    ns = _ns(suite, name)
    return 1e9 / ns if ns else None


HEADER = ("what", "budget", "measured", "ratio", "verdict")


def main() -> None:
    rows = [HEADER, *(line.cells() for line in lines())]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


if __name__ == "__main__":
    main()
