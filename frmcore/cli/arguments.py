"""Arguments that several commands take."""

from __future__ import annotations

import os
from pathlib import Path
from time import time
from typing import Annotated, Final, TypeAlias

import typer

from frmcore.errors import InvalidEvent
from frmcore.lists import expiry

PolicyFile: TypeAlias = Annotated[Path, typer.Argument(metavar="POLICY", help="The policy's main file.")]
Source: TypeAlias = Annotated[
    str, typer.Argument(metavar="INPUT", help="Events: .csv, .tsv, .jsonl, .parquet, or - for JSON lines.")
]
Updates: TypeAlias = Annotated[
    str | None, typer.Option(help="A file of updates to tell at their times: id, at, field, value.")
]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Events: TypeAlias = Annotated[int, typer.Option(min=1, max=1_000_000_000, help="How many events.")]
Seed: TypeAlias = Annotated[int, typer.Option(help="The same seed gives the same events, on any machine.")]
Days: TypeAlias = Annotated[int, typer.Option(min=1, max=3650, help="Days that the stream spans.")]
StorePath: TypeAlias = Annotated[Path, typer.Argument(metavar="STORE", help="The folder of a store.")]
SnapshotFile: TypeAlias = Annotated[Path, typer.Argument(metavar="FILE", help="A snapshot.")]
Wait: TypeAlias = Annotated[float, typer.Option(min=0, help="Seconds to wait for the engine that has the store open.")]

PRIVATE_KEY: Final = "FRMCORE_PRIVATE_KEY"


def still_ahead(option: str, end: str | None) -> None:
    """A usage error for an end that is no time, or over already: nothing would be in force."""
    now = int(time() * 1000)
    try:
        until = expiry(option, end, now)
    except InvalidEvent as error:
        raise typer.BadParameter(str(error)) from None
    if until is not None and until <= now:
        raise typer.BadParameter(f"{option} {end} is over already")


def private_key() -> bytes | None:
    """The key of private fields, from the environment: an argument could be read by everybody on the machine."""
    text = os.environ.get(PRIVATE_KEY)
    if not text:
        return None
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != 16:
        raise typer.BadParameter(f"the environment variable {PRIVATE_KEY}: expected 32 hex digits")
    return key
