"""Lists at run time: members, expiry by event time, networks, private values, what is known of an entry."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from engines import DAY, HOUR, MINUTE, NOON, S, World

import frmcore
from frmcore.lists import Entry

LISTS = """
lists:
  cards: {of: card}
  networks: {of: ip, match: network}
  addresses: {of: ip}
  fixed: {of: string, values: [DE, FR]}
  own: {of: ip, match: network, values: [10.0.0.0/8, 2001:db8::/32]}
"""
RULES = """\
  - {id: card, when: card in cards, score: 1}
  - {id: network, when: ip in networks, score: 2}
  - {id: address, when: ip in addresses, score: 4}
  - {id: fixed, when: country in fixed, score: 8}
  - {id: own, when: ip in own, score: 16}
"""


def world(**options: Any) -> World:
    return World(rules=RULES, more=LISTS, **options)


def test_members_from_the_next_decision_on() -> None:
    it = world()
    cards = it.engine.lists["cards"]
    assert it.decide(card="c").score == 0
    cards.add("c")
    first = it.decide(card="c")
    assert (first.score, first.lists) == (1, ("cards",))
    assert it.decide(card="C").score == 0
    assert cards.remove("c")
    assert not cards.remove("c")
    assert it.decide(card="c").score == 0


def test_expiry_is_by_event_time() -> None:
    it = world()
    it.engine.lists["cards"].add("c", expires=NOON + HOUR)
    assert [it.decide(at, card="c").score for at in (0, HOUR - 1, HOUR, HOUR + 1, HOUR - 2)] == [1, 1, 0, 0, 1]


def test_forms_of_expiry() -> None:
    it = world(clock=lambda: NOON)
    cards = it.engine.lists["cards"]
    until = datetime.fromtimestamp((NOON + DAY) / 1_000, UTC)
    for number, form in enumerate(("1d", "24h", timedelta(days=1), NOON + DAY, until, until.isoformat())):
        cards.add(f"c-{number}", expires=form)
    assert {entry and entry.expires for entry in map(cards.get, cards)} == {NOON + DAY}
    cards.add("c-0")
    assert cards.get("c-0") == Entry("c-0", added=NOON)


def test_what_is_known_of_an_entry() -> None:
    it = world(clock=lambda: NOON)
    cards = it.engine.lists["cards"]
    cards.add("c", reason="chargeback", source="case-381", owner="anna", expires="90d")
    assert cards.get("c") == Entry("c", "chargeback", "case-381", "anna", NOON, NOON + 90 * DAY)
    cards.add("c", reason="again")
    assert cards.get("c") == Entry("c", "again", added=NOON)
    assert cards.get("d") is None


def test_len_iteration_and_in_go_by_the_clock() -> None:
    now = [NOON]
    it = world(clock=lambda: now[0])
    cards = it.engine.lists["cards"]
    assert cards.add_many(["a", "b", "a"], expires="1h") == 2
    assert cards.add_many(["b", "c"]) == 1
    assert (len(cards), list(cards), "a" in cards, "d" in cards) == (3, ["a", "b", "c"], True, False)
    now[0] += HOUR
    assert (len(cards), list(cards), "a" in cards, cards.get("a")) == (2, ["b", "c"], False, None)
    assert repr(cards) == "<EntityList cards: 2 values>"


def test_expired_values_leave_memory_once_the_horizon_is_past() -> None:
    """A late event still finds what was listed at its time; after limits.horizon nothing does, and nothing is kept."""
    it = World(rules=RULES, more=LISTS + "limits: {horizon: 1m, ids_min: 1000}\n")
    cards, networks = it.engine.lists["cards"], it.engine.lists["networks"]
    cards.add_many([f"c-{number}" for number in range(500)], expires=NOON + S)
    networks.add("198.51.100.0/24", expires=NOON + S)
    cards.add("c-for-good")
    it.decide(MINUTE)  # the watermark less the horizon: the values had a second left
    assert it.decide(0, card="c-7", ip="198.51.100.1").score == 3
    before = it.engine.stats["memory"]["lists"]
    it.decide(MINUTE + S)
    late = it.decide(0, card="c-7", ip="198.51.100.1")
    assert (late.score, late.late) == (0, True)
    assert len(list(cards.entries())) == 1
    assert len(list(networks.entries())) == 0
    for at in range(2_000):
        it.decide(MINUTE + S + at)
    assert it.engine.stats["memory"]["lists"] < before - 500 * 16
    assert (list(cards), it.decide(MINUTE + 9 * S, card="c-for-good").score) == (["c-for-good"], 1)


def test_a_longer_horizon_brings_no_value_back() -> None:
    it = World(rules=RULES, more=LISTS + "limits: {horizon: 1m, ids_min: 1000}\n")
    it.engine.lists["cards"].add("c", expires=NOON + S)
    it.decide(HOUR)
    it.engine.reload(it.text.replace("horizon: 1m", "horizon: 7d"))
    assert it.decide(0, card="c").score == 0


def test_a_time_in_seconds_is_refused() -> None:
    """Of an engine that lives in made-up times of the seventies it is none."""
    it = world(clock=lambda: NOON)
    for change in (
        lambda until: it.engine.lists["cards"].add("c", expires=until),
        lambda until: it.engine.holds.add("account", "a", until=until),
        lambda until: it.engine.snooze("card", until=until),
    ):
        with pytest.raises(frmcore.InvalidEvent, match="expected epoch milliseconds, got 1893456000"):
            change(1_893_456_000)
    assert (len(it.engine.lists["cards"]), len(it.engine.holds), it.engine.controls.snoozes) == (0, 0, ())
    old = world(clock=lambda: 5_000)
    old.engine.lists["cards"].add("c", expires=7_000)
    assert "c" in old.engine.lists["cards"]


def test_a_value_is_checked_without_a_change() -> None:
    lists = world().engine.lists
    for name, value in (("networks", "10.0.0.1/8"), ("addresses", "x"), ("cards", ""), ("cards", "\udcf6")):
        with pytest.raises(frmcore.InvalidEvent, match=f"list {name}: expected"):
            lists[name].check(value)
    lists["networks"].check("10.0.0.0/8")
    assert not lists["networks"]


def test_a_duration_needs_a_now() -> None:
    it = world()
    cards = it.engine.lists["cards"]
    for expires in ("90d", timedelta(days=90)):
        with pytest.raises(frmcore.InvalidEvent, match="give a time, or open the engine with a clock") as caught:
            cards.add("c", expires=expires)
        assert caught.value.field == "expires"
    cards.add("c", expires="2100-01-01T00:00:00Z")
    assert cards.get("c") == Entry("c", expires=4_102_444_800_000)
    assert (list(cards), len(cards), "c" in cards) == (["c"], 1, True)
    it.decide(0)
    cards.add("d", expires="90d")
    assert cards.get("d") == Entry("d", added=NOON, expires=NOON + 90 * DAY)


def test_networks() -> None:
    it = world()
    networks = it.engine.lists["networks"]
    networks.add_many(["192.168.0.0/16", "192.168.7.0/24", "2001:db8::/32", "203.0.113.9"])
    inside = ["192.168.3.4", "192.168.7.1", "::ffff:192.168.0.1", "2001:db8:ffff::1", "203.0.113.9"]
    outside = ["192.169.0.0", "10.0.0.1", "2001:db9::", "203.0.113.10", "::1"]
    assert [it.decide(ip=ip).score & 2 for ip in inside + outside] == [2] * 5 + [0] * 5
    assert [ip in networks for ip in inside + outside] == [True] * 5 + [False] * 5
    assert ("192.168.7.0/24" in networks, "192.168.8.0/24" in networks) == (True, False)
    networks.remove("192.168.0.0/16")
    assert [it.decide(ip=ip).score & 2 for ip in inside] == [0, 2, 0, 2, 2]
    assert len(networks) == 3


def test_a_mapped_network_is_its_ipv4_one() -> None:
    it = world()
    it.engine.lists["networks"].add("::ffff:203.0.113.0/120")
    assert list(it.engine.lists["networks"]) == ["203.0.113.0/24"]
    assert it.decide(ip="203.0.113.77").score & 2


def test_a_network_inside_another_expires_alone() -> None:
    it = world()
    networks = it.engine.lists["networks"]
    networks.add("198.51.0.0/16", expires=NOON + 10 * S)
    networks.add("198.51.100.0/24", expires=NOON + 5 * S)
    assert [it.decide(at * S, ip="198.51.100.1").score & 2 for at in (4, 5, 9, 10)] == [2, 2, 2, 0]


def test_addresses_are_canonical() -> None:
    it = world()
    addresses = it.engine.lists["addresses"]
    addresses.add_many(["::FFFF:10.9.8.7", "2001:DB8:0::1"])
    assert list(addresses) == ["10.9.8.7", "2001:db8::1"]
    assert it.decide(ip="10.9.8.7").score & 4
    assert addresses.remove("::ffff:a09:807")


def test_lists_of_the_policy_can_be_read_only() -> None:
    it = world()
    fixed, own = it.engine.lists["fixed"], it.engine.lists["own"]
    assert (list(fixed), len(fixed), "DE" in fixed, "IT" in fixed, fixed.read_only) == (
        ["DE", "FR"],
        2,
        True,
        False,
        True,
    )
    assert fixed.get("FR") == Entry("FR", source="policy")
    assert (list(own), "10.1.2.3" in own, "11.1.2.3" in own) == (["10.0.0.0/8", "2001:db8::/32"], True, False)
    assert own.get("10.0.0.0/8") == Entry("10.0.0.0/8", source="policy")
    assert it.decide(country="DE", ip="10.3.3.3").score == 24
    for change in (fixed.add, fixed.remove, own.add, own.remove):
        with pytest.raises(frmcore.ReadOnlyList, match="change it there"):
            change("10.0.0.0/8")


def test_private_lists_show_hashes() -> None:
    schema = (
        World()
        .text.split("rules:")[0]
        .replace("card: {", "card: {private: true, ")
        .replace("ip: {", "ip: {private: true, ")
    )
    rules = "  - {id: card, when: card in cards or card in fixed, score: 1}\n"
    rules += "  - {id: ip, when: ip in addresses, score: 2}\n"
    lists = "lists:\n  cards: {of: card}\n  addresses: {of: ip}\n  fixed: {of: card, values: ['4111', '5500']}\n"
    it = World(rules=rules, more=lists, schema=schema)
    cards, addresses, fixed = (it.engine.lists[name] for name in ("cards", "addresses", "fixed"))
    cards.add("secret", reason="stolen")
    addresses.add("10.0.0.1", expires=NOON + 20)
    assert [it.decide(card=card).score for card in ("secret", "5500", "other")] == [1, 1, 0]
    assert [it.decide(at, ip="::ffff:10.0.0.1").score for at in (9, 19)] == [2, 2]
    for shown in (*cards, *addresses, *fixed):
        assert len(bytes.fromhex(shown)) == 16
    assert ("secret" in cards, "10.0.0.1" in addresses, "4111" in fixed, "4112" in fixed) == (True, True, True, False)
    entry = cards.get("secret")
    assert entry is not None
    assert (entry.reason, entry.value) == ("stolen", next(iter(cards)))
    assert cards.remove("secret")
    assert addresses.remove("10.0.0.1")


def test_a_refused_value_among_many_adds_none() -> None:
    it = world()
    state = it.engine.state_hash()
    with pytest.raises(frmcore.InvalidEvent):
        it.engine.lists["networks"].add_many(["10.0.0.0/8", "nonsense"])
    assert it.engine.state_hash() == state
    assert list(it.engine.lists["networks"]) == []


def test_the_lists_are_a_mapping() -> None:
    lists = world().engine.lists
    assert list(lists) == ["cards", "networks", "addresses", "fixed", "own"]
    assert (len(lists), "cards" in lists, "card" in lists, lists["cards"].name) == (5, True, False, "cards")
    with pytest.raises(frmcore.UnknownName, match='did you mean "cards"'):
        lists["crads"]


def test_lists_of_a_closed_engine() -> None:
    it = world()
    cards = it.engine.lists["cards"]
    it.engine.close()
    for call in (cards.add, cards.remove, cards.__contains__):
        with pytest.raises(frmcore.EngineClosed):
            call("c")
