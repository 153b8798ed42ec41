"""Millions of made-up cards beside customers who come back: memory stays within its limit, the customers' windows stay
exact, and the store recovers to what was there. Values that a limit took away are absent; a wrong one fails."""

from __future__ import annotations

import tempfile
import time
from collections import deque
from itertools import islice
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import frmcore
from faults.soak import anonymous_bytes
from faults.workload import KEY
from frmcore.policy import load

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT = 256 << 20
POLICY = f"""
policy: spray
version: 1
limits: {{horizon: 10m, ids_min: 50000, ids_max: 200000, max_memory: {LIMIT >> 20}MiB}}
event:
  id: id
  time: ts
  fields:
    id: string
    ts: timestamp
    account: {{entity: account}}
    card: {{entity: card}}
    amount: {{type: money, currency: EUR}}
features:
  tries: count(by=card, over="24h")
  spent: sum(amount, by=card, over="24h")
  cards: count_distinct(card, by=account, over="1h")
rules:
  - {{id: many, when: tries > 1000, outcome: block}}
"""
START, STEP_MS, BLOCK = 1_760_000_000_000, 10, 10_000
CUSTOMERS, EVERY = 500, 10  # one event in EVERY is of a customer with a card of his own
DAY_MS = 86_400_000
OWN_BYTES = 128 << 20  # of a process beside the state: Python, a block of events, a day of what is true


def made_up(random: Random) -> Iterator[dict[str, Any]]:
    number = 0
    while True:
        customer = random.randrange(CUSTOMERS) if number % EVERY == 0 else None
        yield {
            "id": f"e{number}", "ts": START + number * STEP_MS, "amount": random.randrange(1, 100_000),
            "account": f"a{customer}" if customer is not None else f"s{number % 50}",
            "card": f"c{customer}" if customer is not None else f"made-up-{number}",
        }  # fmt: skip
        number += 1


class Truth:
    """What the windows of a customer's card hold, by brute force."""

    def __init__(self) -> None:
        self.events: dict[str, deque[tuple[int, int]]] = {}
        self.right = self.absent = 0

    def check(self, event: dict[str, Any], features: dict[str, Any]) -> None:
        held = self.events.setdefault(event["card"], deque())
        held.append((event["ts"], event["amount"]))
        while held[0][0] <= event["ts"] - DAY_MS:
            held.popleft()
        found = features["tries"], features["spent"]
        if found == (None, None):
            self.absent += 1
            return
        expected = len(held), sum(amount for _, amount in held)
        assert found == expected, f"{event['id']}: {found} where {expected} is true"
        self.right += 1


def main(count: int) -> int:
    policy, truth, started = load(POLICY), Truth(), time.monotonic()
    before, events = anonymous_bytes(), made_up(Random(1))
    greatest = most = 0
    with tempfile.TemporaryDirectory(prefix="frmcore-spray-") as root:
        options: dict[str, Any] = {"policy": policy, "clock": None, "key": KEY}
        engine = frmcore.Engine(Path(root, "s"), store=frmcore.StoreOptions(keep_decisions="1h"), **options)
        for start in range(0, count, BLOCK):
            block = list(islice(events, min(BLOCK, count - start)))
            for event, decision in zip(block, engine.decide_many(block), strict=True):
                if event["card"][0] == "c":
                    truth.check(event, decision.features)
            greatest = max(greatest, engine.stats["memory"]["total"])
            most = max(most, anonymous_bytes() - before)
        state, evicted = engine.state_hash(), engine.stats["evicted"]
        engine.close()
        with frmcore.Engine(Path(root, "s"), **options) as engine:
            assert engine.state_hash() == state, "the store recovers to another state"
        assert greatest <= LIMIT, f"{greatest:,} bytes of {LIMIT:,}"
        assert most <= LIMIT + OWN_BYTES, f"{most:,} bytes of the process"
        assert truth.right > truth.absent
        disk = sum(path.stat().st_blocks * 512 for path in Path(root, "s").iterdir())
    print(
        f"{count:,} events, {count - count // EVERY:,} of cards made up: at most {greatest / LIMIT:.3f} of the limit "
        f"of {LIMIT >> 20} MiB, {most / 1e6:,.0f} MB of the process, {disk / 1e6:,.0f} MB on disk; evicted {evicted}; "
        f"{truth.right:,} windows of customers exact, {truth.absent:,} absent, 0 wrong; "
        f"{count / (time.monotonic() - started):,.0f} events/s"
    )
    return 0
