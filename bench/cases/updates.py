"""What is learned later: an update takes its event out of every window that filters on it."""

from __future__ import annotations

from collections import deque
from itertools import count
from typing import TYPE_CHECKING, Any

from bench.cases.case import Bench, case
from bench.cases.payments import Payments, policy_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.world import World

FEATURES = {
    "tries_10m": 'count(by=account, over="10m", where=status != "declined")',
    "spent_24h": 'sum(amount, by=account, over="24h", where=status != "declined")',
    "usual_7d": 'mean(amount, by=account, over="7d", where=status != "declined")',
    "declined_24h": 'count(by=account, over="24h", where=status == "declined")',
}


def _updates(world: World, *, old: bool) -> Bench:
    """Told about the events decided last, or about the oldest, of accounts with some hundred events each."""
    payments = Payments(world, policy_of(FEATURES), accounts=max(1, world.scale.warm // 400)).fill(world.scale.warm)
    engine = payments.engine
    told = (count(1) if old else count(world.scale.warm, -1)).__iter__()

    def rounds() -> Iterator[list[str]]:
        while True:
            yield [f"p{next(told)}" for _ in range(world.scale.size)]

    def update(event_id: str) -> Any:
        engine.update(event_id, status="declined")
        return event_id

    return Bench(update, rounds(), lambda event_id: f"{event_id}{_known(payments, event_id)}", close=engine.close)


def _known(payments: Payments, event_id: str) -> Any:
    account = str(payments.engine.explain(event_id).fields["account"])
    return payments.engine.features(account=account)


@case("update_recent")
def update_recent(world: World) -> Bench:
    return _updates(world, old=False)


@case("update_old")
def update_old(world: World) -> Bench:
    return _updates(world, old=True)


@case("decide_again")
def decide_again(world: World) -> Bench:
    """An update and a second decision at a later point, about the event decided just before."""
    text = policy_of(FEATURES) + "points:\n  checkout: {}\n  answered: {after: checkout}\n"
    payments = Payments(world, text, accounts=max(1, world.scale.warm // 400)).fill(world.scale.warm)
    waiting: deque[str] = deque()

    def rounds() -> Iterator[list[str]]:
        while True:
            events = [payments.any_event() for _ in range(world.scale.size)]
            waiting.extend(payments.engine.decide(event).event_id for event in events)
            yield [waiting.popleft() for _ in events]

    def again(event_id: str) -> Any:
        return payments.engine.decide_again(event_id, "answered", status="declined")

    return Bench(again, rounds(), lambda decision: repr(dict(decision.features)), close=payments.engine.close)
