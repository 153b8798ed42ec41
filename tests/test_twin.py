"""The twin against examples computed by hand. They read as a specification: each is one sentence of docs/design.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from twin import Twin
from twin.groups import UNBOUNDED, place_features

from frmcore.errors import EventConflict, EventTooOld, InvalidEvent, UnknownEvent, UnknownName
from frmcore.policy import load

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twin.decision import Decision

S, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
NOON = 1_760_011_200_000  # 2025-10-09T12:00:00Z, a Thursday

SCHEMA = """\
policy: examples
version: 1
event:
  id: id
  time: ts
  kind: kind
  retry_may_change: [note]
  fields:
    id: string
    ts: timestamp
    kind: {type: enum, values: [payment, login]}
    account: {entity: account}
    payee: {entity: account, optional: true}
    card: {entity: card, optional: true}
    country: {type: string, optional: true}
    note: {type: string, optional: true}
    amount: {type: int, optional: true}
    price: {type: decimal, scale: 2, optional: true}
  updates:
    status: {type: enum, values: [pending, approved, declined], default: pending}
    label: {type: enum, values: [fraud, legit], optional: true}
"""


TWICE = "points:\n  once: {on: [payment, login]}\n  second: {after: once}\n"


class Example:
    """A twin of SCHEMA, the given features and rules; events get an id, a kind and an account where they bring none."""

    def __init__(self, features: str = "", rules: str = "", more: str = "") -> None:
        lines = [line.strip() for line in features.strip().split("\n") if line.strip()]
        text = SCHEMA + more + ("features:\n" + "\n".join(f"  {line}" for line in lines) + "\n" if lines else "")
        self.now = NOON + 400 * DAY
        self.text = text + "rules:\n" + (rules or "  - {id: never, when: amount < 0 and amount > 0, score: 1}\n")
        self.twin = Twin(load(self.text), clock=lambda: self.now)
        self.count = 0

    def decide(self, at: int = 0, **fields: Any) -> Decision:
        self.count += 1
        event = {"id": f"e{self.count}", "ts": NOON + at, "kind": "payment", "account": "a"}
        return self.twin.decide({**event, **fields})

    def value(self, at: int = 0, **fields: Any) -> Any:
        """Decides, and returns the value of the first feature."""
        return next(iter(self.decide(at, **fields).features.values()))

    def values(self, times: Sequence[int]) -> list[Any]:
        return [self.value(at) for at in times]


# -- windows -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("closed", "seen"),
    [("right", [1, 2, 2, 1]), ("left", [0, 1, 2, 1]), ("both", [1, 2, 3, 2]), ("neither", [0, 1, 1, 0])],
)
def test_the_ends_of_a_window(closed: str, seen: list[int]) -> None:
    """Events at 0, 5, 10 and 20 s; the window is 10 s long."""
    example = Example(f'x: count(by=account, over="10s", closed="{closed}")')
    assert example.values([0, 5 * S, 10 * S, 20 * S]) == seen


def test_events_of_one_instant_count_in_the_order_in_which_they_were_recorded() -> None:
    assert Example('x: count(by=account, over="10s")').values([0, 0, 0]) == [1, 2, 3]
    assert Example('x: count(by=account, over="10s", closed="left")').values([0, 0, 0]) == [0, 0, 0]


def test_a_late_event_is_decided_as_of_its_own_time_and_counted_in_the_right_place() -> None:
    example = Example('x: count(by=account, over="10s")')
    assert example.values([0, 20 * S, 5 * S, 12 * S]) == [1, 1, 2, 2]
    assert [example.decide(13 * S).late, example.decide(20 * S).late] == [True, False]


def test_delay_moves_both_ends() -> None:
    example = Example('x: count(by=account, over="10s", delay="5s")')
    assert example.values([0, 4 * S, 5 * S, 14 * S, 15 * S]) == [0, 0, 1, 3, 2]


def test_a_window_that_ended_in_the_past_counts_its_right_end_whatever_was_recorded_first() -> None:
    """Deciding again reads as of the event's own place, with everything known now."""
    example = Example('x: count(by=account, over="10s", delay="5s")\ny: count(by=account, over="10s")', more=TWICE)
    assert list(example.decide(0).features.values()) == [0, 1]
    example.decide(-5 * S)
    example.decide(0)
    assert list(example.twin.decide_again("e1", "second").features.values()) == [1, 2]


def test_cells_floor_the_times_of_entries_and_of_the_event() -> None:
    """Cells of 10 s, a window of 20 s: the event's own cell and the one before it."""
    example = Example('x: count(by=account, every="10s", over="20s")')
    assert example.values([9 * S, 10 * S, 19 * S, 29 * S, 30 * S]) == [1, 2, 3, 3, 2]


def test_calendar_windows_start_at_local_midnight() -> None:
    """Noon UTC is 14:00 in Berlin: its Thursday began at -14 h, its week on Monday, its month on the first."""
    features = """
        x: count(by=account, over="today", tz="Europe/Berlin")
        y: count(by=account, over="this week", tz="Europe/Berlin")
        z: count(by=account, over="this month", tz="Europe/Berlin")
        u: count(by=account, over="2 days", tz="Europe/Berlin")
    """
    example = Example(features, more="limits: {horizon: 100d}\n")
    midnight = -14 * HOUR
    times = [midnight - 8 * DAY - 1, midnight - 8 * DAY, midnight - 3 * DAY - 1, midnight - DAY, midnight - 1, midnight]
    for at in times:
        example.decide(at)
    assert list(example.decide(0).features.values()) == [2, 4, 6, 4]


def test_a_day_on_which_the_clocks_go_back_has_25_hours() -> None:
    example = Example('x: count(by=account, over="today", tz="Europe/Berlin")')
    sunday = 1_761_429_600_000 - NOON  # 2025-10-26T00:00 in Berlin
    assert example.values([sunday - 1, sunday, sunday + 25 * HOUR - 1, sunday + 25 * HOUR]) == [1, 1, 2, 1]


def test_since_starts_at_the_last_mark_which_does_not_belong_to_it() -> None:
    """A login starts the window: 'of any kind' even where the aggregate looks at payments only."""
    example = Example('x: count(by=account, on=payment, since=kind == "login")')
    assert example.value(0) == 1
    assert example.value(1, kind="login") == 1
    assert example.value(2) == 1
    assert example.value(3) == 2


def test_since_may_take_its_mark_in() -> None:
    example = Example('x: count(by=account, since=kind == "login", closed="both")')
    assert [example.value(0), example.value(1, kind="login"), example.value(2)] == [1, 2, 2]


def test_since_with_over_is_cut() -> None:
    example = Example('x: count(by=account, since=kind == "login", over="10s")')
    assert [example.value(0), example.value(5 * S), example.value(12 * S)] == [1, 2, 2]
    assert [example.value(13 * S, kind="login"), example.value(14 * S)] == [3, 1]


def test_life_counts_everything() -> None:
    example = Example("x: count(by=account)", more="limits: {horizon: 1s}\n")
    assert example.values([0, DAY, 30 * DAY, 300 * DAY]) == [1, 2, 3, 4]


# -- aggregates ----------------------------------------------------------------------------------------------------
def test_every_aggregate_of_a_few_amounts() -> None:
    """1, 5, absent, then 6: the absent one is left out of all but the count."""
    features = """
        count_: count(by=account, over="1h")
        sum_: sum(amount, by=account, over="1h")
        mean_: mean(amount, by=account, over="1h")
        min_: min(amount, by=account, over="1h")
        max_: max(amount, by=account, over="1h")
        std_: std(amount, by=account, over="1h")
        sample: std(amount, by=account, over="1h", ddof=1)
        distinct: count_distinct(amount, by=account, over="1h")
        share_: share(amount > 4, by=account, over="1h")
        first_: first(amount, by=account, over="1h")
        last_: last(amount, by=account, over="1h")
        since_last_: since_last(by=account, over="1h")
        since_first_: since_first(by=account, over="1h")
    """
    example = Example(features)
    for at, fields in enumerate(({"amount": 1}, {"amount": 5}, {})):
        example.decide(at * S, **fields)
    assert dict(example.decide(4 * S, amount=6).features) == {
        "count_": 4,
        "sum_": 12,
        "mean_": 4.0,
        "min_": 1,
        "max_": 6,
        "std_": 42**0.5 / 3,  # 3 * (1 + 25 + 36) - 12 * 12 = 42
        "sample": (42 / 6) ** 0.5,
        "distinct": 3,
        "share_": 0.5,  # 5 and 6 of four events: unknown is not true
        "first_": 1,  # the event itself is never first or last
        "last_": 5,
        "since_last_": 2 * S,
        "since_first_": 4 * S,
    }


def test_aggregates_of_nothing() -> None:
    features = """
        count_: count(by=account, over="1h", closed="left")
        sum_: sum(amount, by=account, over="1h", closed="left")
        distinct: count_distinct(amount, by=account, over="1h", closed="left")
        mean_: mean(amount, by=account, over="1h", closed="left")
        min_: min(amount, by=account, over="1h", closed="left")
        std_: std(amount, by=account, over="1h", closed="left")
        share_: share(amount > 4, by=account, over="1h", closed="left")
        last_: last(amount, by=account)
        gap: since_last(by=account)
    """
    assert list(Example(features).decide(amount=1).features.values()) == [0, 0, 0, *[None] * 6]


def test_the_sample_deviation_of_one_value_is_absent() -> None:
    features = 'x: std(amount, by=account, over="1h")\ny: std(amount, by=account, over="1h", ddof=1)'
    assert list(Example(features).decide(amount=7).features.values()) == [0.0, None]


def test_a_sum_beyond_64_bits_is_absent_and_noted() -> None:
    example = Example('x: sum(amount, by=account, over="1h")')
    assert example.value(amount=2**63 - 1) == 2**63 - 1
    decision = example.decide(1, amount=1)
    assert decision.features == {"x": None}
    assert decision.notes == ("x is absent: its value does not fit into 64 bits",)
    assert example.value(2, amount=-2) == 2**63 - 2


def test_decimals_are_scaled_integers_inside_and_floats_outside() -> None:
    features = 'x: sum(price, by=account, over="1h")\ny: mean(price, by=account, over="1h")'
    example = Example(features)
    example.decide(price="0.10")
    assert dict(example.decide(price="0.25").features) == {"x": 0.35, "y": 35.0 / 2.0 / 100.0}


def test_an_absent_key_makes_the_feature_absent() -> None:
    example = Example('x: count(by=card, over="1h")\ny: count(by=(account, card), over="1h")')
    assert list(example.decide().features.values()) == [None, None]
    assert list(example.decide(card="c").features.values()) == [1, 1]


def test_lookup_asks_under_another_role() -> None:
    """What the account was paid by others: payments are filed under their payee."""
    example = Example('x: sum(amount, by=payee, lookup=account, over="1h")')
    assert example.value(account="a", payee="b", amount=5) == 0
    assert example.value(account="b", payee="a", amount=7) == 5
    assert example.value(account="a", amount=1) == 7
    assert example.value(account="c", payee="c", amount=9) == 9  # paid to itself: it counts itself


# -- updates -------------------------------------------------------------------------------------------------------
def test_an_update_takes_an_event_out_of_the_windows_that_filter_on_it() -> None:
    example = Example('x: count(by=account, over="1h", where=status != "declined")')
    example.decide(0)
    example.twin.update("e1", status="declined")
    assert example.value(1) == 1
    example.twin.update("e1", status="approved")
    assert example.value(2) == 3


def test_per_field_the_greatest_at_and_sequence_win() -> None:
    example = Example('x: count(by=account, over="1h", where=status == "approved")')
    example.decide(0)
    example.twin.update("e1", at=NOON + 20, status="approved")
    example.twin.update("e1", at=NOON + 10, status="declined")  # older news
    assert example.value(1) == 1
    example.twin.update("e1", at=NOON + 20, status="declined")  # of the same instant, recorded later
    assert example.value(2) == 0


def test_a_label_arrives_in_the_past() -> None:
    example = Example('x: share(label == "fraud", by=account, over="1d", delay="7d")', more="limits: {horizon: 30d}\n")
    example.decide(0)
    example.decide(1)
    example.twin.update("e1", label="fraud")
    assert example.values([7 * DAY, 7 * DAY + 1, 8 * DAY, 8 * DAY + 1]) == [1.0, 0.5, 0.0, None]


def test_an_observed_event_brings_its_updates() -> None:
    example = Example('x: count(by=account, over="1h", where=status == "approved" and final == "block")')
    event = {"id": "o", "ts": NOON, "kind": "payment", "account": "a", "status": "approved", "final": "block"}
    example.twin.observe(event)
    assert example.value(1) == 1
    with pytest.raises(EventConflict):
        example.twin.decide(event)


BLOCKS = "  - {id: big, when: amount > 10, outcome: block, score: 30}\n  - {id: odd, when: amount == 7, score: 10}\n"


def test_final_is_the_decision_until_somebody_says_otherwise() -> None:
    example = Example('x: count(by=account, over="1h", where=final == "block")', BLOCKS)
    example.decide(0, amount=11)
    assert example.value(1) == 1
    example.twin.update("e1", final="allow", at=NOON - 1)  # told before the decision was: the decision stands
    assert example.value(2) == 1
    example.twin.update("e1", final="allow")
    assert example.value(3) == 0


def test_the_event_being_decided_has_the_weakest_outcome_and_no_score() -> None:
    features = """
        blocked: count(by=account, over="1h", where=final == "block")
        allowed: count(by=account, over="1h", where=final == "allow")
        scored: count(by=account, over="1h", where=score >= 10)
        odd: count(by=account, over="1h", where=fired("odd"))
    """
    example = Example(features, BLOCKS)
    assert list(example.decide(0, amount=11).features.values()) == [0, 1, 0, 0]
    assert list(example.decide(1, amount=7).features.values()) == [1, 1, 1, 0]
    assert list(example.decide(2).features.values()) == [1, 2, 2, 1]


# -- deciding again ------------------------------------------------------------------------------------------------
POINTS = """\
points:
  checkout: {on: payment, score: {review: 10, block: 40}}
  answered: {after: checkout}
  entry: {on: login}
"""


def test_deciding_again_counts_the_event_once_as_of_its_own_place() -> None:
    example = Example('x: count(by=account, over="1h", where=status != "declined")', BLOCKS, POINTS)
    example.decide(0)
    example.decide(1)
    example.decide(-1)  # late: recorded after, but before it in time
    again = example.twin.decide_again("e1", "answered", status="approved")
    assert (again.features, again.seq, again.point) == ({"x": 2}, 4, "answered")
    assert example.twin.decide_again("e2", "answered", status="declined").features == {"x": 2}


def test_each_point_decides_once() -> None:
    example = Example(rules=BLOCKS, more=POINTS)
    first = example.decide(0, amount=7)
    repeated = example.twin.decide(
        {"id": "e1", "ts": NOON, "kind": "payment", "account": "a", "amount": 7, "note": "retry"}
    )
    assert (repeated.duplicate, repeated.seq, first.outcome) == (True, first.seq, "review")
    again = example.twin.decide_again("e1", "answered", status="approved")
    assert example.twin.decide_again("e1", "answered", status="approved").seq == again.seq
    with pytest.raises(EventConflict):
        example.twin.decide_again("e1", "answered", status="declined")
    with pytest.raises(InvalidEvent, match="comes after"):
        example.decide(0, kind="login") and example.twin.decide_again("e2", "answered")
    with pytest.raises(UnknownEvent):
        example.twin.decide_again("nobody", "answered")
    with pytest.raises(UnknownName):
        example.twin.decide_again("e1", "nowhere")


# -- ids -----------------------------------------------------------------------------------------------------------
def test_an_id_names_one_content() -> None:
    example = Example()
    example.decide(0, amount=5)
    with pytest.raises(EventConflict) as caught:
        example.decide(0, id="e1", amount=6)
    assert caught.value.decision is not None
    assert caught.value.decision.event_id == "e1"
    assert example.twin.seq == 1


def test_ids_are_forgotten_in_recorded_order_and_then_refused() -> None:
    example = Example(more="limits: {horizon: 10s, ids_min: 2, ids_max: 100}\n")
    for at in (0, 1 * S, 12 * S):
        example.decide(at)
    assert list(example.twin.known) == ["e2", "e3"]  # e1 is out of the horizon; then ids_min keeps the others
    with pytest.raises(EventTooOld):
        example.decide(0, id="e1")
    assert not example.decide(1, id="new").duplicate  # after the greatest time that was forgotten


def test_ids_max_forgets_whatever_the_age() -> None:
    example = Example(more="limits: {horizon: 10s, ids_min: 1, ids_max: 2}\n")
    for at in (0, 1, 2):
        example.decide(at)
    assert (list(example.twin.known), example.twin.floor) == (["e2", "e3"], NOON)


def test_facts_are_kept_as_long_as_a_feature_that_reads_updates_looks_at_them() -> None:
    limits = "limits: {horizon: 10s, ids_min: 1, ids_max: 100}\n"
    example = Example('x: count(by=account, over="1m", where=label == "fraud")', more=limits)
    for at in (0, 60 * S, 70 * S, 71 * S):
        example.decide(at)
    assert list(example.twin.known) == ["e2", "e3", "e4"]


def test_the_clock_guard() -> None:
    example = Example()
    example.now = NOON
    example.decide(5 * MINUTE)
    with pytest.raises(InvalidEvent):
        example.decide(5 * MINUTE + 1)


# -- what limits take away -----------------------------------------------------------------------------------------
LATE = "x is absent: the event is later than limits.horizon, and its window reaches events that were given up"


def test_an_event_up_to_the_horizon_late_is_exact() -> None:
    example = Example('x: count(by=account, over="10s")', more="limits: {horizon: 1m}\n")
    assert example.values([-20 * S, 5 * S, 65 * S, 5 * S]) == [1, 1, 1, 2]
    decision = example.decide(4 * S)
    assert (decision.features, decision.notes) == ({"x": None}, (LATE,))


def test_nothing_is_lost_where_nothing_was_recorded() -> None:
    example = Example('x: count(by=account, over="10s")', more="limits: {horizon: 1m}\n")
    assert example.values([0, 60 * S, -5 * S]) == [1, 1, 1]


def test_a_group_remembers_as_far_back_as_its_longest_window() -> None:
    features = 'x: count(by=account, over="10s")\ny: count(by=account, over="1h")\nz: count(by=card, over="10s")'
    example = Example(features, more="limits: {horizon: 1m}\n")
    example.decide(0, card="c")
    example.decide(10 * MINUTE, card="c")
    assert list(example.decide(0, card="c").features.values()) == [2, 2, None]


def test_life_is_absent_amid_what_was_folded() -> None:
    example = Example("x: count(by=account)", more="limits: {horizon: 1m}\n")
    assert example.values([0, 10 * MINUTE, 9 * MINUTE, 8 * MINUTE]) == [1, 2, 2, None]
    assert example.value(8 * MINUTE, account="b") == 1  # nothing of this account was folded


def test_a_ring_keeps_its_latest_events() -> None:
    features = 'x: count(by=account, over="1h")\ny: count(by=account, over="2s")'
    example = Example(features, more="limits: {ring_events_max: 3}\n")
    for at in range(4):
        last = example.decide(at * S)
    assert dict(last.features) == {"x": 4, "y": 2}  # the event itself is not in the ring yet
    capped = example.decide(4 * S)
    assert dict(capped.features) == {"x": None, "y": 2}
    assert capped.notes == ("x is absent: its window reaches beyond limits.ring_events_max events of one key",)


# -- groups --------------------------------------------------------------------------------------------------------
def groups_of(features: str) -> list[tuple[int, bool]]:
    groups, _ = place_features(load(Example(features).text), [])
    return [(group.span_ms, group.life) for group in groups]


def test_one_key_kinds_filter_and_cells_share_a_group() -> None:
    shared = """
        a: count(by=account, over="1m")
        b: count(by=account, over="1h", delay="1m")
        c: share(amount > 1, by=account, over="1m")
        d: since_last(by=account)
    """
    assert groups_of(shared) == [(HOUR + MINUTE, True)]


@pytest.mark.parametrize(
    "other",
    [
        'count(by=card, over="1m")',
        'count(by=(account, card), over="1m")',
        'count(by=account, on=payment, over="1m")',
        'count(by=account, where=amount > 1, over="1m")',
        'count(by=account, every="1m", over="1m")',
        'sum(amount, by=account, over="1m")',  # an optional value: the events that have it
        "count(by=account, since=amount > 1)",
    ],
)
def test_what_sets_groups_apart(other: str) -> None:
    assert len(groups_of(f'a: count(by=account, over="1h")\nb: {other}')) >= 2


def test_filters_by_presence_are_filters() -> None:
    same = 'a: sum(amount, by=account, over="1m")\nb: count(by=account, where=not missing(amount), over="1h")'
    assert groups_of(same) == [(HOUR, False)]


def test_a_since_window_without_over_is_unbounded_and_its_marks_are_kept_for_life() -> None:
    assert groups_of("a: count(by=account, since=amount > 1)") == [(0, True), (UNBOUNDED, False)]


def test_a_reload_keeps_groups_that_suffice() -> None:
    short, long = 'a: count(by=account, over="1m")', 'a: count(by=account, over="1h")'
    first, _ = place_features(load(Example(long).text), [])
    again, _ = place_features(load(Example(short).text), first)
    assert [group.span_ms for group in again] == [HOUR]
    fresh, _ = place_features(load(Example(long).text), place_features(load(Example(short).text), [])[0])
    assert [(group.span_ms, group.fixed) for group in fresh] == [(HOUR, False)]


# -- rules ---------------------------------------------------------------------------------------------------------
def test_the_strongest_of_rules_and_thresholds_decides() -> None:
    rules = """\
  - {id: a, when: amount > 1, outcome: review, score: 5, actions: [call, log]}
  - {id: b, when: amount > 2, score: 6, actions: [log, hold], reason: "{amount} is more than 2"}
  - {id: c, when: amount > 3, outcome: block, mode: shadow}
  - {id: d, when: amount > 4, outcome: block, mode: "off"}
  - {id: e, when: price > 1, score: 100}
  - {id: f, when: price > 1, score: 1, if_unknown: fires}
"""
    decision = Example(rules=rules, more="score: {block: 12}\n").decide(amount=9)
    assert (decision.outcome, decision.score) == ("block", 12)
    assert (decision.fired, decision.shadow, decision.unknown) == (("a", "b", "f"), ("c",), ("e", "f"))
    assert decision.actions == ("call", "log", "hold")
    assert decision.reasons == ("a", "9 is more than 2", "f")


def test_exempts_remove_a_group_and_nothing_else() -> None:
    rules = """\
  - {id: fast, group: velocity, when: amount > 1, outcome: block, score: 50}
  - {id: named, group: sanctions, when: amount > 1, outcome: review, score: 5}
  - {id: trusted, when: account in friends, exempts: [velocity]}
"""
    example = Example(rules=rules, more="lists:\n  friends: {of: account}\n")
    assert example.decide(amount=2).outcome == "block"
    example.twin.lists["friends"].add("a", expires=NOON + 10)
    exempted = example.decide(9, amount=2)
    assert (exempted.outcome, exempted.score, exempted.fired) == ("review", 5, ("named", "trusted"))
    assert (exempted.notes, exempted.lists) == (("fast is exempted (group velocity)",), ("friends",))
    assert example.decide(10, amount=2).outcome == "block"  # from its expiry on it is no member


# -- the language --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("amount / 2", 3.5),
        ("amount // 2", 3),
        ("-amount // 2", -4),
        ("-amount % 3", 2),
        ("amount / (amount - 7)", None),
        ("amount * 9223372036854775807", None),
        ("price + amount", 7.25),
        ("price * price", 0.0625),
        ("price / amount", 25.0 / 700.0),
        ("price < 0.3 and amount >= 7", True),
        ("missing(country) and not missing(amount)", True),
        ('country == "DE"', None),
        ('country == "DE" or amount == 7', True),
        ('country == "DE" and amount == 8', False),
        ('not (country == "DE")', None),
        ('1 if country == "DE" else 2', None),
        ('coalesce(country, "none")', "none"),
        ("max(amount, price)", 7.0),
        ("min(amount, 2.5)", 2.5),
        ("round(2.5 * amount / 7)", 2),
        ("round(price * 10)", 2),
        ("round(amount / 3, 2)", 2.33),
        ('hour(ts, tz="Asia/Kathmandu")', 17),
        ('weekday(ts, tz="UTC")', 3),
        ('days_between(ts, ts + "13h", tz="Europe/Berlin")', 1),
        ('(ts + "90m") - ts', 5_400_000),
        ('(ts + "90m") - ts < "2h"', True),
    ],
)
def test_expressions(text: str, value: object) -> None:
    assert Example(f"x: '{text}'").value(amount=7, price="0.25") == value
