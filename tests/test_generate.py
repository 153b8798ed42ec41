"""The generated stream: the same for the same seed, of the stated shape, with the stated fraud in it."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections import Counter, defaultdict
from itertools import islice
from typing import Any

import msgspec
import pytest

from frmcore.generate import FIELDS, SCENARIOS, Update, describe, euro_cents, generate
from frmcore.generate.numbers import Popularity, exp, mix, normal_quantiles
from frmcore.generate.rhythm import MONDAY_MS
from frmcore.generate.stream import LATE, LATE_MS, RETRIED

DAY_MS = 86_400_000
FRAUD = {s.name: s for s in SCENARIOS if s.label == "fraud"}


class World:
    """One stream, read once."""

    def __init__(self, events: int, seed: int = 1, days: int = 60) -> None:
        stream = generate(events, seed, days)
        self.records = list(stream)
        self.truth = dict(stream.truth)
        self.events = [r for r in self.records if isinstance(r, dict)]
        self.updates = [r for r in self.records if isinstance(r, Update)]
        self.first = {}
        for event in self.events:
            self.first.setdefault(event["txn_id"], event)

    def of(self, scenario: str) -> list[dict[str, Any]]:
        return [self.first[i] for i, name in self.truth.items() if name == scenario]


@pytest.fixture(scope="module")
def world() -> World:
    return World(60_000)


def fingerprint(events: int, seed: int) -> str:
    digest = hashlib.sha256()
    for record in generate(events, seed):
        digest.update(msgspec.json.encode(record))
    return digest.hexdigest()


def test_the_same_seed_gives_the_same_bytes_on_any_machine() -> None:
    assert fingerprint(5_000, 1) == "657fb698ebc1837bcd5f4c1cfe1de7fcb954c458dbceb104c56a686f78bd716b"


@pytest.mark.parametrize("hash_seed", ["0", "77"])
def test_the_hash_seed_of_python_does_not_matter(hash_seed: str) -> None:
    code = "import sys, test_generate; print(test_generate.fingerprint(2000, 3))"
    env = os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)}
    told = subprocess.run([sys.executable, "-c", code], env=env, check=True, capture_output=True, text=True).stdout
    assert told.strip() == fingerprint(2_000, 3)


def test_another_seed_gives_another_stream() -> None:
    assert fingerprint(500, 1) != fingerprint(500, 2)


@pytest.mark.parametrize("events", [1, 7, 333, 5_000])
def test_as_many_events_as_asked_for(events: int) -> None:
    world = World(events)
    assert len(world.events) == events
    assert {update.id for update in world.updates} <= world.first.keys()


@pytest.mark.parametrize("days", [1, 30])
def test_the_stream_spans_the_days_asked_for(days: int) -> None:
    times = [event["ts"] for event in World(3_000, days=days).events]
    assert min(times) >= MONDAY_MS
    assert 0.9 * days * DAY_MS < max(times) - MONDAY_MS < days * DAY_MS


def test_scenarios_that_do_not_fit_the_stream_are_left_out() -> None:
    found = set(World(10_000, days=1).truth.values())
    assert found == {"card_testing", "takeover", "stolen_card", "mule_chain"}


def test_start_moves_the_stream() -> None:
    first = next(r for r in generate(100, 1, start_ms=MONDAY_MS + 5 * DAY_MS) if isinstance(r, dict))
    assert first["ts"] >= MONDAY_MS + 5 * DAY_MS


def test_events_have_the_stated_fields_in_order(world: World) -> None:
    order = list(FIELDS)
    for event in world.first.values():
        assert list(event) == sorted(event, key=order.index)
        assert all(type(value) is FIELDS[name] and value != "" for name, value in event.items())
        assert {"txn_id", "ts", "kind", "account", "country", "channel"} <= event.keys()
        if event["kind"] in ("payment", "payout"):
            assert event["amount"] > 0
            assert ("card" in event) == (event["kind"] == "payment")


def test_no_event_tells_its_scenario(world: World) -> None:
    names = {scenario.name for scenario in SCENARIOS} | {"fraud", "legit"}
    assert not any(names & {str(value) for value in event.values()} for event in world.events)


def test_records_arrive_in_order_but_for_the_late_ones(world: World) -> None:
    now, late = 0, 0
    seen: set[str] = set()
    for record in world.records:
        if isinstance(record, Update):
            assert record.at >= now
            assert record.id in seen
            now = record.at
            continue
        late += record["ts"] < now
        assert record["ts"] >= now - LATE_MS
        seen.add(record["txn_id"])
    assert 0.2 * LATE < late / len(world.events) < 1.5 * (LATE + RETRIED)


def test_retries_repeat_their_event(world: World) -> None:
    copies = Counter(event["txn_id"] for event in world.events)
    retries = sum(copies.values()) - len(copies)
    assert 0.5 * RETRIED < retries / len(world.events) < 2 * RETRIED
    assert all(event == world.first[event["txn_id"]] for event in world.events)


def test_every_payment_has_one_answer_and_fraud_one_label(world: World) -> None:
    answered = Counter(u.id for u in world.updates if u.field == "status")
    payments = {i for i, event in world.first.items() if event["kind"] == "payment"}
    assert answered == Counter(payments)
    labels = {u.id: u.value for u in world.updates if u.field == "label"}
    assert {i for i, label in labels.items() if label == "fraud"} == world.truth.keys()
    assert sum(label == "legit" for label in labels.values()) > 300


def test_labels_come_as_late_as_stated(world: World) -> None:
    for update in world.updates:
        if update.field == "label" and update.id in world.truth:
            least, most = FRAUD[world.truth[update.id]].label_days
            assert least * DAY_MS <= update.at - world.first[update.id]["ts"] <= most * DAY_MS


def test_scenarios_make_up_the_stated_shares() -> None:
    found: Counter[str] = Counter()
    told_part = {"takeover": 5 / 6.8, "bust_out": 12.5 / 25.5}  # the rest of their events is not labelled
    for seed in range(4):
        found.update(World(30_000, seed).truth.values())
    for name, scenario in FRAUD.items():
        share = found[name] / 120_000 / told_part.get(name, 1)
        assert 0.75 * scenario.share < share < 1.25 * scenario.share, name


def test_truth_may_be_taken_out_as_the_stream_goes() -> None:
    stream = generate(20_000, 1)
    fraud = sum(stream.truth.pop(r["txn_id"], None) is not None for r in stream if isinstance(r, dict))
    assert fraud > 300
    assert stream.truth == {}


def test_few_records_wait_in_memory() -> None:
    stream = generate(50_000, 1)
    for _ in islice(stream, 50_000):
        pass
    waiting = [entry for bucket in stream._buckets.values() for entry in bucket]
    assert len(waiting) < 5_000


def test_people_are_skewed_and_share_homes(world: World) -> None:
    by_account = Counter(event["account"] for event in world.events)
    busiest = by_account.most_common(len(by_account) // 100)
    assert 0.03 < sum(n for _, n in busiest) / len(world.events) < 0.3
    accounts_of: defaultdict[str, set[str]] = defaultdict(set)
    for event in world.events:
        if "device" in event:
            accounts_of[event["device"]].add(event["account"])
    assert sum(len(accounts) > 1 for accounts in accounts_of.values()) > 100


def test_days_and_weeks_have_a_rhythm(world: World) -> None:
    hours = Counter(event["ts"] // 3_600_000 % 24 for event in world.events)
    assert hours[2] * 5 < hours[17]
    monday, sunday = 0, 6
    noon = [(event["ts"] - MONDAY_MS) // DAY_MS % 7 for event in world.events if event["ts"] // 3_600_000 % 24 == 11]
    days = Counter(noon)
    assert days[sunday] > 1.05 * days[monday]


def test_money_comes_in_several_currencies(world: World) -> None:
    currencies = Counter(event["currency"] for event in world.events if "currency" in event)
    assert currencies.keys() == {"EUR", "GBP", "PLN", "SEK", "CHF", "USD", "JPY"}
    amounts = sorted(euro_cents(event) for event in world.events if event["kind"] == "payment")
    assert 2_000 < amounts[len(amounts) // 2] < 5_000
    assert amounts[-1] > 20 * amounts[len(amounts) // 2]
    assert euro_cents({"amount": 1000, "currency": "GBP"}) == 1170
    assert euro_cents({"kind": "login"}) == 0


def test_addresses_and_mailboxes_belong_to_nobody(world: World) -> None:
    for event in world.events:
        if "ip" in event:
            assert event["ip"].startswith(("10.", "100.64.", "100.65.", "100.66.", "100.67.", "198.18.", "2001:db8:"))
            assert event["email"].endswith((".example", "@example.com", "@example.org", "@example.net"))
        assert event.get("card", "9990").startswith("9990")


# -- what each scenario does -------------------------------------------------------------------------------------
def groups(events: list[dict[str, Any]], key: str) -> list[list[dict[str, Any]]]:
    found: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        found[event[key]].append(event)
    return list(found.values())


def test_card_testing_runs_through_cards_with_tiny_amounts(world: World) -> None:
    events = world.of("card_testing")
    assert all(euro_cents(event) <= 301 for event in events)
    assert max(len({e["card"] for e in run}) for run in groups(events, "device")) >= 30


def test_takeover_comes_from_a_device_that_changed_the_password(world: World) -> None:
    changed = {(e["account"], e["device"]) for e in world.events if e["kind"] == "password_change"}
    events = world.of("takeover")
    part = sum((e["account"], e["device"]) in changed for e in events) / len(events)
    assert 0.6 < part < 0.95


def test_a_stolen_card_belongs_to_somebody_else(world: World) -> None:
    thieves = {event["account"] for event in world.of("stolen_card")}
    accounts_of = groups([e for e in world.events if "card" in e], "card")
    shared = [accounts for run in accounts_of if len(accounts := {e["account"] for e in run}) > 1]
    assert any(accounts & thieves for accounts in shared)
    assert max(map(len, groups(world.of("stolen_card"), "card"))) >= 6


def test_bust_out_follows_a_good_history(world: World) -> None:
    for run in groups(world.of("bust_out"), "account"):
        start = min(event["ts"] for event in run)
        before = [e for e in world.events if e["account"] == run[0]["account"] and e["ts"] < start]
        assert len(before) >= 10
        assert max(euro_cents(e) for e in before) < min(euro_cents(e) for e in run)


def test_colluding_accounts_share_devices_at_one_merchant(world: World) -> None:
    for run in groups(world.of("collusion"), "merchant"):
        assert len({event["account"] for event in run}) >= 3
        assert len({event["device"] for event in run}) <= 6


def test_mules_pay_out_less_than_they_received(world: World) -> None:
    events = world.of("mule_chain")
    received: Counter[str] = Counter()
    for event in events:
        if "payee" in event:
            received[event["payee"]] += euro_cents(event)
    paid_out: Counter[str] = Counter()
    for event in events:
        if event["kind"] == "payout":
            paid_out[event["account"]] += euro_cents(event)
    assert len(paid_out) >= 10
    assert all(0.85 * received[account] < paid < received[account] for account, paid in paid_out.items())


def test_structuring_stays_below_the_line(world: World) -> None:
    events = world.of("structuring")
    assert all(90_000 <= euro_cents(event) < 100_000 and event["kind"] == "payout" for event in events)
    assert max(map(len, groups(events, "account"))) >= 6


# -- the numbers under it ----------------------------------------------------------------------------------------
def test_exp_is_exact_to_twelve_digits() -> None:
    known = {0.0: 1.0, 1.0: 2.718281828459045, -2.5: 0.0820849986238988, 10.0: 22026.465794806718}
    assert {x: exp(x) for x in known} == pytest.approx(known, rel=1e-12)


def test_normal_quantiles_are_those_of_the_normal_distribution() -> None:
    table = normal_quantiles()
    assert len(table) == 4096
    assert list(table) == sorted(table)
    assert table[2047] == pytest.approx(0, abs=0.01)
    assert table[int(0.975 * 4096)] == pytest.approx(1.96, abs=0.01)
    assert table[0] == pytest.approx(-3.67, abs=0.05)


def test_popularity_has_the_stated_head() -> None:
    ranks = Popularity(1000, 0.2)
    counts = Counter(ranks.rank(i / 100_000) for i in range(100_000))
    assert set(counts) <= set(range(1000))
    assert counts[0] > 5 * counts[10]
    assert ranks.rank(1 - 2**-53) == 999
    assert Counter(Popularity(1000, 0.4).rank(i / 100_000) for i in range(100_000))[0] < counts[0] / 3


def test_mix_spreads_neighbours() -> None:
    values = [mix(n) for n in range(1000)]
    assert len({value & 0xFFFF for value in values}) > 950
    assert all(0 <= value < 2**64 for value in values)


def test_describe_names_every_scenario_and_its_share() -> None:
    text = describe()
    for scenario in SCENARIOS:
        assert f"{scenario.name}, {scenario.share:.1%}" in text
