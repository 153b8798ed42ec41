"""`frmcore export`: the decisions of a store as a file."""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from frmcore.cli.arguments import StorePath
from frmcore.cli.console import complain, counted
from frmcore.cli.formats import format_of
from frmcore.cli.progress import Bar
from frmcore.cli.rows_out import writer
from frmcore.cli.run import columns, row
from frmcore.durations import parse_duration, parse_timestamp
from frmcore.store.archive import Archive
from frmcore.store.view import viewing

if TYPE_CHECKING:
    from frmcore.store.view import StoreView

Since = Annotated[
    str | None, typer.Option(help='Only events from then on: "7d" before now or the last event, a day, or RFC 3339.')
]


def export(
    store: StorePath,
    to: Annotated[str, typer.Option(help="A .parquet, .jsonl or .csv file, or - for JSON lines on stdout.")] = "-",
    since: Since = None,
) -> None:
    """Write every decision of a store: outcome, score, fired rules with reasons, features, policy. One a row."""
    flat = format_of(to) != "json"
    count = 0
    with viewing(store) as view, Bar("export") as bar:
        line = _line(view, since)
        with writer(to, _columns(view)) as write:
            for decision in Archive(view).decisions(line):
                write({**row(decision, flat), "time": decision.time})
                count += 1
                bar(decision.seq, view.seq)
    complain(f"{counted(count, 'decision')} written to {'stdout' if to == '-' else to}")


def _columns(view: StoreView) -> dict[str, Any]:
    """Those of all policies: a feature whose type changed from one to the next becomes text."""
    found: dict[str, Any] = {"time": int}
    for index in range(len(view.policies)):
        for name, kind in columns(view.policy(index)[0]).items():
            found[name] = kind if found.get(name, kind) is kind else str
    return found


def _line(view: StoreView, since: str | None) -> int | None:
    """The event time from which on decisions are wanted, epoch ms."""
    if since is None:
        return None
    instant = parse_timestamp(since if "T" in since.upper() else f"{since}T00:00:00Z")
    if instant is not None:
        return instant
    span = parse_duration(since)
    if span is None:
        raise typer.BadParameter(f'--since {since}: expected a duration such as "7d", a day such as '
                                 "2026-03-02, or RFC 3339 such as 2026-03-02T09:00:00Z")  # fmt: skip
    now = int(time() * 1000)
    return min(now, now if view.watermark is None else view.watermark) - span
