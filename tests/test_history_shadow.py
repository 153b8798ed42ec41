"""Shadow reports: a store's own log, and a candidate over live decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from engines import DAY, NOON
from test_history_backtest import EVENTS, POLICY

import frmcore
from frmcore.history.backtest import Setup, backtest
from frmcore.history.log import from_log
from frmcore.history.measures import measure

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> str:
    with frmcore.Engine(tmp_path / "store", policy=POLICY, clock=None) as engine:
        engine.decide_many(EVENTS)
        engine.update("e2", at=NOON + DAY, label="fraud")
        engine.update("e4", at=NOON + DAY, label="legit")
    return str(tmp_path / "store")


def test_the_log_says_what_shadow_rules_would_have_done(store: str) -> None:
    with from_log(Setup([store], mature_ms=0)) as found:
        measures = measure(found)
        rules = {row["rule"]: row for row in measures.rules}
        assert found.decided == len(EVENTS)
        assert (rules["quiet"]["mode"], rules["quiet"]["enforced"]) == ("shadow", 0)
        assert (rules["quiet"]["fired"], rules["quiet"]["fraud"], rules["quiet"]["only_fraud"]) == (2, 1, 1)
        truths = {row["id"]: row["truth"] for row in found.space.rows("SELECT id, truth FROM scored")}
        assert (truths["e3"], truths["e2"], truths["e4"]) == ("unlabelled", "fraud", "good")


def test_the_log_equals_a_backtest_of_the_policy_in_force(store: str) -> None:
    sql = "SELECT id, t, point, outcome, score, fired, shadow, late, amount, customer FROM decided ORDER BY n"
    with from_log(Setup([store])) as log:
        logged, rules = log.space.rows(sql), measure(log).rules
    with backtest(POLICY, Setup([store])) as anew:
        assert (anew.space.rows(sql), measure(anew).rules) == (logged, rules)


def test_a_candidate_is_compared_with_what_live_did(store: str) -> None:
    with backtest(POLICY.replace("mode: shadow", "mode: live"), Setup([store])) as found:
        (change,) = measure(found).changes
    assert (change["before"], change["now"], change["fires_now"], change["fraud"]) == ("allow", "review", "quiet", 1)


def test_labels_that_name_no_decision_are_noted_where_none_does(store: str, tmp_path: Path) -> None:
    """Some may be of events outside of the span, or observed only."""
    for rows, noted in ((["e1,fraud", "e99,legit"], 0), (["E1,fraud", "e99,legit"], 1)):
        (tmp_path / "labels.csv").write_text("\n".join(["id,label", *rows]) + "\n")
        with from_log(Setup([store], labels=str(tmp_path / "labels.csv"))) as found:
            assert sum("name no event of those measured: 2 of 2" in note for note in measure(found).notes) == noted


def test_a_span_of_the_log(store: str) -> None:
    with from_log(Setup([store], since=NOON + DAY, until=NOON + 2 * DAY)) as found:
        assert [row["id"] for row in found.space.rows("SELECT id FROM decided ORDER BY n")] == ["e5", "e6"]


def test_a_span_of_a_store_decided_anew(store: str) -> None:
    with backtest(POLICY, Setup([store], warm_ms=DAY, until=NOON + 2 * DAY)) as found:
        assert [row["id"] for row in found.space.rows("SELECT id FROM decided ORDER BY n")] == ["e5", "e6"]
