"""`frmcore describe`: golden texts of our policies, and each form of the language in words."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest
from policy_cases import completed

from frmcore.authoring.describe import describe
from frmcore.authoring.pages import PAGES, as_html, as_markdown, as_text
from frmcore.policy import Policy, load
from frmcore.policy.functions import AGGREGATES, FUNCTIONS

ROOT: Final = Path(__file__).parents[1]
GOLDEN: Final = Path(__file__).parent / "cases" / "describe"


@pytest.mark.parametrize(
    ("policy", "to", "golden"),
    [
        ("frmcore/generate/card_payments.yaml", "text", "card_payments.txt"),
        ("frmcore/cli/starter/policy.yaml", "markdown", "starter.md"),
        ("frmcore/cli/starter/policy.yaml", "html", "starter.html"),
        ("tests/policies/rich.yaml", "text", "rich.txt"),
    ],
)
def test_golden(policy: str, to: str, golden: str) -> None:
    """To see a change: frmcore describe POLICY --to TO > tests/cases/describe/GOLDEN."""
    assert PAGES[to](describe(load(ROOT / policy))) == (GOLDEN / golden).read_text("utf-8")


def said(condition: str, features: str = "", more: str = "") -> str:
    """What the one rule with this condition says."""
    declared = f"features:\n{features}" if features else ""
    rules = f"rules:\n  - id: r\n    when: {condition}\n    outcome: block\n"
    text = completed(f"{more}{declared}{rules}")
    return describe(load(text)).rules[0].says.removeprefix("Block when ").removesuffix(".")


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ('amount > money("5")', "the amount is more than 5.00 EUR"),
        ('money("5") > amount', "the amount is less than 5.00 EUR"),
        ("not amount <= money('5')", "the amount is more than 5.00 EUR"),
        ('country != "DE"', 'the country is not "DE"'),
        ('country in ("DE", "AT")', 'the country is one of "DE", "AT"'),
        ('country not in ("DE", "AT")', 'the country is none of "DE", "AT"'),
        ("country in ('DE',)", 'the country is "DE"'),
        ("missing(email) or not missing(ip)", "the email is unknown or the ip is known"),
        (
            'country == "DE" and (missing(ip) or missing(email))',
            'the country is "DE" and (the ip is unknown or the email is unknown)',
        ),
        (
            'not (country == "DE" and missing(ip))',
            'the country is not "DE" or the ip is known',
        ),
        ('startswith(email, "a")', 'the email starts with "a"'),
        ('not matches(email, "^a")', 'the email does not match the pattern "^a"'),
        ("domain(email) == country", "the domain of the email is the country"),
        ("amount - money('1') > 0.5 * amount", "the amount minus 1.00 EUR is more than 0.5 times the amount"),
        ('hour(ts, tz="UTC") < 6', "the hour of the time of the event (UTC) is less than 6"),
        ("true", "always"),
    ],
)
def test_conditions(condition: str, words: str) -> None:
    if condition == "true":
        assert (
            "Block always"
            in describe(load(completed("rules:\n  - {id: r, when: 'true', outcome: block}\n"))).rules[0].says
        )
        return
    assert said(condition) == words


@pytest.mark.parametrize(
    ("aggregate", "words"),
    [
        ('count(by=account, over="10m", on=payment)', "the number of payments by this account in the last 10 minutes"),
        ("count(by=account)", "the number of events by this account"),
        (
            'count(by=(account, device), over="24h")',
            "the number of events by this account and device in the last 24 hours",
        ),
        ('sum(amount, by=account, over="7d")', "the total amount of events by this account in the last 7 days"),
        (
            'mean(amount, by=account, over="30d", closed="left")',
            "the average amount of events by this account in the last 30 days before this one",
        ),
        (
            'count_distinct(country, by=account, over="1h")',
            "the number of different countries in events by this account in the last hour",
        ),
        (
            'count(by=account, over="1h", where=amount > money("5"))',
            "the number of events by this account in the last hour (only those where the amount is more than 5.00 EUR)",
        ),
        (
            'share(country == "DE", by=account, over="28d", delay="7d")',
            'the share of events by this account in the 28 days that ended 7 days ago for which the country is "DE"',
        ),
        (
            'count(by=account, over="today", tz="Europe/Berlin")',
            "the number of events by this account today (Europe/Berlin)",
        ),
        (
            'count(by=account, over="3 days", tz="UTC")',
            "the number of events by this account in 3 calendar days up to today (UTC)",
        ),
        ("since_last(by=account, on=login)", "the time since the last login by this account"),
        ("last(country, by=account)", "the last country of events by this account"),
        (
            'sum(amount, by=account, since=kind == "login")',
            'the total amount of events by this account since the last event for which the kind is "login"',
        ),
        (
            'count(by=account, over="30d", every="1d")',
            "the number of events by this account in the last 30 days in steps of 24 hours",
        ),
    ],
)
def test_aggregates(aggregate: str, words: str) -> None:
    assert said("missing(f)", f"  f: {aggregate}\n") == f"{words} is unknown"


def test_every_function_has_words() -> None:
    """A function that the language gets later must not fall through."""
    from frmcore.authoring import phrases, windows

    handled = {*phrases._FUNCTIONS, *phrases._QUESTIONS, "missing", "money", "fired"}
    assert set(FUNCTIONS) <= handled
    assert set(AGGREGATES) == {*windows._OF_VALUES, "count", "count_distinct", "share", "since_last", "since_first"}


def policy_of(rules: str) -> Policy:
    return load(completed(f"rules:\n{rules}"))


def test_what_else_is_said_of_a_rule() -> None:
    policy = policy_of(
        "  - {id: a, when: 'missing(ip)', score: -5, actions: [call_back], exempts: [g], mode: shadow, on: login}\n"
        "  - {id: b, when: 'missing(ip)', outcome: review, group: g, rollout: 12.5% by account, owner: ann,\n"
        "     if_unknown: fires}\n"
        "  - {id: c, when: 'missing(ip)', outcome: allow, mode: off, reason: 'ip {ip}'}\n"
    )
    a, b, c = describe(policy).rules
    assert a.says == (
        "Only watched, never enforced: for a login, take 5 from the score, ask for call back and waive the rules of "
        "group g when the ip is unknown."
    )
    assert b.more == (
        "Also where that can't be told, because something is unknown.",
        "For 12.5 % of all values of account; for all others it is only watched.",
        "It belongs to the group g.",
        "ann answers for it.",
    )
    assert c.says == "Switched off: allow when the ip is unknown."
    assert c.more == ("It says: ip <ip>.",)


def test_control_is_said_in_words() -> None:
    policy = load(
        completed(
            "groups: {g: {score: max}, h: {enabled: false}}\n"
            "holdout: {share: 1%, by: account, except: [g]}\n"
            "rules:\n"
            "  - {id: a, group: g, when: 'missing(ip)', alert: {about: account, once: 15m, typology: testing}}\n"
            "  - {id: b, group: h, when: 'missing(ip)', outcome: block, from: 2026-12-20, until: 2026-12-27,\n"
            "     breaker: {share: 5%, over: 1h, min: 1000}}\n"
        )
    )
    found = describe(policy)
    a, b = found.rules
    assert a.says == "Raise an alert about the account when the ip is unknown."
    assert a.more[0] == "There is one alert about the same account in 15 minutes, as a case of testing."
    assert b.more[:2] == (
        "It counts for events from 2026-12-20T00:00:00Z on and before 2026-12-27T00:00:00Z.",
        "When it fires for more than 5 % of at least 1,000 decisions within 1 hour, it is only watched.",
    )
    assert found.introduction[-3:] == (
        "Of the rules of the group g that fire only the greatest score counts.",
        "The rules of the group h are switched off.",
        "For 1 % of all values of account the rules are only noted and nothing is stopped, to learn what would have "
        "happened. Rules of group g count all the same.",
    )


def test_pages_show_nothing_but_text() -> None:
    policy = policy_of('  - {id: r, when: country == "<b>*x*</b>", outcome: block}\n')
    found = describe(policy)
    assert "&lt;b&gt;*x*&lt;/b&gt;" in as_html(found)
    assert "<b>" not in as_html(found)
    assert r"\<b\>\*x\*\</b\>" in as_markdown(found)
    assert '"<b>*x*</b>"' in as_text(found)
