"""`frmcore shadow`: what would have been, on live decisions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from frmcore.cli.arguments import AsJson, StorePath
from frmcore.cli.backtest import (
    Amount,
    Customer,
    Fraud,
    From,
    Good,
    Labels,
    Mature,
    Memory,
    Stops,
    To,
    Until,
    finished,
    instant,
    span,
    usage,
)  # fmt: skip
from frmcore.cli.backtest_tables import show
from frmcore.cli.output import check_target, keep_inputs, write
from frmcore.cli.progress import Bar
from frmcore.history.backtest import Setup, backtest
from frmcore.history.log import from_log
from frmcore.history.measures import measure
from frmcore.history.workspace import MEMORY


def shadow(
    store: StorePath,
    candidate: Annotated[
        Path | None, typer.Option(help="A policy that is not in force: what it would have decided.")
    ] = None,
    labels: Labels = None,
    since: From = None,
    until: Until = None,
    amount: Amount = None,
    customer: Customer = None,
    fraud: Fraud = None,
    good: Good = None,
    mature: Mature = None,
    stops: Stops = None,
    memory: Memory = MEMORY,
    to: To = None,
    as_json: AsJson = False,
) -> None:
    """What the shadow rules of a store, or a candidate policy, would have done on live decisions."""
    check_target(to)
    keep_inputs(to, labels)
    setup = Setup(
        (str(store),), labels=labels, since=instant("--from", since), until=instant("--until", until), amount=amount,
        customer=customer, fraud=tuple(fraud or ()), good=tuple(good or ()), mature_ms=span("--mature", mature),
        stops=stops, memory=memory,
    )  # fmt: skip
    with (
        usage(),
        Bar("shadow", "decisions") as bar,
        backtest(candidate, setup, bar) if candidate is not None else from_log(setup, bar) as found,
    ):
        measures = measure(found)
        show(found, measures, as_json)
        finished(found)
        if to is not None:
            write(to, found, measures)
