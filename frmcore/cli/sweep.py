"""`frmcore sweep`: which threshold is the right one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.table import Table

from frmcore.cli.arguments import AsJson, PolicyFile
from frmcore.cli.backtest import (
    Again,
    Amount,
    Customer,
    Fraud,
    From,
    Good,
    History,
    Labels,
    Lists,
    Live,
    Major,
    Mature,
    Memory,
    Stops,
    Until,
    UpdatesFile,
    Warm,
    instant,
    interrupted,
    pairs,
    span,
    usage,
)  # fmt: skip
from frmcore.cli.backtest_tables import print_whole
from frmcore.cli.console import complain, plain
from frmcore.cli.demo_tables import percent
from frmcore.cli.output import whole
from frmcore.cli.progress import Bar
from frmcore.history.backtest import Setup
from frmcore.history.sweep import sweep as run
from frmcore.history.workspace import MEMORY
from frmcore.report.page import fine

if TYPE_CHECKING:
    from frmcore.history.sweep import Sweep

ENDINGS = (".json", ".xlsx")


def sweep(
    policy: PolicyFile,
    history: History,
    param: Annotated[
        list[str],
        typer.Option(
            metavar="NAME=LOW..HIGH", help="What is swept: NAME=3..20, NAME=5..50:5, NAME=5m,1h. Once or twice."
        ),
    ],
    rule: Annotated[
        str | None, typer.Option(help="The rule that compares NAME with the literal; not for a params: value.")
    ] = None,
    updates: UpdatesFile = None,
    labels: Labels = None,
    lists: Lists = None,
    since: From = None,
    until: Until = None,
    warm: Warm = None,
    live: Live = None,
    major: Major = False,
    amount: Amount = None,
    customer: Customer = None,
    fraud: Fraud = None,
    good: Good = None,
    mature: Mature = None,
    stops: Stops = None,
    again: Again = None,
    memory: Memory = MEMORY,
    to: Annotated[Path | None, typer.Option(help="Also write the curve to an .xlsx or .json.")] = None,
    as_json: AsJson = False,
) -> None:
    """Try other thresholds of a rule on the past: precision, recall and amount at each, in one pass."""
    if to is not None and to.suffix.lower() not in ENDINGS:
        raise typer.BadParameter(f"--to {to}: the ending says what it is: {', '.join(ENDINGS)}")
    setup = Setup(
        tuple(history), updates, labels, lists, None, instant("--from", since), instant("--until", until),
        span("--warm", warm) or 0, live, major, amount, customer, tuple(fraud or ()), tuple(good or ()),
        span("--mature", mature), stops, memory, pairs("--again", again),
    )  # fmt: skip
    with usage(), Bar("sweep", "events") as bar:
        found = run(policy, setup, param, rule, bar)
    _show(found, as_json)
    if found.interrupted_at is not None:
        interrupted(found.interrupted_at)
        raise typer.Exit(130)
    if to is not None:
        _write(to, found)


def _show(found: Sweep, as_json: bool) -> None:
    for note in found.notes:
        complain(f"note: {note}")
    if found.anew:
        complain(f"each value took a run of its own: {found.anew}")
    if as_json:
        typer.echo(msgspec.json.encode(found))
        return
    table = Table(title=f"What {', '.join(map(plain, found.rules))} would have done")
    names = [axis.name for axis in found.axes]
    for heading in (*names, "fired", "precision", "recall", "good hit", "fraud caught", ""):
        table.add_column(heading, justify="right")
    for i, row in enumerate(found.points):
        mark = ", ".join(text for index, text in _marks(found) if index == i)
        values = [plain(row[name]) for name in names]
        parts = [percent(row["precision"]), percent(row["recall"]), fine(row["false_positive_rate"])]
        table.add_row(*values, f"{row['fired']:,.0f}", *parts, f"{row['fraud']:,.0f}", mark)
    print_whole(table)
    _suggest(found)


def _marks(found: Sweep) -> list[tuple[int | None, str]]:
    return [(found.live, "live"), (found.knee, "knee"), (found.keeps_all, "keeps all")]


def _suggest(found: Sweep) -> None:
    names = [axis.name for axis in found.axes]
    if found.knee is not None:
        row = found.points[found.knee]
        shown = ", ".join(f"{name} {plain(row[name])}" for name in names)
        typer.echo(f"the curve bends at {shown}: less strict costs ever more good events for a fraud")
    if found.keeps_all is not None:
        row = found.points[found.keeps_all]
        shown = ", ".join(f"{name} {plain(row[name])}" for name in names)
        typer.echo(f"the strictest that keeps every known fraud of the looser ones: {shown}")
    if found.knee is None and found.keeps_all is None:
        typer.echo("no fraud is known among what it fires on: there is nothing to suggest")


def _write(to: Path, found: Sweep) -> None:
    from frmcore.report import files  # noqa: PLC0415

    if to.suffix.lower() == ".xlsx":
        whole(to, lambda path: files.write_xlsx(path, files.in_major({"sweep": found.points}, found.currency)))
    else:
        whole(
            to, lambda path: files.write_json(path, {"points": found.points, "rules": found.rules, "anew": found.anew})
        )
