"""`frmcore diff`: what changed in meaning between two policies."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from frmcore.authoring.changes import changes, policy_at
from frmcore.cli.arguments import AsJson
from frmcore.cli.console import plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from frmcore.authoring.changes import Change

_SOURCE = "A policy's main file; STORE for the one in force there; STORE@HASH for one that decided there."


def diff(
    old: Annotated[str, typer.Argument(metavar="OLD", help=_SOURCE)],
    new: Annotated[str, typer.Argument(metavar="NEW", help="Likewise.")],
    as_json: AsJson = False,
) -> None:
    """Say what changed in meaning between two policies: rules, conditions, thresholds, windows, not lines."""
    before, now = policy_at(old), policy_at(new)
    found = changes(before, now)
    if as_json:
        hashes = {"old": before.hash, "new": now.hash}
        typer.echo(msgspec.json.encode({"equal": not found, **hashes, "changes": [asdict(change) for change in found]}))
        return
    for change in found:
        for line in _lines(change):
            typer.echo(plain(line))
    if not found:
        same = "the same files" if before.hash == now.hash else "written differently"
        typer.echo(f"no difference in meaning: {same}")


def _lines(change: Change) -> Iterator[str]:
    yield f"{change.how} {change.what} {change.name}"
    width = max((len(aspect) for aspect, _, _ in change.details), default=0)
    for aspect, before, now in change.details:
        if change.how == "added":
            told = now
        elif not before or not now:
            told = f"no longer: {before}" if before else f"new: {now}"
        else:
            told = f"{before}  ->  {now}"
        yield f"    {aspect:{width}}  {told}"
    if change.rules:
        yield f"    read by {', '.join(change.rules)}"
