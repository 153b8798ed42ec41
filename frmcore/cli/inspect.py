"""`frmcore inspect`: what a store holds, and how it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from frmcore.cli.arguments import AsJson, StorePath
from frmcore.cli.console import counted, plain
from frmcore.cli.explain import instant
from frmcore.cli.progress import size_of
from frmcore.store.inspection import inspect as look

if TYPE_CHECKING:
    from frmcore.store.inspection import Inspection

POLICIES_SHOWN = 10  # the latest; --json has all


def inspect(store: StorePath, as_json: AsJson = False) -> None:
    """Show what a store holds: policies, journal, rings, lists, bytes, and what a power cut would take now."""
    found = look(store)
    if as_json:
        typer.echo(msgspec.json.encode(found))
        return
    console = Console()
    console.print(_state(str(store), found), _policies(found), _groups(found), sep="\n")
    if any((found.controls.switches, found.controls.snoozes, found.controls.tripped)):
        console.print(_controls(found))
    if found.lists:
        console.print(_lists(found))
    console.print(_tables(found))


def _state(name: str, found: Inspection) -> Table:
    table = Table(title=Text(plain(f"{name}: {found.policy}")), show_header=False)
    table.add_row("store", f"{found.id}, format {found.format}, made by frmcore {found.version}")
    table.add_row("operations", f"{found.seq:,}")
    journal = f"records {found.first:,} to {found.last:,}" if found.last >= found.first else "no records yet"
    times = f"{instant(found.from_time)} to {instant(found.until_time)}" if instant(found.from_time) else "none yet"
    table.add_row("journal in the database", journal)
    table.add_row("event times", times)
    table.add_row("file", f"{size_of(found.file_bytes)}, last commit {instant(found.last_commit)} UTC")
    table.add_row("recovery", f"would read {counted(found.replay, 'operation')} again")
    table.add_row(
        "a power cut now", f"would lose {counted(found.at_risk, 'operation')} that only the journal's ring has"
    )
    if found.waiting:
        table.add_row("inbox", f"{counted(found.waiting, 'command')} waiting for an engine")
    for seq in found.erasures:
        table.add_row("erasure", f"operation {seq:,} is not complete: it goes on while an engine has the store open")
    return table


def _policies(found: Inspection) -> Table:
    table = _headed("Policies", "version", "hash", "from operation", "at (UTC)")
    for row in found.policies[-POLICIES_SHOWN:]:
        at = instant(row.time) if row.time else "no clock"
        table.add_row(Text(plain(row.version)), row.hash[:16], f"{row.seq:,}", at)
    return table


def _groups(found: Inspection) -> Table:
    table = _headed("Rings, as checkpointed", "by", "keys", "bytes", "pieces", "oldest piece", "idle keys evicted")
    for row in found.groups:
        oldest = f"operation {row.oldest:,}" if row.pieces else "none yet"
        state = oldest if row.complete or not row.pieces else f"{oldest}, not all written yet"
        evicted = "none" if row.evicted is None else f"up to {instant(row.evicted)} UTC"
        table.add_row(Text(plain(row.entity)), f"{row.rings:,}", size_of(row.bytes), f"{row.pieces:,}", state, evicted)
    return table


def _controls(found: Inspection) -> Table:
    table = _headed("Not as the policy says", "rule or group", "is", "since (UTC)", "why", "by")
    controls = found.controls
    for tripped in controls.tripped:
        why = f"its breaker tripped: it fired for {tripped.fired:,} of {tripped.decisions:,} decisions"
        table.add_row(Text(plain(tripped.rule)), "in shadow", instant(tripped.at), why, "")
    for each in controls.switches:
        state = "in shadow" if each.state == "shadow" else each.state
        name = f"{'group ' if each.kind == 'group' else ''}{each.name}"
        cells = (name, state, instant(each.at), each.reason, each.by)
        table.add_row(*(Text(plain(cell)) for cell in cells))
    for snooze in controls.snoozes:
        whom = f" for {snooze.entity}" if snooze.entity else ""
        state = f"snoozed{whom} until {instant(snooze.until)}"
        cells = (snooze.rule, state, instant(snooze.at), snooze.reason, snooze.by)
        table.add_row(*(Text(plain(cell)) for cell in cells))
    return table


def _lists(found: Inspection) -> Table:
    table = _headed("Lists", "list", "values")
    for name, size in found.lists.items():
        table.add_row(Text(plain(name)), f"{size:,}")
    return table


def _tables(found: Inspection) -> Table:
    table = _headed("Tables", "table", "rows", "bytes")
    for name, row in found.tables.items():
        table.add_row(name, f"{row.rows:,}", size_of(row.bytes))
    return table


def _headed(title: str, *headings: str) -> Table:
    table = Table(title=title)
    for heading in headings:
        table.add_column(heading)
    return table
