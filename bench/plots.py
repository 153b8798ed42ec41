"""docs/performance/*.svg from bench/results/: `python -m bench.plots`. Needs matplotlib (the extra `bench`)."""

from __future__ import annotations

from typing import Any, Final

from bench.budget import results
from bench.world import HERE

FOLDER: Final = HERE.parent / "docs" / "performance"
SWEEPS: Final = ("entities", "features", "rules", "events in a window")


def latency(plt: Any) -> None:
    """Percentiles on the scale of how rare they are: 1 in 10, 1 in 100, and so on."""
    found = results("percentiles")
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.5), sharey=True)
    shown = {f"in turns: {name}": times for name, times in found["headline"].items()} | found["scenarios"]
    for name, times in shown.items():
        axis = axes[1] if name.startswith("open") else axes[0]
        points = [
            (100 / (100 - percent), ns / 1000)
            for percent, ns in times["curve"]
            if 100 / (100 - percent) <= times["count"]
        ]
        axis.loglog(*zip(*points, strict=True), label=name, linewidth=1.2)
    for axis, title in zip(
        axes,
        ("closed loop: the next call when the last returned", "open loop: from when the call was due"),
        strict=True,
    ):
        axis.set(title=title, xlabel="one call in", ylabel="microseconds")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=7)
    _save(figure, "latency.svg")


def growth(plt: Any) -> None:
    found = results("growth")
    figure, axes = plt.subplots(1, len(SWEEPS), figsize=(13, 3.4), sharey=True)
    for axis, name in zip(axes, SWEEPS, strict=True):
        points = found[name]
        axis.errorbar(
            [point["count"] for point in points],
            [point["ratio"] for point in points],
            [point["ratio"] * min(point["noise"], 0.95) for point in points],
            marker="o", capsize=3, linewidth=1.2,
        )  # fmt: skip
        axis.set(xscale="log", yscale="log", xlabel=name, ylabel="floors a decision")
        axis.grid(alpha=0.3)
    _save(figure, "growth.svg")


def _save(figure: Any, name: str) -> None:
    FOLDER.mkdir(exist_ok=True)
    figure.tight_layout()
    figure.savefig(FOLDER / name, metadata={"Date": None})


def main() -> None:
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "frmcore"  # the same results give the same file
    from matplotlib import pyplot

    for name, draw in (("percentiles", latency), ("growth", growth)):
        if results(name):
            draw(pyplot)


if __name__ == "__main__":
    main()
