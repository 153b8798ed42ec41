"""Hypothesis drives engine and twin through one rich policy; it shrinks what it finds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from shared import POLICIES
from twin.pair import Pair

if TYPE_CHECKING:
    from collections.abc import Callable

RICH = (POLICIES / "rich.yaml").read_text()
LEANER = "\n".join(line for line in RICH.split("\n") if not line.startswith(("  pairs:", "  scored:", "  today:")))
START = 1_761_429_000_000  # ten minutes before a night on which Berlin's clocks go back

events = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(("payment", "login", "payout")),
        "account": st.sampled_from(("a", "b")),
        "card": st.sampled_from(("c", "d")),
        "amount": st.sampled_from((0, 1, 1000, 1001, 2**62, -5)),
    },
    optional={
        "payee": st.sampled_from(("a", "b")),
        "device": st.sampled_from(("x", "y")),
        "ip": st.sampled_from(("10.0.0.7", "10.0.1.7", "::1")),
        "country": st.sampled_from(("DE", "FR", "")),
        "price": st.sampled_from(("0.001", "2.5", "-1000.125")),
        "weight": st.sampled_from((0.0, -1.5, 1e300)),
    },
)
updates = st.fixed_dictionaries(
    {},
    optional={
        "status": st.sampled_from(("pending", "approved", "declined")),
        "label": st.sampled_from(("fraud", "legit", None)),
        "fee": st.sampled_from((0, 100, None)),
        "final": st.sampled_from(("allow", "challenge", "block")),
    },
).filter(bool)
late_ms = st.sampled_from((0, 0, 0, 1, 1_000, 60_000, 599_999, 600_001, 7_200_000))
numbers = st.integers(0, 60)


class EngineAndTwin(RuleBasedStateMachine):
    @initialize()
    def open(self) -> None:
        self.pair = Pair(RICH, START)
        self.sent: list[dict[str, Any]] = []

    def both(self, operation: Callable[[Any], object]) -> None:
        self.pair.both(operation)

    def fresh(self, event: dict[str, Any], late: int) -> dict[str, Any]:
        self.sent.append({"id": f"e{len(self.sent)}", "ts": self.pair.now - late, **event})
        return self.sent[-1]

    @rule(ms=st.sampled_from((1, 1_000, 5_000, 60_000, 600_000, 3_600_000)))
    def pass_time(self, ms: int) -> None:
        self.pair.now += ms

    @rule(event=events, late=late_ms)
    def decide(self, event: dict[str, Any], late: int) -> None:
        event = self.fresh(event, late)
        self.both(lambda side: side.decide(event))

    @rule(event=events, late=late_ms)
    def observe(self, event: dict[str, Any], late: int) -> None:
        event = self.fresh(event, late)
        self.both(lambda side: side.observe(event))

    @rule(event=events)
    def evaluate(self, event: dict[str, Any]) -> None:
        event = {"id": "only asked", "ts": self.pair.now, **event}
        before = self.pair.engine.state_hash()
        self.both(lambda side: side.evaluate(event))
        assert self.pair.engine.state_hash() == before

    @precondition(lambda self: self.sent)
    @rule(number=numbers, note=st.sampled_from(("", "again")))
    def repeat(self, number: int, note: str) -> None:
        event = {**self.sent[number % len(self.sent)], "note": note}
        self.both(lambda side: side.decide(event))

    @precondition(lambda self: self.sent)
    @rule(number=numbers, change=st.sampled_from(({"country": "XX"}, {"amount": 7}, {"ts": "soon"}, {"kind": None})))
    def refuse(self, number: int, change: dict[str, Any]) -> None:
        """Other content under a known id, or no event at all: nothing changes."""
        event = {**self.sent[number % len(self.sent)], **change}
        if event["id"] not in self.pair.twin.known and len(change) == 1 and "ts" not in change and "kind" not in change:
            return
        before = self.pair.engine.state_hash()
        self.both(lambda side: side.decide(event))
        assert self.pair.engine.state_hash() == before

    @precondition(lambda self: self.sent)
    @rule(number=numbers, told=updates, ago=st.sampled_from((None, 0, 1_000, 3_600_000)))
    def update(self, number: int, told: dict[str, Any], ago: int | None) -> None:
        ident = self.sent[number % len(self.sent)]["id"]
        at = None if ago is None else self.pair.now - ago
        self.both(lambda side: side.update(ident, at=at, **told))

    @precondition(lambda self: self.sent)
    @rule(number=numbers, told=updates, point=st.sampled_from(("answered", "answered", "checkout", "other")))
    def decide_again(self, number: int, told: dict[str, Any], point: str) -> None:
        ident = self.sent[number % len(self.sent)]["id"]
        self.both(lambda side: side.decide_again(ident, point, **told))

    @rule(
        entry=st.sampled_from((("cards", "c"), ("friends", "a"), ("networks", "10.0.0.0/24"))),
        ms=st.sampled_from((None, 1, 60_000)),
    )
    def list_value(self, entry: tuple[str, str], ms: int | None) -> None:
        expires = None if ms is None else self.pair.now + ms
        self.both(lambda side: side.lists[entry[0]].add(entry[1], expires=expires))

    @rule(entry=st.sampled_from((("cards", "c"), ("friends", "a"), ("networks", "10.0.0.0/24"))))
    def unlist_value(self, entry: tuple[str, str]) -> None:
        self.both(lambda side: side.lists[entry[0]].remove(entry[1]))

    @rule(text=st.sampled_from((RICH, LEANER)))
    def reload(self, text: str) -> None:
        self.pair.reload(text)

    @invariant()
    def same_watermark(self) -> None:
        if self.sent and self.pair.twin.events:
            assert self.pair.engine.stats["watermark"] == self.pair.twin.retention.watermark

    def teardown(self) -> None:
        if hasattr(self, "pair"):
            self.pair.engine.close()


EngineAndTwin.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None, derandomize=True)
TestEngineAndTwin = EngineAndTwin.TestCase
