"""`frmcore run`: decides the events of a file, and writes the decisions."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

import frmcore
from frmcore.cli.arguments import PolicyFile, Source, Updates
from frmcore.cli.console import Meter, complain, counted, micros
from frmcore.cli.formats import format_of
from frmcore.cli.output import keep_inputs
from frmcore.cli.replay import Invalid, Replay
from frmcore.cli.rows_out import LIST, writer
from frmcore.history.quality import doubtful
from frmcore.plan import Kind, Rep

if TYPE_CHECKING:
    from frmcore import Decision
    from frmcore.policy import Policy
    from frmcore.policy.tree import Type

COLUMNS = {
    "event_id": str,
    "point": str,
    "outcome": str,
    "intended": str,
    "holdout": bool,
    "probability": float,
    "score": int,
    "seq": int,
    "duplicate": bool,
    "late": bool,
}
LISTS = ("fired", "reasons", "actions", "alerts", "shadow", "unknown", "lists", "notes")
REPORTED_MAX = 20  # refused rows that are shown; all of them are counted, and written with --invalid


def run(
    policy: PolicyFile,
    source: Source,
    out: Annotated[str, typer.Option(help="Where the decisions go, likewise.")] = "-",
    updates: Updates = None,
    invalid: Annotated[str | None, typer.Option(help="Where refused rows go: file, line, error.")] = None,
    skip_invalid: Annotated[bool, typer.Option("--skip-invalid", help="Exit with 0 though rows were refused.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the totals as JSON on stderr.")] = False,
) -> None:
    """Decide the events of a file in their order. Rows that are no valid event are left out, reported and counted."""
    for path in (source, out, updates or "-", invalid or "-"):
        format_of(path)
    for target in (out, invalid):
        keep_inputs(target, source, updates)
    engine = frmcore.Engine(None, policy=policy, clock=None)
    flat = format_of(out) != "json"
    outcomes = Counter(dict.fromkeys(engine.policy.outcomes, 0))
    refused = 0
    with ExitStack() as files, Meter(None) as meter:
        write = files.enter_context(writer(out, columns(engine.policy)))
        refuse = files.enter_context(writer(invalid, {"file": str, "line": int, "error": str})) if invalid else None
        replay = Replay(engine, source, updates, meter.latency)
        for result in replay.results():
            if isinstance(result, Invalid):
                refused += 1
                _report(result, refused)
                if refuse is not None:
                    refuse(result._asdict())
                continue
            outcomes[result.outcome] += 1
            write(row(result, flat))
            meter.show(meter.latency.count, outcomes)
        meter.show(meter.latency.count, outcomes, at_once=True)
    for note in doubtful(source, replay.first, None):
        complain(f"note: {note}")
    _totals(meter, outcomes, refused, as_json)
    if refused and not skip_invalid:
        raise typer.Exit(1)


def columns(policy: Policy) -> dict[str, Any]:
    """The columns of CSV and Parquet: the decision's own, then `feature.NAME` for each feature."""
    features = {f"feature.{feature.name}": _python(feature.type) for feature in policy.features}
    return COLUMNS | dict.fromkeys(LISTS, LIST) | {"policy": str} | features


def row(decision: Decision, flat: bool) -> dict[str, Any]:
    """A decision as one row; `flat`: its features as columns of their own."""
    found: dict[str, Any] = {name: getattr(decision, name) for name in (*COLUMNS, "policy")}
    found |= {name: list(getattr(decision, name)) for name in LISTS}
    found["alerts"] = [str(alert) if flat else alert.to_dict() for alert in decision.alerts]
    if flat:
        return found | {f"feature.{name}": value for name, value in decision.features.items()}
    return found | {"features": dict(decision.features)}


def _python(kind: Type) -> type:
    if kind.kind is Kind.BOOL:
        return bool
    if kind.kind is Kind.ENUM or kind.rep is Rep.TEXT:
        return str
    return float if kind.rep is Rep.FLOAT or kind.kind is Kind.DECIMAL else int


def _report(refusal: Invalid, count: int) -> None:
    if count <= REPORTED_MAX:
        complain(f"{refusal.file}:{refusal.line}: {refusal.error}")
    elif count == REPORTED_MAX + 1:
        complain("further refused rows are only counted; --invalid FILE writes all of them")


def _totals(meter: Meter, outcomes: Counter[str], refused: int, as_json: bool) -> None:
    latency, decided = meter.latency, outcomes.total()
    p50, p99 = latency.percentile(50), latency.percentile(99)
    if as_json:
        totals = {"decisions": decided, "outcomes": outcomes, "invalid": refused, "p50_ns": p50, "p99_ns": p99}
        typer.echo(msgspec.json.encode(totals | {"seconds": round(meter.seconds, 3)}), err=True)
        return
    counts = ", ".join(f"{outcome} {n:,}" for outcome, n in outcomes.items())
    took = f", p50 {micros(p50)}, p99 {micros(p99)}" if latency.count else ""
    complain(f"{counted(decided, 'decision')} ({counts}) in {meter.seconds:.1f} s{took}")
    if refused:
        complain(f"refused rows: {refused:,}")
