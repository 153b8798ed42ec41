"""Decides a fixed stream and prints one hash of all decisions: `python tests/decisions_hash.py EVENTS BATCH`.

Updates are told between stretches of 7,000 events, which batches of 1, 7 and 1,000 divide.
"""

from __future__ import annotations

import hashlib
import json
import sys
from itertools import islice
from random import Random
from typing import TYPE_CHECKING, Any

from shared import POLICIES

import frmcore

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

START, STRETCH = 1_760_000_000_000, 7_000
TIGHT, WIDE = "{horizon: 10m, ids_min: 20, ids_max: 40, max_ahead: 1m}", "{horizon: 1h, ids_min: 20000}"
POLICY = (POLICIES / "rich.yaml").read_text().replace(TIGHT, WIDE)


def batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def stream(seed: int) -> Iterator[dict[str, Any]]:
    """Payments of a small world, some of them late, some sent twice."""
    random, time, last = Random(seed), START, None
    number = 0
    while True:
        number += 1
        time += random.choice((0, 1, 50, 400, 3_000))
        if last is not None and random.random() < 0.01:
            yield last
            continue
        last = {
            "id": f"{seed}-{number}",
            "ts": time - random.choice((0,) * 19 + (200_000,)),
            "kind": random.choice(("payment", "payment", "login", "payout")),
            "account": f"a{random.randrange(400)}",
            "payee": f"a{random.randrange(400)}",
            "card": f"c{random.randrange(600)}",
            "device": f"d{random.randrange(50)}",
            "ip": f"10.{random.randrange(4)}.{random.randrange(8)}.7",
            "country": random.choice(("DE", "FR", "IT")),
            "amount": random.randrange(1, 100_000),
            "price": f"{random.randrange(10_000) / 1000:.3f}",
            "weight": random.random(),
        }
        yield last


def told(random: Random) -> dict[str, Any]:
    return random.choice(
        ({"status": "declined"}, {"status": "approved"}, {"label": "fraud"}, {"fee": 5}, {"final": "block"})
    )


def line(decision: Any) -> bytes:
    """All of a decision as its attributes say it, floats in full."""
    return json.dumps(decision.to_dict(), separators=(",", ":")).encode()


def main(events: int, batch: int) -> str:
    digest, random = hashlib.sha256(), Random(1)
    with frmcore.Engine(None, policy=POLICY, clock=None) as engine:
        for stretch in batches(islice(stream(7), events), STRETCH):
            for part in batches(stretch, batch):
                for decision in engine.decide_many(part):
                    digest.update(decision.record)
                    if decision.seq % 100 == 0:
                        digest.update(line(decision))
            for event in random.sample(stretch, len(stretch) // 20):
                engine.update(event["id"], at=event["ts"] + 60_000, **told(random))
    return digest.hexdigest()


if __name__ == "__main__":
    print(main(int(sys.argv[1]), int(sys.argv[2])))
