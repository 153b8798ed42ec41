"""Another policy in force: what stays warm, what is filled from remembered events, what is translated by name."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from engines import HOUR, MINUTE, NEVER, NOON, SCHEMA, S, World, policy_text

import frmcore

if TYPE_CHECKING:
    from pathlib import Path

COUNT = 'n: count(by=account, over="1h")'


def test_warm_windows_stay_and_new_ones_are_filled_from_remembered_events() -> None:
    world = World(COUNT, more="limits: {horizon: 1m, ids_min: 5}\n")
    for at in range(10):
        world.decide(at * MINUTE, card="c", amount=at)
    more = COUNT + '\ns: sum(amount, by=account, over="1h")\nm: max(amount, by=card, over="1h")'
    world.engine.reload(policy_text(more, more="limits: {horizon: 1m, ids_min: 5}\n"))
    features = world.decide(10 * MINUTE, card="c", amount=0).features
    assert features["n"] == 11
    assert features["s"] == sum(range(5, 10))
    assert features["m"] == 9


FORGETFUL = "limits: {horizon: 1m, ids_min: 2, ids_max: 3}\n"
INCOMPLETE = "is incomplete: its window reaches events that had been forgotten when a reload added it"


def test_a_new_window_that_reaches_forgotten_events_counts_what_is_recorded_and_says_so() -> None:
    world = World(COUNT, more=FORGETFUL)
    for at in range(5):
        world.decide(at * 10 * S)  # the events at 0 and 10 s are forgotten
    features = (
        COUNT
        + """
        wide: count(by=account, on=payment, over="10m")
        late_start: count(by=account, on=payment, over="10m", delay="5s")
        latest: since_last(by=account, on=payment)
        first_: since_first(by=account, on=payment, over="10m")
        all_: count(by=account, on=payment)
        other: count(by=account, on=payment, over="30s")
    """
    )
    world.engine.reload(policy_text(features, more=FORGETFUL))
    decision = world.decide(50 * S)
    assert dict(decision.features) == {
        "n": 6, "wide": 4, "late_start": 3, "latest": 10 * S, "first_": 30 * S, "all_": 4, "other": 3,
    }  # fmt: skip
    noted = ("wide", "late_start", "first_", "all_")
    assert sorted(decision.notes) == sorted(f"{name} {INCOMPLETE}" for name in noted)


def test_it_is_noted_until_the_window_is_complete() -> None:
    """(t - 10 min, t] is, when it starts at the last forgotten event's time, or its cell; what life counts never is."""
    world = World(COUNT, more=FORGETFUL)
    for at in range(5):
        world.decide(at * 10 * S)
    features = 'wide: count(by=account, on=payment, over="10m")\nall_: count(by=account)\n'
    features += 'cells: count(by=account, over="10m", every="1m")'
    world.engine.reload(policy_text(features, more=FORGETFUL))
    noted = [world.decide(10 * MINUTE + at).notes for at in (-1, 0, 10 * S - 1, 10 * S)]
    names = [{note.split()[0] for note in notes} for notes in noted]
    assert names == [{"wide", "all_", "cells"}, {"wide", "all_"}, {"wide", "all_"}, {"all_"}]
    world.engine.reload(policy_text(features, more=FORGETFUL))
    assert [note.split()[0] for note in world.decide(HOUR).notes] == ["all_"]


def test_a_mark_that_was_forgotten_makes_its_windows_incomplete() -> None:
    world = World(COUNT, more=FORGETFUL)
    world.decide(0, country="DE")
    for at in range(1, 5):
        world.decide(at * S)
    world.engine.reload(policy_text('s: count(by=account, since=country == "DE")', more=FORGETFUL))
    decision = world.decide(5 * S)
    assert (decision.features["s"], decision.notes) == (4, (f"s {INCOMPLETE}",))
    world.decide(6 * S, country="DE")
    decision = world.decide(7 * S)
    assert (decision.features["s"], decision.notes) == (1, ())


def test_an_engine_that_forgot_nothing_has_complete_windows() -> None:
    world = World(COUNT)
    for at in range(20):
        world.decide(at * S)
    world.engine.reload(policy_text('wide: count(by=account, over="10d")\nall_: count(by=account)'))
    decision = world.decide(20 * S)
    assert (dict(decision.features), decision.notes) == ({"wide": 21, "all_": 21}, ())


def test_what_a_window_lacks_is_part_of_the_state_while_it_matters() -> None:
    """One engine had the window from the start, one got it too late; the forgotten events were none of its own."""
    both = [World('n: count(by=account, over="10m", on=payment)', more=FORGETFUL), World(more=FORGETFUL)]
    for world in both:
        for at in range(4):
            world.decide(at * S, kind="login")
        world.decide(5 * S)
        world.engine.reload(both[0].text)
    hashes = [world.engine.state_hash() for world in both]
    assert hashes[0] != hashes[1]
    for world in both:
        for at in range(4):
            world.decide(HOUR + at * S)
    assert both[0].engine.state_hash() == both[1].engine.state_hash()


def test_updates_are_known_to_new_windows() -> None:
    world = World(COUNT)
    world.decide(0)
    world.decide(S)
    world.engine.update("e1", status="declined")
    world.engine.update("e2", final="block")
    features = 'd: count(by=account, over="1h", where=status == "declined")\n'
    features += 'b: count(by=account, over="1h", where=final == "block")'
    world.engine.reload(policy_text(features))
    assert dict(world.decide(2 * S).features) == {"d": 1, "b": 1}
    world.engine.update("e1", status="approved")
    world.engine.update("e2", final="allow")
    assert dict(world.decide(3 * S).features) == {"d": 0, "b": 0}


KINDS = "[payment, login]"
FILTERED = """
    fine: count(by=account, over="1h", where=status != "declined")
    bad: count(by=account, over="1h", where=status == "declined")
"""


def test_an_event_of_a_kind_that_is_gone_still_counts_where_any_kind_does() -> None:
    world = World(FILTERED)
    world.decide(0, kind="login")
    world.decide(1)
    more = FILTERED + 'all_: count(by=account, over="2h")'
    world.engine.reload(policy_text(more, schema=SCHEMA.replace(KINDS, "[payment]")))
    assert world.engine.features(account="a") == {"fine": 2, "bad": 0, "all_": 2}
    world.engine.update("e1", status="declined")
    assert world.engine.features(account="a") == {"fine": 1, "bad": 1, "all_": 2}


def test_an_event_of_a_kind_that_is_gone_is_decided_again_by_rules_for_any_kind() -> None:
    points = "points:\n  first: {}\n  answered: {after: first}\n"
    rules = "  - {id: any, point: answered, when: not missing(id), score: 1}\n"
    rules += "  - {id: some, point: answered, when: not missing(id), score: 2, on: payment}\n"
    world = World(rules=rules, more=points)
    world.decide(0, kind="login")
    world.engine.reload(policy_text(rules=rules, more=points, schema=SCHEMA.replace(KINDS, "[payment]")))
    assert world.engine.decide_again("e1", "answered").fired == ("any",)


COUNTRIES = SCHEMA.replace("country: {type: string,", "country: {type: enum, values: [DE, FR, IT],")


def test_a_label_that_goes_or_comes_back_changes_what_filters_say_of_older_events() -> None:
    """Absent is neither FR nor another country."""
    features = 'n: count(by=account, over="1h", where=country != "FR" and status != "declined")'
    features += '\nothers: share(country != "IT", by=account, over="1h")'
    world = World(features, schema=COUNTRIES)
    for at, country in enumerate(("DE", "IT", "FR", "DE")):
        world.decide(at, country=country)
    assert world.engine.features(account="a") == {"n": 3, "others": 0.75}
    world.engine.reload(policy_text(features, schema=COUNTRIES.replace("DE, ", "")))
    assert world.engine.features(account="a") == {"n": 1, "others": 0.25}
    world.engine.update("e1", status="declined")
    assert world.engine.features(account="a") == {"n": 1, "others": 0.25}
    world.engine.reload(policy_text(features, schema=COUNTRIES))
    assert world.engine.features(account="a") == {"n": 2, "others": 0.75}
    world.engine.update("e4", status="declined")
    assert world.engine.features(account="a") == {"n": 1, "others": 0.75}


def test_an_outcome_that_goes_or_comes_back_changes_what_filters_say_of_older_events() -> None:
    """An event whose outcome has no name is taken for one of the weakest."""
    features = 'good: count(by=account, over="1h", where=final == "allow")'
    world = World(features)
    for at in range(3):
        world.decide(at)
    world.engine.update("e1", final="review")
    assert world.engine.features(account="a") == {"good": 2}
    world.engine.reload(policy_text(features, more="outcomes: [allow, block]\n"))
    assert world.engine.features(account="a") == {"good": 3}
    world.engine.update("e1", final="block")
    assert world.engine.features(account="a") == {"good": 2}
    world.engine.update("e2", final="allow")
    world.engine.reload(policy_text(features))
    assert world.engine.features(account="a") == {"good": 2}


REQUIRED = SCHEMA.replace("    account:", "    fee: int\n    account:")
FEES = """
    usual: mean(fee, by=account, over="2h")
    least: min(fee, by=account, over="2h")
    sorts: count_distinct(fee, by=account, over="2h")
    some: share(fee > -1, by=account, over="2h")
    all_: count(by=account, over="2h")
"""


@pytest.mark.parametrize("before", [SCHEMA, REQUIRED.replace("fee: int", "fee: {type: int, optional: true}")])
def test_older_events_lack_what_is_required_now_and_are_left_out_of_it(before: str, tmp_path: Path) -> None:
    engine = frmcore.Engine(tmp_path / "s", policy=policy_text(COUNT, schema=before), clock=None)
    world = World(schema=before)
    for at in range(3):
        engine.decide(world.event(at))
    engine.reload(policy_text(FEES, schema=REQUIRED))
    assert engine.features(account="a") == {"usual": None, "least": None, "sorts": 0, "some": 0.0, "all_": 3}
    engine.decide(world.event(3, fee=7))
    found = {"usual": 7.0, "least": 7, "sorts": 1, "some": 0.25, "all_": 4}
    assert engine.features(account="a") == found
    for _ in range(2):
        engine.close()
        engine = frmcore.Engine(tmp_path / "s", policy=policy_text(FEES, schema=REQUIRED), clock=None)
        assert engine.features(account="a") == found
        engine.reload(policy_text(FEES + COUNT, schema=REQUIRED))
        engine.reload(policy_text(FEES, schema=REQUIRED))
        assert engine.features(account="a") == found
    engine.close()


def test_a_store_opens_again_after_a_reload_that_leaves_a_column_unread(tmp_path: Path) -> None:
    """The kept ring answers one feature as before; a new one, which comes first, could answer it as well."""
    both = 'n: share({}, by=account, over="10m")\nm: since_first(by=account, over="10m")\n'
    both += 'same: since_first(by=account, over="10m")'
    engine = frmcore.Engine(tmp_path / "s", policy=policy_text(both.format("missing(card)")), clock=None)
    world = World()
    engine.decide(world.event())
    now = policy_text(both.format("missing(note)"))
    engine.reload(now)
    engine.decide(world.event(S))
    before = engine.state_hash()
    engine.close()
    with frmcore.Engine(tmp_path / "s", policy=now, clock=None) as engine:
        assert engine.state_hash() == before
        assert engine.features(account="a", at=NOON + S) == {"n": 1.0, "m": S, "same": S}


def test_money_of_another_currency_is_another_value() -> None:
    world = World('s: sum(amount, by=account, over="1h")')
    world.decide(0, amount=500)
    world.engine.reload(
        policy_text('s: sum(amount, by=account, over="1h")', schema=SCHEMA.replace("currency: EUR", "currency: USD"))
    )
    world.decide(1, amount=300)
    assert world.engine.features(account="a") == {"s": 300}


def test_labels_keep_their_meaning_when_their_order_changes() -> None:
    world = World(
        'p: count(by=account, over="1h", on=payment)\nd: count(by=account, over="1h", where=status == "declined")'
    )
    world.decide(0)
    world.decide(1, kind="login")
    world.engine.update("e1", status="declined")
    schema = SCHEMA.replace("[payment, login]", "[refund, login, payment]")
    schema = schema.replace("[pending, approved, declined]", "[declined, pending, approved]")
    world.engine.reload(policy_text(
        'l: count(by=account, over="2h", on=login)\nd: count(by=account, over="2h", where=status == "declined")',
        schema=schema,
    ))  # fmt: skip
    assert dict(world.decide(2).features) == {"l": 1, "d": 1}
    fields = world.engine.explain("e1").fields
    assert (fields["kind"], fields["status"]) == ("payment", "declined")
    event = {"id": "e2", "ts": NOON + 1, "kind": "login", "account": "a"}
    assert world.engine.decide(event).duplicate


def test_removed_and_added_fields() -> None:
    world = World('c: count(by=card, over="1h")')
    event = world.event(card="c", note="x", weight=1.5)
    world.engine.decide(event)
    schema = SCHEMA.replace(
        "    weight: {type: float, optional: true}\n", "    colour: {type: string, optional: true}\n"
    )
    world.engine.reload(policy_text('c: count(by=card, over="1h")', schema=schema))
    assert world.engine.decide(event).duplicate
    assert world.value(1, card="c", colour="red") == 2
    fields = world.engine.explain("e1").fields
    assert ("weight" in fields, fields["colour"]) == (False, None)


def test_outcomes_are_translated_by_name() -> None:
    world = World(rules='  - {id: r, when: note == "x", outcome: block}\n')
    world.decide(note="x")
    text = policy_text(
        'b: count(by=account, over="1h", where=final == "block", closed="left")',
        more="outcomes: [allow, ask, review, block]\n",
    )
    world.engine.reload(text)
    assert world.value(1) == 1
    assert world.engine.explain("e1").final == "block"


def test_what_was_told_is_there_again_when_its_name_is() -> None:
    """A policy in between that has no such update, outcome or point loses nothing of it: going back is the way out of a
    bad policy."""
    features = """
        good: count(by=account, over="1h", where=status != "declined")
        blocked: count(by=account, over="1h", where=final == "block")
    """
    points = "points:\n  first: {}\n  answered: {after: first}\n"
    stops = '  - {id: stops, when: card == "c", outcome: block}\n'
    world = World(features, stops, more=points)
    for at in range(3):
        world.decide(at, card="c")
    world.engine.update("e1", status="declined", remark="ä" * 40)
    assert not world.engine.decide_again("e2", "answered").duplicate
    world.engine.update("e3", final="allow")
    before = world.engine.state_hash(), world.engine.features(account="a"), known(world)
    assert before[1] == {"good": 2, "blocked": 2}
    plain = SCHEMA[: SCHEMA.index("  updates:")]
    fewer = plain.replace("version: 1", "version: 2\noutcomes: [allow, review]") + "rules:\n" + NEVER
    for _ in range(3):
        world.engine.reload(fewer)
        world.engine.update("e3", final="review")
        world.engine.reload(world.text)
        assert world.engine.features(account="a") == before[1]
        assert known(world)[:2] == before[2][:2]
        assert world.engine.decide_again("e2", "answered").duplicate
    assert known(world)[2]["final"] == "review"
    world.engine.update("e1", status="pending")
    assert world.engine.features(account="a")["good"] == 3
    held = world.engine.stats["memory"]["ids"]
    world.engine.reload(fewer)
    world.engine.reload(world.text)
    assert world.engine.stats["memory"]["ids"] == held


def known(world: World) -> list[dict[str, object]]:
    return [world.engine._core.known_now(f"e{number}") for number in (1, 2, 3)]


def test_counts_of_outcomes_go_by_their_names(tmp_path: Path) -> None:
    first = "outcomes: [allow, block]\n"
    engine = frmcore.Engine(tmp_path / "s", policy=policy_text(more=first), clock=None)
    world = World(more=first)
    engine.decide(world.event())
    engine.reload(policy_text(more="outcomes: [ask, allow, block]\n"))
    engine.close()
    with frmcore.Engine(
        tmp_path / "s", policy=policy_text(more="outcomes: [ask, allow, block]\n"), clock=None
    ) as engine:
        assert engine.stats["outcomes"] == {"ask": 0, "allow": 1, "block": 0}


def test_lists_are_kept_by_name_and_kind() -> None:
    lists = "lists:\n  cards: {of: card}\n  nets: {of: ip, match: network}\n"
    rules = "  - {id: c, when: card in cards, score: 1}\n  - {id: n, when: ip in nets, score: 2}\n"
    world = World(rules=rules, more=lists)
    cards, nets = world.engine.lists["cards"], world.engine.lists["nets"]
    cards.add("c", reason="r")
    nets.add("10.0.0.0/8")
    more = lists.replace("lists:\n", "lists:\n  more: {of: string}\n")
    world.engine.reload(policy_text(rules=rules, more=more))
    assert world.decide(card="c", ip="10.0.0.1").score == 3
    assert world.engine.lists["cards"] is cards
    cards.add("d")
    nets.remove("10.0.0.0/8")
    assert [world.decide(card=card, ip="10.0.0.1").score for card in ("c", "d", "e")] == [1, 1, 0]
    assert len(world.engine.lists["more"]) == 0


def test_a_list_that_somebody_held_on_to_changes_no_other() -> None:
    rules = "  - {id: c, when: card in cards, score: 1}\n"
    world = World(rules=rules, more="lists:\n  gone: {of: card}\n  cards: {of: card}\n")
    gone = world.engine.lists["gone"]
    gone.add("a")
    world.engine.reload(policy_text(rules=rules, more="lists:\n  cards: {of: card}\n"))
    for call in (gone.add, gone.remove):
        with pytest.raises(frmcore.UnknownName, match="list gone is not in force"):
            call("c")
    assert world.decide(card="c").score == 0
    assert list(gone) == ["a"]


def test_a_list_that_was_the_policys_for_a_while_begins_empty() -> None:
    def text(values: str) -> str:
        return policy_text(
            rules="  - {id: c, when: card in cards, score: 1}\n", more=f"lists:\n  cards: {{of: card{values}}}\n"
        )

    world = World()
    world.engine.reload(text(""))
    world.engine.lists["cards"].add("a")
    world.engine.reload(text(", values: [b]"))
    assert [world.decide(card=card).score for card in "ab"] == [0, 1]
    world.engine.reload(text(", values: [c]"))
    assert [world.decide(card=card).score for card in "abc"] == [0, 0, 1]
    world.engine.reload(text(""))
    assert [world.decide(card=card).score for card in "abc"] == [0, 0, 0]
    assert list(world.engine.lists["cards"]) == []


def test_a_wrong_policy_leaves_the_old_one_in_force() -> None:
    world = World(COUNT)
    world.decide()
    state, hash_ = world.engine.state_hash(), world.engine.policy.hash
    with pytest.raises(frmcore.PolicyError):
        world.engine.reload(policy_text("n: cuont(by=account)"))
    assert (world.engine.state_hash(), world.engine.policy.hash) == (state, hash_)
    assert world.value(1) == 2


def test_decisions_name_their_policy() -> None:
    world = World(COUNT)
    first = world.decide()
    world.engine.reload(policy_text(COUNT.replace("1h", "2h")))
    second = world.decide(1)
    assert (first.policy, second.policy) != (second.policy, first.policy)
    assert (second.policy, world.engine.policy.hash, world.engine.stats["policy"]) == (second.policy,) * 3
    assert dict(first.features) == {"n": 1}
    assert repr(world.engine) == "<Engine examples version 1, 3 operations>"


def test_the_struct_of_the_policy_before_still_works() -> None:
    world = World(COUNT)
    event = world.engine.policy.Event(**world.event(amount=5))
    world.engine.reload(
        policy_text(
            COUNT, schema=SCHEMA.replace("    account: ", "    branch: {type: string, optional: true}\n    account: ")
        )
    )
    assert world.engine.decide(event).features["n"] == 1
    assert world.engine.explain("e1").fields["amount"] == 5


def test_a_thousand_reloads() -> None:
    """Rings of the same signature stay; nothing that a policy needed outlives it."""
    world = World(COUNT)
    world.decide(0)
    texts = [frmcore.load(policy_text(COUNT + f'\nm: count(by=card, over="{hours}h")')) for hours in (1, 2)]
    for number in range(200):
        world.engine.reload(texts[number % 2])
        assert world.value(number + 1, card="c") == number + 2
    assert len(world.engine.stats["groups"]) == 2


def test_reloading_from_two_threads_at_once() -> None:
    world = World(COUNT)
    texts = [frmcore.load(policy_text(COUNT + f'\nm: count(by=card, over="{hours}h")')) for hours in (1, 2, 3)]
    errors: list[BaseException] = []

    def reload(offset: int) -> None:
        try:
            for number in range(30):
                world.engine.reload(texts[(number + offset) % 3])
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=reload, args=(offset,)) for offset in range(3)]
    for thread in threads:
        thread.start()
    for at in range(300):
        assert world.value(at) == at + 1
    for thread in threads:
        thread.join()
    assert errors == []


def test_a_retry_after_a_reload_with_other_rates_is_no_conflict() -> None:
    schema = SCHEMA.replace("currency: EUR, optional: true", "currency: currency, optional: true")
    schema = schema.replace("    price:", "    currency: {type: string, optional: true}\n    price:")
    base = 'base: EUR\nrates:\n  USD: [{from: 2020-01-01, rate: "0.9"}]\n'
    world = World('s: sum(amount, by=account, over="1h")', more=base, schema=schema)
    event = world.event(amount=1_000, currency="USD")
    assert world.engine.decide(event).features["s"] == 900
    features = 's: sum(amount, by=account, over="1h")\no: sum(original(amount), by=account, over="1h")'
    world.engine.reload(policy_text(features, more=base.replace("0.9", "0.8"), schema=schema))
    assert world.engine.decide(event).duplicate
    assert dict(world.decide(S, amount=1_000, currency="USD").features) == {"s": 1_700, "o": 2_000}
    with pytest.raises(frmcore.EventConflict):
        world.engine.decide(event | {"amount": 900, "currency": "EUR"})
    assert world.engine.features(account="a", at=NOON + HOUR)["o"] == 1_000


def test_a_policy_that_comes_while_the_clock_is_asked_decides() -> None:
    """A known event at another point: the clock is Python code, and another thread may reload the while."""
    calls = -1_000

    def clock() -> int:
        nonlocal calls
        calls += 1
        if calls == 1:
            thread = threading.Thread(target=world.engine.reload, args=(more,))
            thread.start()
            thread.join()
        return NOON

    point = "points: {two: {on: payment}}\n"
    more = policy_text(COUNT + '\nmore: sum(amount, by=account, over="2h")', more=point)
    world = World(COUNT, more="points: {one: {on: payment}}\n", clock=clock)
    event = world.event()
    world.engine.decide(event)
    world.engine.reload(policy_text(COUNT, more=point))
    calls = 0
    decision = world.engine.decide(event)
    assert calls >= 1
    assert (decision.point, decision.policy) == ("two", world.engine.policy.hash)
    assert set(decision.features) == {"n", "more"}
    assert not decision.duplicate


def test_a_retry_after_a_reload_that_reads_a_field_more_is_no_conflict() -> None:
    """The sender sent it all along, and the first policy did not look at it."""
    schema = SCHEMA.replace("    country: {type: string, optional: true}\n", "")
    world = World(schema=schema)
    event = world.event(country="DE")
    world.engine.decide(event)
    world.engine.reload(policy_text())
    assert world.engine.decide(event).duplicate
    with pytest.raises(frmcore.EventConflict):
        world.engine.decide(event | {"card": "c"})
