"""`frmcore measure`: a table of scores and labels, measured."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer
from rich.table import Table

from frmcore.cli.arguments import AsJson
from frmcore.cli.backtest import Fraud, Good, usage
from frmcore.cli.backtest_tables import print_whole
from frmcore.history import kpi

SHOWN_MAX = 60  # thresholds in the table; --json has all


def measure(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="A .csv, .tsv, .jsonl or .parquet with scores and labels.")
    ],
    score: Annotated[str, typer.Option(help="The column with the score; higher is more suspicious.")] = "score",
    label: Annotated[str, typer.Option(help="The column that says what it was: fraud or not.")] = "label",
    fraud: Fraud = None,
    good: Good = None,
    as_json: AsJson = False,
) -> None:
    """Measure scores against labels: a row of measures for each threshold, AUC ROC, average precision."""
    with usage():
        found = kpi.from_file(file, score, label, fraud or (), good or ())
    if as_json:
        typer.echo(msgspec.json.encode(found._asdict()))
        return
    table = Table(
        title=f"{found.events:,} rows, {found.frauds:,} of them fraud", padding=(0, 0, 0, 1), collapse_padding=True
    )
    for name in kpi.COLUMNS:
        table.add_column({"threshold": "score >=", "precision": "prec."}.get(name, name), justify="right")
    step = -(-len(found.rows) // SHOWN_MAX)
    for row in found.rows[:: step or 1]:
        table.add_row(f"{row['threshold']:g}", *(_short(row[name]) for name in kpi.COLUMNS[1:]))
    print_whole(table)
    typer.echo(f"AUC ROC {kpi.finite(found.auc_roc)}, average precision {kpi.finite(found.average_precision)}")


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
