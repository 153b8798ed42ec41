"""`frmcore erase`, `frmcore hold`: subjects erased from a store, or kept from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from msgspec.structs import asdict
from rich.console import Console
from rich.table import Table
from rich.text import Text

from frmcore.cli.arguments import AsJson, StorePath, Wait, private_key, still_ahead
from frmcore.cli.console import complain, counted, plain
from frmcore.cli.explain import instant
from frmcore.commands import visiting
from frmcore.store.archive import Archive
from frmcore.store.inbox import WAIT_SECONDS
from frmcore.store.view import viewing

if TYPE_CHECKING:
    from frmcore.erasure import Erased
    from frmcore.holds import Hold

hold = typer.Typer(name="hold", help="Legal holds: subjects that must not be erased.", no_args_is_help=True)

Subjects = Annotated[list[str], typer.Argument(metavar="SUBJECT...", help="Entity and identifier, as account:a-17.")]
Reason = Annotated[str, typer.Option(help="Why, for who looks later. Don't name the subject here.")]
Origin = Annotated[str, typer.Option(help="Where it comes from: a request, a case.")]
Until = Annotated[str | None, typer.Option(help='Until when: "90d" from now, or RFC 3339. Without it: for good.')]


def erase(
    store: StorePath,
    subjects: Subjects,
    reason: Reason = "",
    source: Origin = "",
    as_json: AsJson = False,
    wait: Wait = WAIT_SECONDS,
) -> None:
    """Erase subjects of one person: their windows, and texts and identifiers of every event that names one of them."""
    with visiting(store, private_key=private_key(), wait=wait) as visit:
        erased = visit.erase(subjects, reason=reason, source=source)
    if as_json:
        typer.echo(msgspec.json.encode(erased))
        return
    for line in _told(erased):
        complain(line)
    complain(f"complete after: frmcore compact {store}")


def _told(erased: Erased) -> list[str]:
    events, records = counted(erased.events, "event"), counted(erased.records, "record")
    told = [f"{events} erased, in {records} (operation {erased.seq:,})"]
    if not erased.records and not erased.lists:
        told.append("no event and no list names them: are they spelled as events spell them?")
    if erased.lists:
        told.append(f"taken off {', '.join(erased.lists)}")
    if erased.policy_lists:
        told.append(f"still named by the policy, in {', '.join(erased.policy_lists)}: change it, and reload")
    if erased.telling_ids:
        told.append(f"{erased.telling_ids:,} event ids hold an identifier, and stay: duplicates are told by them")
    if erased.snapshots:
        told.append("snapshots that were taken before, and still hold what they held; delete them, or take them anew:")
        told += [f"  {each.file}, of operation {each.seq:,}, {instant(each.time)} UTC" for each in erased.snapshots]
    return told


@hold.command()
def add(
    store: StorePath,
    subjects: Subjects,
    reason: Reason = "",
    source: Origin = "",
    until: Until = None,
    wait: Wait = WAIT_SECONDS,
) -> None:
    """Hold subjects: until then they can't be erased."""
    still_ahead("--until", until)
    with visiting(store, private_key=private_key(), wait=wait) as visit:
        count = visit.hold(subjects, reason=reason, source=source, until=until)
    complain(f"{count:,} held")


@hold.command()
def remove(store: StorePath, subjects: Subjects, wait: Wait = WAIT_SECONDS) -> None:
    """End holds."""
    with visiting(store, private_key=private_key(), wait=wait) as visit:
        count = visit.release(subjects)
    complain(f"{counted(count, 'hold')} ended, {counted(len(subjects) - count, 'subject')} had none")


@hold.command("list")
def list_holds(store: StorePath, as_json: AsJson = False) -> None:
    """Show the holds in force."""
    with viewing(store) as view:
        found = list(Archive(view, private_key()).holds())
    if as_json:
        typer.echo(msgspec.json.encode([asdict(each) for each in found]))
    else:
        Console().print(_holds(found))


def _holds(found: list[Hold]) -> Table:
    table = Table("subject", "reason", "source", "since", "until", title=f"Holds: {len(found):,}")
    for each in found:
        texts = (f"{each.entity}:{each.value}", each.reason, each.source, instant(each.since), instant(each.until))
        table.add_row(*(Text(plain(text)) for text in texts))
    return table
