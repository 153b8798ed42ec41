"""The command line as a user meets it: what it prints, where to, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from frmcore.cli.console import micros, plain
from frmcore.history.cells import epoch_ms, typed
from frmcore.plan import Kind

NOON = 1_772_452_800_000
FRMCORE = [sys.executable, "-c", "from frmcore.cli import main; main()"]


def frmcore(*arguments: object, stdin: str = "", cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"COLUMNS": "120", "NO_COLOR": "1"}
    command = [*FRMCORE, *map(str, arguments)]
    return subprocess.run(command, input=stdin, cwd=cwd, env=env, check=False, capture_output=True, text=True)


@pytest.fixture(scope="module")
def starter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("starter")
    told = frmcore("new", folder)
    assert told.returncode == 0, told.stderr
    return folder


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("generated")
    for ending in ("jsonl", "csv", "parquet"):
        out, updates = folder / f"events.{ending}", folder / f"updates.{ending}"
        told = frmcore("generate", "--events", 400, "--seed", 5, "--out", out, "--updates", updates)
        assert (told.returncode, told.stdout) == (0, ""), told.stderr
    return folder


def decisions(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


# -- new, check --------------------------------------------------------------------------------------------------
def test_new_says_what_to_try_next_and_that_works(starter: Path) -> None:
    told = frmcore("new", starter / "again")
    for line in told.stdout.splitlines():
        assert frmcore(*line.split()[1:]).returncode == 0, line


def test_new_overwrites_nothing(starter: Path) -> None:
    before = (starter / "policy.yaml").read_bytes()
    told = frmcore("new", starter)
    assert told.returncode == 1
    assert "is there already" in told.stderr
    assert (starter / "policy.yaml").read_bytes() == before


def test_check_sums_a_policy_up(starter: Path) -> None:
    told = frmcore("check", starter / "policy.yaml")
    assert told.returncode == 0
    assert "starter, version 1: fine" in told.stdout
    assert "4 aggregates, 0 expressions" in told.stdout
    assert "3 live, 1 shadow, 1 off" in told.stdout
    summary = json.loads(frmcore("check", starter / "policy.yaml", "--json").stdout)
    assert summary["ok"]
    assert summary["features"] == ["card_attempts_10m", "spend_24h", "usual_ticket", "since_login"]
    assert {"id": "big_spender", "group": "", "mode": "shadow"} in summary["rules"]


def test_check_shows_every_problem_with_its_place(starter: Path, tmp_path: Path) -> None:
    text = (starter / "policy.yaml").read_text().replace("by=card", "by=cart").replace("5 * usual_ticket", "5 * usual")
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(text)
    told = frmcore("check", wrong)
    assert (told.returncode, told.stdout) == (1, "")
    assert "wrong.yaml:" in told.stderr
    assert "^^^^" in told.stderr
    assert "2 problems found" in told.stderr
    found = json.loads(frmcore("check", wrong, "--json").stdout)
    assert not found["ok"]
    assert [text.split("\n")[p["line"] - 1][p["column"] - 1 :][:4] for p in found["problems"]] == ["cart", "usua"]


def test_check_names_the_patterns_that_google_re2_runs(starter: Path, tmp_path: Path) -> None:
    slow = tmp_path / "slow.yaml"
    text = (starter / "policy.yaml").read_text().rstrip("\n")
    slow.write_text(text + "\n  - {id: slow, when: 'matches(card, \"a.{20}\")', score: 1}\n")
    told = frmcore("check", slow)
    assert told.returncode == 0
    assert f'slow.yaml:{len(text.splitlines()) + 1}:37: "a.{{20}}" is run by google-re2' in told.stderr.replace(
        "\n", " "
    )
    (warning,) = json.loads(frmcore("check", slow, "--json").stdout)["warnings"]
    assert "a.{20}" in warning


def test_the_demo_policy_has_no_warnings() -> None:
    from frmcore.cli.demo import POLICY

    summary = json.loads(frmcore("check", POLICY, "--json").stdout)
    assert summary["warnings"] == []


# -- run ---------------------------------------------------------------------------------------------------------
def test_run_decides_and_sums_up(starter: Path) -> None:
    told = frmcore("run", starter / "policy.yaml", starter / "events.jsonl")
    assert told.returncode == 0
    by_id = {d["event_id"]: d for d in decisions(told.stdout) if not d["duplicate"]}
    assert by_id["p-9"]["outcome"] == "block"
    assert by_id["p-9"]["reasons"] == ["4 attempts on one card in 10 minutes"]
    assert by_id["p-5"]["outcome"] == "review"
    assert by_id["p-2"]["features"]["spend_24h"] == 2490 + 1850
    assert "13 decisions" in told.stderr
    assert "p99" in told.stderr


def test_run_gives_the_same_whatever_the_format(generated: Path) -> None:
    from frmcore.cli.demo import POLICY

    told = {
        ending: frmcore("run", POLICY, generated / f"events.{ending}", "--updates", generated / f"updates.{ending}")
        for ending in ("jsonl", "csv", "parquet")
    }
    assert {ending: t.returncode for ending, t in told.items()} == dict.fromkeys(told, 0)
    assert told["csv"].stdout == told["jsonl"].stdout == told["parquet"].stdout
    assert len(decisions(told["csv"].stdout)) == 400


def test_run_tells_updates_at_their_times(starter: Path, tmp_path: Path) -> None:
    (tmp_path / "updates.csv").write_text("id,at,field,value\np-1,1772443000000,status,declined\n")
    told = frmcore("run", starter / "policy.yaml", starter / "events.jsonl", "--updates", tmp_path / "updates.csv")
    by_id = {d["event_id"]: d["features"] for d in decisions(told.stdout)}
    assert by_id["p-1"]["spend_24h"] == 2490
    assert by_id["p-2"]["spend_24h"] == 1850


def test_run_writes_tables(starter: Path, tmp_path: Path) -> None:
    import pyarrow.parquet

    for name in ("out.csv", "out.parquet"):
        told = frmcore("run", starter / "policy.yaml", starter / "events.jsonl", "--out", tmp_path / name)
        assert (told.returncode, told.stdout) == (0, ""), told.stderr
    rows = pyarrow.parquet.read_table(tmp_path / "out.parquet").to_pylist()
    p9 = next(row for row in rows if row["event_id"] == "p-9")
    assert (p9["fired"], p9["feature.card_attempts_10m"]) == (["card_testing"], 4)
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert len(lines) == len(rows) + 1
    assert lines[0].startswith("event_id,point,outcome,intended,")


def test_run_reads_stdin(starter: Path) -> None:
    told = frmcore("run", starter / "policy.yaml", "-", stdin=(starter / "events.jsonl").read_text())
    assert len(decisions(told.stdout)) == 13


BROKEN = """{"id": "a", "time": 1772442000000, "kind": "login", "account": "anna", "country": "DE"}
{"id": "b", "time":
[1]

{"id": "c", "time": "soon", "kind": "login", "account": "anna", "country": "DE"}
{"id": "d", "time": 1772442060000, "kind": "login", "account": "anna", "country": "DE"}
"""


def test_run_refuses_rows_with_their_lines(starter: Path, tmp_path: Path) -> None:
    source, refused = tmp_path / "broken.jsonl", tmp_path / "refused.jsonl"
    source.write_text(BROKEN)
    told = frmcore("run", starter / "policy.yaml", source, "--invalid", refused, "--json")
    assert told.returncode == 1
    assert [d["event_id"] for d in decisions(told.stdout)] == ["a", "d"]
    assert [r["line"] for r in decisions(refused.read_text())] == [2, 3, 5]
    assert f"{source}:5: " in told.stderr
    totals = json.loads(told.stderr.splitlines()[-1])
    assert (totals["decisions"], totals["invalid"], totals["outcomes"]["allow"]) == (2, 3, 2)
    assert frmcore("run", starter / "policy.yaml", source, "--skip-invalid").returncode == 0


def test_run_refuses_updates_that_fit_nothing(starter: Path, tmp_path: Path) -> None:
    updates = tmp_path / "updates.csv"
    updates.write_text(
        "id,at,field,value\nnobody,1,status,declined\np-1,1772443000000,status,maybe\np-1,2,colour,red\n,,,\n"
    )
    told = frmcore("run", starter / "policy.yaml", starter / "events.jsonl", "--updates", updates)
    assert told.returncode == 1
    assert [line for line in (2, 3, 4, 5) if f"{updates}:{line}: " in told.stderr] == [2, 3, 4, 5]


def test_only_the_first_refusals_are_shown(starter: Path) -> None:
    told = frmcore("run", starter / "policy.yaml", "-", stdin="nonsense\n" * 50)
    assert told.stderr.count("-:") == 20
    assert "refused rows: 50" in told.stderr


def test_a_row_of_the_wrong_length_is_no_row(starter: Path, tmp_path: Path) -> None:
    source = tmp_path / "rows.csv"
    source.write_text("id,time,kind,account,country\na,1772442000000,login,anna,DE\nb,1772442000000,login\n")
    told = frmcore("run", starter / "policy.yaml", source)
    assert told.returncode == 1
    assert "rows.csv:3: 3 cells; the header has 5" in told.stderr


def test_parquet_times_are_utc_and_broken_files_are_refused(starter: Path, tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    source = tmp_path / "times.parquet"
    at = pyarrow.array([1772442000_123456789], pyarrow.timestamp("ns"))
    columns = {"id": ["a"], "time": at, "kind": ["login"], "account": ["anna"], "country": ["DE"]}
    pyarrow.parquet.write_table(pyarrow.table(columns), source)
    assert frmcore("run", starter / "policy.yaml", source).returncode == 0
    assert frmcore("run", starter / "policy.yaml", source).stdout.count('"event_id":"a"') == 1
    columns["later"] = pyarrow.array([1], pyarrow.duration("ns"))  # which no policy reads, and Python has no form for
    columns["deep"] = pyarrow.array([{"at": 1}], pyarrow.struct([("at", pyarrow.timestamp("ns"))]))
    pyarrow.parquet.write_table(pyarrow.table(columns), source)
    assert frmcore("run", starter / "policy.yaml", source).returncode == 0
    source.write_bytes(b"PAR1 nonsense PAR1")
    told = frmcore("run", starter / "policy.yaml", source)
    assert told.returncode == 1
    assert "times.parquet:1: no Parquet: " in told.stderr


def test_parquet_that_is_no_utf8_is_refused_row_by_row_and_a_damaged_one_by_name(starter: Path, tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    source = tmp_path / "rows.parquet"
    text = pyarrow.array([b"anna", b"j\xf6rg", b"bert"]).view(pyarrow.string())
    plain = {"id": ["a", "b", "c"], "time": [NOON, NOON, NOON], "kind": ["login"] * 3, "country": ["DE"] * 3}
    pyarrow.parquet.write_table(pyarrow.table(plain | {"account": text}), source)
    told = frmcore("run", starter / "policy.yaml", source)
    assert (told.returncode, [d["event_id"] for d in decisions(told.stdout)]) == (1, ["a", "c"])
    assert "rows.parquet:2: it can't be read: 'utf-8' codec" in told.stderr
    table = pyarrow.table(plain | {"account": [f"{number:0200}" for number in range(3)]})
    pyarrow.parquet.write_table(table, source, use_dictionary=False)
    with pyarrow.parquet.ParquetFile(source) as file:
        at = file.metadata.row_group(0).column(4).data_page_offset
    damaged = bytearray(source.read_bytes())
    damaged[at + 20 : at + 60] = b"\xff" * 40
    source.write_bytes(damaged)
    told = frmcore("run", starter / "policy.yaml", source)
    assert (told.returncode, "rows.parquet:1: no Parquet: " in told.stderr) == (1, True), told.stderr


ROWS = "id,time,kind,account,country\na,1772442000000,login,anna,DE\nb,1772442000000,login,bert,DE\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (ROWS.replace(",", ";").encode(), "separated by semicolons, not by commas"),
        (ROWS.replace(",", "\t").encode(), "separated by tabs, not by commas"),
        (ROWS.partition("\n")[2].encode(), "the first line has to name the columns"),
        (ROWS.replace("id", "nr").encode(), "there is no column id; its columns: 'nr', 'time', 'kind', 'account', "),
        (ROWS.encode("utf-16"), "it is UTF-16: save it as UTF-8"),
        (b"x" * 2_000_000, "no CSV: field larger than field limit"),
    ],
)  # fmt: skip
def test_a_table_without_its_columns_is_refused_once(starter: Path, tmp_path: Path, content: bytes, said: str) -> None:
    source = tmp_path / "rows.csv"
    source.write_bytes(content)
    told = frmcore("run", starter / "policy.yaml", source)
    assert (told.returncode, told.stdout) == (1, "")
    assert told.stderr.count("rows.csv:1: ") == 1 and said in told.stderr, told.stderr
    assert "p50" not in told.stderr and "refused rows: 1\n" in told.stderr


def test_a_file_with_tabs_and_one_with_a_mark_of_its_encoding_are_read(starter: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.tsv").write_text(ROWS.replace(",", "\t"))
    (tmp_path / "rows.csv").write_text(ROWS, "utf-8-sig")
    lines = (starter / "events.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "rows.jsonl").write_text("".join(lines[:2]), "utf-8-sig")
    for name in ("rows.tsv", "rows.csv", "rows.jsonl"):
        told = frmcore("run", starter / "policy.yaml", tmp_path / name, "--out", tmp_path / "out.tsv")
        assert (told.returncode, "2 decisions" in told.stderr) == (0, True), told.stderr
        assert (tmp_path / "out.tsv").read_text().startswith("event_id\tpoint\toutcome\t")


def test_times_in_seconds_are_noticed(starter: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(ROWS.replace("000,", ","))
    told = frmcore("run", starter / "policy.yaml", tmp_path / "rows.csv")
    assert "the first time is before 2001: are times in seconds?" in " ".join(told.stderr.split())
    assert "seconds" not in frmcore("run", starter / "policy.yaml", starter / "events.jsonl").stderr


def test_what_is_read_is_not_replaced(starter: Path, tmp_path: Path) -> None:
    for name in ("rows.csv", "updates.csv"):
        (tmp_path / name).write_text(ROWS)
    (tmp_path / "link.csv").symlink_to("rows.csv")
    for option, name in (("--out", "rows.csv"), ("--out", "link.csv"), ("--invalid", "updates.csv")):
        arguments = ("rows.csv", "--updates", "updates.csv", option, tmp_path / name)
        told = frmcore("run", starter / "policy.yaml", *arguments, cwd=tmp_path)
        assert (told.returncode, "replaced" in told.stderr) == (2, True), told.stderr
    history = tmp_path / "history.parquet"
    history.write_bytes(b"kept")
    told = frmcore("backtest", starter / "policy.yaml", history, "--to", history)
    assert (told.returncode, "replaced" in told.stderr, history.read_bytes()) == (2, True, b"kept"), told.stderr
    assert (tmp_path / "rows.csv").read_text() == (tmp_path / "updates.csv").read_text() == ROWS


def test_csv_that_is_no_utf8_is_refused_row_by_row(starter: Path, tmp_path: Path) -> None:
    source, refused = tmp_path / "latin.csv", tmp_path / "refused.jsonl"
    source.write_bytes(b"id,time,kind,account,country\na,1,login,j\xf6rg,DE\nb,1,login,anna,DE\n")
    told = frmcore("run", starter / "policy.yaml", source, "--invalid", refused)
    assert [d["event_id"] for d in decisions(told.stdout)] == ["b"]
    assert [r["line"] for r in decisions(refused.read_text())] == [2]


def test_hostile_text_does_not_steer_the_terminal(starter: Path) -> None:
    event = {"id": "\x1b[2J[bold]x", "time": 1772442000000, "kind": "login", "account": "a", "country": 7}
    told = frmcore(
        "run", starter / "policy.yaml", "-", stdin=json.dumps(event) + '\n{"\\u001b]0;x\\u0007": 1}\n\x1b[2J\n'
    )
    assert "\x1b" not in told.stderr
    assert "\x07" not in told.stderr


def test_check_looks_at_the_tests_beside_rules(starter: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text((starter / "policy.yaml").read_text().replace("expect: fires", "expects: fires", 1))
    told = frmcore("check", wrong)
    assert (told.returncode, "expects" in told.stderr, "2 problems found" in told.stderr) == (1, True, True), (
        told.stderr
    )


# -- explain -----------------------------------------------------------------------------------------------------
def test_explain_shows_rules_values_and_evidence(starter: Path) -> None:
    told = frmcore("explain", starter / "policy.yaml", starter / "events.jsonl", "p-9")
    assert told.returncode == 0, told.stderr
    assert "p-9 at default: block" in told.stdout
    assert "card_testing: fired" in told.stdout
    assert "4 attempts on one card in 10 minutes" in told.stdout
    assert "p-6" in told.stdout  # evidence of the window
    found = json.loads(frmcore("explain", starter / "policy.yaml", starter / "events.jsonl", "p-9", "--json").stdout)
    assert {rule["id"] for rule in found["rules"]} >= {"card_testing", "unusual_amount"}


def test_explain_shows_times_and_money_of_the_event_as_people_read_them(starter: Path) -> None:
    told = frmcore("explain", starter / "policy.yaml", starter / "events.jsonl", "p-9").stdout
    event = dict(line.strip("│ ").split(" │ ") for line in told.splitlines() if line.count("│") == 3)
    shown = {name.strip(): value.strip() for name, value in event.items()}
    assert (shown["time"], shown["amount"], shown["status"]) == ("2026-03-02T12:20:54Z", "1.00 EUR", "pending")


def test_explain_of_an_unknown_event(starter: Path) -> None:
    told = frmcore("explain", starter / "policy.yaml", starter / "events.jsonl", "p-99")
    assert (told.returncode, told.stdout) == (1, "")
    assert "no valid event with the id p-99" in told.stderr


# -- generate, demo ----------------------------------------------------------------------------------------------
def test_generate_prints_events_and_describes_itself() -> None:
    told = frmcore("generate", "--events", 25)
    assert len(decisions(told.stdout)) == 25
    assert told.stdout == frmcore("generate", "--events", 25, "--seed", 1).stdout
    assert told.stdout != frmcore("generate", "--events", 25, "--seed", 2).stdout
    assert "card_testing, 0.8%" in frmcore("generate", "--describe").stdout


def test_generated_files_hold_the_same(generated: Path) -> None:
    import pyarrow.parquet

    rows = decisions((generated / "events.jsonl").read_text())
    table = pyarrow.parquet.read_table(generated / "events.parquet").to_pylist()
    assert [{k: v for k, v in row.items() if v is not None} for row in table] == rows
    assert len((generated / "events.csv").read_text().splitlines()) == 401


def test_demo_ends_with_tables() -> None:
    told = frmcore("demo", "--events", 3000)
    assert told.returncode == 0, told.stderr
    for heading in ("decisions/s", "p99.9", "precision", "finds most of", "amount caught", "cards_of_mailbox"):
        assert heading in told.stdout


def test_demo_rules_catch_most_fraud_with_few_false_alarms() -> None:
    found = json.loads(frmcore("demo", "--events", 30_000, "--json").stdout)
    assert found["precision"] > 0.85
    for scenario in found["scenarios"]:
        assert scenario["caught"] > 0.6 * scenario["events"], scenario
        assert scenario["amount_caught"] > 0.6 * scenario["amount"], scenario
    assert found["decisions"] > found["events"] == 30_000
    assert sum(found["outcomes"].values()) == found["events"] - found["duplicates"]


# -- how it ends -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "arguments",
    [["nonsense"], ["run"], ["demo", "--events", "0"], ["generate", "--out", "x.xls"], ["run", "p.yaml", "events.txt"]],
)
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    told = frmcore(*arguments)
    assert (told.returncode, told.stdout) == (2, "")
    assert "Traceback" not in told.stderr


@pytest.mark.parametrize(
    "arguments",
    [["check", "missing.yaml"], ["run", "missing.yaml", "x.jsonl"], ["run", "policy.yaml", "missing.jsonl"]],
)
def test_missing_files_exit_with_1_and_a_short_message(starter: Path, arguments: list[str]) -> None:
    told = frmcore(*arguments, cwd=starter)
    assert (told.returncode, told.stdout) == (1, "")
    assert "missing." in told.stderr
    assert "Traceback" not in told.stderr


def test_parquet_without_pyarrow_says_what_to_install(starter: Path) -> None:
    code = "import sys; sys.modules['pyarrow'] = None; from frmcore.cli import main; main()"
    command = [sys.executable, "-c", code, "run", starter / "policy.yaml", "x.parquet"]
    told = subprocess.run(command, check=False, capture_output=True, text=True)
    assert told.returncode == 1
    assert 'pip install "frmcore[parquet]"' in told.stderr
    assert "Traceback" not in told.stderr


def test_version_and_help() -> None:
    import frmcore as library

    assert frmcore("--version").stdout == f"frmcore {library.__version__}\n"
    for arguments in (["-h"], ["lists", "add", "-h"]):
        assert (told := frmcore(*arguments)).returncode == 0 and "Usage: " in told.stdout


@pytest.mark.parametrize("arguments", [["generate", "--events", "200000"], ["generate", "--events", "1"]])
def test_a_closed_pipe_ends_quietly(arguments: list[str]) -> None:
    """While rows are written, and with the last of them."""
    reader, writer = os.pipe()
    process = subprocess.Popen([*FRMCORE, *arguments], stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    if arguments[-1] != "1":
        assert os.read(reader, 10) == b'{"txn_id":'
    os.close(reader)
    assert process.communicate(timeout=60)[1] == ""
    assert process.returncode == 0


def test_closed_streams_lead_nowhere(starter: Path, tmp_path: Path) -> None:
    run = f"{sys.executable} -m frmcore run {starter / 'policy.yaml'}"
    for command in (f"{run} {starter / 'events.jsonl'} >&-", f"{run} - <&-", f"{run} - <&- >&- 2>&-"):
        told = subprocess.run(["/bin/sh", "-c", command], check=False, capture_output=True, text=True)
        assert (told.returncode, told.stdout, "Traceback" in told.stderr) == (0, "", False), told.stderr


def test_a_terminal_that_has_no_such_letters_gets_them_escaped(starter: Path, tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text((starter / "policy.yaml").read_text().replace("starter", "j\xf6rg\u2019s"), "utf-8")
    env = os.environ | {"PYTHONIOENCODING": "ascii", "COLUMNS": "120"}
    told = subprocess.run([*FRMCORE, "check", policy], env=env, check=False, capture_output=True, text=True)
    assert (told.returncode, "j\\xf6rg\\u2019s, version 1: fine" in told.stdout) == (0, True), told.stderr


def test_an_interrupt_ends_without_a_traceback(tmp_path: Path) -> None:
    """Even while the command line is still being loaded."""
    process = subprocess.Popen(
        [*FRMCORE, "generate", "--events", "5000000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in told
    (tmp_path / "typer.py").write_text("raise KeyboardInterrupt")
    env = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{Path.cwd()}"}
    early = subprocess.run([sys.executable, "-m", "frmcore"], env=env, check=False, capture_output=True, text=True)
    assert (early.returncode, early.stdout, early.stderr) == (130, "", "")


# -- small parts -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("12", Kind.INT, 12), ("1.5", Kind.INT, "1.5"), ("1999", Kind.MONEY, 1999), ("1.5", Kind.FLOAT, 1.5),
        ("x", Kind.FLOAT, "x"), ("true", Kind.BOOL, True), ("False", Kind.BOOL, False), ("yes", Kind.BOOL, "yes"),
        ("1772442000000", Kind.TIMESTAMP, 1772442000000),
        ("2026-03-02T09:00:00Z", Kind.TIMESTAMP, "2026-03-02T09:00:00Z"),
        ("007", Kind.STRING, "007"), ("1.20", Kind.DECIMAL, "1.20"),
    ],
)  # fmt: skip
def test_cells_become_what_they_spell(text: str, kind: Kind, value: object) -> None:
    found = typed(text, kind)
    assert (found, type(found)) == (value, type(value))


def test_times_are_compared_in_milliseconds() -> None:
    assert epoch_ms("2026-03-02T09:00:00.5Z") == 1772442000500
    assert epoch_ms("2026-03-02T10:00:00+01:00") == epoch_ms(1772442000000)
    assert epoch_ms("soon") is epoch_ms("2026-03-02T09:00:00") is epoch_ms(None) is epoch_ms(True) is None


def test_texts_for_people() -> None:
    assert plain("a\x1b[31m\u202eb") == "a\\x1b[31m\\u202eb"
    assert [micros(ns) for ns in (850, 9_999, 10_000, 12_345_678)] == ["0.85 us", "10.00 us", "10 us", "12,346 us"]
