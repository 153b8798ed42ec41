"""`frmcore generate`: a made-up stream of payments with labelled fraud, as files."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Annotated

import typer
from rich.progress import Progress

from frmcore import generate as generator
from frmcore.cli.arguments import Days, Events, Seed
from frmcore.cli.console import err
from frmcore.cli.formats import format_of
from frmcore.cli.rows_out import writer

UPDATES = {"id": str, "at": int, "field": str, "value": str}
TOLD_EVERY = 4096  # events between two movements of the progress bar


def generate(
    events: Events = 100_000,
    seed: Seed = 1,
    out: Annotated[str, typer.Option(help="Where the events go: .csv, .jsonl or .parquet.")] = "-",
    updates: Annotated[str | None, typer.Option(help="Where the issuers' answers and the labels go.")] = None,
    days: Days = 60,
    describe: Annotated[bool, typer.Option("--describe", help="Print what the stream consists of.")] = False,
) -> None:
    """Make up a stream of card payments, logins and payouts with labelled fraud in it."""
    if describe:
        typer.echo(generator.describe())
        return
    for path in (out, updates or "-"):
        format_of(path)
    stream = generator.generate(events, seed, days)
    hidden = not err.is_terminal
    with ExitStack() as files, Progress(console=err, transient=True, disable=hidden) as progress:
        task = progress.add_task("events", total=events)
        write = files.enter_context(writer(out, generator.FIELDS))
        tell = files.enter_context(writer(updates, UPDATES)) if updates else None
        written = 0
        for record in stream:
            if isinstance(record, dict):
                write(record)
                written += 1
                if written % TOLD_EVERY == 0:
                    progress.update(task, completed=written)
            elif tell is not None:
                tell(record._asdict())
            elif written == events:
                break
