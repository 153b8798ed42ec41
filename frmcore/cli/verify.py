"""`frmcore verify`: is what a store or a snapshot holds what was written?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from frmcore.cli.arguments import AsJson
from frmcore.cli.console import complain, counted
from frmcore.cli.progress import Bar
from frmcore.store.verify import verify as walk

Target = Annotated[Path, typer.Argument(metavar="STORE|FILE", help="The folder of a store, or a snapshot.")]


def verify(target: Target, as_json: AsJson = False) -> None:
    """Walk everything in a store or a snapshot, and check it. An engine may have the store open meanwhile."""
    with Bar("verify") as bar:
        report = walk(target, bar)
    if as_json:
        typer.echo(msgspec.json.encode(report._asdict()))
    else:
        for problem in report.problems:
            complain(str(problem))
        span = f"records {report.first:,} to {report.last:,}" if report.records else "no records"
        found = counted(len(report.problems), "problem") if report.problems else "fine"
        complain(f"{target}: {found}; {counted(sum(report.rows.values()), 'row')}, {span}")
    if report.problems:
        raise typer.Exit(1)
