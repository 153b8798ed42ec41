"""`frmcore table`: decision tables, begun and looked through."""

from __future__ import annotations

import csv
from io import StringIO
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from frmcore.authoring.table_notes import TableNotes, notes_of
from frmcore.cli.arguments import AsJson, PolicyFile
from frmcore.cli.console import complain, plain
from frmcore.cli.output import replacing
from frmcore.policy import load

table = typer.Typer(
    name="table", help="Decision tables: begin one, look through those of a policy.", no_args_is_help=True
)


@table.command()
def new(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The table: .csv or .xlsx.")],
    when: Annotated[
        list[str] | None, typer.Option(help="What a column asks: a field, a feature, an expression.")
    ] = None,
    then: Annotated[list[str] | None, typer.Option(help="What a row says: outcome, score, reason, actions ...")] = None,
) -> None:
    """Write a table with its headers and a first row, and say how a policy names it. Nothing is overwritten."""
    if file.suffix not in (".csv", ".xlsx"):
        raise typer.BadParameter(f"{file}: a table is a .csv or an .xlsx file")
    if file.exists():
        complain(f"{file} is there already: choose another name, or move it away")
        raise typer.Exit(1)
    conditions, effects = when or ["amount"], then or ["outcome", "reason"]
    first = {"outcome": "review", "reason": "the first row", "score": "10"}
    rows = [
        ["id", *(f"when {text}" for text in conditions), *(f"then {key}" for key in effects), "note"],
        ["first", *("-" for _ in conditions), *(first.get(key, "") for key in effects), "- fits whatever comes"],
    ]
    _write(file, rows)
    complain(f"wrote {file}; name it in a policy beside it, then try frmcore table check POLICY\n")
    typer.echo(f"tables:\n  {_name(file)}: {{file: {file.name}, hit: first}}")


@table.command()
def check(
    policy: PolicyFile,
    name: Annotated[str | None, typer.Argument(metavar="[TABLE]", help="One table.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the tables of a policy, and which rows can never hit. Mistakes are told by sheet and cell."""
    checked = load(policy)
    known = [each.name for each in checked.tables]
    if name is not None and name not in known:
        complain(f"the policy has no table {plain(name)}; it has {', '.join(known) or 'none'}")
        raise typer.Exit(1)
    found = [notes_of(checked, each) for each in checked.tables if name in (None, each.name)]
    if as_json:
        typer.echo(msgspec.json.encode(found))
        return
    for notes in found:
        _show(notes)
    if not found:
        complain("the policy has no tables")


def _show(found: TableNotes) -> None:
    shown = Table(title=f"{found.name}: {plain(found.file)}, hit {found.hit}")
    header, *rows = found.cells
    shown.add_column("row", justify="right")
    for text in header:
        shown.add_column(plain(text))
    for number, row in enumerate(rows, 2):
        if row:
            shown.add_row(str(number), *(plain(text) for text in row))
    Console().print(shown)
    if found.complete:
        typer.echo("every event fits a row")
    for note in found.notes:
        typer.echo(f"{plain(note)}")


def _write(file: Path, rows: list[list[str]]) -> None:
    if file.suffix == ".csv":
        text = StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        with replacing(file) as part:
            part.write_text(text.getvalue(), "utf-8", newline="\n")
        return
    try:
        from openpyxl import Workbook  # noqa: PLC0415  an extra
    except ModuleNotFoundError:
        raise typer.BadParameter("writing XLSX needs openpyxl: pip install frmcore[xlsx]") from None
    book = Workbook()
    page = book.worksheets[0]
    for row in rows:
        page.append(row)
    with replacing(file) as part:
        book.save(part)


def _name(file: Path) -> str:
    """The file's name as one that a policy can give."""
    letters = "".join(char if char.isascii() and char.isalnum() else "_" for char in file.stem)
    return letters if letters[:1].isalpha() else f"table_{letters}"
