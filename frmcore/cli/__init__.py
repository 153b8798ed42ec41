"""The command line: `frmcore`. One thin file per command; data goes to stdout, everything else to stderr.

Exit codes: 0 fine, 1 the policy or the data is wrong, 2 the command was used wrongly, 130 interrupted.
"""

from __future__ import annotations

import io
import os
import sys
from typing import Annotated

import typer

from frmcore.cli.alerts import alerts
from frmcore.cli.backtest import backtest
from frmcore.cli.check import check
from frmcore.cli.compact import compact
from frmcore.cli.console import complain
from frmcore.cli.control import reset_breaker, snooze, switch
from frmcore.cli.demo import demo
from frmcore.cli.describe import describe
from frmcore.cli.diff import diff
from frmcore.cli.erase import erase, hold
from frmcore.cli.explain import explain
from frmcore.cli.export import export
from frmcore.cli.generate import generate
from frmcore.cli.inspect import inspect
from frmcore.cli.lists import lists
from frmcore.cli.measure import measure
from frmcore.cli.new import new
from frmcore.cli.reload import reload
from frmcore.cli.run import run
from frmcore.cli.serve import serve
from frmcore.cli.shadow import shadow
from frmcore.cli.snapshot import restore, snapshot
from frmcore.cli.sweep import sweep
from frmcore.cli.table import table
from frmcore.cli.tail import tail
from frmcore.cli.test import test
from frmcore.cli.top import top
from frmcore.cli.verify import verify
from frmcore.errors import FrmcoreError
from frmcore.version import VERSION

app = typer.Typer(
    name="frmcore",
    help="Fraud decisions: write a policy, check it, run it over events, explain what it decided; look after stores.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (
    demo, new, check, test, describe, diff, run, generate,
    explain, inspect, verify, snapshot, restore, reload, switch, snooze,
    reset_breaker, alerts, tail, export, erase, compact, serve, top, backtest, sweep, shadow, measure,
):  # fmt: skip
    app.command()(command)
app.add_typer(lists)
app.add_typer(hold)
app.add_typer(table)


def _say_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"frmcore {VERSION}")
        raise typer.Exit


@app.callback()
def _every_command(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version, and end.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """The entry point of the command line. A user's mistake ends in a short message, never in a traceback."""
    _usable_streams()
    try:
        _run()
    except BrokenPipeError:  # the reader of stdout has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(0)
    except FrmcoreError as error:
        complain(str(error))
        sys.exit(1)
    except OSError as error:
        complain(f"{error.filename or 'input or output'}: {error.strerror or error}")
        sys.exit(1)


def _run() -> None:
    try:
        app()
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # typer makes status 1 of it
            raise end.__context__ from None
        sys.stdout.flush()  # here, where a reader that has gone is no surprise
        raise


def _usable_streams() -> None:
    """A stream that was closed (`>&-`) leads nowhere; one that can't say a character escapes it, as stderr does."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115, PTH123  for as long as the process lives
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
