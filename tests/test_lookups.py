"""Lookups: what they give, where they come from, what is wrong with one. Wrong ones are data: tests/cases/lookups.txt.

=== what is wrong
the policy's text; sections that every policy needs are added below it
--- file NAME
its content, if the case has files; \\xff stands for that byte
--- the problems, in order
file:line:column: the message
hint: how to mend it
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest
from engines import NOON, SCHEMA, World
from policy_cases import completed

import frmcore
from frmcore import limits
from frmcore.policy import load
from frmcore.policy.lookups import inferred
from frmcore.policy.stored import contents, load_contents

CASES = Path(__file__).parent / "cases" / "lookups.txt"
RULE = "  - {id: a, when: missing(id), score: 1}\n"


class Case(NamedTuple):
    title: str
    text: str
    files: dict[str, bytes]
    expected: str


def cases() -> list[Case]:
    found = []
    for part in re.split(r"^=== ", CASES.read_text("utf-8"), flags=re.MULTILINE)[1:]:
        head, expected = part.split("--- the problems, in order\n")
        text, *files = head.split("--- file ")
        title, _, body = text.partition("\n")
        named = (file.partition("\n")[::2] for file in files)
        raw = {name: content.encode().replace(b"\\xff", b"\xff") for name, content in named}
        found.append(Case(title, completed(body), raw, expected))
    return found


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.title)
def test_a_wrong_lookup_is_told_with_its_place(case: Case, tmp_path: Path) -> None:
    for name, content in case.files.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "policy.yaml").write_text(case.text)
    with pytest.raises(frmcore.PolicyError) as error:
        load(tmp_path / "policy.yaml")
    assert problems(error.value, tmp_path) == case.expected


def problems(error: frmcore.PolicyError, folder: Path) -> str:
    lines = []
    for problem in error.problems:
        place = problem.place
        lines.append(f"{Path(place.file).name}:{place.line}:{place.column}: {problem.message}\n")
        lines += [f"hint: {problem.hint}\n"] if problem.hint else []
    return "".join(lines).replace(f"{folder}/", "")


def test_there_are_many_wrong_lookups() -> None:
    assert len(cases()) >= 25


# -- values ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (["1", "-7", "0"], "INT"),
        (["1", "2.5"], "FLOAT"),
        (["1e3"], "FLOAT"),
        (["true", "false"], "BOOL"),
        (["true", "1"], "STRING"),
        (["0742", "1234"], "STRING"),
        (["0742", "1.5"], "STRING"),
        (["9223372036854775808"], "FLOAT"),
        (["-0"], "FLOAT"),
        (["DE", "FR"], "STRING"),
        ([], "STRING"),
    ],
)
def test_values_say_what_they_are(texts: list[str], kind: str) -> None:
    assert inferred(texts).kind.name == kind


def world(lookups: str, features: str, **options: Any) -> World:
    return World(features, RULE, f"lookups:\n{lookups}", **options)


def test_a_key_that_is_not_there_an_absent_key_and_an_empty_value_are_absent() -> None:
    example = world("  t: {rows: {DE: 7, FR: 8}}\n", "x: t[country]\ny: coalesce(t[country], 0)")
    found = [tuple(example.decide(country=country).features.values()) for country in ("DE", "IT", None)]
    assert found == [(7, 7), (None, 0), (None, 0)]


def test_every_type_of_keys_and_values(tmp_path: Path) -> None:
    lookups = """\
  i: {of: int, rows: {7: seven, -7: minus}}
  p: {of: ip, rows: {10.0.0.7: true, "2001:DB8::1": false}}
  d: {rows: {DE: "1.50"}, type: decimal, scale: 2}
  m: {rows: {DE: "5.00"}, type: money, currency: EUR}
  f: {rows: {DE: 0.1}}
  e: {rows: {DE: low}, type: enum, values: [low, high]}
  t: {rows: {DE: 2025-10-09}, type: timestamp}
  a: {rows: {DE: "::ffff:10.0.0.7"}, type: ip}
"""
    features = """
        a1: i[len(note) - 14]
        a2: p[ip]
        a3: d[country]
        a4: m[country]
        a5: f[country]
        a6: e[country]
        a7: t[country]
        a8: a[country]
    """
    found = world(lookups, features).decide(note="7 7 7", ip="2001:db8:0::1", country="DE").features
    day = int(datetime(2025, 10, 9, tzinfo=UTC).timestamp() * 1000)
    assert list(found.values()) == [None, False, 1.5, 500, 0.1, "low", day, "10.0.0.7"]


def test_looked_up_by_a_binary_search_and_a_hash_every_key_is_found() -> None:
    random = Random(7)
    numbers = random.sample(range(-(10**9), 10**9), 500)
    lookups = "  i: {of: int, rows: {" + ", ".join(f"{n}: {n + 1}" for n in numbers) + "}}\n"
    lookups += "  s: {rows: {" + ", ".join(f"k{n}: {n}" for n in numbers) + "}}\n"
    schema = SCHEMA.replace("    note:", "    n: {type: int, optional: true}\n    note:")
    example = world(lookups, "x: i[n]\ny: s[note]", schema=schema)
    for number in numbers:
        assert list(example.decide(n=number, note=f"k{number}").features.values()) == [number + 1, number]
    assert list(example.decide(n=numbers[0] + 10**10, note="k").features.values()) == [None, None]


# -- files -------------------------------------------------------------------------------------------------------------
POLICY = f"""{SCHEMA}lookups:
  home: {{file: data/bins.csv, key: bin, value: country}}
features:
  x: home[note]
rules:
{RULE}"""


def folder(path: Path, bins: str, policy: str = POLICY) -> Path:
    (path / "data").mkdir(exist_ok=True)
    (path / "data" / "bins.csv").write_text(bins)
    (path / "policy.yaml").write_text(policy)
    return path / "policy.yaml"


BINS = 'bank,bin,country\n"A, B",411111,DE\nC,022222,FR\nD,033333,\n'


def test_a_reload_brings_new_content(tmp_path: Path) -> None:
    policy = folder(tmp_path, BINS)
    event = {"ts": NOON, "kind": "payment", "account": "a"}
    engine = frmcore.Engine(None, policy=policy, clock=None)
    assert engine.decide({**event, "id": "1", "note": "022222"}).features["x"] == "FR"
    assert engine.decide({**event, "id": "2", "note": "033333"}).features["x"] is None
    before = engine.policy.hash
    folder(tmp_path, BINS.replace("FR", "IT"))
    engine.reload(policy)
    assert engine.policy.hash != before
    assert engine.decide({**event, "id": "3", "note": "022222"}).features["x"] == "IT"


def test_the_hash_is_of_the_content_not_of_its_order(tmp_path: Path) -> None:
    lines = BINS.splitlines()
    hashes = {
        load(folder(tmp_path, text)).hash
        for text in (BINS, "\n".join([lines[0], *reversed(lines[1:])]), BINS.replace("\n", "\r\n"), BINS + "\n\n")
    }
    assert len(hashes) == 1
    assert load(folder(tmp_path, BINS.replace("DE", "AT"))).hash not in hashes


def test_a_store_explains_an_old_decision_under_the_table_of_then(tmp_path: Path) -> None:
    policy = folder(tmp_path, BINS)
    event = {"ts": NOON, "kind": "payment", "account": "a", "note": "022222"}
    with frmcore.Engine(tmp_path / "s", policy=policy, clock=lambda: NOON) as engine:
        engine.decide({**event, "id": "1"})
        folder(tmp_path, BINS.replace("FR", "IT"))
        engine.reload(policy)
        engine.decide({**event, "id": "2"})
    (tmp_path / "data" / "bins.csv").unlink()
    with frmcore.Engine(tmp_path / "s", policy=engine.policy, clock=lambda: NOON) as engine:
        assert [engine.explain(name).features[0].value for name in ("1", "2")] == ["FR", "IT"]


# -- Parquet -----------------------------------------------------------------------------------------------------------
def parquet(path: Path, **columns: Any) -> None:
    pa = pytest.importorskip("pyarrow", reason="pyarrow is an extra")
    import pyarrow.parquet as pq

    pq.write_table(pa.table(columns), path)


def test_a_parquet_file_brings_its_types(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow", reason="pyarrow is an extra")
    time = datetime(2025, 10, 9, 12, tzinfo=UTC)
    parquet(
        tmp_path / "t.parquet",
        mcc=pa.array([5967, 5411, 1], pa.int32()),
        risk=[0.5, 2.0, None],
        most=pa.array([Decimal("1.50"), Decimal("-2.25"), Decimal(0)], pa.decimal128(9, 2)),
        since=pa.array([time, time, time], pa.timestamp("us", "UTC")),
        band=pa.array(["high", "low", "low"]).dictionary_encode(),
        open=[True, False, True],
    )
    names = ("risk", "most", "since", "band", "open")
    lookups = "".join(f"  {name}_of: {{file: t.parquet, value: {name}}}\n" for name in names)
    features = "features:\n" + "".join(f"  {name}: {name}_of[n]\n" for name in names)
    schema = SCHEMA.replace("    note:", "    n: {type: int, optional: true}\n    note:")
    (tmp_path / "policy.yaml").write_text(f"{schema}lookups:\n{lookups}{features}rules:\n{RULE}")
    policy = load(tmp_path / "policy.yaml")
    again = load_contents(contents(policy))  # as a store keeps it
    assert again.hash == policy.hash
    engine = frmcore.Engine(None, policy=again, clock=None)
    event = {"id": "1", "ts": NOON, "kind": "payment", "account": "a", "n": 5967}
    assert list(engine.decide(event).features.values()) == [0.5, 1.5, NOON, "high", True]
    assert engine.decide({**event, "id": "2", "n": 1}).features["risk"] is None


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"a": ["x", "x"], "b": [1, 2]}, 't.parquet:2:1: two rows for "x"'),
        ({"a": ["x", None], "b": [1, 2]}, "t.parquet:2:1: a key is empty"),
        ({"a": ["x"], "b": [[1]]}, 'column "b" is of type list<element: int64>'),
        ({"a": ["x"], "b": [float("nan")]}, 't.parquet:1:2: "nan" is no value of type float'),
        ({"a": [1.5], "b": [1]}, "keys are strings, ints or addresses, and this column is a float"),
        ({"a": ["x"]}, "the file has 1 columns"),
    ],
)
def test_a_wrong_parquet_file(columns: dict[str, Any], said: str, tmp_path: Path) -> None:
    parquet(tmp_path / "t.parquet", **columns)
    (tmp_path / "policy.yaml").write_text(f"{SCHEMA}lookups:\n  t: {{file: t.parquet}}\nrules:\n{RULE}")
    with pytest.raises(frmcore.PolicyError) as error:
        load(tmp_path / "policy.yaml")
    assert said in problems(error.value, tmp_path)


# -- bounds ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_rows_are_bounded(ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("frmcore.policy.rows.LOOKUP_ROWS_MAX", 3)
    if ending == "csv":
        (tmp_path / "t.csv").write_text("a,b\n1,1\n2,1\n3,1\n4,1\n")
    else:
        parquet(tmp_path / "t.parquet", a=["1", "2", "3", "4"], b=[1, 1, 1, 1])
    (tmp_path / "policy.yaml").write_text(f"{SCHEMA}lookups:\n  t: {{file: t.{ending}}}\nrules:\n{RULE}")
    with pytest.raises(frmcore.PolicyError, match="a lookup has at most 3 rows"):
        load(tmp_path / "policy.yaml")


def test_lookups_are_bounded() -> None:
    tables = "".join(f"  t{number}: {{rows: {{a: b}}}}\n" for number in range(limits.LOOKUPS_MAX + 1))
    with pytest.raises(frmcore.PolicyError, match="more than 64 lookups"):
        load(f"{SCHEMA}lookups:\n{tables}rules:\n{RULE}")
