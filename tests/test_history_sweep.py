"""Sweeps: each point is what a backtest of that policy says, whether it took one pass or many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from engines import MINUTE, NOON

from frmcore.errors import HistoryError
from frmcore.history.backtest import Setup, backtest
from frmcore.history.measures import measure
from frmcore.history.sweep import sweep
from frmcore.history.variants import axis
from frmcore.policy import load

if TYPE_CHECKING:
    from pathlib import Path

    from frmcore.history.sweep import Sweep

POLICY = """\
policy: swept
version: 1
params: {most: 3, ratio: 0.5, span: 10m}
event:
  id: id
  time: ts
  fields:
    id: string
    ts: timestamp
    account: {entity: account}
    card: {entity: card}
    vip: bool
    amount: {type: money, currency: EUR}
features:
  tries: count(by=card, over="10m")
  spent: sum(amount, by=card, over=span)
  stopped: count(by=card, over="1h", where=fired("by_fired"))
  many: tries >= most
rules:
  - {id: testing, group: velocity, when: tries >= 3 and amount < money("50"), outcome: block}
  - {id: by_param, when: many, outcome: review}
  - {id: part, when: 'amount > ratio * spent and tries > 1', score: 5}
  - {id: known, when: vip, exempts: velocity, score: -10}
  - {id: by_fired, when: 'tries >= 4 and stopped < 2', outcome: review}
  - {id: quiet, when: 'tries >= 2', outcome: review, mode: shadow}
"""


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Setup]:
    """A hundred payments of ten cards; every third card is a fraudster's."""
    policy, history, labels = tmp_path / "policy.yaml", tmp_path / "history.csv", tmp_path / "labels.csv"
    policy.write_text(POLICY)
    rows = [
        f"e{i},{NOON + i * MINUTE // 2},a{i % 10},c{i % 10 if i % 7 else 3},{str(i % 11 == 0).lower()},{i * 97 % 9000}"
        for i in range(100)
    ]
    history.write_text("\n".join(["id,ts,account,card,vip,amount", *rows]) + "\n")
    labels.write_text(
        "id,label\n" + "".join(f"e{i},{'fraud' if i % 7 == 0 or i % 10 == 6 else 'good'}\n" for i in range(100))
    )
    return policy, Setup([str(history)], labels=str(labels))


def of_backtest(policy: str | Path, setup: Setup, rule: str) -> dict[str, Any]:
    with backtest(load(policy), setup) as run:
        return next(row for row in measure(run).rules if row["rule"] == rule)


SAME = ("fired", "fraud", "good", "precision", "recall", "false_positive_rate", "amount_caught", "good_amount")


def check(found: Sweep, setup: Setup, rule: str, old: str, new: str) -> None:
    """Each point against a backtest of the policy with that value written in."""
    for point in found.points:
        values = [point[axis.name] for axis in found.axes]
        row = of_backtest(POLICY.replace(old, new.format(*values)), setup, rule)
        assert {name: point[name] for name in SAME} == {name: row[name] for name in SAME}, values


@pytest.mark.parametrize(
    ("rule", "params", "old", "new"),
    [
        ("testing", ["tries=2,5"], "tries >= 3 and", "tries >= {} and"),
        ("testing", ["amount=10..90:80"], 'money("50")', 'money("{}")'),
        (
            "testing",
            ["tries=2,4", "amount=20.00,70.00"],
            'tries >= 3 and amount < money("50")',
            'tries >= {} and amount < money("{}")',
        ),
        ("quiet", ["tries=1,3"], "'tries >= 2'", "'tries >= {}'"),
        ("by_param", ["most=2,4"], "most: 3", "most: {}"),
        ("part", ["ratio=0.2..0.8:0.6"], "ratio: 0.5", "ratio: {}"),
    ],
)
def test_one_pass_says_what_backtests_say(
    files: tuple[Path, Setup], rule: str, params: list[str], old: str, new: str
) -> None:
    policy, setup = files
    found = sweep(
        policy, setup, params, rule if "=" in params[0] and not params[0].startswith(("most", "ratio")) else None
    )
    assert found.anew == ""
    assert found.rules == (rule,)
    assert len({tuple(point[name] for name in SAME) for point in found.points}) > 1
    check(found, setup, rule, old, new)


def test_the_point_at_the_live_threshold_is_the_backtest(files: tuple[Path, Setup]) -> None:
    policy, setup = files
    found = sweep(policy, setup, ["tries=2..5"], "testing")
    assert found.live == 1
    row = of_backtest(policy, setup, "testing")
    assert {name: found.points[1][name] for name in SAME} == {name: row[name] for name in SAME}


@pytest.mark.parametrize(
    ("rule", "param", "why", "old", "new"),
    [
        ("by_fired", "tries=3,5", "windows ask whether by_fired fired", "'tries >= 4 and", "'tries >= {} and"),
        (None, "span=5m,20m", "the window of spent depends on it", "span: 10m", "span: {}"),
    ],
)
def test_what_feeds_back_into_windows_is_run_anew(
    files: tuple[Path, Setup], rule: str | None, param: str, why: str, old: str, new: str
) -> None:
    policy, setup = files
    found = sweep(policy, setup, [param], rule)
    assert found.anew == why
    check(found, setup, found.rules[0], old, new)


def test_windows_over_outcomes_feed_back_where_the_rule_is_live(files: tuple[Path, Setup]) -> None:
    policy, setup = files
    policy.write_text(POLICY.replace('fired("by_fired")', 'final == "block"'))
    assert "final, score" in sweep(policy, setup, ["tries=2,3"], "testing").anew
    assert sweep(policy, setup, ["tries=2,3"], "quiet").anew == ""


def test_what_is_suggested(files: tuple[Path, Setup]) -> None:
    policy, setup = files
    found = sweep(policy, setup, ["tries=1..9"], "quiet")
    assert found.keeps_all is not None
    kept = found.points[found.keeps_all]
    assert kept["fraud"] == max(point["fraud"] for point in found.points)
    assert kept["good"] == min(point["good"] for point in found.points if point["fraud"] == kept["fraud"])
    assert found.knee is not None
    assert found.points[found.knee]["fraud"] > 0


@pytest.mark.parametrize(
    ("rule", "param", "says"),
    [
        ("testing", "tris=1..3", 'compares tris with no number; did you mean "tries"?'),
        ("testing", "tries", "expected NAME=LOW..HIGH"),
        ("testing", "tries=5..1", "--param tries=5..1: the low end is above the high one"),
        ("testing", "amount=5..1", "--param amount=5..1: the low end is above the high one"),
        ("testing", "tries=1..9:0", "expected LOW..HIGH:STEP"),
        ("testing", "tries=a..b", "'a' is no int"),
        ("testing", "tries=1..1000", "fewer than 400 steps"),
        ("testing", "amount=1.234", "'1.234' is no money"),
        ("testin", "tries=1..3", 'no such rule; did you mean "testing"?'),
        (None, "tries=1..3", "no parameter of that name; name the rule whose literal is meant: --rule"),
        (None, "span=5x", "'5x' is no duration"),
        ("part", "amount=1..5", "rule part compares amount with no number"),
    ],
)
def test_what_can_not_be_swept(files: tuple[Path, Setup], rule: str | None, param: str, says: str) -> None:
    policy, setup = files
    with pytest.raises(HistoryError) as error:
        sweep(policy, setup, [param], rule)
    assert says in str(error.value)


def test_axes() -> None:
    policy = load(POLICY)
    rule = policy.rules[0]
    assert axis(policy, rule, "tries=3..6").texts == ("3", "4", "5", "6")
    assert axis(policy, rule, "amount=5..6:0.50").texts == ("5.00", "5.50", "6.00")
    assert axis(policy, None, "span=5m..15m:5m").texts == ("5m", "10m", "15m")
    assert axis(policy, None, "ratio=0.1..0.3").texts == ("0.1", "0.2", "0.3")
