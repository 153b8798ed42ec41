"""Backtests: the same engine over files in any format and over stores, and what is measured of it."""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from engines import DAY, MINUTE, NOON, S

import frmcore
from frmcore.errors import HistoryError
from frmcore.history.backtest import Backtest, Setup, backtest
from frmcore.history.events import Events, Options
from frmcore.history.files import opened
from frmcore.history.measures import measure
from frmcore.history.workspace import Workspace
from frmcore.policy import load

if TYPE_CHECKING:
    from pathlib import Path

POLICY = """\
policy: tried
version: 1
event:
  id: id
  time: ts
  fields:
    id: string
    ts: timestamp
    account: {entity: account}
    card: {entity: card, optional: true}
    amount: {type: money, currency: EUR, path: sum.amount}
  updates:
    status: {type: enum, values: [pending, declined], default: pending}
    label: {type: enum, values: [fraud, legit], optional: true}
points:
  first: {score: {review: 50}}
  second: {after: first}
lists:
  blocked: {of: card}
features:
  tries: count(by=card, over="10m")
  declined: count(by=account, over="1h", where=status == "declined")
rules:
  - {id: many, point: first, when: tries >= 3, outcome: block}
  - {id: listed, point: first, when: card in blocked, outcome: block}
  - {id: big, point: first, when: amount > money("100"), score: 60}
  - {id: quiet, point: first, when: tries >= 2, outcome: review, mode: shadow}
  - {id: refused, point: second, when: declined >= 1, outcome: review}
"""


def event(n: int, at: int, card: str = "c", amount: int = 500, account: str = "a") -> dict[str, Any]:
    return {"id": f"e{n}", "ts": NOON + at, "account": account, "card": card, "sum": {"amount": amount}}


EVENTS = [
    event(1, 0), event(2, MINUTE), event(3, 2 * MINUTE), event(4, 3 * MINUTE, "d", 20_000), event(5, DAY, "d"),
    event(6, DAY + 1, "e", account="b"), event(7, 3 * DAY, "f", 30_000, "b"),
]  # fmt: skip


def write(folder: Path, ending: str, events: list[dict[str, Any]] = EVENTS) -> str:
    path = folder / f"history{ending}"
    flat = [{"sum.amount": each["sum"]["amount"], **{k: v for k, v in each.items() if k != "sum"}} for each in events]
    if ending == ".jsonl":
        path.write_text("".join(json.dumps(each) + "\n" for each in events))
    elif ending == ".parquet":
        pl.DataFrame(flat).with_columns(pl.col("ts").cast(pl.Datetime("ms"))).write_parquet(path)
    else:
        pl.DataFrame(flat).write_csv(path, separator="\t" if ending == ".tsv" else ",")
    return str(path)


def csv(path: Path, *rows: str) -> str:
    path.write_text("\n".join(rows) + "\n")
    return str(path)


def run(history: str, **options: Any) -> Backtest:
    return backtest(POLICY, Setup([history], **options))


def outcomes(found: Backtest) -> list[tuple[str, str, list[str]]]:
    rows = found.space.rows("SELECT id, outcome, fired FROM decided ORDER BY n")
    return [(row["id"], row["outcome"], row["fired"]) for row in rows]


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".tsv", ".jsonl"])
def test_every_format_gives_the_engines_own_decisions(tmp_path: Path, ending: str) -> None:
    with frmcore.Engine(None, policy=POLICY, clock=None) as engine:
        expected = [(d.event_id, d.outcome, list(d.fired)) for d in engine.decide_many(EVENTS)]
    with run(write(tmp_path, ending, EVENTS[::-1])) as found:  # sorted by time
        assert outcomes(found) == expected
        assert found.quality.out_of_order == len(EVENTS) - 1


def test_several_files_and_patterns_are_one_history(tmp_path: Path) -> None:
    for i, part in enumerate((EVENTS[3:], EVENTS[:3])):
        (tmp_path / str(i)).mkdir()
        write(tmp_path / str(i), ".csv", part)
    with run(str(tmp_path / "*" / "history.csv")) as found:
        assert [row[0] for row in outcomes(found)] == [each["id"] for each in EVENTS]


def test_a_store_gives_every_decision_bit_for_bit(tmp_path: Path) -> None:
    with frmcore.Engine(tmp_path / "store", policy=POLICY, clock=None) as engine:
        engine.observe(event(0, -S) | {"status": "declined", "final": "block"})
        for each in EVENTS:
            engine.decide(each)
            engine.decide_again(each["id"], "second", at=each["ts"] + 5, status="declined")
            engine.lists["blocked"].add(each["card"], expires=each["ts"] + 2 * DAY)
        engine.decide(event(9, MINUTE, "late"))
        engine.update("e1", at=NOON + DAY, label="fraud")
    with run(str(tmp_path / "store")) as found:
        total = measure(found).total
        assert (total["compared"], total["same"], total["fraud"]) == (8, 8, 1)
        assert found.decided == 15
        assert found.quality.late == 1
    with backtest(POLICY.replace("tries >= 3", "tries >= 2"), Setup([str(tmp_path / "store")])) as found:
        measures = measure(found)
        assert measures.total["same"] < 8
        assert [(row["before"], row["now"], row["fires_now"]) for row in measures.changes] == [
            ("review", "block", "many")
        ]


def test_updates_are_told_at_their_times_and_never_before_their_event(tmp_path: Path) -> None:
    rows = ["id,at,field,value", f"e1,{NOON + MINUTE},status,declined", "e5,0,status,declined", "e99,0,status,declined"]
    updates = csv(tmp_path / "updates.csv", *rows, "e1,,status,declined")
    with run(write(tmp_path, ".csv"), updates=updates) as found:
        rows = found.space.rows("SELECT record, record_size FROM decided ORDER BY n")
        values = [found.decision_of(found.space.kept(*row.values())).features["declined"] for row in rows]
        assert values == [0, 1, 1, 1, 0, 0, 0]
        assert found.quality.refused == {
            ("update of an unknown event", ""): 1,
            ("update without id, field or time", ""): 1,
        }


def test_an_update_can_have_its_event_decided_again(tmp_path: Path) -> None:
    updates = csv(tmp_path / "updates.csv", "id,at,field,value,point", f"e1,{NOON + 5},status,declined,second")
    with run(write(tmp_path, ".csv"), updates=updates) as found:
        assert ("e1", "review", ["refused"]) in outcomes(found)
        assert measure(found).total["decisions"] == len(EVENTS)  # an event counts once, with its strongest outcome
    updates = csv(tmp_path / "updates.csv", "id,at,field,value", f"e1,{NOON + 5},status,declined")
    with run(write(tmp_path, ".csv"), updates=updates, again={"status": "second"}) as found:
        assert ("e1", "review", ["refused"]) in outcomes(found)


def test_list_entries_hold_from_added_to_expires(tmp_path: Path) -> None:
    lists = csv(
        tmp_path / "lists.csv", "list,value,added,expires", f"blocked,d,{NOON + DAY},", f"blocked,f,,{NOON + 3 * DAY}",
        f"blocked,e,,{NOON + 3 * DAY}",
    )  # fmt: skip
    with run(write(tmp_path, ".csv"), lists=lists) as found:
        assert [row[0] for row in outcomes(found) if "listed" in row[2]] == ["e5", "e6"]


def test_events_before_the_measured_span_only_fill_windows(tmp_path: Path) -> None:
    with run(write(tmp_path, ".csv"), since=NOON + 2 * MINUTE, until=NOON + DAY) as found:
        assert outcomes(found) == [("e3", "block", ["many"]), ("e4", "review", ["big"])]
        assert (found.decided, found.warmed) == (2, 2)
    with run(write(tmp_path, ".csv"), warm_ms=2 * MINUTE) as found:
        assert outcomes(found)[0] == ("e3", "block", ["many"])


def test_windows_over_outcomes_see_what_the_start_would_have_been_decided(tmp_path: Path) -> None:
    policy = POLICY.replace("features:", 'features:\n  stopped: count(by=card, over="1h", where=final == "block")')
    with backtest(
        policy, Setup([write(tmp_path, ".csv", [*EVENTS[:3], event(4, 3 * MINUTE)])], since=NOON + 3 * MINUTE)
    ) as found:
        (row,) = found.space.rows("SELECT record, record_size FROM decided")
        assert found.decision_of(found.space.kept(*row.values())).features["stopped"] == 1


def test_what_nobody_could_know_is_not_clean(tmp_path: Path) -> None:
    """A label says it; what was stopped then has none; what is young may get one yet."""
    labels = csv(
        tmp_path / "labels.csv",
        "id,label,at",
        f"e1,fraud,{NOON + DAY}",
        f"e3,fraud,{NOON + DAY}",
        f"e6,legit,{NOON + 2 * DAY}",
    )
    events = [each | {"was": "block" if each["id"] == "e2" else "allow"} for each in EVENTS]
    history = tmp_path / "history.jsonl"
    history.write_text("".join(json.dumps(each) + "\n" for each in events))
    with run(str(history), labels=labels, live="was", mature_ms=DAY) as found:
        truths = {row["id"]: row["truth"] for row in found.space.rows("SELECT id, truth FROM scored")}
        measures = measure(found)
    assert truths == {
        "e1": "fraud",
        "e2": "unlabelled",
        "e3": "fraud",
        "e4": "good",
        "e5": "good",
        "e6": "good",
        "e7": "immature",
    }
    total = measures.total
    assert (total["precision"], total["recall"], total["false_positive_rate"]) == (0.5, 0.5, 1 / 3)
    assert (total["insulted_customers"], total["good_customers"]) == (1, 2)
    assert (total["amount_caught"], total["good_amount_stopped"]) == (500, 20_000)
    assert [(day["date"], day["mature"]) for day in measures.days][-1] == ("2025-10-12", False)
    rules = {row["rule"]: row for row in measures.rules}
    assert (rules["many"]["fraud"], rules["many"]["only_fraud"], rules["many"]["recall"]) == (1, 1, 0.5)
    assert (rules["quiet"]["fired"], rules["quiet"]["enforced"], rules["quiet"]["only_fraud"]) == (2, 0, 0)
    assert [(row["rule"], row["other"], row["events"], row["share"]) for row in measures.overlap] == [
        ("many", "quiet", 1, 0.5)
    ]
    assert [(row["age_days"], row["known"]) for row in measures.maturity] == [(1, 2)]


def test_of_labels_that_contradict_each_other_the_last_one_counts(tmp_path: Path) -> None:
    rows = [f"e1,fraud,{NOON + 9}", f"e1,legit,{NOON + 5}", "e2,fraud,", "e2,legit,", f"e3,fraud,{NOON}"]
    labels = csv(tmp_path / "labels.csv", "id,label,at", *rows)
    with run(write(tmp_path, ".csv"), labels=labels) as found:
        assert found.space.rows("SELECT id, fraud FROM truth ORDER BY id") == [
            {"id": "e1", "fraud": True}, {"id": "e2", "fraud": False}, {"id": "e3", "fraud": True}
        ]  # fmt: skip
        (note,) = [note for note in measure(found).notes if "fraud and good" in note]
    assert note == (
        "events that labels call fraud and good: 2; the label told last counts; 1 without times, where the last row "
        "counts"
    )


def test_a_baseline_shows_what_changes_and_why(tmp_path: Path) -> None:
    strict = POLICY.replace('money("100")', 'money("1")').replace("mode: shadow", "mode: live")
    labels = csv(tmp_path / "labels.csv", "id,label", "e2,fraud")
    with backtest(strict, Setup([write(tmp_path, ".csv")], baseline=POLICY, labels=labels)) as found:
        changes = measure(found).changes
    assert [(c["before"], c["now"], c["fires_now"], c["events"], c["fraud"]) for c in changes] == [
        ("allow", "review", "big", 3, 0),
        ("allow", "review", "big, quiet", 1, 1),
    ]


def test_amounts_in_major_units(tmp_path: Path) -> None:
    rows = ["id,ts,account,sum.amount", f"1,{NOON},a,129.90", f"2,{NOON},a,12", f"3,{NOON},a,1.999"]
    with run(csv(tmp_path / "history.csv", *rows), major=True) as found:
        assert [row["amount"] for row in found.space.rows("SELECT amount FROM decided ORDER BY n")] == [12990, 1200]
        assert found.quality.refused == {("InvalidEvent", "amount"): 1}


def test_duplicates_and_refused_events_are_counted_not_measured(tmp_path: Path) -> None:
    events = [*EVENTS, EVENTS[0], EVENTS[1] | {"account": "z"}, event(20, 5) | {"account": 7}]
    with run(write(tmp_path, ".jsonl", events)) as found:
        assert found.decided == len(EVENTS)
        assert (found.quality.duplicates, found.quality.refused["EventConflict", ""]) == (1, 1)
        assert found.quality.refused["InvalidEvent", "account"] == 1


def test_ctrl_c_measures_what_was_decided(tmp_path: Path) -> None:
    def stop(done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    events = [event(i, i, f"c{i}") for i in range(2_000)]
    with backtest(POLICY, Setup([write(tmp_path, ".csv", events)]), stop) as found:
        assert found.interrupted_at == NOON + 1_023
        assert measure(found).total["decisions"] == 1_024


def test_a_history_larger_than_its_memory_is_sorted_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "spill"))
    (tmp_path / "spill").mkdir()
    count = 250_000  # 150 MB
    some = pl.DataFrame({"id": [f"e{i:040}" for i in range(count)]}).with_columns(
        ts=pl.int_range(pl.len()).reverse() + NOON, account=pl.col("id") + "x" * 500, card=pl.col("id")
    )
    some.write_parquet(tmp_path / "history.parquet")
    policy = load(POLICY)
    with Workspace("128MB") as space:
        source = opened(space, "history", [str(tmp_path / "history.parquet")])
        events = Events(space, source, [policy], Options())
        times = (time for batch in events.batches() for time in batch.times)
        assert list(islice(times, 50_000)) == list(range(NOON, NOON + 50_000))
        assert list((tmp_path / "spill").iterdir()) != []
    assert list((tmp_path / "spill").iterdir()) == []


def test_private_values_of_a_store_are_gone(tmp_path: Path) -> None:
    policy = POLICY.replace(
        "card: {entity: card, optional: true}", "card: {entity: card, optional: true, private: true}"
    )
    with frmcore.Engine(tmp_path / "store", policy=policy, clock=None, private_key=bytes(16)) as engine:
        engine.decide_many(EVENTS)
    with pytest.raises(HistoryError, match=r"keeps hashes of card only.*blocked"):
        backtest(policy, Setup([str(tmp_path / "store")]))
    without = policy.replace("lists:\n  blocked: {of: card}\n", "").replace(
        "  - {id: listed, point: first, when: card in blocked, outcome: block}\n", ""
    )
    with backtest(without, Setup([str(tmp_path / "store")])) as found:
        assert [row[1] for row in outcomes(found)] == ["allow", "allow", "block", "review", "allow", "allow", "review"]
