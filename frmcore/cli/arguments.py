"""Arguments that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

PolicyFile: TypeAlias = Annotated[Path, typer.Argument(help="The policy's main file.")]
Source: TypeAlias = Annotated[
    str, typer.Argument(metavar="INPUT", help="Events: .csv, .jsonl, .parquet, or - for JSON lines.")
]
Updates: TypeAlias = Annotated[
    str | None, typer.Option(help="A file of updates to tell at their times: id, at, field, value.")
]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Events: TypeAlias = Annotated[int, typer.Option(min=1, max=1_000_000_000, help="How many events.")]
Seed: TypeAlias = Annotated[int, typer.Option(help="The same seed gives the same events, on any machine.")]
Days: TypeAlias = Annotated[int, typer.Option(min=1, max=3650, help="Days that the stream spans.")]
