"""The cells of a table, from CSV or XLSX, as texts that know their places.

A workbook is opened with care: it may come from anywhere. Its parts are bounded before one is unpacked, none may
declare entities, and formulas are refused, because what they would give depends on who computes them. What a store
keeps of it is the text of the sheets that were read, so that it can be read again without the library.
"""

from __future__ import annotations

import csv
from datetime import date, datetime, time
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

import msgspec

from frmcore.limits import TABLE_CELL_MAX, TABLE_COLUMNS_MAX, TABLE_ROWS_MAX, TABLE_UNPACKED_MAX
from frmcore.names import nearest
from frmcore.policy.source import Place
from frmcore.policy.words import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from frmcore.policy.source import Problems

Sheets = dict[str, list[list[str]]]

_ZIP: Final = b"PK\x03\x04"
_PARTS_MAX: Final = 1_000  # files in a workbook; a plain one has about a dozen
_ROW_NUMBER_MAX: Final = 1_048_576  # Excel's own
_COLUMN_NUMBER_MAX: Final = 512  # of what is looked at: each row of the file takes so many
_SEPARATOR: Final = " | "
_EXTRA: Final = "pip install frmcore[xlsx], or save the sheet as CSV"


class Unreadable(Exception):
    """The file is no table. `cell`: where, "" for the whole."""

    def __init__(self, message: str, hint: str = "", cell: str = "") -> None:
        super().__init__(message)
        self.message, self.hint, self.cell = message, hint, cell


class Cell(msgspec.Struct, frozen=True):
    """Its place names it as spreadsheets do: B3, or Limits!B3."""

    text: str
    place: Place


def cells_of(file: str, sheet: str, rows: list[list[str]], problems: Problems) -> list[list[Cell]]:
    """Cells with places in a text of the table, which messages show: a line for each row."""
    lines = [_SEPARATOR.join(_shown(text) for text in row) for row in rows]
    problems.add_file(file, "\n".join(lines))
    return [list(_row(file, sheet, number, row)) for number, row in enumerate(rows, 1)]


def _row(file: str, sheet: str, number: int, row: list[str]) -> Iterator[Cell]:
    column = 1
    for index, text in enumerate(row):
        name = f"{_letters(index)}{number}"
        shown = _shown(text)
        yield Cell(text, Place(file, number, column, max(1, len(shown)), f"{sheet}!{name}" if sheet else name))
        column += len(shown) + len(_SEPARATOR)


def _shown(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)


def _letters(index: int) -> str:
    """0 is A, 25 is Z, 26 is AA."""
    text = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        text = chr(ord("A") + rest) + text
    return text


# -- CSV ---------------------------------------------------------------------------------------------------------------
def read_csv(text: str) -> list[list[str]]:
    """Rows of texts. The separator is a comma, a semicolon or a tab: whichever parts the first line into more."""
    first = text.partition("\n")[0]
    separator = max(",;\t", key=lambda char: len(next(csv.reader([first], delimiter=char), [])))
    rows = csv.reader(text.split("\n"), delimiter=separator, strict=True)
    try:
        return _bounded((number, row) for number, row in enumerate(rows, 1))
    except csv.Error as error:
        raise Unreadable(f"line {rows.line_num} is not CSV: {error}", "a quote inside of quotes is doubled") from None


def _bounded(rows: Iterable[tuple[int, list[str]]]) -> list[list[str]]:
    """Without spaces around texts, and without empty rows and columns at the ends."""
    found: list[list[str]] = []
    for number, row in rows:
        texts = [text.strip() for text in row]
        while texts and not texts[-1]:
            texts.pop()
        if not texts:
            continue
        if number > TABLE_ROWS_MAX + 1:
            raise Unreadable(f"more than {TABLE_ROWS_MAX:,} rows", "cut it into several tables")
        if len(texts) > TABLE_COLUMNS_MAX:
            raise Unreadable(f"row {number} has more than {TABLE_COLUMNS_MAX} columns", "remove what is not needed")
        if any(len(text) > TABLE_CELL_MAX for text in texts):
            raise Unreadable(f"a cell of row {number} is longer than {TABLE_CELL_MAX:,} characters", "shorten it")
        found += [[] for _ in range(number - 1 - len(found))] + [texts]
    return found


# -- XLSX --------------------------------------------------------------------------------------------------------------
def is_workbook(content: bytes) -> bool:
    return content.startswith(_ZIP)


def stored_sheets(text: str) -> Sheets | None:
    """What `stored_text` wrote, None for any other text."""
    try:
        return msgspec.json.decode(text, type=Sheets)
    except msgspec.DecodeError:
        return None


def stored_text(sheets: Sheets) -> str:
    return msgspec.json.encode(sheets).decode()


def pick(names: list[str], sheet: str) -> str:
    """The sheet of that name, the first one where none is named."""
    if sheet and sheet not in names:
        known = ", ".join(quoted(name) for name in names[:10])
        raise Unreadable(f"there is no sheet {quoted(sheet)}", nearest(sheet, names) or f"there are {known}")
    return sheet or names[0]


def read_workbook(content: bytes, sheet: str) -> tuple[str, list[list[str]]]:
    """(name of the sheet, its rows)."""
    _check_parts(content)
    try:
        from openpyxl import load_workbook  # noqa: PLC0415  an extra
    except ModuleNotFoundError:
        raise Unreadable("reading XLSX needs openpyxl", _EXTRA) from None
    try:
        book = load_workbook(BytesIO(content), read_only=True, keep_links=False)
        names = [each.title for each in book.worksheets]
        if not names:
            raise Unreadable("the workbook has no sheet")
        name = pick(names, sheet)
        page = book[name]
        page.reset_dimensions()
        rows = page.iter_rows(max_row=_ROW_NUMBER_MAX, max_col=_COLUMN_NUMBER_MAX)
        return name, _bounded((number, [_text(cell, name) for cell in row]) for number, row in _filled(rows))
    except Unreadable:
        raise
    except Exception as error:  # openpyxl raises whatever a broken part makes it stumble over
        raise Unreadable(f"not a workbook that can be read: {type(error).__name__}", "save it anew as XLSX") from None


def _filled(rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[int, list[Any]]]:
    """(number, cells up to the last with something in it) of each row; of those that are missing in the file, of which
    there can be a million, all are one object."""
    before: tuple[Any, ...] | None = None
    for number, row in enumerate(rows, 1):
        if row is not before:
            end = next((index for index in range(len(row), 0, -1) if row[index - 1].value is not None), 0)
            yield number, list(row[:end])
        before = row


def _check_parts(content: bytes) -> None:
    """Sizes are those that the archive declares, which is as far as zipfile unpacks."""
    from zipfile import BadZipFile, ZipFile  # noqa: PLC0415  of policies with workbooks alone

    try:
        with ZipFile(BytesIO(content)) as archive:
            parts = archive.infolist()
            if len(parts) > _PARTS_MAX or sum(part.file_size for part in parts) > TABLE_UNPACKED_MAX:
                message = f"the workbook unpacks to more than {TABLE_UNPACKED_MAX >> 20} MiB"
                raise Unreadable(message, "put the table into a workbook of its own")
            for part in parts:
                if part.filename.endswith((".xml", ".rels", ".vml")):
                    _check_xml(archive.read(part))
    except (BadZipFile, NotImplementedError, RuntimeError, OSError, ValueError, EOFError) as error:
        raise Unreadable(f"not a workbook: {error}", "save it anew as XLSX") from None


def _check_xml(part: bytes) -> None:
    if part[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in part[:4] or b"<!DOCTYPE" in part or b"<!ENTITY" in part:
        raise Unreadable("the workbook declares entities or is not UTF-8", "save it anew as XLSX")


def _text(cell: Any, sheet: str) -> str:
    """A cell as it would stand in a CSV file."""
    value = cell.value
    if value is None:
        return ""
    where = f"{sheet}!{cell.coordinate}"
    if cell.data_type == "f" or not isinstance(value, str | bool | int | float | datetime | date | time):
        raise Unreadable("a formula is not computed", "put its value into the cell", where)
    if cell.data_type == "e":
        raise Unreadable(f"the cell holds the error {value}", "mend it in the workbook", where)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return value.isoformat() if isinstance(value, datetime | date | time) else str(value)
