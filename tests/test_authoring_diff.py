"""`frmcore diff`: what two policies' difference in meaning is, and that a different writing is none."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

import frmcore
from frmcore.authoring.changes import Change, changes, policy_at
from frmcore.errors import UnknownName
from frmcore.policy import load

ROOT: Final = Path(__file__).parents[1]
DEMO: Final = (ROOT / "frmcore" / "generate" / "card_payments.yaml").read_text("utf-8")
OLD: Final = load(DEMO)


def changed(before: str, now: str) -> list[Change]:
    assert DEMO.count(before) >= 1, before
    return changes(OLD, load(DEMO.replace(before, now, 1)))


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ("policy: card-payments", "# a comment\npolicy: card-payments"),
        ("version: 1", "version: 2"),
        (
            'when: tiny_in_bin_10m >= 5 and amount < money("5.00") and channel != "pos"',
            'when: channel != "pos" and (amount < money("5")) and tiny_in_bin_10m >= 5',
        ),
        ('over="1h", on=payment)', 'over="60m", on=(payment))'),
        ("lists:\n  blocked_cards:    {of: card}\n", "lists:\n  blocked_cards:\n    of: card\n"),
        ("values: [tempbox.example, throwaway.example,", "values: [throwaway.example, tempbox.example,"),
        ("exempts: [velocity, habits] ", "exempts: [habits, velocity] "),
        ("when: spend_24h > money(\"600\") and", "when: money('600') < spend_24h and"),
    ],
)  # fmt: skip
def test_another_writing_is_no_difference(before: str, now: str) -> None:
    assert changed(before, now) == []


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (
            "max_cards: 4 ",
            "max_cards: 6 ",
            Change(
                "changed",
                "parameter",
                "max_cards",
                (("is", "4", "6"),),
                ("cards_on_device", "cards_of_mailbox", "cards_of_account"),
            ),
        ),
        (
            'amount < money("5.00") and channel',
            'amount < money("7.50") and channel',
            Change(
                "changed",
                "rule",
                "tiny_amounts_in_range",
                (("condition", 'amount < money("5.00")', 'amount < money("7.50")'),),
            ),
        ),
        (
            "when: merchant_fraud_28d > 0.3",
            'when: merchant_fraud_28d > 0.3 and amount > money("10")',
            Change("changed", "rule", "merchant_turned_bad", (("condition", "", 'amount > money("10")'),)),
        ),
        (
            "when: declined_of_device_1h >= max_declines or ",
            "when: declined_of_device_1h >= max_declines and ",
            Change(
                "changed",
                "rule",
                "many_declines",
                (
                    (
                        "condition",
                        "declined_of_device_1h >= max_declines or declined_of_account_1h >= max_declines",
                        "declined_of_device_1h >= max_declines and declined_of_account_1h >= max_declines",
                    ),
                ),
            ),
        ),
        (
            'where=status != "declined")\n  payments_24h',
            'where=status == "approved")\n  payments_24h',
            Change(
                "changed",
                "feature",
                "spend_24h",
                (("filter", 'status != "declined"', 'status == "approved"'),),
                ("newcomer_buys_resellable", "bust_out"),
            ),
        ),
        (
            "  - id: structuring\n",
            "  - id: below_the_line\n",
            Change("renamed", "rule", "below_the_line", (("id", "structuring", "below_the_line"),)),
        ),
        (
            "  checkout: {on: payment, score: {review: 50",
            "  checkout: {on: payment, score: {review: 60",
            Change("changed", "point", "checkout", (("score for review", "50", "60"),)),
        ),
        (
            "base: EUR",
            "limits: {horizon: 48h}\nbase: EUR",
            Change("changed", "limit", "horizon", (("is", "1 day", "2 days"),)),
        ),
        (
            "{of: ip, match: network, values: [198.18.0.0/15]}",
            "{of: ip, match: network}",
            Change(
                "changed",
                "list",
                "hosting_networks",
                (("values", "198.18.0.0/15", "filled at run time"),),
                ("hosting_address",),
            ),
        ),
        (
            "default: pending}",
            "default: approved}",
            Change("changed", "update", "status", (("default", "pending", "approved"),), ("newcomer_buys_resellable",)),
        ),
        (
            'rate: "1.0638"',
            'rate: "1.1"',
            Change("changed", "rates of", "CHF", (("from 2020-01-01T00:00:00Z", "1.0638", "1.1"),)),
        ),
    ],
)
def test_a_difference_says_what(before: str, now: str, expected: Change) -> None:
    found = changed(before, now)
    assert len(found) == 1
    assert found[0].details == expected.details
    assert (found[0].how, found[0].what, found[0].name) == (expected.how, expected.what, expected.name)
    assert set(expected.rules) <= set(found[0].rules)


def test_added_and_removed() -> None:
    rule = '\n  - {id: extra, when: amount > money("9000"), outcome: block, mode: shadow, owner: me}\n'
    new = load(DEMO + rule)
    (added,) = changes(OLD, new)
    assert (added.how, added.name) == ("added", "extra")
    assert set(added.details) == {
        ("condition", "", 'amount > money("9000")'),
        ("outcome", "", "block"),
        ("mode", "", "shadow"),
        ("owner", "", "me"),
    }
    (removed,) = changes(new, OLD)
    assert (removed.how, removed.name) == ("removed", "extra")


def test_money_is_shown_as_money() -> None:
    text = DEMO.replace("params:\n", 'params:\n  line: money("900")\n')
    (found,) = changes(load(text), load(text.replace('money("900")\n', 'money("950")\n', 1)))
    assert found.details == (("is", "900.00 EUR", "950.00 EUR"),)


def test_a_policy_of_a_store(tmp_path: Path) -> None:
    first, second = load(DEMO), load(DEMO.replace("max_cards: 4 ", "max_cards: 6 "))
    with frmcore.Engine(tmp_path / "store", policy=first) as engine:
        engine.reload(second)
        engine.flush()
    store = str(tmp_path / "store")
    assert policy_at(store).hash == second.hash
    assert policy_at(f"{store}@{first.hash[:12]}").hash == first.hash
    with pytest.raises(UnknownName, match=f"it knew {first.hash[:16]}, {second.hash[:16]}"):
        policy_at(f"{store}@beef")


def test_the_command(tmp_path: Path) -> None:
    def diff(*arguments: str) -> str:
        line = [sys.executable, "-c", "from frmcore.cli import main; main()", "diff", *arguments]
        return subprocess.run(line, check=True, capture_output=True, text=True, cwd=ROOT).stdout

    old, new = tmp_path / "old.yaml", tmp_path / "new.yaml"
    old.write_text(DEMO)
    new.write_text(DEMO.replace("max_cards: 4 ", "max_cards: 6 "))
    assert diff(str(old), str(new)).startswith(
        "changed parameter max_cards\n    is  4  ->  6\n    read by cards_on_device"
    )
    assert diff(str(old), str(old)) == "no difference in meaning: the same files\n"
    found = json.loads(diff(str(old), str(new), "--json"))
    assert (found["equal"], found["changes"][0]["name"]) == (False, "max_cards")
