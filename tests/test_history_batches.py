"""Batches decide as single calls do: columns hold what decisions say, cuts fall where something happens in between."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from engines import DAY, HOUR, MINUTE, NOON

import frmcore
from frmcore._fast import ArrowRows, Columns
from frmcore.errors import FrmcoreError, HistoryError, InvalidEvent
from frmcore.history.backtest import Backtest, Setup, backtest
from frmcore.history.decided import Facts
from frmcore.history.log import from_log
from frmcore.history.measures import measure

if TYPE_CHECKING:
    from pathlib import Path

POLICY = """\
policy: batches
version: 1
event:
  id: id
  time: ts
  kind: kind
  fields:
    id: string
    ts: timestamp
    kind: {type: enum, values: [payment, login]}
    account: {entity: account}
    card: {entity: card, optional: true, private: true}
    amount: {type: money, currency: EUR, optional: true}
    risk: {type: float, optional: true}
    known: {type: bool, optional: true}
    ip: {type: ip, optional: true}
  updates:
    status: {type: enum, values: [pending, declined], default: pending}
points:
  pay: {on: [payment], score: {review: 50}}
  enter: {on: [login]}
  answered: {after: pay}
holdout: {share: 20%, by: account, except: [sanctions]}
lists:
  friends: {of: account}
features:
  tries: count(by=card, over="10m")
  spent: sum(amount, by=account, over="1h")
  declined: count(by=account, over="1h", where=status == "declined")
rules:
  - {id: friend, group: trust, when: account in friends, outcome: allow, exempts: [speed]}
  - {id: many, group: speed, point: pay, when: tries >= 2, outcome: block}
  - {id: dear, point: pay, when: amount > money("50"), score: 60}
  - {id: sums, point: pay, when: spent > money("90"), outcome: review, mode: shadow}
  - {id: watched, group: sanctions, point: enter, when: risk > 0.9, outcome: block}
  - {id: refused, point: answered, when: declined >= 1, outcome: review}
"""
NAMES = ("outcome", "score", "fired", "shadow", "late", "point")


def events(seed: int, count: int = 400) -> list[dict[str, Any]]:
    draw = random.Random(seed)
    found = []
    for n in range(count):
        event = {
            "id": f"e{n}",
            "ts": NOON + n * 20_000 - draw.choice((0, 0, 0, 30_000)),
            "account": f"a{draw.randrange(6)}",
        }
        event["kind"] = draw.choice(("payment", "payment", "login"))
        for name, value in (
            ("card", f"c{draw.randrange(5)}"), ("amount", draw.randrange(10_000)), ("risk", draw.random()),
            ("known", draw.random() < 0.5), ("ip", f"10.0.0.{draw.randrange(9)}"),
        ):  # fmt: skip
            if draw.random() < 0.8:
                event[name] = value
        found.append(event)
        if draw.random() < 0.05:
            found.append(draw.choice(found))  # a retry
    return found


def engine() -> frmcore.Engine:
    made = frmcore.Engine(None, policy=POLICY, clock=None, key=bytes(16), private_key=bytes(16))
    made.lists["friends"].add("a0")
    return made


def table(rows: list[dict[str, Any]]) -> pa.Table:
    types = {"id": pa.string(), "ts": pa.int64(), "kind": pa.string(), "account": pa.string(), "card": pa.string(),
             "amount": pa.int64(), "risk": pa.float64(), "known": pa.bool_(), "ip": pa.string()}  # fmt: skip
    return pa.Table.from_pylist(rows, pa.schema(list(types.items())))


@pytest.mark.parametrize("as_arrow", [True, False])
def test_columns_hold_what_the_decisions_say(as_arrow: bool) -> None:
    rows = events(1)
    with engine() as one, engine() as other:
        facts = Facts(one.policy, "amount", "card")
        columns = facts.columns(other.book)
        expected = [one.decide(row) for row in rows]
        source: Any = rows
        if as_arrow:
            source = ArrowRows(table(rows).combine_chunks())
            source.next_batch()
        other.decide_columns(source, 0, 200, columns, tag=10)
        other.decide_columns(source, 200, len(rows), columns, tag=210)
        new = [(tag, decision) for tag, decision in enumerate(expected, 10) if not decision.duplicate]
        assert columns.duplicates == len(rows) - len(new) > 0
        assert columns.last_time == new[-1][1].time
        found = facts.table(columns).to_pylist()
        assert one.state_hash() == other.state_hash()
    assert [row["n"] for row in found] == [tag for tag, _ in new]
    for row, (_, decision) in zip(found, new, strict=True):
        assert [row[name] for name in NAMES] == [
            decision.outcome, decision.score, list(decision.fired), list(decision.shadow), decision.late, decision.point
        ]  # fmt: skip
        assert (row["id"], row["t"], row["record"]) == (decision.event_id, decision.time, decision.record)
        assert (row["intended"] or row["outcome"], row["intended"] is not None) == (decision.intended, decision.holdout)
        assert row["exempted"] == list(decision.exempted)
        assert row["amount"] == decision.facts()["amount"]
        assert (row["customer"] is None) == (decision.facts()["card"] is None)
        assert row["silenced"] == (["speed"] if "friend" in decision.fired else [])
    assert any(row["intended"] not in (None, row["outcome"]) for row in found)
    assert len({row["customer"] for row in found}) == 6  # hashes of the five, and none


@pytest.mark.parametrize("field", ["account", "amount", "risk", "known", "kind", "ip", "ts"])
def test_a_field_of_any_type_says_whose_event_it_is(field: str) -> None:
    rows = events(2, 60)
    with engine() as one:
        facts = Facts(one.policy, None, field)
        columns = facts.columns(one.book)
        decisions = one.decide_many(rows)
        for decision in decisions:
            columns.add(decision, 1)
        found = [row["customer"] for row in facts.table(columns).to_pylist()]
        values = [decision.facts()[field] for decision in decisions if not decision.duplicate]
    assert found == [None if value is None else str(value) for value in values]


def test_a_refused_row_is_named_and_the_others_go_on() -> None:
    rows = events(3, 30)
    rows[4] = rows[4] | {"account": 7}
    rows[9] = rows[2] | {"account": "another"}
    with engine() as one:
        columns, at, refused = Columns(one.book), 0, []
        while at < len(rows):
            try:
                one.decide_columns(rows, at, len(rows), columns)
                break
            except FrmcoreError as error:
                refused.append((columns.row, type(error).__name__))
                at = columns.row + 1
        assert refused == [(4, "InvalidEvent"), (9, "EventConflict")]
        assert columns.count + columns.duplicates == len(rows) - 2
        with pytest.raises(InvalidEvent):
            one.observe_columns([rows[4]], 0, 1, columns)
        assert columns.row == 0


def test_columns_are_of_one_policy() -> None:
    with engine() as one:
        decision = one.decide(events(4, 1)[0])
        one.reload(POLICY + "  - {id: more, when: risk > 0.5, score: 1}\n")
        with pytest.raises(ValueError, match="another policy"):
            Columns(one.book).add(decision, 1)
        with pytest.raises(ValueError, match="nobody"):
            Columns(one.book, ["nobody"])


# -- a whole run, beside single calls ----------------------------------------------------------------------------------
def updates(rows: list[dict[str, Any]], seed: int) -> list[tuple[str, int]]:
    draw = random.Random(seed)
    return [(row["id"], row["ts"] + draw.choice((-5, 0, 7_000, 20_000, HOUR))) for row in rows if draw.random() < 0.4]


def single(rows: list[dict[str, Any]], told: list[tuple[str, int]], listed: list[tuple[str, int, int]]) -> list[Any]:
    """One call after the other, in the order that docs/backtest.md states."""
    first = {}
    for row in rows:
        first[row["id"]] = min(row["ts"], first.get(row["id"], row["ts"]))
    steps: list[tuple[int, int, int, int, Any]] = [(row["ts"], 2, 0, n, row) for n, row in enumerate(rows)]
    steps += [(max(at, first[i]), 3 if at <= first[i] else 1, 0, n, (i, at)) for n, (i, at) in enumerate(told)]
    steps += [(added, 0, 0, n, entry) for n, (_, added, _) in enumerate(listed) for entry in [listed[n]]]
    found = []
    with frmcore.Engine(None, policy=POLICY, clock=None, key=bytes(16), private_key=bytes(16)) as one:
        for *_, step in sorted(steps, key=lambda each: each[:4]):
            if isinstance(step, dict):
                decision = one.decide(step)
                if not decision.duplicate:
                    found.append(decision)
            elif len(step) == 2:
                one.update(step[0], at=step[1], status="declined")
            else:
                one.lists["friends"].add(step[0], expires=step[2])
    return found


def write(folder: Path, ending: str, rows: list[dict[str, Any]]) -> str:
    path = folder / f"history{ending}"
    if ending == ".parquet":
        import pyarrow.parquet as pq

        pq.write_table(table(rows), path)
    elif ending == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        names = list(table(rows).schema.names)
        lines = [",".join(str(row.get(name, "")) for name in names) for row in rows]
        path.write_text("\n".join([",".join(names), *lines]) + "\n")
    return str(path)


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".jsonl"])
@pytest.mark.parametrize("size", [16_384, 7])
def test_a_run_decides_as_single_calls_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, size: int
) -> None:
    monkeypatch.setattr("frmcore.history.events.BATCH", size)
    rows = events(5)
    told = updates(rows, 6)
    listed = [(f"a{n}", NOON + n * 25 * MINUTE, NOON + DAY) for n in range(3)]
    (tmp_path / "updates.csv").write_text(
        "id,at,field,value\n" + "".join(f"{ident},{at},status,declined\n" for ident, at in told)
    )
    (tmp_path / "lists.csv").write_text(
        "list,value,added,expires\n" + "".join(f"friends,{name},{added},{until}\n" for name, added, until in listed)
    )
    setup = Setup(
        [write(tmp_path, ending, rows)], updates=str(tmp_path / "updates.csv"), lists=str(tmp_path / "lists.csv")
    )
    expected = single(rows, told, listed)
    with backtest(POLICY, setup) as run:
        assert not run.quality.refused
        assert run.quality.duplicates == len(rows) - len(expected)
        assert said(run) == [
            (d.event_id, d.outcome, d.score, d.fired, d.shadow, dict(d.features), d.facts()["amount"]) for d in expected
        ]
    assert any("friend" in d.fired for d in expected) and any(d.features["declined"] for d in expected)


def said(run: Backtest) -> list[Any]:
    rows = run.space.rows("SELECT * FROM decided ORDER BY n")
    decisions = [run.decision_of(run.space.kept(row["record"], row["record_size"])) for row in rows]
    return [
        (
            row["id"],
            row["outcome"],
            row["score"],
            tuple(row["fired"]),
            tuple(row["shadow"]),
            dict(d.features),
            row["amount"],
        )
        for row, d in zip(rows, decisions, strict=True)
    ]


# -- cells of files ----------------------------------------------------------------------------------------------------
CELLS = {
    "ts": [str(NOON), f"-{NOON}", "2025-10-09T12:00:00Z", "2025-10-09T12:00:00.5+02:00", "2025-10-09t12:00:00z",
           "2025-10-09 12:00:00Z", "2025-02-30T12:00:00Z", "2025-10-09T12:00:00.1234567Z", "soon", "1e12", "12.5"],
    "amount": ["12", "-3", "0012", "+7", "12.5", "1_000", " 12", f"{2**63 - 1}", f"{2**63}", "x", "1e3"],
    "risk": ["0.1", "-0", "1e-5", ".5", "5.", "nan", "inf", "0.30000000000000004", "123456789012345678", "half"],
    "known": ["true", "FALSE", "True", "1", "yes", "no"],
    "kind": ["payment", "login", "refund"],
    "ip": ["10.0.0.1", "::1", "10.0.0.256", "here"],
}  # fmt: skip


def python_reads(name: str, text: str) -> Any:
    """Cells as they were read one by one: what `typed` makes of them."""
    from frmcore.history.cells import typed
    from frmcore.policy import load

    return typed(text, next(field for field in load(POLICY).fields if field.name == name).type.kind)


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in CELLS.items() for text in texts])
def test_cells_of_csv_mean_what_they_mean_to_the_engine(tmp_path: Path, name: str, text: str) -> None:
    row = {"id": "e1", "ts": str(NOON), "kind": "payment", "account": "a", name: text}
    path = tmp_path / "history.csv"
    path.write_text(",".join(row) + "\n" + ",".join(f'"{value}"' for value in row.values()) + "\n")
    with engine() as one:
        try:
            given = row | {"ts": NOON} | {name: python_reads(name, text)}
            expected: Any = one.decide(given).facts()[name]
        except InvalidEvent as error:
            expected = str(error)
    with backtest(POLICY, Setup([str(path)])) as run:
        rows = run.space.rows("SELECT record, record_size FROM decided")
        found = [run.decision_of(run.space.kept(*each.values())).facts()[name] for each in rows]
        assert repr(found or run.quality.examples) == repr([f"event 1: {expected}"] if not found else [expected])
        assert bool(found) == (not run.quality.refused)


def test_columns_of_parquet_of_other_types(tmp_path: Path) -> None:
    """Nanoseconds with a zone, and decimals that are whole, are what they spell; a list is nobody's account."""
    import pyarrow.parquet as pq

    rows = [row | {"id": f"e{n}", "amount": 1_234} for n, row in enumerate(events(9, 3))]
    columns = table(rows)
    times = pa.array([row["ts"] * 1_000_000 for row in rows], pa.int64()).cast(pa.timestamp("ns", "UTC"))
    whole = columns.column("amount").cast(pa.decimal128(19, 0))
    given = columns.set_column(1, "ts", times).set_column(columns.schema.get_field_index("amount"), "amount", whole)
    pq.write_table(given, tmp_path / "history.parquet")
    with backtest(POLICY, Setup([str(tmp_path / "history.parquet")])) as run:
        assert not run.quality.refused
        found = run.space.rows("SELECT t, amount FROM decided ORDER BY n")
        assert [(row["t"], row["amount"]) for row in found] == sorted((row["ts"], 1_234) for row in rows)
    accounts = pa.array([[row["account"]] for row in rows])
    pq.write_table(columns.set_column(3, "account", accounts), tmp_path / "history.parquet")
    with pytest.raises(HistoryError, match=r"column account is VARCHAR\[\]"):
        backtest(POLICY, Setup([str(tmp_path / "history.parquet")]))


def test_a_file_that_is_no_utf_8_is_said_to_be_none(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    path.write_bytes(f"id,ts,kind,account\ne1,{NOON},login,Müller\n".encode("latin-1"))
    with pytest.raises(HistoryError, match=r"it has no events; 1 rows were refused, the first in line 2: .*not utf-8"):
        backtest(POLICY, Setup([str(path)]))
    path.write_text(f"id,ts,kind,account\ne1,{NOON},login,a\ne2,{NOON},login,{'x' * 3_000_000}\n")
    with pytest.raises(HistoryError, match="a row is larger than 2 MB"):
        backtest(POLICY, Setup([str(path)]))


# -- what stops alone --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("stops", ["review", "block"])
def test_alone_is_what_a_run_without_the_rule_does_not_stop(tmp_path: Path, stops: str) -> None:
    """Outcomes, scores that add up, exempt groups, several points: beside whole runs of the policy without each rule,
    and of one in shadow with it."""
    rows = events(7)
    told = [f"{row['id']},{row['ts'] + 5},status,declined,answered" for row in rows if row["kind"] == "payment"]
    (tmp_path / "updates.csv").write_text("\n".join(["id,at,field,value,point", *told[::2]]) + "\n")
    labels = [f"{ident},{'legit' if int(ident[1:]) % 3 else 'fraud'}" for ident in sorted({row["id"] for row in rows})]
    (tmp_path / "labels.csv").write_text("\n".join(["id,label", *labels]) + "\n")
    (tmp_path / "lists.csv").write_text("list,value\nfriends,a1\nfriends,a3\n")
    updates, known, lists = (str(tmp_path / f"{name}.csv") for name in ("updates", "labels", "lists"))
    setup = Setup([write(tmp_path, ".parquet", rows)], updates, known, lists, stops=stops)
    policy = POLICY.replace("score: 60", "score: 45")
    policy += "  - {id: small, when: risk > 0.4, score: 30}\n  - {id: less, when: known, score: -20}\n"

    def stopped(text: str) -> tuple[Any, Any, list[dict[str, Any]]]:
        with backtest(text, setup) as run:
            found = measure(run)
        return found.total["caught"], found.total["stopped_good"], found.rules

    fraud, good, rules = stopped(policy)
    alone = {row["rule"]: (row["only_fraud"], row["only_good"]) for row in rules}
    some = {"many", "watched"} if stops == "block" else {"many", "watched", "dear", "small", "sums", "refused"}
    assert {rule for rule, counts in alone.items() if 0 not in counts} == some
    for rule in ("many", "dear", "watched", "refused", "small"):
        caught, hit, _ = stopped(policy.replace(f"{{id: {rule},", f"{{id: {rule}, mode: off,"))
        assert alone[rule] == (fraud - caught, good - hit), rule
    caught, hit, _ = stopped(policy.replace("outcome: review, mode: shadow", "outcome: review"))
    assert alone["sums"] == (caught - fraud, hit - good)


# -- the holdout -------------------------------------------------------------------------------------------------------
HELD = """\
policy: held
version: 1
event:
  id: id
  time: ts
  fields:
    id: string
    ts: timestamp
    account: {entity: account}
    risk: float
    amount: {type: money, currency: EUR}
holdout: {share: 20%, by: account, except: [sanctions]}
rules:
  - {id: risky, group: speed, when: risk > 0.8, outcome: block}
  - {id: banned, group: sanctions, when: risk > 0.95, outcome: block}
"""


def held(folder: Path, policy: str, count: int) -> tuple[list[dict[str, Any]], list[Any]]:
    """Events that live decided into a store, each account with one."""
    draw = random.Random(8)
    rows = [
        {"id": f"e{n}", "ts": NOON + n * 1_000, "account": f"a{n}", "risk": draw.random(), "amount": 100}
        for n in range(count)
    ]
    with frmcore.Engine(folder / "store", policy=policy, clock=None) as one:
        return rows, [one.decide(row) for row in rows]


def label(folder: Path, fraud: dict[str, bool]) -> str:
    lines = [f"{ident},{'fraud' if bad else 'legit'}" for ident, bad in fraud.items()]
    (folder / "labels.csv").write_text("\n".join(["id,label", *lines]) + "\n")
    return str(folder / "labels.csv")


def test_what_the_holdout_let_through_stands_for_what_was_stopped(tmp_path: Path) -> None:
    """1 / probability for what was held out, nothing for what was stopped although a label is known, 1 for what no lot
    could alter: figures beside those added up by hand, of the log and of another policy."""
    _, decisions = held(tmp_path, HELD, 300)
    fraud = {d.event_id: n % 3 == 0 for n, d in enumerate(decisions)}
    weight = {d.event_id: 1 if d.fired != ("risky",) else 5 if d.holdout else 0 for d in decisions}
    assert set(weight.values()) == {0, 1, 5} and any(d.holdout and "banned" in d.fired for d in decisions)
    setup = Setup([str(tmp_path / "store")], labels=label(tmp_path, fraud))
    blocked = [d.event_id for d in decisions if d.intended == "block"]
    for open_ in (lambda: from_log(setup), lambda: backtest(HELD.replace("banned", "other"), setup)):
        with open_() as run:
            found = measure(run)
            caught = sum(weight[each] for each in blocked if fraud[each])
            known = sum(weight[each] for each in weight if fraud[each])
            total = found.total
            assert (total["events"], total["stopped"], total["alert_rate"]) == (300, len(blocked), len(blocked) / 300)
            assert (total["caught"], total["fraud"], total["recall"]) == (caught, known, caught / known)
            assert total["precision"] == caught / sum(weight[each] for each in blocked)
            assert total["amount_caught"] == 100 * caught
            (risky, _) = found.rules
            assert (risky["fired"], risky["fraud"], found.outcomes[-1]["events"]) == (
                len(blocked),
                caught,
                len(blocked),
            )
            assert found.changes == []  # what the rules asked for is the same
            assert found.days[0]["stopped"] == len(blocked)


def test_a_history_of_files_has_no_lots(tmp_path: Path) -> None:
    rows, decisions = held(tmp_path, HELD, 200)
    (tmp_path / "history.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    setup = Setup(
        [str(tmp_path / "history.jsonl")], labels=label(tmp_path, {d.event_id: bool(d.fired) for d in decisions})
    )
    with backtest(HELD, setup) as run:
        total = measure(run).total
    assert (total["recall"], total["precision"]) == (1.0, 1.0)
    assert total["fraud"] == total["stopped"] == sum(bool(d.fired) for d in decisions)


def test_a_holdout_of_a_tenth_tells_how_good_the_rules_are(tmp_path: Path) -> None:
    """A stream in which only what went through is labelled: the figures come near the truth that nobody was told."""
    rows, decisions = held(tmp_path, HELD.replace("20%", "10%"), 20_000)
    draw = random.Random(9)
    fraud = {row["id"]: draw.random() < row["risk"] ** 6 for row in rows}
    labels = label(tmp_path, {d.event_id: fraud[d.event_id] for d in decisions if d.outcome == "allow"})
    policy = HELD.replace("  - {id: banned, group: sanctions, when: risk > 0.95, outcome: block}\n", "").replace(
        ", except: [sanctions]", ""
    )
    setup = Setup([str(tmp_path / "store")], labels=labels, mature_ms=0)
    hits = {limit: [fraud[row["id"]] for row in rows if limit < row["risk"] <= 0.95] for limit in (0.8, 0.5)}
    everything = sum(fraud[row["id"]] for row in rows if row["risk"] <= 0.95)  # of the rest nobody ever knows
    for limit, found_in in hits.items():
        with backtest(policy.replace("risk > 0.8", f"risk > {limit}"), setup) as run:
            total = measure(run).total
        assert total["fraud"] == pytest.approx(everything, rel=0.1)
        assert total["recall"] == pytest.approx(sum(found_in) / everything, rel=0.1)
        assert total["precision"] == pytest.approx(sum(found_in) / len(found_in), rel=0.1)
        assert total["good"] == pytest.approx(sum(not fraud[row["id"]] for row in rows if row["risk"] <= 0.95), rel=0.1)
