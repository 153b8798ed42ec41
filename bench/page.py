"""Writes what bench/results/ holds into the tables of docs/performance.md: `python -m bench.page`.

A table stands between `<!-- name -->` and `<!-- end -->`; all else on the page is written by hand.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from bench.budget import HEADER, lines, number, results
from bench.percentiles import PERCENTS
from bench.world import HERE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

PAGE: Final = HERE.parent / "docs" / "performance.md"
NOTHING: Final = "Not measured on this machine yet.\n"
BUSY: Final = 1.5  # a load average above it says that others used the machine


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    shown = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(row)} |\n" for row in shown)


def measured_on() -> str:
    """The machines, one a script, and whether they had time."""
    rows = []
    for name in ("percentiles", "parts", "regression", "growth", "peers", "memory", "history", "imports"):
        found = results(name)
        if found:
            on = found["machine"]
            load = on["load"][0]
            quiet = "loaded by other work: trust ratios only" if load > BUSY else "quiet"
            what = f"{on['cpu']}, {on['cores']} cores, {on['memory_gb']} GB, {on['system']}, Python {on['python']}"
            rows.append((name, what, on["commit"], f"{load:g}: {quiet}"))
    return table(("results", "machine", "commit", "load"), rows)


def budgets() -> str:
    return table(HEADER, (line.cells() for line in lines()))


def parts() -> str:
    rows, before = [], {"p50": 0, "mean": 0}
    for what, times in results("parts").get("parts", {}).items():
        added = (f"{(times[key] - before[key]) / 1000:.2f}" for key in before)
        rows.append((what, *added, *(_us(times[key]) for key in before)))
        before = times
    return table(("with", "adds, p50", "adds, mean", "so far, p50", "so far, mean (us)"), rows)


def percentiles() -> str:
    found = results("percentiles")
    if not found:
        return NOTHING
    named = {f"in turns: {name}": times for name, times in found["headline"].items()} | found["scenarios"]
    columns = [f"p{percent:g}" for percent in PERCENTS] + ["max"]
    rows = [(name, f"{times['count']:,}", *(_us(times[column]) for column in columns)) for name, times in named.items()]
    shown = table((f"microseconds, behind {found['warm']:,} events", "calls", *columns), rows)
    return shown + _plot("latency", "Latency by how rare it is")


def _plot(name: str, what: str) -> str:
    return f"\n![{what}](performance/{name}.svg)\n" if (PAGE.parent / "performance" / f"{name}.svg").exists() else ""


def _us(ns: float) -> str:
    return f"{ns / 1000:,.2f}" if ns < 100_000 else f"{ns / 1000:,.0f}"


def regression() -> str:
    found = results("regression").get("benchmarks", {})
    rows = [
        (f"`{name}`", f"{number(each['ratio'])}", f"{each['noise']:.0%}", _time(each["ns"]))
        for name, each in found.items()
    ]
    return table(("benchmark", "floors", "noise", "an operation"), rows)


def _time(ns: float) -> str:
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if ns >= size:
            return f"{ns / size:.3g} {unit}"
    return f"{ns:.3g} ns"


def growth() -> str:
    if not results("growth"):
        return NOTHING
    rows = [
        (name, f"{point['count']:,}", number(point["ratio"]), f"{point['noise']:.0%}", _time(point["ns"]))
        for name, points in results("growth").items()
        if name != "machine"
        for point in points
    ]
    shown = table(("what grows", "to", "floors", "noise", "a decision"), rows)
    return shown + _plot("growth", "Cost against entities, features, rules, events in a window")


def whole() -> str:
    rows = [
        (
            name,
            _us(each["p50"]),
            _us(each["p99"]),
            _us(each["p99.9"]),
            _us(each["frmcore_p50"]),
            f"{each['ratio']:g}",
            f"{each['ratio_p99']:g}",
        )
        if "p50" in each
        else (name, each["said"], "", "", "", "", "")
        for name, each in results("peers").get("whole", {}).items()
    ]
    header = ("the whole decision, us", "p50", "p99", "p99.9", "frmcore's p50", "ratio, p50", "ratio, p99")
    return table(header, rows)


def alone() -> str:
    found = results("peers")
    rows = [
        (
            label,
            name,
            _time(each["ns"]) if "ns" in each else each.get("said", ""),
            f"{each['ratio']:g}" if "ratio" in each else "-",
        )
        for part, label in (("rules", "the 30 rules"), ("probes", "a list probe"), ("windows", "windows"))
        for name, each in found.get(part, {}).items()
    ]
    rows += [
        ("all features, in batch", name, f"{each['per_second']:,} events/s", f"{each['ratio']:g}")
        for name, each in found.get("batch", {}).items()
    ]
    return table(("what", "by", "takes", "ratio to frmcore"), rows)


def memory() -> str:
    found: dict[str, Any] = results("peers").get("memory", {})
    ours = results("memory").get("each", found.get("frmcore", {}))
    theirs = found.get("Redis", {})
    rows = [
        (
            name,
            f"{each:.1f}",
            f"{theirs[name]:.1f}" if name in theirs else "-",
            f"{theirs[name] / each:.1f}" if name in theirs else "-",
        )
        for name, each in ours.items()
    ]
    return table(("bytes of one", "frmcore", "Redis", "ratio"), rows)


def history() -> str:
    found = results("history")
    rows = [
        (
            f"{run['events']:,}",
            f"{run['file_mb']:,} MB",
            f"{run['seconds']:g} s",
            f"{run['rate']:,}/s",
            f"{run['peak_mb']:,} MB",
        )
        for run in found.get("runs", [])
    ]
    return table(("events", "Parquet", "takes", "rate", f"peak memory, `--memory {found.get('memory', '')}`"), rows)


TABLES: Final[dict[str, Callable[[], str]]] = {
    "machine": measured_on,
    "budgets": budgets,
    "parts": parts,
    "percentiles": percentiles,
    "regression": regression,
    "growth": growth,
    "whole": whole,
    "alone": alone,
    "memory": memory,
    "history": history,
}


def rendered(page: str) -> str:
    """The page with its tables made anew."""
    for name, make in TABLES.items():
        page, count = re.subn(
            rf"(<!-- {name} -->\n).*?(<!-- end -->)",
            "\\1" + make().replace("\\", r"\\") + "\\2",
            page,
            flags=re.DOTALL,
        )
        if count != 1:
            raise ValueError(f"{PAGE.name}: expected one table <!-- {name} -->, found {count}")
    return page


def main() -> None:
    PAGE.write_text(rendered(PAGE.read_text()))


if __name__ == "__main__":
    main()
