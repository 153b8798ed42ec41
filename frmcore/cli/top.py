"""`frmcore top`: what an owner does right now, redrawn every second."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

import frmcore
from frmcore.cli.console import plain
from frmcore.errors import OwnerUnavailable

if TYPE_CHECKING:
    from frmcore.client.client import Client

RULES_SHOWN = 15


def top(
    path: Annotated[Path, typer.Argument(metavar="STORE", help="A store that `frmcore serve` owns, or its socket.")],
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Look twice, print, and end.")] = False,
) -> None:
    """Show what an owner does: decisions a second, outcomes, rules, latency of the way there, memory, the store."""
    console = Console()
    with frmcore.connect(path) as client:
        before = Look(client)
        if once:
            time.sleep(every)
            console.print(screen(before, Look(client)))
            return
        with Live(console=console, screen=True, auto_refresh=False) as live:
            while True:
                time.sleep(every)
                try:
                    now = Look(client)
                    live.update(screen(before, now), refresh=True)
                    before = now
                except OwnerUnavailable as error:
                    live.update(Text(plain(f"{error}\n\nlooking again ..."), style="red"), refresh=True)


class Look:
    """An owner's numbers at one moment."""

    def __init__(self, client: Client) -> None:
        started = time.perf_counter()
        self.health = client.health()
        self.trip_us = (time.perf_counter() - started) * 1e6
        self.stats = client.stats
        self.at = time.monotonic()


def screen(before: Look, now: Look) -> Group:
    return Group(_head(now), _flow(before, now), _rules(before, now), _state(now))


def _rate(before: float, now: float, seconds: float) -> str:
    return f"{max(0.0, now - before) / seconds:,.0f}"


def _head(now: Look) -> Text:
    policy, failing = now.health["policy"], now.health["failure"]
    state = f"degraded: {failing}" if now.health["degraded"] else "ready" if now.health["ready"] else "refuses"
    line = f"{policy['name']} version {policy['version']} ({policy['hash'][:16]})   {state}   "
    style = "red" if now.health["degraded"] else "green"
    return Text(plain(f"{line}{now.stats['seq']:,} operations   {now.trip_us:,.0f} us there and back"), style=style)


def _flow(before: Look, now: Look) -> Table:
    seconds = now.at - before.at
    table = Table("", "a second", "in all", title="Decisions", title_justify="left")
    old = {(point, outcome): count for point, outcome, count in before.stats["verdicts"]}
    for point, outcome, count in now.stats["verdicts"]:
        _row(table, f"{point} {outcome}", old.get((point, outcome), 0), count, seconds)
    for name in ("updates", "observed", "duplicates", "conflicts", "late", "too_old", "ahead", "overflows"):
        if now.stats[name]:
            _row(table, name.replace("_", " "), before.stats[name], now.stats[name], seconds)
    for field, count in now.stats["invalid"].items():
        _row(table, f"invalid {field or 'events'}", before.stats["invalid"].get(field, 0), count, seconds)
    return table


def _row(table: Table, name: str, before: int, now: int, seconds: float) -> None:
    table.add_row(Text(plain(name)), _rate(before, now, seconds), f"{now:,}")


def _rules(before: Look, now: Look) -> Table:
    seconds = now.at - before.at
    table = Table("rule", "a second", "in all", title="Rules that fire most", title_justify="left")
    busiest = sorted(now.stats["rules"].items(), key=lambda item: -item[1])[:RULES_SHOWN]
    for rule, count in busiest:
        _row(table, rule, before.stats["rules"].get(rule, 0), count, seconds)
    return table


def _state(now: Look) -> Table:
    stats = now.stats
    table = Table.grid(padding=(0, 3))
    parts = "  ".join(f"{part} {_mb(size)}" for part, size in stats["memory"].items())
    table.add_row("memory", parts)
    keys: dict[str, int] = {}
    for group in stats["groups"]:
        keys[group["entity"]] = max(keys.get(group["entity"], 0), group["entities"])
    table.add_row("keys", Text(plain("  ".join(f"{entity} {count:,}" for entity, count in keys.items()))))
    if "store" in stats:
        table.add_row("store", _store(stats["store"], stats["seq"]))
    return table


def _store(store: dict[str, Any], seq: int) -> str:
    commit_ms = 1000 * store["commit_seconds"] / max(store["commits"], 1)
    return (
        f"ring {100 * store['ring_used'] / store['ring_size']:.1f} % full  {store['commits']:,} commits of "
        f"{commit_ms:.1f} ms  {seq - store['synced']:,} operations not on disk yet  file {_mb(store['bytes'])}"
    )


def _mb(size: float) -> str:
    return f"{size / 1e6:,.1f} MB"
