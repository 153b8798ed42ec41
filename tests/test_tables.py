"""Decision tables: wrong ones (as data), what each hit policy decides, workbooks, what a store needs of them."""

from __future__ import annotations

import re
import zipfile
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest
from openpyxl import Workbook

import frmcore
from frmcore import limits
from frmcore.errors import PolicyError
from frmcore.plan import Kind
from frmcore.policy import Policy, load
from frmcore.policy.stored import contents, load_contents
from frmcore.policy.tables.cells import condition
from frmcore.policy.tables.sheet import read_csv
from frmcore.policy.tree import Type

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER: Final = Path(__file__).parent / "cases" / "tables"
BASE: Final = (FOLDER / "policy.yaml").read_text("utf-8")
_EXPECTED: Final = "--- the problems, in order\n"


class Wrong(NamedTuple):
    title: str
    declared: str
    table: str
    expected: str


def wrong_cases() -> Iterator[Wrong]:
    for part in re.split(r"^=== ", (FOLDER / "wrong.txt").read_text("utf-8"), flags=re.MULTILINE)[1:]:
        title, _, rest = part.partition("\n")
        text, _, expected = rest.partition(_EXPECTED)
        declared, table = text.split("\n", 1) if text.startswith("{hit") else ("{hit: first}", text)
        yield Wrong(title, declared.replace('{hit: ""}', "{}"), table, expected)


def written(tmp_path: Path, table: str | bytes, declared: str = "{hit: first}", name: str = "t.csv") -> Path:
    path = tmp_path / "policy.yaml"
    inside = declared[1:-1] + ", " if declared != "{}" else ""
    path.write_text(BASE + f"tables:\n  t: {{{inside}file: {name}}}\n")
    (tmp_path / name).write_bytes(table if isinstance(table, bytes) else table.encode())
    return path


def problems_of(error: PolicyError, folder: Path) -> str:
    above, lines = BASE.count("\n"), []
    for problem in error.problems:
        place = problem.place
        lines.append(f"{place.cell or f'{place.line - above}:{place.column}'}: {problem.message}\n")
        lines.append(f"hint: {problem.hint}\n" if problem.hint else "")
    return "".join(lines).replace(f"{folder}/", "")


@pytest.mark.parametrize("case", list(wrong_cases()), ids=lambda case: case.title)
def test_a_wrong_table_is_told_every_mistake(case: Wrong, tmp_path: Path) -> None:
    with pytest.raises(PolicyError) as error:
        load(written(tmp_path, case.table, case.declared))
    assert problems_of(error.value, tmp_path) == case.expected


def test_a_message_names_file_and_cell_and_shows_the_row(tmp_path: Path) -> None:
    with pytest.raises(PolicyError) as error:
        load(written(tmp_path, "when items,then outcome\n5,reviw\n"))
    assert str(error.value) == (
        f'{tmp_path}/t.csv, cell B2: unknown outcome "reviw"\n    5 | reviw\n        ^^^^^\n'
        '    hint: did you mean "review"?'
    )


# -- what they decide --------------------------------------------------------------------------------------------------
def decided(policy: Policy | Path, **fields: Any) -> frmcore.Decision:
    with frmcore.Engine(None, policy=policy, clock=None) as engine:
        return engine.decide({"id": "e", "ts": 1, "kind": "payment", "account": "a", **fields})


ROWS: Final = """id,when items,when note,then score,then reason
few,< 5,-,1,few
some,[5..10],"a, b",2,"some, and {note}"
any_note,[5..10],,4,
rest,,,8,
"""


@pytest.mark.parametrize(
    ("hit", "items", "note", "score", "feature"),
    [
        ("first", 1, "a", 1, 2),
        ("first", 7, "a", 2, 3),
        ("first", 7, None, 4, 4),  # unknown is not true: the next row may hit
        ("first", 11, "a", 8, 5),
        ("first", None, None, 8, 5),
        ("collect", 1, "a", 9, None),
        ("collect", 7, "b", 14, None),
        ("collect", 7, "c", 12, None),
        ("collect", None, None, 8, None),
    ],
)
def test_rows_hit(
    hit: str, items: int | None, note: str | None, score: int, feature: int | None, tmp_path: Path
) -> None:
    decision = decided(written(tmp_path, ROWS, f"{{hit: {hit}}}"), items=items, note=note)
    assert (decision.score, decision.features.get("t")) == (score, feature)


def test_no_row_is_row_zero_and_rules_may_ask(tmp_path: Path) -> None:
    path = written(tmp_path, "when items,then score\n> 5,1\n")
    path.write_text(path.read_text().replace("tables:\n", "  - {id: none, when: t == 0, score: 3}\ntables:\n"))
    assert decided(path, items=3).fired == ("none",)
    assert decided(path, items=6).fired == ("t.2",)


def test_rows_apart_are_unique(tmp_path: Path) -> None:
    table = "when items,when vip,when fee,then score\n<5,,,1\n"
    table += "[5..9],true,< 10.00,2\n[5..9],true,>= 10,3\n[5..9],false,,4\nabsent,,,5\n> 9,,,6\n"
    policy = load(written(tmp_path, table, "{hit: unique}"))
    assert [decided(policy, items=i, vip=v, fee=f).score for i, v, f in (
        (4, None, None), (5, True, 999), (9, True, 1000), (7, False, 1),
        (None, True, 1), (10, None, None), (7, None, 1),
    )] == [1, 2, 3, 4, 5, 6, 0]  # fmt: skip


def test_what_the_declaration_says_holds_for_every_row_that_does_not_say_it(tmp_path: Path) -> None:
    table = 'id,when items,then outcome,then mode,then actions\na,> 1,,,\nb,> 1,block,shadow,"call, freeze"\n'
    policy = load(
        written(tmp_path, table, "{hit: collect, outcome: review, group: g, owner: me, actions: call, point: checkout}")
    )
    rows = {rule.id: rule for rule in policy.rules if rule.id in ("a", "b")}
    assert [rows[key].outcome for key in "ab"] == ["review", "block"]
    assert [rows[key].actions for key in "ab"] == [("call",), ("call", "freeze")]
    assert {rule.group for rule in rows.values()} == {"g"}
    assert {rule.owner for rule in rows.values()} == {"me"}
    assert decided(policy, items=2).outcome == "review"
    assert decided(policy, items=2).shadow == ("b",)


def test_explain_shows_the_cells(tmp_path: Path) -> None:
    path = written(tmp_path, ROWS)
    with frmcore.Engine(None, policy=path, clock=None) as engine:
        engine.decide({"id": "e", "ts": 1, "kind": "payment", "account": "a", "items": 7, "note": "b"})
        trace = {rule.id: rule for rule in engine.explain("e").rules}["some"]
    assert trace.state == "fired"
    assert trace.reason == "some, and b"
    assert [child.text for child in trace.tree.children] == ['5 <= items <= 10 and note in ("a", "b")', "t == 3"]


@pytest.mark.parametrize(
    ("kind", "cell", "text"),
    [
        (Kind.INT, "-", ""),
        (Kind.INT, "5", "x == 5"),
        (Kind.INT, "= 5", "x == 5"),
        (Kind.INT, "!=5", "x != 5"),
        (Kind.INT, "1, 2", "x in (1, 2)"),
        (Kind.INT, "1, > 5", "(x > 5 or x == 1)"),
        (Kind.INT, "[1..5)", "1 <= x < 5"),
        (Kind.INT, "]1..5[", "1 < x < 5"),
        (Kind.INT, "[1..5], [7..9]", "(1 <= x <= 5 or 7 <= x <= 9)"),
        (Kind.INT, "not([1..5], 9)", "not ((1 <= x <= 5 or x == 9))"),
        (Kind.INT, ">= limit", "x >= limit"),
        (Kind.INT, "limit, 5", "(x == limit or x == 5)"),
        (Kind.FLOAT, "> -0.5", "x > -0.5"),
        (Kind.MONEY, "> 10", 'x > money("10")'),
        (Kind.MONEY, "[0..12.5 EUR]", 'money("0") <= x <= money("12.5")'),
        (Kind.MONEY, "< 12.9000", 'x < money("12.90")'),
        (Kind.STRING, "DE", 'x == "DE"'),
        (Kind.STRING, "5411, 5412", 'x in ("5411", "5412")'),
        (Kind.STRING, "DE, absent", '(missing(x) or x == "DE")'),
        (Kind.STRING, "present", "not missing(x)"),
        (Kind.STRING, '"absent"', 'x == "absent"'),
        (Kind.STRING, '"a, b", c', 'x in ("a, b", "c")'),
        (Kind.STRING, "not(DE, AT)", 'not (x in ("DE", "AT"))'),
        (Kind.STRING, "in risky", "x in risky"),
        (Kind.STRING, "not in risky", "x not in risky"),
        (Kind.STRING, "1..5", 'x == "1..5"'),
        (Kind.STRING, "a\\b", 'x == "a\\\\b"'),
        (Kind.DURATION, "< 10m", 'x < "10m"'),
        (Kind.TIMESTAMP, ">= 2026-01-31T12:00:00Z", 'x >= "2026-01-31T12:00:00Z"'),
        (Kind.BOOL, "true", "x"),
        (Kind.BOOL, "false", "not x"),
        (Kind.BOOL, "false, absent", "(missing(x) or not x)"),
    ],
)
def test_a_cell_is_an_expression(kind: Kind, cell: str, text: str) -> None:
    assert condition(cell, "x", Type(kind, currency="EUR" if kind is Kind.MONEY else "")) == text


# -- files -------------------------------------------------------------------------------------------------------------
def test_separators() -> None:
    assert read_csv('when amount;then score\n"> 5;6";7\n') == [["when amount", "then score"], ["> 5;6", "7"]]
    assert read_csv("when a\tthen b\n1\t2\n\n\n") == [["when a", "then b"], ["1", "2"]]
    assert read_csv('"when min(a, b)",then c\n\n 1 ,2,,\n') == [["when min(a, b)", "then c"], [], ["1", "2"]]


def workbook(*rows: list[Any], title: str = "Limits", more: str = "") -> bytes:
    book = Workbook()
    page = book.active
    assert page is not None
    page.title = title
    for row in rows:
        page.append(row)
    if more:
        book.create_sheet(more).append(["other"])
    stream = BytesIO()
    book.save(stream)
    return stream.getvalue()


SHEET: Final = (
    ["id", "when items", "when fee", "when vip", "when note", "then score"],
    ["a", 5, "> 10.50", True, None, 1],
    ["b", "[6..9]", 10.5, False, 5411, 2],
)


def test_a_workbook_decides_as_its_csv_does(tmp_path: Path) -> None:
    policy = load(written(tmp_path, workbook(*SHEET, more="Notes"), "{hit: first, sheet: Limits}", "t.xlsx"))
    assert decided(policy, items=5, fee=1051, vip=True).fired == ("a",)
    assert decided(policy, items=9, fee=1050, vip=False, note="5411").fired == ("b",)
    again = load_contents(contents(policy))  # what a store keeps is enough
    assert (again.hash, again.tables) == (policy.hash, policy.tables)


def test_the_content_of_a_table_is_part_of_the_hash(tmp_path: Path) -> None:
    first = load(written(tmp_path, ROWS)).hash
    assert load(written(tmp_path, ROWS.replace("\n", "\r\n"))).hash == first
    assert load(written(tmp_path, ROWS.replace("< 5", "< 6"))).hash != first
    assert load(written(tmp_path, ROWS.replace(",few\n", ",\n"))).hash != first
    one = load(written(tmp_path, workbook(*SHEET), name="t.xlsx")).hash
    assert load(written(tmp_path, workbook(*SHEET), name="t.xlsx")).hash == one


def refused(tmp_path: Path, content: bytes, declared: str = "{hit: first}", name: str = "t.xlsx") -> str:
    with pytest.raises(PolicyError) as error:
        load(written(tmp_path, content, declared, name))
    return "\n".join(f"{problem.place.cell} {problem.message}" for problem in error.value.problems)


def test_problems_of_a_workbook_name_sheet_and_cell(tmp_path: Path) -> None:
    assert refused(tmp_path, workbook(["when items", "then score"], ["many people", 5])) == (
        'Limits!A2 "many people" is no number'
    )
    formula = workbook(["when items", "then score"], ["> 5", "=1+1"])
    assert '"t.xlsx", cell Limits!B2: a formula is not computed' in refused(tmp_path, formula)
    broken = workbook(["when items", "then score"], ["#REF!", 5])
    assert "the cell holds the error #REF!" in refused(tmp_path, broken)
    assert 'there is no sheet "Limit"' in refused(tmp_path, workbook(*SHEET), "{hit: first, sheet: Limit}")


def repacked(content: bytes, name: str, change: Any) -> bytes:
    stream = BytesIO()
    with zipfile.ZipFile(BytesIO(content)) as old, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as new:
        for part in old.infolist():
            data = old.read(part)
            new.writestr(part.filename, change(data) if part.filename == name else data)
    return stream.getvalue()


PAGE: Final = "xl/worksheets/sheet1.xml"


def test_a_hostile_workbook_is_refused(tmp_path: Path) -> None:
    content = workbook(*SHEET)
    bomb = repacked(content, "xl/styles.xml", lambda _: b" " * (limits.TABLE_UNPACKED_MAX + 1))
    assert len(bomb) < limits.TABLE_BYTES_MAX
    assert "unpacks to more than 64 MiB" in refused(tmp_path, bomb)
    entities = repacked(content, PAGE, lambda data: b'<!DOCTYPE x [<!ENTITY a "aa">]>' + data)
    assert "declares entities" in refused(tmp_path, entities)
    wide = repacked(content, PAGE, lambda data: data.decode().encode("utf-16"))
    assert "not UTF-8" in refused(tmp_path, wide)
    far = repacked(content, PAGE, lambda data: data.replace(b'<row r="3"', b'<row r="99999999999"'))
    assert load(written(tmp_path, far, name="t.xlsx")).tables[0].rows == ((2, "a"),)
    assert "not a workbook" in refused(tmp_path, content[: len(content) // 2])
    assert "the table is empty" in refused(tmp_path, repacked(content, PAGE, lambda _: b"<x/>"))
    assert "not a workbook that can be read" in refused(tmp_path, repacked(content, PAGE, lambda _: b"<x"))
    assert "neither CSV nor XLSX" in refused(tmp_path, b"\xd0\xcf\x11\xe0 old", name="t.xls")


def test_bounds(tmp_path: Path) -> None:
    header = "when items,then score\n"
    full = header + "".join(f"{n},1\n" for n in range(limits.TABLE_ROWS_MAX))
    assert len(load(written(tmp_path, full)).tables[0].rows) == limits.TABLE_ROWS_MAX
    assert "more than 1,000 rows" in refused(tmp_path, (full + "5,1\n").encode(), name="t.csv")
    assert "more than 64 columns" in refused(tmp_path, ("note," * 65 + "id\n").encode(), name="t.csv")
    assert "longer than 2,000 characters" in refused(tmp_path, f"{header}{'5' * 2001},1\n".encode(), name="t.csv")
    assert "larger than" in refused(tmp_path, b" " * (limits.TABLE_BYTES_MAX + 1), name="t.csv")
    assert "leads upwards" in refused(tmp_path, b"", name="../t.csv")
