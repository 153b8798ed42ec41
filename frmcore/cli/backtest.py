"""`frmcore backtest`: a policy tried on the past."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from frmcore.cli.arguments import AsJson, PolicyFile
from frmcore.cli.backtest_tables import show
from frmcore.cli.console import complain
from frmcore.cli.output import check_target, keep_inputs, write
from frmcore.cli.progress import Bar
from frmcore.durations import format_timestamp, parse_duration, parse_timestamp
from frmcore.errors import WrongOption
from frmcore.history.backtest import Setup
from frmcore.history.backtest import backtest as run
from frmcore.history.measures import measure
from frmcore.history.workspace import MEMORY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from frmcore.history.backtest import Backtest

History: TypeAlias = Annotated[
    list[str],
    typer.Argument(metavar="HISTORY...", help="Events: .parquet, .csv, .tsv or .jsonl files, patterns, or a store."),
]
UpdatesFile: TypeAlias = Annotated[
    str | None, typer.Option(help="What was told later: id, at, field, value (and point, to decide again there).")
]
Labels: TypeAlias = Annotated[str | None, typer.Option(help="What events turned out to be: id, label (and at).")]
Lists: TypeAlias = Annotated[str | None, typer.Option(help="Entries of lists: list, value, added, expires.")]
From: TypeAlias = Annotated[
    str | None, typer.Option("--from", help="Measure from then on, RFC 3339; events before fill windows.")
]
Until: TypeAlias = Annotated[str | None, typer.Option(help="Leave out events from then on, RFC 3339.")]
Warm: TypeAlias = Annotated[
    str | None, typer.Option(help='The first part, such as "30d", fills windows and is not measured.')
]
Live: TypeAlias = Annotated[str | None, typer.Option(help="The column that holds the outcome which took effect then.")]
Major: TypeAlias = Annotated[bool, typer.Option("--major", help="Amounts in the files are in major units: 129.90.")]
Amount: TypeAlias = Annotated[str | None, typer.Option(help="The money field that is added up.")]
Customer: TypeAlias = Annotated[str | None, typer.Option(help="The field that says whose event it is.")]
Fraud: TypeAlias = Annotated[list[str] | None, typer.Option(help="A label that means fraud. Repeatable.")]
Good: TypeAlias = Annotated[list[str] | None, typer.Option(help="A label that means no fraud. Repeatable.")]
Mature: TypeAlias = Annotated[
    str | None, typer.Option(help='How long labels take, such as "30d"; younger events without one count as nothing.')
]
Stops: TypeAlias = Annotated[
    str | None, typer.Option(help="The weakest outcome that stops an event; default the second.")
]
Again: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(metavar="UPDATE=POINT", help="An update that has its event decided again, there. Repeatable."),
]
Memory: TypeAlias = Annotated[str, typer.Option(help="What sorting and joining may take; what is more goes to disk.")]
To: TypeAlias = Annotated[
    Path | None, typer.Option(help="Also write a .html report, an .xlsx, .json, or .parquet (the decisions).")
]


def backtest(
    policy: PolicyFile,
    history: History,
    updates: UpdatesFile = None,
    labels: Labels = None,
    lists: Lists = None,
    baseline: Annotated[Path | None, typer.Option(help="Another policy: which events change, and why.")] = None,
    since: From = None,
    until: Until = None,
    warm: Warm = None,
    live: Live = None,
    major: Major = False,
    amount: Amount = None,
    customer: Customer = None,
    fraud: Fraud = None,
    good: Good = None,
    mature: Mature = None,
    stops: Stops = None,
    again: Again = None,
    memory: Memory = MEMORY,
    to: To = None,
    as_json: AsJson = False,
) -> None:
    """Try a policy on the past: what it would have caught, what it would have cost, which rule earns its place."""
    check_target(to)
    keep_inputs(to, *history, updates, labels, lists)
    setup = Setup(
        tuple(history), updates, labels, lists, baseline, instant("--from", since), instant("--until", until),
        span("--warm", warm) or 0, live, major, amount, customer, tuple(fraud or ()), tuple(good or ()),
        span("--mature", mature), stops, memory,
        pairs("--again", again),
    )  # fmt: skip
    with usage(), Bar("backtest", "events") as bar, run(policy, setup, bar) as found:
        measures = measure(found)
        show(found, measures, as_json)
        finished(found)
        if to is not None:
            write(to, found, measures)


@contextmanager
def usage() -> Iterator[None]:
    """An option that fits the policy, or its own form, no better than a misspelt one is wrong usage, like that one."""
    try:
        yield
    except WrongOption as error:
        raise typer.BadParameter(str(error)) from None


def finished(found: Backtest) -> None:
    """Ends the command where there are no figures, or those of a part only."""
    if found.interrupted_at is not None:
        interrupted(found.interrupted_at)
        raise typer.Exit(130)
    if found.nothing:
        complain(found.nothing)
        raise typer.Exit(1)


def interrupted(at: int) -> None:
    complain(
        f"interrupted at {format_timestamp(at)}: the figures are of what was decided until then; nothing was written"
    )


def instant(option: str, text: str | None) -> int | None:
    found = None if text is None else parse_timestamp(text if "T" in text.upper() else f"{text}T00:00:00Z")
    if text is not None and found is None:
        raise typer.BadParameter(
            f"{option} {text}: expected a day such as 2026-03-02, or RFC 3339 such as 2026-03-02T09:00:00Z"
        )
    return found


def span(option: str, text: str | None) -> int | None:
    found = None if text is None else parse_duration(text)
    if text is not None and found is None:
        raise typer.BadParameter(f'{option} {text}: expected a duration such as "30d"')
    return found


def pairs(option: str, texts: list[str] | None) -> dict[str, str]:
    """name=value, each."""
    found = [text.partition("=") for text in texts or ()]
    for name, mark, value in found:
        if not (name and mark and value):
            raise typer.BadParameter(f"{option} {name}: expected NAME=VALUE")
    return {name: value for name, _, value in found}
