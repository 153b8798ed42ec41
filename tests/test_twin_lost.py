"""What a life group folded and is then retracted: engine and twin give the values that docs/design.md says."""

from __future__ import annotations

from typing import Any

import pytest
from twin.pair import Pair

MINUTE, NOON = 60_000, 1_760_011_200_000
LOST = "is absent: the event it rests on was retracted, and the one before is no longer kept"
POLICY = """\
policy: lost
version: 1
limits: {%s}
event:
  id: id
  time: ts
  fields: {id: string, ts: timestamp, account: {entity: account}}
  updates:
    status: {type: enum, values: [pending, approved, declined], default: pending}
features:
  newest: since_last(by=account, where=status != "declined")
  oldest: since_first(by=account, where=status != "declined")
  said: last(status, by=account)
  all: count(by=account, where=status != "declined")
  since: count(by=account, since=status != "declined")
  again: since_last(by=account, where=status != "declined")
  recent: count(by=account, since=status != "declined", over="1m")
"""


class Both:
    def __init__(self, limits: str) -> None:
        self.pair = Pair(POLICY % limits, NOON + 1_000 * MINUTE)
        self.count = 0

    def decide(self, at: int) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Features and notes."""
        self.count += 1
        found: Any = self.pair.decide({"id": f"e{self.count}", "ts": NOON + at, "account": "a"})
        return {name: value for name, (_, value) in found["features"].items()}, found["notes"]

    def tell(self, event_id: str, status: str) -> None:
        self.pair.both(lambda side: side.update(event_id, status=status))


def fold_two(both: Both) -> None:
    """Events at 0 min, 1 min and 10 min: whatever the limit, the first two are folded when the third is in."""
    for at in (0, MINUTE, 10 * MINUTE):
        both.decide(at)
    both.tell("e3", "declined")


LIMITS = ["horizon: 1m", "horizon: 3000d, ring_events_max: 1"]


@pytest.mark.parametrize("limits", LIMITS)
def test_what_was_folded_and_retracted_is_lost(limits: str) -> None:
    both, now = Both(limits), 10 * MINUTE
    fold_two(both)
    found, notes = both.decide(now + 1)
    assert (found["newest"], found["oldest"], found["all"], found["since"], notes) == (
        9 * MINUTE + 1,
        now + 1,
        3,
        2,
        (),
    )
    both.tell("e4", "declined")
    both.tell("e2", "declined")
    found, notes = both.decide(now + 2)
    assert (found["newest"], found["oldest"], found["all"], found["since"]) == (None, now + 2, 2, None)
    assert {f"newest {LOST}", f"since {LOST}"} <= set(notes)
    found, notes = both.decide(2 * now)  # it rests on the one before, which stands
    assert (found["newest"], found["oldest"], found["all"], found["since"], notes) == (now - 2, 2 * now, 3, 1, ())


@pytest.mark.parametrize("limits", LIMITS)
def test_what_was_lost_may_be_told_anew(limits: str) -> None:
    both = Both(limits)
    fold_two(both)
    both.tell("e1", "declined")
    assert both.decide(11 * MINUTE)[0]["oldest"] is None
    both.tell("e1", "approved")
    assert both.decide(12 * MINUTE)[0]["oldest"] == 12 * MINUTE


def test_a_window_that_starts_after_the_lost_mark_is_told() -> None:
    both = Both("horizon: 1m")
    fold_two(both)
    both.tell("e2", "declined")
    found, notes = both.decide(10 * MINUTE + 1)
    assert (found["since"], found["recent"]) == (None, 2)
    assert notes == tuple(f"{name} {LOST}" for name in ("again", "newest", "since"))  # two say the same: both are noted


def test_the_value_of_what_was_folded_may_change() -> None:
    both = Both("ring_events_max: 1")
    for at in range(3):
        both.decide(at)
    both.tell("e2", "declined")
    both.tell("e1", "approved")
    both.tell("e3", "declined")
    assert both.decide(3)[0]["said"] == "declined"
    both.tell("e2", "pending")
    assert both.decide(4)[0]["newest"] == 1


def test_features_of_an_entity_under_two_names() -> None:
    both = Both("horizon: 1m")
    fold_two(both)
    found: Any = both.pair.both(lambda side: side.features(account="a"))
    assert found["again"] == found["newest"] == ("int", 999 * MINUTE)
