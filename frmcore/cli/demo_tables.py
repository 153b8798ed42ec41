"""The tables at the end of `frmcore demo`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table

from frmcore.cli.console import micros
from frmcore.history.rates import ratio
from frmcore.plan import Mode

if TYPE_CHECKING:
    from rich.console import Console

    from frmcore.cli.demo import Run

PERCENTILES = (50, 99, 99.9)


def summary(run: Run) -> dict[str, Any]:
    """Everything the tables show, as plain data."""
    latency, detection = run.meter.latency, run.detection
    return {
        "events": run.events,
        "decisions": run.decisions,
        "decisions_per_second": round(latency.count / max(latency.total_ns, 1) * 1e9),
        "latency_ns": {f"p{p}": latency.percentile(p) for p in PERCENTILES} | {"max": latency.max_ns},
        "duplicates": run.duplicates,
        "late": run.late,
        "updates": run.updates,
        "seconds": round(run.meter.seconds, 1),
        "outcomes": dict(run.outcomes),
        "precision": detection.precision,
        "rules": [
            {"rule": s.rule, "fired": s.fired, "precision": s.precision, "recall": detection.recall(s)}
            | {"by_scenario": dict(s.by_scenario)}
            for s in detection.rules.values()
        ],
        "scenarios": [
            {"scenario": s.scenario, "events": s.events, "caught": s.caught}
            | {"amount": s.amount, "amount_caught": s.amount_caught}
            for s in detection.scenarios.values()
        ],
    }


def show(console: Console, run: Run) -> None:
    console.print(_speed(run), _rules(run), _scenarios(run), sep="\n")


def percent(part: float | None) -> str:
    return "-" if part is None else f"{part:.1%}"


def _speed(run: Run) -> Table:
    latency = run.meter.latency
    table = Table(title="Decisions", show_header=False)
    rate = latency.count / max(latency.total_ns, 1) * 1e9
    table.add_row("decisions", f"{run.decisions:,} about {run.events:,} events, {run.updates:,} updates between them")
    table.add_row(
        "speed", f"{rate:,.0f} decisions/s on one core ({run.meter.seconds:,.0f} s with making up the events)"
    )
    shown = [f"p{p} {micros(latency.percentile(p))}" for p in PERCENTILES]
    table.add_row("latency", ", ".join([*shown, f"max {micros(latency.max_ns)}"]))
    table.add_row("outcomes", ", ".join(f"{outcome} {n:,}" for outcome, n in run.outcomes.items()))
    table.add_row("duplicates", f"{run.duplicates:,} answered as before; {run.late:,} late events in their place")
    return table


def _rules(run: Run) -> Table:
    table = Table(title="Rules: how often they fired, and on what")
    table.add_column("rule", no_wrap=True)
    for heading in ("fired", "precision", "recall"):
        table.add_column(heading, justify="right")
    table.add_column("finds most of")
    for rule in run.engine.policy.rules:
        score = run.detection.rules[rule.id]
        name = f"{rule.id} *" if rule.mode is Mode.SHADOW else rule.id
        target = run.detection.target(score)
        aim = f"{target[0]} {target[1]:.0%}" if target else ""
        recall = percent(run.detection.recall(score) if score.fired else None)
        table.add_row(name, f"{score.fired:,}", percent(score.precision), recall, aim)
    table.caption = "* in shadow: evaluated and measured, not enforced"
    return table


def _scenarios(run: Run) -> Table:
    table = Table(title="Fraud: what was stopped (any outcome above the weakest)")
    table.add_column("scenario")
    for heading in ("events", "caught", "amount EUR", "amount caught"):
        table.add_column(heading, justify="right")
    scores = sorted(run.detection.scenarios.values(), key=lambda s: s.scenario)
    for s in (*scores, run.detection.fraud, run.detection.honest):
        if s is run.detection.fraud:
            table.add_section()
        caught, money = percent(ratio(s.caught, s.events)), percent(ratio(s.amount_caught, s.amount))
        table.add_row(s.scenario, f"{s.events:,}", caught, f"{s.amount / 100:,.0f}", money)
    table.caption = f"{percent(run.detection.precision)} of all stopped events were fraud"
    return table
