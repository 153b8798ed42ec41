"""The figures on the pages of the example policies: measured here, over data that lies beside the repository."""

from __future__ import annotations

import csv
import gzip
import json
import re
from collections import defaultdict
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from shared import ROOT, SHARED, needs

from frmcore.generate import generate
from frmcore.history.backtest import Setup, backtest
from frmcore.history.measures import measure

if TYPE_CHECKING:
    from pathlib import Path

EXAMPLES = ROOT / "examples" / "policies"
WORLD = SHARED / "data" / "amlworld"
DOLLARS = {  # about what a unit was worth in September 2022; only sums are compared
    "US Dollar": 1, "Euro": 1, "Yuan": 0.14, "Yen": 0.007, "Rupee": 0.0125, "Ruble": 0.016, "UK Pound": 1.15,
    "Shekel": 0.29, "Swiss Franc": 1.03, "Australian Dollar": 0.67, "Canadian Dollar": 0.76, "Mexican Peso": 0.05,
    "Brazil Real": 0.19, "Saudi Riyal": 0.27, "Bitcoin": 20_000,
}  # fmt: skip
CLEAN_EVENTS = 100_000


def rows(name: str) -> list[dict[str, str]]:
    with gzip.open(WORLD / name, "rt", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def transfer(ident: str, row: dict[str, str], sender: str, receiver: str) -> dict[str, Any]:
    at = datetime.strptime(row["timestamp"], "%Y/%m/%d %H:%M").replace(tzinfo=UTC)
    dollars = float(row["amount_paid"]) * DOLLARS[row["payment_currency"]]
    ends = {"sender": sender, "receiver": receiver}
    return {"id": ident, "time": int(at.timestamp() * 1000), **ends, "amount": round(dollars * 100)}


def fired(folder: Path, events: list[dict[str, Any]]) -> dict[str, list[str]]:
    path = folder / "history.jsonl"
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    with backtest(EXAMPLES / "aml" / "aml.yaml", Setup([str(path)])) as found:
        assert not found.quality.refused
        return {row["id"]: row["fired"] for row in found.space.rows("SELECT id, fired FROM decided")}


def table(page: Path, first: str) -> dict[str, list[str]]:
    """The rows of a page's table, by their first cell."""
    text = page.read_text("utf-8")
    start = text.index(f"| {first} |")
    lines = text[start:].split("\n\n")[0].strip().split("\n")[2:]
    cells = [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines]
    return {row[0]: row[1:] for row in cells}


@needs("data/amlworld")
def test_laundering_patterns_that_are_caught(tmp_path: Path) -> None:
    patterns: dict[str, set[str]] = defaultdict(set)
    events = []
    for i, row in enumerate(rows("hi_small_pattern_transactions.csv.gz")):
        ends = (f"{row['from_bank']}:{row['from_account']}", f"{row['to_bank']}:{row['to_account']}")
        events.append(transfer(f"p{i}", row, *ends))
        patterns[f"{row['family']} {row['pattern_id']}"].add(f"p{i}")
    for i, row in enumerate(rows("hi_small_first_1000_background_tx.csv.gz")):
        events.append(transfer(f"b{i}", row, row["from_account_key"], row["to_account_key"]))
    hits = fired(tmp_path, events)
    families: dict[str, list[set[str]]] = defaultdict(list)
    for name, ids in patterns.items():
        families[name.split()[0]].append({rule for ident in ids for rule in hits[ident]})
    measured = {}
    for family, caught in families.items():
        best = max(("fan_in", "fan_out", "pass_through", "gather_scatter", "structuring", "dormant"),
                   key=lambda rule: sum(rule in rules for rules in caught))  # fmt: skip
        any_rule, by_best = sum(map(bool, caught)), sum(best in rules for rules in caught)
        measured[family] = [str(len(caught)), f"{any_rule / len(caught):.0%}", best, f"{by_best / len(caught):.0%}"]
    print(measured)
    stated = table(EXAMPLES / "aml" / "README.md", "family")
    assert {family: row[:4] for family, row in stated.items()} == measured


@cache
def clean() -> list[dict[str, Any]]:
    """What honest people transfer in a made-up world: payouts to others."""
    stream = generate(CLEAN_EVENTS, 1, 60)
    events = []
    for record in stream:
        if isinstance(record, dict):
            honest = stream.truth.pop(record["txn_id"], None) is None
            if honest and record.get("payee"):
                events.append({"id": record["txn_id"], "time": record["ts"], "sender": record["account"],
                               "receiver": record["payee"], "amount": record["amount"]})  # fmt: skip
            if record["txn_id"] == f"t-{CLEAN_EVENTS}":
                break
    return events


def test_false_alarms_on_clean_transfers(tmp_path: Path) -> None:
    hits = fired(tmp_path, clean())
    measured = {
        rule: [
            str(sum(rule in rules for rules in hits.values())),
            f"{sum(rule in r for r in hits.values()) / len(hits):.2%}",
        ]
        for rule in ("fan_in", "fan_out", "pass_through", "gather_scatter", "structuring", "dormant")
    }
    print(len(hits), measured)
    assert table(EXAMPLES / "aml" / "README.md", "rule") == measured


def waking(kind: str, number: int, pause_days: int, usual: int, woken: int) -> list[dict[str, Any]]:
    """An account's transfers: five, a month apart, and one after a pause."""
    times = [month * 30 for month in range(5)] + [4 * 30 + pause_days]
    return [
        {"id": f"{kind}{number}-{i}", "time": 1_700_000_000_000 + day * 86_400_000 + number,
         "sender": f"{kind}{number}", "receiver": f"shop{i}", "amount": woken if i == 5 else usual}
        for i, day in enumerate(times)
    ]  # fmt: skip


def test_dormant_accounts(tmp_path: Path) -> None:
    kinds = {
        "ten times the usual, after 91 to 400 days": (91, 3.1, 50_000, 500_000),
        "ten times the usual, after 10 to 89 days": (10, 0.8, 50_000, 500_000),
        "the usual, after 91 to 400 days": (91, 3.1, 200_000, 200_000),
        "ten times the usual, but below what is worth a look": (91, 3.1, 5_000, 50_000),
    }
    events = [
        event
        for kind, (first, step, usual, woken) in enumerate(kinds.values())
        for n in range(100)
        for event in waking(f"k{kind}-", n, first + int(step * n), usual, woken)
    ]
    hits = fired(tmp_path, sorted(events, key=lambda event: event["time"]))
    measured = {
        name: ["100", f"{sum('dormant' in hits[f'k{kind}-{n}-5'] for n in range(100)) / 100:.0%}"]
        for kind, name in enumerate(kinds)
    }
    assert not any("dormant" in rules for ident, rules in hits.items() if not ident.endswith("-5"))
    assert table(EXAMPLES / "aml" / "README.md", "after the pause it sends") == measured


@needs("data/sms_spam")
def test_messages_that_are_caught(tmp_path: Path) -> None:
    with gzip.open(SHARED / "data" / "sms_spam" / "sms.tsv.gz", "rt", encoding="utf-8") as lines:
        pairs = [line.rstrip("\n").split("\t", 1) for line in lines]
    with (tmp_path / "history.jsonl").open("w") as file:
        for i, (_, text) in enumerate(pairs):
            file.write(
                json.dumps({"id": f"m{i}", "time": 1_700_000_000_000 + i, "sender": f"s{i}", "text": text}) + "\n"
            )
    (tmp_path / "labels.csv").write_text(
        "id,label\n" + "".join(f"m{i},{label}\n" for i, (label, _) in enumerate(pairs))
    )
    setup = Setup([str(tmp_path / "history.jsonl")], labels=str(tmp_path / "labels.csv"), mature_ms=0)
    with backtest(EXAMPLES / "abuse" / "messages.yaml", setup) as found:
        measures = measure(found)
    measured = {
        row["rule"]: [str(round(row["fired"])), f"{row['precision']:.1%}", f"{row['recall']:.1%}"]
        for row in measures.rules
        if row["fired"]
    }
    total = measures.total
    measured["all of them"] = [str(round(total["stopped"])), f"{total['precision']:.1%}", f"{total['recall']:.1%}"]
    print(measured)
    assert table(EXAMPLES / "abuse" / "README.md", "rule") == measured


@needs("data/blocklists")
def test_disposable_mailboxes(tmp_path: Path) -> None:
    """A list of domains is filled from a file; each listed domain is found, and others are not."""
    domains = (SHARED / "data" / "blocklists" / "disposable_email_domains.txt").read_text().split()
    some = domains[::50]
    lists = "list,value,added,expires\n" + "".join(f"disposable,{domain},,\n" for domain in some)
    (tmp_path / "lists.csv").write_text(lists)
    mails = [*(f"Someone@{domain.upper()}" for domain in some), "me@example.org", "me@notmailinator.example"]
    with (tmp_path / "history.jsonl").open("w") as file:
        for i, mail in enumerate(mails):
            event = {"id": f"m{i}", "time": 1_700_000_000_000 + i, "sender": "s", "text": "hello", "mail": mail}
            file.write(json.dumps(event) + "\n")
    setup = Setup([str(tmp_path / "history.jsonl")], lists=str(tmp_path / "lists.csv"))
    with backtest(EXAMPLES / "abuse" / "messages.yaml", setup) as found:
        hits = [row["fired"] for row in found.space.rows("SELECT fired FROM decided ORDER BY n")]
    assert hits == [["disposable_mail"]] * len(some) + [[], []]


@pytest.mark.parametrize("page", ["aml", "abuse"])
def test_the_pages_name_every_rule(page: str) -> None:
    folder = EXAMPLES / page
    text = (folder / "README.md").read_text("utf-8")
    for file in folder.glob("*.yaml"):
        for rule in re.findall(r"- id: (\w+)", file.read_text("utf-8")):
            assert f"`{rule}`" in text, rule
