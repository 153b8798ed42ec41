"""Short cuts of the hot path at their edges: values of a record, blocks of rules, rings, searches that begin anew."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import re2
from engines import HOUR, MINUTE, World
from hypothesis import given, settings
from hypothesis import strategies as st

from frmcore import _fast
from frmcore.policy.regex import compile_regex

INTS = sorted({sign * (2**bits + near) for bits in range(63) for near in (-1, 0, 1) for sign in (-1, 1)})
repeatable = settings(derandomize=True, deadline=None, max_examples=60)


# -- records: presence bits, varints of one to ten bytes, texts up to and beyond what is copied at once ----------------


def read_back(decision: Any, *names: str) -> list[Any]:
    return [decision.facts()[name] for name in names]


@pytest.mark.parametrize("first", range(0, len(INTS), 64))
def test_ints_of_every_length_are_recorded(first: int) -> None:
    world = World("same: amount\nother: -amount")
    for value in INTS[first : first + 64]:
        decision = world.decide(amount=value)
        assert read_back(decision, "amount") == [value]
        assert list(decision.features.values()) == [value, -value]


@pytest.mark.parametrize("letter", ["x", "é", "😀"])
def test_texts_of_every_length_are_recorded(letter: str) -> None:
    world = World("noted: note\nplace: country")
    for length in [*range(50), 126, 127, 128, 129, 300]:
        text, other = letter * length, "y" * (length % 9)
        decision = world.decide(note=text, country=other, device="after", amount=length)
        assert read_back(decision, "note", "country", "device", "amount") == [text, other, "after", length]
        assert list(decision.features.values()) == [text, other]
        assert decision.event_id == f"e{world.count}"


optional = st.fixed_dictionaries(
    {},
    optional={
        "card": st.text(max_size=40),
        "device": st.text(max_size=9),
        "country": st.text("ABC", max_size=3),
        "note": st.text(max_size=70),
        "amount": st.sampled_from(INTS),
        "weight": st.floats(allow_nan=False, allow_infinity=False),
    },
)


@repeatable
@given(st.lists(optional, min_size=1, max_size=4))
def test_any_mixture_of_values_is_recorded(events: list[dict[str, Any]]) -> None:
    world = World(
        "a: amount\nb: note\nc: weight\nd: country\ne: device\nf: card\ng: -weight\nh: missing(note)\ni: amount"
    )
    for fields in events:
        decision = world.decide(**fields)
        names = ("card", "device", "country", "note", "amount", "weight")
        assert read_back(decision, *names) == [fields.get(name) for name in names]
        get, weight = fields.get, fields.get("weight")
        negative = None if weight is None else -weight
        expected = [get("amount"), get("note"), weight, get("country"), get("device"), get("card")]
        assert list(decision.features.values()) == [*expected, negative, "note" not in fields, get("amount")]


# -- rules: looked at eight at once, one by one where one of them is true or unknown -----------------------------------


@pytest.mark.parametrize("count", [1, 7, 8, 9, 16, 17, 30])
def test_every_rule_of_a_block_is_seen(count: int) -> None:
    lines = [f"  - {{id: r{i}, when: weight == {i}, score: 1}}" for i in range(count)]
    world = World(rules="\n".join(lines) + "\n")
    for i in range(count):
        assert world.decide(weight=i).fired == (f"r{i}",)
    assert world.decide(weight=count).fired == ()
    unknown = world.decide()
    assert (unknown.fired, unknown.unknown) == ((), tuple(f"r{i}" for i in range(count)))


@repeatable
@given(st.lists(st.sampled_from([True, False, None]), min_size=20, max_size=20))
def test_rules_in_any_state(states: list[bool | None]) -> None:
    when = {True: "weight == 1", False: "weight == 2", None: "price == 1"}
    lines = [f"  - {{id: r{i}, when: {when[state]}, score: 1}}" for i, state in enumerate(states)]
    decision = World(rules="\n".join(lines) + "\n").decide(weight=1)
    assert decision.fired == tuple(f"r{i}" for i, state in enumerate(states) if state)
    assert decision.unknown == tuple(f"r{i}" for i, state in enumerate(states) if state is None)
    assert decision.score == Counter(states)[True]


# -- rings: the event behind all others, and every other one -----------------------------------------------------------


@repeatable
@given(st.lists(st.tuples(st.integers(-3, 40), st.sampled_from("abc")), min_size=1, max_size=60))
def test_distinct_values_of_events_in_any_order(steps: list[tuple[int, str]]) -> None:
    """Most come in order; some are late, share an instant, or fill a ring beyond one chunk."""
    world = World('cards: count_distinct(card, by=account, over="10m")\nlast_seen: last(card, by=account, over="10m")')
    seen: list[tuple[int, int, str]] = []
    at = 0
    for order, (step, card) in enumerate(steps):
        at = max(at + step * MINUTE // 4, 0)
        before = [entry for entry in seen if at - HOUR // 6 < entry[0] and entry[:2] < (at, order)]
        decision = world.decide(at, card=card)
        last = max(before)[2] if before else None
        assert decision.features == {"cards": len({each[2] for each in before} | {card}), "last_seen": last}
        seen.append((at, order, card))


# -- regexes whose search begins at the only byte that leads on --------------------------------------------------------


@pytest.mark.parametrize("pattern", ["@(mail|temp)[.]", "@a$", "@@b", "é1", r"@\b", "(?m)@x$", "@[^.]*z"])
@repeatable
@given(st.lists(st.text("@amiltempz.b1é\n x", max_size=24), min_size=4, max_size=8))
def test_a_search_that_begins_anew_finds_what_re2_finds(pattern: str, texts: list[str]) -> None:
    runner, reference = _fast.Regex(compile_regex(pattern)), re2.compile(pattern)
    for text in [*texts, "@mai@mail.", "@@@b", "@ab@a", "ab", "@"]:
        assert runner.search(text.encode()) == (reference.search(text) is not None), (pattern, text)
