"""`frmcore lists`: the lists of a store, changed and shown while an engine decides by them."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import typer
from msgspec.structs import asdict
from rich.console import Console
from rich.table import Table
from rich.text import Text

from frmcore.cli.arguments import AsJson, StorePath, Wait, private_key, still_ahead
from frmcore.cli.console import complain, plain
from frmcore.cli.explain import instant
from frmcore.cli.formats import format_of
from frmcore.cli.rows_in import read_rows
from frmcore.cli.rows_out import writer
from frmcore.commands import Visit, visiting
from frmcore.errors import HistoryError, InvalidEvent
from frmcore.history.cells import Fields
from frmcore.lists import Entry, checked_note, expiry
from frmcore.plan import Kind
from frmcore.store.archive import Archive
from frmcore.store.inbox import WAIT_SECONDS
from frmcore.store.view import viewing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from frmcore.lists import EntityList

lists = typer.Typer(name="lists", help="Change and show the lists of a store.", no_args_is_help=True)

ListName = Annotated[str, typer.Argument(metavar="LIST", help="The list's name in the policy.")]
Values = Annotated[list[str], typer.Argument(metavar="VALUE...", help="Values.")]
Reason = Annotated[str, typer.Option(help="Why, for who looks later.")]
Origin = Annotated[str, typer.Option(help="Where it comes from: a case, a feed.")]
Owner = Annotated[str, typer.Option(help="Who answers for it.")]
Expires = Annotated[str | None, typer.Option(help='Until when: "90d" from now, or RFC 3339. Without it: for good.')]
File = Annotated[str, typer.Argument(metavar="FILE", help="A .csv, .jsonl, .parquet or .txt file (a value a line).")]

_NOTES: Final = ("reason", "source", "owner")
_COLUMNS: Final = {"value": str, "reason": str, "source": str, "owner": str, "added": int, "expires": int}
_FIELDS: Final[Fields] = {
    **{name: ((name,), Kind.STRING) for name in ("value", *_NOTES)},
    "expires": (("expires",), Kind.TIMESTAMP),
}


@lists.command()
def add(
    store: StorePath,
    name: ListName,
    values: Values,
    reason: Reason = "",
    source: Origin = "",
    owner: Owner = "",
    expires: Expires = None,
    wait: Wait = WAIT_SECONDS,
) -> None:
    """Add values to a list. An engine that has the store open decides by it within its next flush."""
    still_ahead("--expires", expires)
    with visiting(store, private_key=private_key(), wait=wait) as visit:
        count = visit.change_list(name, "add", values, reason=reason, source=source, owner=owner, expires=expires)
    complain(f"{count:,} new in {name}, {len(values) - count:,} were listed already")


@lists.command()
def remove(
    store: StorePath,
    name: ListName,
    values: Values,
    reason: Reason = "",
    source: Origin = "",
    wait: Wait = WAIT_SECONDS,
) -> None:
    """Remove values from a list."""
    with visiting(store, private_key=private_key(), wait=wait) as visit:
        count = visit.change_list(name, "remove", values, reason=reason, source=source)
    complain(f"{count:,} removed from {name}, {len(values) - count:,} were not listed")


@lists.command()
def show(
    store: StorePath,
    name: Annotated[
        str | None, typer.Argument(metavar="[LIST]", help="A list; without it: all, and their sizes.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what a list holds, or which lists there are."""
    with viewing(store) as view:
        found = Archive(view, private_key()).lists()
        if name is not None:
            entries = list(found[name].listed())
            _show_json([asdict(entry) for entry in entries]) if as_json else Console().print(_entries(name, entries))
            return
        sizes = {each: (len(entries), entries.read_only) for each, entries in found.items()}
    _show_json({each: size for each, (size, _) in sizes.items()}) if as_json else Console().print(_sizes(sizes))


@lists.command()
def check(store: StorePath, name: ListName, value: Annotated[str, typer.Argument(help="A value.")]) -> None:
    """Say whether a list holds a value, and why. Exit status 1: it does not."""
    with viewing(store) as view:
        archive = Archive(view, private_key())
        found = archive.lists()[name]
        if found.private:
            archive.need_key(f"looking into {name}")
        listed, entry = value in found, None if found.network else found.get(value)
    if not listed:
        complain(f"{value} is not in {name}")
        raise typer.Exit(1)
    said = [f"{key}: {text}" for key in _NOTES if entry is not None and (text := getattr(entry, key))]
    until = [f"until {instant(entry.expires)} UTC"] if entry is not None and entry.expires is not None else []
    complain(", ".join([f"{value} is in {name}", *said, *until]))


@lists.command("export")
def export_list(
    store: StorePath,
    name: ListName,
    to: Annotated[str, typer.Option(help="A .csv, .jsonl or .parquet file, or - for JSON lines on stdout.")] = "-",
) -> None:
    """Write what a list holds into a file that `import` reads."""
    format_of(to)
    with viewing(store) as view, writer(to, _COLUMNS) as write:
        for entry in Archive(view, private_key()).lists()[name].listed():
            write(asdict(entry))


@lists.command("import")
def import_list(
    store: StorePath,
    name: ListName,
    file: File,
    reason: Reason = "",
    source: Origin = "",
    owner: Owner = "",
    expires: Expires = None,
    wait: Wait = WAIT_SECONDS,
) -> None:
    """Add the values of a file to a list. Its columns reason, source, owner and expires go before the options. All
    rows are checked before the first is added; one that is over already is left out."""
    still_ahead("--expires", expires)
    options = (reason, source, owner, expires)
    with viewing(store) as view:
        checked = _Checked(file, Archive(view, private_key()).lists()[name])
    rows = [row for row in _read(file, options) if checked.is_ahead(*row)]
    with visiting(store, private_key=private_key(), wait=wait) as visit:
        count = sum(_add(visit, name, said, part) for said, part in groupby(rows, key=lambda row: row[2]))
    complain(f"{count:,} new in {name}, {len(rows) - count:,} were listed already")
    if checked.over:
        complain(f"{checked.over:,} left out: their end is past")
        raise typer.Exit(int(not rows))


def _add(visit: Visit, name: str, said: tuple[Any, ...], rows: Iterable[tuple[int, str, tuple[Any, ...]]]) -> int:
    reason, source, owner, expires = said
    values = (value for _, value, _ in rows)
    return visit.change_list(name, "add", values, reason=reason, source=source, owner=owner, expires=expires)


class _Checked:
    """Finds what is wrong with a row before a change is made: one that fails later would leave half of the file."""

    def __init__(self, file: str, target: EntityList) -> None:
        self._file, self._target = file, target
        self._now = int(time() * 1000)
        self.over = 0

    def is_ahead(self, line: int, value: str, said: tuple[Any, ...]) -> bool:
        *notes, expires = said
        try:
            self._target.check(value)
            for name, text in zip(_NOTES, notes, strict=True):
                checked_note(name, text)
            until = expiry("expires", expires, self._now)
        except InvalidEvent as error:
            raise HistoryError(f"{self._file}:{line}: {error}; nothing was added") from None
        ahead = until is None or until > self._now
        self.over += not ahead
        return ahead


def _read(file: str, options: tuple[str | None, ...]) -> Iterator[tuple[int, str, tuple[Any, ...]]]:
    """(line, value, (reason, source, owner, expires)) of every row."""
    if file.lower().endswith(".txt"):
        with Path(file).open(encoding="utf-8-sig", errors="surrogateescape") as lines:
            yield from ((number, line.strip(), options) for number, line in enumerate(lines, 1) if line.strip())
        return
    for row in read_rows(file, _FIELDS, ("value",)):
        if row.event is None or not isinstance(row.event.get("value"), str):
            raise HistoryError(f"{file}:{row.line}: {row.error or 'it has no value'}; nothing was added")
        own = (row.event.get(name) or option for name, option in zip((*_NOTES, "expires"), options, strict=True))
        yield row.line, row.event["value"], tuple(own)


def _show_json(found: object) -> None:
    typer.echo(msgspec.json.encode(found))


def _entries(name: str, entries: list[Entry]) -> Table:
    table = Table(title=Text(plain(f"{name}: {len(entries):,} {'value' if len(entries) == 1 else 'values'}")))
    for heading in ("value", *_NOTES, "added", "expires"):
        table.add_column(heading)
    for entry in entries:
        texts = (entry.value, entry.reason, entry.source, entry.owner, instant(entry.added), instant(entry.expires))
        table.add_row(*(Text(plain(text)) for text in texts))
    return table


def _sizes(sizes: dict[str, tuple[int, bool]]) -> Table:
    table = Table("list", "values", "changes")
    for name, (size, read_only) in sizes.items():
        table.add_row(Text(plain(name)), f"{size:,}", "with the policy" if read_only else "at run time")
    return table
