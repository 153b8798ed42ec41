"""`frmcore new`: a starter policy that works, and events to run it on."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from frmcore.cli.console import complain

STARTER = ("policy.yaml", "events.jsonl")


def new(folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where to put them.")] = Path()) -> None:
    """Write a starter policy with comments, and a few events to run it on. Nothing is overwritten."""
    present = [name for name in STARTER if (folder / name).exists()]
    if present:
        complain(f"{folder / present[0]} is there already: choose another folder, or move it away")
        raise typer.Exit(1)
    if folder.exists() and not folder.is_dir():
        complain(f"{folder} is a file: name a folder")
        raise typer.Exit(1)
    folder.mkdir(parents=True, exist_ok=True)
    for name in STARTER:
        (folder / name).write_bytes((files("frmcore.cli") / "starter" / name).read_bytes())
    policy, events = (folder / name for name in STARTER)
    complain(f"wrote {policy} and {events}; now try\n")
    typer.echo(f"frmcore check {policy}")
    typer.echo(f"frmcore test {policy}")
    typer.echo(f"frmcore run {policy} {events}")
    typer.echo(f"frmcore explain {policy} {events} p-9")
