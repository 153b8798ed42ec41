"""A decision taken apart: trees with values, windows with bounds and evidence; what is known of an entity now."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from engines import DAY, HOUR, MINUTE, NOON, S, World

import frmcore

if TYPE_CHECKING:
    from frmcore.explain import Node

FEATURES = """
    attempts: count(by=card, over="10m")
    spent: sum(amount, by=account, over="1h", where=final != "block")
    first_seen: first(country, by=account)
    ratio: amount / spent
"""
RULES = """\
  - {id: busy, when: attempts >= 2 and spent > money("1"), score: 5, reason: "{attempts} attempts"}
  - {id: far, when: country != first_seen or weight > 1.0, outcome: review}
  - {id: login, when: missing(card), on: login, score: 1}
  - {id: tried, when: ratio > 0.1, score: 1, mode: shadow}
"""


def test_what_would_have_altered_the_outcome_in_the_features_own_units() -> None:
    rules = """\
  - {id: many, when: 'cards >= 3 and amount > money("8.12")', outcome: block}
  - {id: share, when: ratio > 0.5 and weight > 0.25 and not missing(card), outcome: review}
"""
    features = """
        cards: count_distinct(card, by=account, over="1h")
        spent: sum(amount, by=account, over="1d")
        ratio: amount / spent
    """
    it = World(features, rules)
    for number in range(4):
        it.decide(number, card=f"c{number}", amount=900 + number, weight=0.5)
    found = it.engine.explain("e4")
    assert [str(change) for change in found.changes] == ["allow if cards <= 2", "allow if amount <= 8.12 EUR"]
    many, share = found.rules
    assert [(change.value, change.limit, change.bound) for change in many.changes] == [
        (4, 2, "at most"),
        (903, 812, "at most"),
    ]
    assert (many.failed, share.failed) == ((), ("ratio > 0.5",))
    assert [str(change) for change in share.changes] == ["fires if amount >= 18.04 EUR", "fires if spent <= 18.05 EUR"]


def test_the_nearest_value_is_verified_on_both_sides() -> None:
    """By deciding: an amount at the limit is another outcome, one beside it is not."""
    it = World(rules='  - {id: a, when: 3 * amount - money("1.01") > money("500.00"), outcome: block}\n')
    it.decide(amount=100_000)
    (change,) = it.engine.explain("e1").changes
    assert [it.decide(amount=change.limit + more).outcome for more in (0, 1)] == ["allow", "block"]


def test_scores_exemptions_and_floats_have_changes_too() -> None:
    rules = """\
  - {id: friend, when: price >= 5.00, exempts: [g]}
  - {id: a, group: g, when: weight > 0.1, score: 40}
  - {id: b, group: g, when: amount > money("1.00"), score: 30}
"""
    it = World(rules=rules, more="score: {review: 60}\n")
    it.decide(price="1.00", weight=0.7, amount=500)
    found = {change.name: change for change in it.engine.explain("e1").changes}
    assert (found["price"].bound, found["price"].limit, found["price"].shown) == ("at least", 5.0, "5.00")
    assert (found["weight"].limit, found["amount"].limit) == (0.1, 100)


def test_a_snoozed_rule_has_no_say_in_what_would_have_been() -> None:
    it = World(rules='  - {id: a, when: amount > money("1.00"), outcome: block}\n', clock=lambda: NOON)
    it.engine.snooze("a", until="1h")
    it.decide(amount=500)
    found = it.engine.explain("e1")
    assert found.changes == ()
    assert [str(change) for change in found.rules[0].changes] == ["silent if amount <= 1.00 EUR"]


def flat(node: Node) -> list[tuple[str, object, str]]:
    return [(node.text, node.value, node.shown), *(found for child in node.children for found in flat(child))]


def world() -> World:
    it = World(FEATURES, RULES)
    it.decide(0, card="c", amount=100, country="DE")
    it.decide(5 * MINUTE, card="c", amount=50, country="DE")
    return it


def test_the_tree_has_every_value() -> None:
    it = world()
    found = it.engine.explain("e2")
    rules = {rule.id: rule for rule in found.rules}
    assert list(rules) == ["busy", "far", "login", "tried"]
    assert [rule.state for rule in found.rules] == ["fired", "unknown", "not evaluated", "shadow"]
    assert flat(rules["busy"].tree) == [
        ('attempts >= 2 and spent > money("1")', True, "true"),
        ("attempts >= 2", True, "true"),
        ("attempts", 2, "2"),
        ('spent > money("1")', True, "true"),
        ("spent", 150, "1.50 EUR"),
    ]
    assert (rules["busy"].score, rules["busy"].reason, rules["far"].outcome) == (5, "2 attempts", "review")
    assert flat(rules["far"].tree)[0][1:] == (None, "unknown")


def test_values_beyond_a_jump_are_there() -> None:
    """`and` stops at its first false part when deciding; explaining shows the others too."""
    it = world()
    rules = {rule.id: rule for rule in it.engine.explain("e1").rules}
    shown = {text: value for text, value, _ in flat(rules["busy"].tree)}
    assert (shown["attempts >= 2"], shown['spent > money("1")'], shown["spent"]) == (False, False, 100)


def test_windows_have_bounds_and_evidence() -> None:
    it = world()
    it.decide(6 * MINUTE, card="d", amount=1)
    features = {feature.name: feature for feature in it.engine.explain("e2").features}
    assert list(features) == ["attempts", "spent", "first_seen", "ratio"]
    attempts, spent = features["attempts"], features["spent"]
    assert (attempts.value, attempts.evidence) == (2, ("e2", "e1"))
    assert (spent.value, spent.shown, spent.evidence) == (150, "1.50 EUR", ("e2", "e1"))
    assert (attempts.start, spent.start) == (NOON - 5 * MINUTE + 1, NOON + 5 * MINUTE - HOUR + 1)
    assert attempts.end == NOON + 5 * MINUTE + 1
    assert (features["ratio"].start, features["ratio"].evidence, features["ratio"].shown) == (None, (), "0.333333")
    assert features["first_seen"].start is None


def test_evidence_is_of_now_and_values_are_of_then() -> None:
    it = world()
    it.engine.update("e1", final="block")
    it.decide(MINUTE, card="c", amount=7)
    features = {feature.name: feature for feature in it.engine.explain("e2").features}
    assert (features["spent"].value, features["spent"].evidence) == (150, ("e2", "e3"))
    assert it.engine.explain("e1").final == "block"


def test_evidence_is_bounded() -> None:
    it = World('n: count(by=account, over="1d")')
    for at in range(250):
        it.decide(at)
    (feature,) = it.engine.explain("e250").features
    assert feature.value == 250
    assert feature.evidence == tuple(f"e{number}" for number in range(250, 150, -1))


def test_evidence_of_a_window_with_a_delay_leaves_the_event_itself_out() -> None:
    it = World('n: count(by=account, over="1h", delay="10m")')
    for at in (0, 5 * MINUTE, 20 * MINUTE):
        it.decide(at)
    (feature,) = it.engine.explain("e3").features
    assert (feature.value, feature.evidence) == (2, ("e2", "e1"))
    assert (feature.start, feature.end) == (NOON - 50 * MINUTE + 1, NOON + 10 * MINUTE + 1)


def test_fields_lists_and_duplicates() -> None:
    it = World(rules="  - {id: r, when: card in cards, score: 1}\n", more="lists:\n  cards: {of: card}\n")
    it.engine.lists["cards"].add("c")
    event = it.event(card="c", price="1.5", ip="::FFFF:10.0.0.1", amount=5)
    it.engine.decide(event)
    it.engine.lists["cards"].remove("c")
    found = it.engine.explain("e1")
    assert found.lists == ("cards",)
    assert found.rules[0].state == "fired"
    assert flat(found.rules[0].tree)[0][1] is True
    shown = {
        name: found.fields[name] for name in ("id", "ts", "kind", "card", "price", "ip", "amount", "device", "status")
    }
    assert shown == {
        "id": "e1", "ts": NOON, "kind": "payment", "card": "c", "price": 1.5, "ip": "10.0.0.1", "amount": 5,
        "device": None, "status": "pending",
    }  # fmt: skip


def test_what_is_known_of_an_entity() -> None:
    it = world()
    assert it.engine.features(account="a", at=NOON + 5 * MINUTE) == {"spent": 150, "first_seen": "DE"}
    assert it.engine.features(card="c", at=NOON + 14 * MINUTE) == {"attempts": 1}
    assert it.engine.features(card="c", account="a") == {"attempts": 2, "spent": 150, "first_seen": "DE"}
    assert it.engine.features(account="nobody") == {"spent": 0, "first_seen": None}
    assert it.engine.features(account="a", at=NOON + DAY)["spent"] == 0
    assert it.engine.features(account="a", at="2025-10-09T12:05:00Z")["spent"] == 150


def test_looking_at_an_entity_changes_nothing() -> None:
    it = world()
    state = it.engine.state_hash()
    it.engine.features(account="a", card="c")
    it.engine.features(account="x" * 10_000)
    it.engine.explain("e1")
    assert it.engine.state_hash() == state


def test_composite_keys_want_all_their_parts() -> None:
    it = World('pairs: count(by=(account, card), over="1h")\ncards: count(by=card, over="1h")')
    it.decide(card="c")
    assert it.engine.features(card="c") == {"cards": 1}
    assert it.engine.features(card="c", account="a") == {"pairs": 1, "cards": 1}
    assert it.engine.features(account="a") == {}


def test_entities_are_named() -> None:
    with pytest.raises(frmcore.UnknownName, match="its entities: account, card, device, ip"):
        world().engine.features(merchant="m")


def test_an_explanation_survives_a_reload() -> None:
    it = world()
    before = it.engine.explain("e2")
    it.engine.reload(it.text.replace("version: 1", "version: 2").replace("attempts >= 2", "attempts >= 3"))
    after = it.engine.explain("e2")
    assert after.decision.record == before.decision.record
    assert [rule.state for rule in after.rules] == [rule.state for rule in before.rules]
    assert flat(after.rules[0].tree) == flat(before.rules[0].tree)
    assert it.decide(5 * MINUTE + S, card="c", amount=1).fired == ("busy",)


def test_an_event_is_evidence_of_its_own_windows_once() -> None:
    """Also where it lies in a cell that the windows have."""
    world = World('cells: max(amount, by=account, over="1h", every="1m")')
    for number in range(2):
        world.decide(number, amount=number)
    (found,) = world.engine.explain("e2").features
    assert found.evidence == ("e2", "e1")
