"""Several threads on one store: what they did is recorded in the order in which it took place."""

from __future__ import annotations

import shutil
from collections import Counter
from itertools import count
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from store_cases import KEY
from threads import THREADS, switching_often, together

import frmcore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["switching_often"]

NOW, EACH = 1_760_000_000_000, 1_500
POLICY = """
policy: threads
version: {version}
limits: {{ids_min: 500, ids_max: 4000, horizon: 1m}}
event:
  id: id
  time: ts
  fields:
    id: string
    ts: timestamp
    account: {{entity: account}}
    amount: {{type: money, currency: EUR}}
  updates:
    label: {{type: enum, values: [fraud, legit], optional: true}}
points:
  first: {{}}
  again: {{after: first}}
lists:
  blocked: {{of: account}}
features:
  n: count(by=account, over="{over}m")
  frauds: count(by=account, where=label == "fraud")
rules:
  - {{id: blocked, when: account in blocked, outcome: block}}
  - {{id: many, when: n > 50, score: 1}}
"""


def text(version: int) -> str:
    return POLICY.format(version=version, over=1 + version % 3)


def work(engine: frmcore.Engine, thread: int, times: Iterator[int], decided: list[str], reloads: bool) -> None:
    random = Random(thread)
    for number in range(EACH):
        ident = f"{thread}-{number}"
        decided.append(f"a{random.randrange(20)}")
        engine.decide({"id": ident, "ts": next(times), "account": decided[-1], "amount": number})
        what = random.random()
        if what < 0.2:
            engine.update(ident, label=random.choice(("fraud", "legit")))
        elif what < 0.3:
            engine.decide_again(ident, "again", label="fraud")
        elif what < 0.35:
            engine.lists["blocked"].add(f"a{random.randrange(20)}", reason="x" * random.randrange(50))
        elif what < 0.36 and reloads and thread == 0:
            engine.reload(text(number))


@pytest.mark.parametrize("reloads", [False, True])
@pytest.mark.usefixtures("switching_often")
def test_the_journal_is_in_the_order_of_the_operations(reloads: bool, tmp_path: Path) -> None:
    given: dict[str, Any] = {"clock": lambda: NOW, "key": KEY, "store": frmcore.StoreOptions(flush_ms=5)}
    engine = frmcore.Engine(tmp_path / "s", policy=text(0), **given)
    times = count(NOW)
    decided: list[list[str]] = [[] for _ in range(THREADS)]
    together(lambda thread: work(engine, thread, times, decided[thread], reloads))
    counts = Counter(account for part in decided for account in part)
    assert {account: engine.features(account=account)["n"] for account in counts} == counts
    expected, seq = engine.state_hash(), engine.stats["seq"]
    with engine._store.flusher.paused():  # type: ignore[union-attr]
        shutil.copytree(tmp_path / "s", tmp_path / "crashed")
    policy = engine.policy
    engine.close()
    with frmcore.Engine(tmp_path / "crashed", policy=policy, **given) as again:
        assert again.state_hash() == expected
        assert [number for _, number, _ in again.tail(0)] == list(range(1, seq + 1))
    assert seq > THREADS * EACH
