"""Policies of tests of stores, and a small store with something of everything in it, for tests of what looks at stores
from outside."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING, Any

import frmcore
from frmcore import StoreOptions

if TYPE_CHECKING:
    from pathlib import Path

NOW = 1_760_000_000_000
KEY, PRIVATE_KEY = bytes(range(16)), bytes(range(16, 32))
SMALL = """
policy: store
version: 1
event:
  id: id
  time: ts
  kind: kind
  fields:
    id: string
    ts: timestamp
    kind: {type: enum, values: [payment, login]}
    account: {entity: account}
    amount: {type: money, currency: EUR, optional: true}
  updates:
    label: {type: enum, values: [fraud, legit], optional: true}
lists:
  blocked: {of: account}
features:
  tries_1h: count(by=account, over="1h")
  frauds: count(by=account, where=label == "fraud")
rules:
  - {id: blocked, when: account in blocked, outcome: block}
  - {id: busy, when: tries_1h > 3, outcome: review, reason: "{tries_1h} tries"}
"""
POLICY = """
policy: store
version: 1
event:
  id: id
  time: ts
  kind: kind
  fields:
    id: string
    ts: timestamp
    kind: {type: enum, values: [payment, login]}
    account: {entity: account}
    card: {entity: card, optional: true, private: true}
    ip: {type: ip, optional: true}
    weight: {type: float, optional: true}
    amount: {type: money, currency: EUR, optional: true}
  updates:
    label: {type: enum, values: [fraud, legit], optional: true}
points:
  first: {on: [payment, login]}
  later: {after: first}
lists:
  blocked: {of: account}
  cards: {of: card}
  nets: {of: ip, match: network}
features:
  tries_1h: count(by=account, over="1h")
  cards_1d: count_distinct(card, by=account, over="1d")
  spent: sum(amount, by=account)
  frauds: count(by=account, where=label == "fraud")
rules:
  - {id: blocked, when: account in blocked, outcome: block, reason: on the list}
  - {id: card, when: card in cards, outcome: block}
  - {id: net, when: ip in nets, outcome: review}
  - {id: busy, when: tries_1h > 3, outcome: review, reason: "{tries_1h} tries"}
"""
SECOND = POLICY.replace("version: 1", "version: 2").replace("tries_1h > 3", "tries_1h > 5")
QUIET = StoreOptions(flush_ms=60_000, ring_bytes=1 << 20)  # flushes only when it is told to


def opened(path: Path, text: str = POLICY, **more: Any) -> frmcore.Engine:
    given: dict[str, Any] = {"clock": lambda: NOW + 10_000_000, "store": QUIET, "key": KEY, "private_key": PRIVATE_KEY}
    return frmcore.Engine(path, policy=text, **(given | more))


def event(number: int) -> dict[str, Any]:
    return {
        "id": f"e{number}", "ts": NOW + number * 1000, "kind": "payment" if number % 3 else "login",
        "account": f"a{number % 5}", "card": f"secret-card-{number % 7}", "ip": f"10.0.0.{number % 9}",
        "weight": number / 8, "amount": 100 + number,
    }  # fmt: skip


def live(engine: frmcore.Engine, first: int = 0, count: int = 60) -> None:
    """Some of every operation."""
    for number in range(first, first + count):
        if number % 11 == 5:
            engine.observe({**event(number), "label": "legit"})
        else:
            engine.decide(event(number))
        if number % 4 == 0 and number % 11 != 5:
            engine.decide_again(f"e{number}", "later", label="fraud")
        if number % 9 == 0:
            engine.update(f"e{number}", label="legit", by="reviewer", source="case")
    engine.lists["blocked"].add(f"a{first}", reason="chargeback", source="case", owner="risk", expires="36500d")
    engine.lists["cards"].add("secret-card-1", reason="stolen")
    engine.lists["nets"].add_many(["10.1.0.0/16", f"10.{2 + first % 200}.0.0/16"])


def filled(path: Path) -> frmcore.Engine:
    """An open engine: a checkpoint, a journal behind it, another policy, and records that only the ring has."""
    engine = opened(path)
    live(engine)
    engine._store.flusher.flush(whole=True)
    live(engine, 100)
    engine.reload(SECOND)
    live(engine, 200)
    engine.flush()
    while engine._store.flusher._wanted.is_set():  # the reload woke the flusher's thread: not while we go on
        time.sleep(0.001)
    engine.flush()
    live(engine, 300)
    return engine


def killed(engine: frmcore.Engine, path: Path) -> None:
    """What the files would be had the process been killed now."""
    with engine._store.flusher._writing:
        shutil.copytree(engine._store.folder, path)
