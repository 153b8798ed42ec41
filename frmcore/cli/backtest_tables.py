"""What `frmcore backtest` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from frmcore.cli.console import complain, plain
from frmcore.cli.demo_tables import percent
from frmcore.cli.progress import size_of
from frmcore.durations import format_timestamp
from frmcore.report.page import fine, money

if TYPE_CHECKING:
    from frmcore.history.backtest import Backtest
    from frmcore.history.measures import Measures

CHANGES_SHOWN = 15
_WIDEST = 400  # columns of a table that is shown whole
LEGEND = """\
good hit: part of the good events; caught: amount of fraud; alone: frauds, and good events, that \
would not be stopped without it. * not live: what it would do, and what it would add"""


def show(run: Backtest, measures: Measures, as_json: bool) -> None:
    """The figures on stdout, what to know about them on stderr."""
    if as_json:
        typer.echo(msgspec.json.encode(measures.tables() | {"notes": measures.notes}))
    else:
        tables = [
            _total(run, measures),
            _rules(run, measures),
            LEGEND,
            *_reviews(run, measures),
            *changes(run, measures),
        ]
        Console().print(*tables, sep="\n")
    for note in measures.notes:
        complain(f"note: {note}")
    for example in run.quality.examples:
        complain(f"refused: {example}")
    refused = sum(run.quality.refused.values())
    if refused:
        kinds = run.quality.refused.most_common()
        shown = ", ".join(f"{what}{f' ({name})' if name else ''} {n:,}" for (what, name), n in kinds)
        complain(f"refused in all: {refused:,}: {shown}")
    complain(
        f"{run.decided:,} decisions, {run.warmed:,} events only filled windows; {run.seconds:,.1f} s, "
        f"{run.rate:,.0f} events/s; peak memory {size_of(run.memory_bytes)}"
    )


def print_whole(table: Table) -> None:
    """As wide as it is: a figure that is cut off is none. A narrow terminal breaks the lines."""
    console = Console()
    console.width = max(
        console.width, console.measure(table, options=console.options.update(max_width=_WIDEST)).maximum
    )
    console.print(table, crop=False)


def whole_units(run: Backtest, minor: float) -> str:
    """An amount without its currency, in whole units."""
    number = money(run, minor).partition(" ")[0].replace(",", "")
    return number if number == "-" else f"{float(number):,.0f}"


def _total(run: Backtest, measures: Measures) -> Table:
    total = measures.total
    table = Table(title=f"{plain(run.policy.name)} version {plain(run.policy.version)} on the past", show_header=False)
    if total["first"] is not None:
        table.add_row("span", f"{format_timestamp(total['first'])} to {format_timestamp(total['last'])}")
    counts = ", ".join(f"{plain(row['outcome'])} {row['events']:,.0f}" for row in measures.outcomes)
    table.add_row("events", f"{total['events']:,.0f}: {counts}")
    kinds = ", ".join(f"{total[name]:,.0f} {name}" for name in ("fraud", "good", "immature", "unlabelled"))
    table.add_row("known", kinds)
    table.add_row("stopped", f"{total['stopped']:,.0f} ({percent(total['alert_rate'])}), that is {run.stops} or more")
    table.add_row("precision", percent(total["precision"]))
    table.add_row(
        "recall",
        f"{percent(total['recall'])} of events, {percent(_part(total, 'amount_caught', 'fraud_amount'))} of amount",
    )
    table.add_row("caught", f"{money(run, total['amount_caught'])} of {money(run, total['fraud_amount'])}")
    insulted = f"{total['insulted_customers']:,} of {total['good_customers']:,} good customers"
    good = f"{total['stopped_good']:,.0f} events ({fine(total['false_positive_rate'])})"
    table.add_row("good stopped", f"{good}, {money(run, total['good_amount_stopped'])}, {insulted}")
    table.add_row(
        "ranking", f"AUC ROC {_number(total['auc_roc'])}, average precision {_number(total['average_precision'])}"
    )
    if total["compared"]:
        table.add_row(
            "as recorded", f"{total['same']:,} of {total['compared']:,} decisions are the store's, bit for bit"
        )
    return table


def _rules(run: Backtest, measures: Measures) -> Table:
    table = Table(title="Rules", padding=(0, 0, 0, 1), collapse_padding=True)
    table.add_column("rule", overflow="fold")
    for heading in ("fired", "prec.", "recall", "good hit", "caught", "alone", "good"):
        table.add_column(heading, justify="right")
    for row in measures.rules:
        name = plain(row["rule"]) + ("" if row["mode"] == "live" else " *")
        recall = percent(row["recall"] if row["fired"] else None)
        alone = (f"{row['only_fraud']:,.0f}", f"{row['only_good']:,.0f}")
        parts = (percent(row["precision"]), recall, fine(row["false_positive_rate"]))
        table.add_row(name, f"{row['fired']:,.0f}", *parts, whole_units(run, row["amount_caught"]), *alone)
    return table


def _reviews(run: Backtest, measures: Measures) -> list[Table]:
    if not measures.reviews:
        return []
    table = Table(title="Reviews: the most suspicious first")
    for heading in ("a day", "precision", "amount a day", "precision of customers"):
        table.add_column(heading, justify="right")
    for row in measures.reviews:
        table.add_row(
            f"{row['reviews_a_day']:,}",
            percent(row["precision"]),
            money(run, row["amount_a_day"]),
            percent(row["card_precision"]),
        )
    return [table]


def changes(run: Backtest, measures: Measures) -> list[Table | str]:
    if run.base is None and not run.from_store:
        return []
    if not measures.changes:
        return ["Against the baseline: no event changes its outcome"]
    table = Table(title="Against the baseline: what changes, and why")
    for heading in ("from", "to", "fires now", "fired before"):
        table.add_column(heading)
    for heading in ("events", "fraud", "good", "fraud amount"):
        table.add_column(heading, justify="right")
    for row in measures.changes[:CHANGES_SHOWN]:
        table.add_row(
            *(plain(row[name]) for name in ("before", "now", "fires_now", "fired_before")),
            *(f"{row[name]:,.0f}" for name in ("events", "fraud", "good")),
            money(run, row["fraud_amount"]),
        )
    more = len(measures.changes) - CHANGES_SHOWN
    return [table, f"and {more:,} more kinds of changes: --to has them as .xlsx or .json"] if more > 0 else [table]


def _part(total: dict[str, Any], part: str, whole: str) -> float | None:
    return total[part] / total[whole] if total[whole] else None


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
