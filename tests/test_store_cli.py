"""The commands on stores, as a user meets them."""

from __future__ import annotations

import csv
import json
import os
import stat
from typing import TYPE_CHECKING, Any

import pytest
from store_cases import NOW, POLICY, PRIVATE_KEY, SECOND, event, filled, killed, opened
from typer.testing import CliRunner

import frmcore
from frmcore.cli import app
from frmcore.store.inspection import inspect
from frmcore.store.layout import DATA_FILE
from frmcore.store.verify import verify
from frmcore.store.view import viewing

if TYPE_CHECKING:
    from pathlib import Path

pa = pytest.importorskip("pyarrow.parquet", reason="pyarrow is an extra")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As a killed engine left it."""
    root = tmp_path_factory.mktemp("store")
    engine = filled(root / "live")
    with engine._store.flusher.paused():  # type: ignore[union-attr]
        engine.decide(event(9_999) | {"ts": engine.stats["watermark"]})  # which only the ring has
        killed(engine, root / "store")
    engine.close()
    return root / "store"


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRMCORE_PRIVATE_KEY", PRIVATE_KEY.hex())
    monkeypatch.setenv("COLUMNS", "140")


def run(*arguments: object) -> tuple[int, str]:
    """(exit status, what it said): an error of ours ends in status 1 and a message."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(result.exception, frmcore.FrmcoreError):
        return 1, str(result.exception)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return result.exit_code, result.output


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def test_there_and_back(store: Path, tmp_path: Path) -> None:
    status, said = run("snapshot", store, tmp_path / "a.snap")
    assert (status, "operations of store" in said) == (0, True), said
    assert run("verify", tmp_path / "a.snap")[0] == 0
    assert run("restore", tmp_path / "a.snap", tmp_path / "new")[0] == 0
    status, said = run("verify", tmp_path / "new")
    assert (status, "fine" in said) == (0, True), said
    status, said = run("restore", tmp_path / "a.snap", tmp_path / "new")
    assert (status, "not empty" in said) == (1, True)


def test_inspect(store: Path) -> None:
    found = inspect(store)
    assert found.at_risk > 0
    assert found.seq == found.last + found.at_risk
    assert [row.version for row in found.policies] == ["1", "2"]
    assert found.lists == {"blocked": 4, "cards": 1, "nets": 3}
    assert all(row.complete for row in found.groups)
    assert (found.erasures, {row.evicted for row in found.groups}) == ([], {None})
    status, said = run("inspect", store)
    assert status == 0
    assert f"would lose {found.at_risk:,} operations" in said
    status, said = run("inspect", store, "--json")
    assert json.loads(said)["seq"] == found.seq
    with opened(store.with_name("other")) as engine:
        engine.decide(event(1))
    closed = inspect(store.with_name("other"))
    assert closed.at_risk == 0
    assert 1 in {row.rings for row in closed.groups}


def test_tail_gives_every_record_in_order(store: Path) -> None:
    status, said = run("tail", store)
    records = lines(said)
    assert status == 0
    assert [record["seq"] for record in records] == list(range(1, len(records) + 1))
    assert {record["type"] for record in records} == {"decision", "again", "observed", "update", "list", "policy"}
    observed = next(record for record in records if record["type"] == "observed")
    assert observed["event_id"] == observed["fields"]["id"] == "e5"
    assert observed["fields"]["card"] == "private"
    assert observed["fields"]["ip"] == "10.0.0.5"
    assert observed["fields"]["weight"] == 0.625
    assert observed["fields"]["label"] == "legit"
    decided = next(record for record in records if record.get("event_id") == "e1")
    assert decided["fields"]["amount"] == 101
    assert (decided["epoch"], decided["features"]["tries_1h"]) == (1, 1)
    assert "secret-card" not in said
    assert lines(run("tail", store, "--from", 100)[1]) == records[99:]


def test_tail_of_an_engine_and_its_epochs(tmp_path: Path) -> None:
    with opened(tmp_path / "store") as engine:
        engine.decide(event(1))
        assert [(epoch, seq) for epoch, seq, _ in engine.tail()] == [(1, 1)]
    with opened(tmp_path / "store") as engine:
        engine.decide(event(2))
        assert [(epoch, seq) for epoch, seq, _ in engine.tail()] == [(1, 1), (2, 2)]
        assert [seq for _, seq, _ in engine.tail(1)] == [2]
    with pytest.raises(frmcore.StoreUnavailable, match="in memory"):
        frmcore.Engine(None, policy=POLICY).tail()


def test_export(store: Path, tmp_path: Path) -> None:
    decided = [record for record in lines(run("tail", store)[1]) if record["type"] in ("decision", "again")]
    for name in ("d.jsonl", "d.csv", "d.parquet"):
        status, said = run("export", store, "--to", tmp_path / name)
        assert (status, f"{len(decided)} decisions" in said) == (0, True), said
    rows = lines((tmp_path / "d.jsonl").read_text())
    assert [(row["seq"], row["time"], row["policy"]) for row in rows] == [
        (each["seq"], each["time"], each["policy"]) for each in decided
    ]
    assert [row["reasons"] for row in rows] == [each["reasons"] for each in decided]
    table = pa.read_table(tmp_path / "d.parquet").to_pylist()
    assert [row["feature.tries_1h"] for row in table] == [row["features"]["tries_1h"] for row in rows]
    with (tmp_path / "d.csv").open() as file:
        assert [row["outcome"] for row in csv.DictReader(file)] == [row["outcome"] for row in rows]
    status, said = run("export", store, "--since", "1m")
    assert [row["time"] for row in lines(said)] == [each["time"] for each in decided if each["time"] >= NOW + 299_000]
    assert len(lines(run("export", store, "--since", "2025-10-09")[1])) == len(decided)
    assert lines(run("export", store, "--since", "2025-10-10")[1]) == []
    assert run("export", store, "--since", "yesterday")[0] == 2


def test_explain(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status, said = run("explain", store, "e3")
    assert (status, "e3 at first" in said) == (0, True), said
    found = json.loads(run("explain", store, "e359", "--json")[1])
    assert found["decision"]["policy"] != json.loads(run("explain", store, "e3", "--json")[1])["decision"]["policy"]
    assert "window from" not in said and "its events" not in said  # which are not recorded
    status, said = run("explain", store, "nope")
    assert (status, "was not decided here" in said) == (1, True)
    assert run("explain", store / DATA_FILE, "e3")[0] == 2
    monkeypatch.delenv("FRMCORE_PRIVATE_KEY")
    status, said = run("explain", store, "e3")
    assert (status, "FRMCORE_PRIVATE_KEY" in said) == (1, True)


def test_lists(tmp_path: Path) -> None:
    opened(tmp_path / "store").close()
    path = tmp_path / "store"
    assert "2 new" in run("lists", "add", path, "blocked", "x", "y", "--reason", "why", "--expires", "90d")[1]
    assert "1 removed" in run("lists", "remove", path, "blocked", "y", "z")[1]
    assert "1 new" in run("lists", "add", path, "cards", "secret-card")[1]
    assert "1 new" in run("lists", "add", path, "nets", "10.0.0.0/8")[1]
    assert json.loads(run("lists", "show", path, "--json")[1]) == {"blocked": 1, "cards": 1, "nets": 1}
    assert "why" in run("lists", "show", path, "blocked")[1]
    for name, value, status in (
        ("blocked", "x", 0), ("blocked", "y", 1), ("cards", "secret-card", 0), ("cards", "other", 1),
        ("nets", "10.9.9.9", 0), ("nets", "11.9.9.9", 1),
    ):  # fmt: skip
        assert run("lists", "check", path, name, value)[0] == status, (name, value)
    assert run("lists", "add", path, "nope", "x") == (
        1,
        "the policy has no list 'nope'; its lists: blocked, cards, nets",
    )
    for name in ("l.csv", "l.jsonl", "l.parquet"):
        assert run("lists", "export", path, "blocked", "--to", tmp_path / name)[0] == 0
        run("lists", "remove", path, "blocked", "x")
        assert "1 new" in run("lists", "import", path, "blocked", tmp_path / name)[1]
        (entry,) = json.loads(run("lists", "show", path, "blocked", "--json")[1])
        assert (entry["value"], entry["reason"], entry["expires"] is None) == ("x", "why", False)
    (tmp_path / "l.txt").write_text("p\nq\n\n")
    assert "2 new" in run("lists", "import", path, "blocked", tmp_path / "l.txt", "--reason", "feed")[1]


def test_an_end_that_is_over_is_refused(tmp_path: Path) -> None:
    """Nothing would be in force, and nobody would notice."""
    opened(tmp_path / "store").close()
    path = tmp_path / "store"
    (tmp_path / "l.txt").write_text("p\n")
    for arguments in (
        ("lists", "add", path, "blocked", "x", "--expires"),
        ("lists", "import", path, "blocked", tmp_path / "l.txt", "--expires"),
        ("hold", "add", path, "account:a", "--until"),
        ("snooze", path, "busy", "--until"),
    ):
        status, said = run(*arguments, "2020-01-01T00:00:00Z")
        assert (status, "2020-01-01T00:00:00Z is over already" in said) == (2, True), said
        assert run(*arguments, "0d")[0] == run(*arguments, "soon")[0] == 2
    assert inspect(path).lists["blocked"] == 0


def test_a_file_of_values_comes_whole_or_not_at_all(tmp_path: Path) -> None:
    opened(tmp_path / "store").close()
    path = tmp_path / "store"
    for name, list_name, content, said in (
        ("a.csv", "blocked", b"value,expires\nx1,90d\nx2,30d\nx3,soon\n", "a.csv:4: expires: expected a duration"),
        ("b.csv", "blocked", b"value,expires\nx1,90d\nx2,1893456000\n", "b.csv:3: expires: expected epoch millisec"),
        ("c.csv", "nets", b"value,reason\n10.0.0.0/8,a\n10.0.0.1/8,b\n", "c.csv:3: list nets: expected a network"),
        ("d.csv", "blocked", b"val,reason\nx1,a\n", "d.csv:1: there is no column value; its columns: 'val', 'reason'"),
        ("e.txt", "blocked", b"x1\nJ\xf6rg\n", "e.txt:2: list blocked: expected text of 1 to 16384 bytes of valid"),
        ("f.jsonl", "blocked", b'{"value": "x1"}\n{"value": 2}\n', "f.jsonl:2: it has no value"),
    ):  # fmt: skip
        (tmp_path / name).write_bytes(content)
        assert (status := run("lists", "import", path, list_name, tmp_path / name))[0] == 1, status
        assert said in status[1] and "nothing was added" in status[1], status
    assert set(inspect(path).lists.values()) == {0}
    (tmp_path / "g.csv").write_text("value,expires\nx1,2020-01-01T00:00:00Z\nx2,90d\nx3,\n")
    status, said = run("lists", "import", path, "blocked", tmp_path / "g.csv")
    assert (status, "2 new" in said, "1 left out: their end is past" in said) == (0, True, True), said
    (tmp_path / "g.csv").write_text("value,expires\nx1,2020-01-01T00:00:00Z\n")
    assert run("lists", "import", path, "blocked", tmp_path / "g.csv")[0] == 1


def test_inspect_of_a_store_that_began_without_events(tmp_path: Path) -> None:
    path = tmp_path / "store"
    opened(path).close()
    run("lists", "add", path, "blocked", "x")
    assert (inspect(path).first, inspect(path).from_time) == (1, None)
    with opened(path) as engine:
        engine.decide(event(1))
    found = inspect(path)
    assert (found.first, found.from_time, found.until_time) == (1, event(1)["ts"], event(1)["ts"])


def test_reload_and_compact(tmp_path: Path) -> None:
    policy = tmp_path / "p.yaml"
    policy.write_text(SECOND)
    with opened(tmp_path / "store") as engine:
        for number in range(2000):
            engine.decide(event(number))
        before = engine.state_hash()
    assert "is in force (" in run("reload", tmp_path / "store", policy)[1]
    assert "in force already" in run("reload", tmp_path / "store", policy)[1]
    status, said = run("compact", tmp_path / "store")
    assert (status, "before" in said) == (0, True)
    assert stat.S_IMODE((tmp_path / "store" / DATA_FILE).stat().st_mode) == 0o600
    assert verify(tmp_path / "store").problems == []
    with opened(tmp_path / "store", SECOND) as engine:
        assert engine.stats["seq"] == 2001
        assert before
        status, said = run("compact", tmp_path / "store")
        assert (status, f"open in process {os.getpid()}" in said) == (1, True), said
    policy.write_text(SECOND.replace("tries_1h > 5", "tries > 5"))
    assert run("reload", tmp_path / "store", policy)[0] == 1


def test_one_is_no_plural_and_a_stranger_is_told_from_a_subject(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with opened(path) as engine:
        engine.decide(event(1))
    assert "1 event erased, in 1 record (operation " in (
        said := run("erase", path, f"account:{event(1)['account']}")[1]
    )
    assert "are they spelled" not in said
    status, said = run("erase", path, "account:nobody")
    assert (status, "no event and no list names them: are they spelled" in said) == (0, True), said
    run("hold", "add", path, "account:a")
    assert "1 hold ended, 1 subject had none" in run("hold", "remove", path, "account:a", "account:b")[1]


# -- damage ------------------------------------------------------------------------------------------------------------
def flipped(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0x10
    path.write_bytes(data)


def test_verify_finds_what_is_not_there(tmp_path: Path) -> None:
    """A piece of a checkpoint is missed only where the journal does not go back to the making of its group; the last
    run of ids never: an engine makes it anew."""
    import lmdb

    with opened(tmp_path / "store") as engine:
        for number in range(50):
            engine.decide(event(number))
            engine.flush()
    path = tmp_path / "store" / DATA_FILE
    whole = path.read_bytes()
    for table in (b"journal", b"ids", b"operations", b"blobs", b"meta"):
        with lmdb.open(str(path), subdir=False, max_dbs=8) as env, env.begin(write=True) as txn:
            db = env.open_db(table, txn=txn, create=False)
            with txn.cursor(db=db) as cursor:
                assert cursor.first() if table == b"ids" else cursor.last()
                assert cursor.delete()
        report = verify(tmp_path / "store")
        assert report.problems, table
        assert run("verify", tmp_path / "store")[0] == 1
        path.write_bytes(whole)
    assert verify(tmp_path / "store").problems == []


def test_verify_survives_any_flip(tmp_path: Path) -> None:
    """In LMDB's own pages a flip may end the process that meets it: the child's, not ours."""
    with opened(tmp_path / "store") as engine:
        for number in range(300):
            engine.decide(event(number))
            if number % 10 == 0:
                engine.flush()
    path = tmp_path / "store" / DATA_FILE
    whole = path.read_bytes()
    with viewing(tmp_path / "store") as view:
        value = next(value for _, value in view.reader.items(b"journal"))
    flipped(path, whole.index(value[:200]) + 100)
    report = verify(tmp_path / "store")
    assert any("table journal" in str(problem) for problem in report.problems)
    for page in range(0, len(whole) // 4096, max(1, len(whole) // 4096 // 6)):
        path.write_bytes(whole)
        flipped(path, page * 4096 + 17)
        verify(tmp_path / "store")  # harmless, or reported; never more


def test_beginners_mistakes(tmp_path: Path) -> None:
    for arguments in (("verify", "no"), ("inspect", "no"), ("snapshot", "no", "a"), ("tail", "no"), ("compact", "no")):
        status, said = run(arguments[0], tmp_path / "no", *(tmp_path / each for each in arguments[2:]))
        assert status == 1, arguments
        assert "no" in said
        assert "Traceback" not in said
    (tmp_path / "text").write_text("hello")
    status, said = run("verify", tmp_path / "text")
    assert (status, "no snapshot of a store" in said or "too early" in said) == (1, True), said
