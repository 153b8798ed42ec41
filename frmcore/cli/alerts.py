"""`frmcore alerts`: the log of alerts of a store."""

from __future__ import annotations

import sys

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from frmcore.cli.arguments import AsJson, StorePath
from frmcore.cli.console import plain
from frmcore.cli.explain import EVIDENCE_SHOWN, instant
from frmcore.store.archive import Archive
from frmcore.store.view import viewing


def alerts(store: StorePath, as_json: AsJson = False) -> None:
    """Show the alerts that were raised, oldest first; --json: each with all of its evidence, a line each."""
    table = Table("time (UTC)", "alert", "about", "entity", "rule", "event", "evidence")
    with viewing(store) as view:
        for alert in Archive(view).alerts():
            if as_json:
                sys.stdout.buffer.write(msgspec.json.encode(alert.to_dict()) + b"\n")
                continue
            more = len(alert.evidence) - EVIDENCE_SHOWN
            shown = ", ".join(alert.evidence[:EVIDENCE_SHOWN]) + (f" and {more} more" if more > 0 else "")
            cells = (alert.typology, alert.about, str(alert.entity), alert.rule, alert.event_id, shown)
            table.add_row(instant(alert.time), *(Text(plain(cell)) for cell in cells))
    if as_json:
        sys.stdout.buffer.flush()
    elif table.row_count:
        Console().print(table)
    else:
        typer.echo("no alerts", err=True)
