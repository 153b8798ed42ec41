"""The report: everything in it, nothing executable, nothing fetched, nothing that an event could break."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import TYPE_CHECKING
from zipfile import ZipFile

import polars as pl
import pytest
from engines import DAY, NOON
from test_history_backtest import EVENTS, POLICY
from typer.testing import CliRunner

from frmcore.cli import app, backtest_tables
from frmcore.history.backtest import Setup, backtest
from frmcore.history.measures import measure
from frmcore.report import files
from frmcore.report.page import render
from frmcore.report.plots import Series, lines

if TYPE_CHECKING:
    from pathlib import Path

EVIL = "<script>alert(1)</script>\"'&{{ 7 * 7 }}"
VOID = {"meta"}


class Page(HTMLParser):
    """Tags, what they point at, and whether each is closed in its turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.ids |= {value or "" for name, value in attrs if name == "id"}
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]
        assert not [name for name, _ in attrs if name.startswith("on")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A report over events whose every text tries to be more than that."""
    tmp_path = tmp_path_factory.mktemp("page")
    policy = POLICY.replace("outcome: block}", 'outcome: block, reason: "{account} <b>&"}', 1)
    policy += """  - {id: both, point: first, when: 'tries >= 9 and amount > money("1")', outcome: review}\n"""
    events = [each | {"id": f"{each['id']}{EVIL}", "account": f"{each['account']}{EVIL}"} for each in EVENTS]
    history, labels = tmp_path / "history.jsonl", tmp_path / "labels.jsonl"
    history.write_text("".join(json.dumps(each) + "\n" for each in [*events, {"id": EVIL, "ts": NOON}]))
    fraud = [(0, True), (2, True), (3, False), (6, True)]
    rows = [{"id": events[i]["id"], "label": "fraud" if bad else "good", "at": NOON + 4 * DAY} for i, bad in fraud]
    labels.write_text("".join(json.dumps(row) + "\n" for row in rows))
    setup = Setup([str(history)], labels=str(labels), baseline=policy.replace("tries >= 3", "tries >= 9"))
    with backtest(policy, setup) as run:
        return render(run, measure(run))


def test_it_is_one_page_that_runs_and_fetches_nothing(page: str) -> None:
    parsed = Page(page)
    assert not parsed.tags & {"script", "link", "img", "iframe", "object", "form"}
    assert {link for link in parsed.links if not link.startswith("#")} == set()
    assert {link[1:] for link in parsed.links} <= parsed.ids
    assert "&lt;script&gt;alert(1)" in page
    assert "{{ 7 * 7 }}" in page


def test_it_shows_each_rule_hits_misses_changes_and_the_data(page: str) -> None:
    assert {f"rule-{rule}" for rule in ("many", "listed", "big", "quiet", "refused")} <= Page(page).ids
    for text in (
        "Rightly",
        "Wrongly",
        "Frauds that nothing stopped",
        "It never fired",
        "InvalidEvent",
        "tries &gt;= 3",
    ):
        assert text in page, text
    assert "nearest:" in page
    assert "<td>allow</td><td>block</td><td>many</td>" in page


def test_a_report_without_labels_says_so(tmp_path: Path) -> None:
    (tmp_path / "history.jsonl").write_text("".join(json.dumps(each) + "\n" for each in EVENTS))
    with backtest(POLICY, Setup([str(tmp_path / "history.jsonl")])) as run:
        page = render(run, measure(run))
    Page(page)
    assert "there are no labels" in page


def test_plots_of_little() -> None:
    assert "polyline" not in lines("one", ["a"], [Series("x", "a", [3.0])])
    assert lines("gap", ["a", "b", "c", "d", "e"], [Series("x", "a", [1, 2, None, 3, 4])]).count("<polyline") == 2
    assert "young" in lines("young", ["a", "b"], [Series("x", "a", [1, 2])], faded=1)
    Page(lines("none", [], [Series("x", "a", [])]))


@pytest.mark.parametrize("ending", ["html", "xlsx", "json", "parquet"])
def test_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "history.jsonl").write_text("".join(json.dumps(each) + "\n" for each in EVENTS))
    out = tmp_path / f"out.{ending}"
    result = CliRunner().invoke(app, ["backtest", "policy.yaml", "history.jsonl", "--to", out.name])
    assert result.exit_code == 0, result.output
    assert out.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["history.jsonl", out.name, "policy.yaml"]
    if ending == "xlsx":
        with ZipFile(out) as book:
            assert "xl/worksheets/sheet11.xml" in book.namelist()
    elif ending == "json":
        assert json.loads(out.read_text())["rules"][0]["rule"] == "many"
    elif ending == "parquet":
        frame = pl.read_parquet(out)
        assert frame["feature.tries"].to_list() == [1, 2, 3, 1, 1, 1, 1]
        assert frame["outcome"].to_list()[2] == "block"


def test_excel_has_amounts_in_the_currency_that_the_heading_names(tmp_path: Path) -> None:
    (tmp_path / "history.jsonl").write_text("".join(json.dumps(each) + "\n" for each in EVENTS))
    (tmp_path / "labels.csv").write_text("id,label\ne4,fraud\n")
    setup = Setup([str(tmp_path / "history.jsonl")], labels=str(tmp_path / "labels.csv"))
    with backtest(POLICY, setup) as run:
        tables = measure(run).tables()
    found = files.in_major(tables, "EUR")
    assert (tables["total"][0]["amount_caught"], found["total"][0]["amount_caught (EUR)"]) == (20_000, 200.0)
    assert found["reviews"][0]["amount_a_day (EUR)"] == 200 / 3
    assert "amount_caught" in files.in_major(tables, "")["total"][0]
    assert files.in_major({"t": [{"amount": 5}]}, "JPY") == {"t": [{"amount (JPY)": 5.0}]}
    assert [files.is_part(name) for name in ("precision", "average_precision", "auc_roc")] == [True, False, False]


def test_reviews_are_over_what_is_known_and_customers_over_as_many_as_are_looked_at(tmp_path: Path) -> None:
    """Two customers found out in three days: over 1 and 100 a day, as card precision is defined, whoever was there."""
    (tmp_path / "history.jsonl").write_text("".join(json.dumps(each) + "\n" for each in EVENTS))
    (tmp_path / "labels.csv").write_text("id,label\ne3,fraud\ne4,legit\ne7,fraud\n")
    setup = Setup([str(tmp_path / "history.jsonl")], labels=str(tmp_path / "labels.csv"), mature_ms=0)
    with backtest(POLICY, setup) as run:
        rows = measure(run, (1, 100)).reviews
    assert [(row["precision"], row["card_precision"]) for row in rows] == [(1.0, 2 / 3), (2 / 3, 2 / 300)]


@pytest.mark.parametrize("command", ["measure", "sweep"])
def test_a_narrow_terminal_cuts_no_figure_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "40")
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "history.jsonl").write_text("".join(json.dumps(each) + "\n" for each in EVENTS))
    (tmp_path / "scores.csv").write_text("score,label\n0.912345,1\n0.35,0\n0.8,0\n0.7,1\n")
    swept = ["policy.yaml", "history.jsonl", "--rule", "many", "--param", "tries=2..4"]
    args = {"measure": ["scores.csv"], "sweep": swept}
    result = CliRunner().invoke(app, [command, *args[command]])
    assert result.exit_code == 0
    assert "…" not in result.stdout
    assert ("0.333" if command == "measure" else "fraud caught") in result.stdout


def test_what_is_left_out_of_the_changes_is_said(tmp_path: Path) -> None:
    rules = "".join(f"  - {{id: r{n}, point: first, when: 'account == \"a{n}\"', outcome: block}}\n" for n in range(70))
    events = [EVENTS[0] | {"id": f"e{n}", "account": f"a{n}"} for n in range(70)]
    (tmp_path / "history.jsonl").write_text("".join(json.dumps(each) + "\n" for each in events))
    policy = POLICY.replace("tries >= ", "tries >= 99")
    with backtest(policy + rules, Setup([str(tmp_path / "history.jsonl")], baseline=policy)) as run:
        measures = measure(run)
        assert len(measures.changes) == 70
        assert "And 10 more kinds of changes." in render(run, measures)
        assert backtest_tables.changes(run, measures)[1:] == [
            "and 55 more kinds of changes: --to has them as .xlsx or .json"
        ]
        assert backtest_tables.whole_units(run, 12_999) == "130"


def test_ctrl_c_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: object, done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("frmcore.cli.progress.Bar.__call__", interrupted)
    (tmp_path / "policy.yaml").write_text(POLICY)
    events = [EVENTS[0] | {"id": f"e{i}", "ts": NOON + i} for i in range(1_500)]
    (tmp_path / "history.jsonl").write_text("".join(json.dumps(each) + "\n" for each in events))
    result = CliRunner().invoke(app, ["backtest", "policy.yaml", "history.jsonl", "--to", "out.html"])
    assert result.exit_code == 130
    assert "interrupted at 2025-10-09T12:00:01.023Z" in result.stderr
    assert "1,024" in result.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["history.jsonl", "policy.yaml"]
