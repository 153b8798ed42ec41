"""A reload with a store fills new windows from the journal: they say what they would have said all along."""

from __future__ import annotations

import shutil
import threading
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

import frmcore
from frmcore import StoreOptions
from frmcore.errors import FrmcoreError

if TYPE_CHECKING:
    from pathlib import Path

NOW = 1_760_000_000_000
KEY = bytes(range(16))
OPTIONS = StoreOptions(flush_ms=60_000, ring_bytes=1 << 20)
OLD = """
policy: fill
version: {version}
limits: {{horizon: 3h, ids_min: 5, ids_max: {ids}}}
event:
  id: id
  time: ts
  kind: kind
  fields:
    id: string
    ts: timestamp
    kind: {{type: enum, values: [payment, login]}}
    account: {{entity: account}}
    card: {{entity: card, optional: true}}
    amount: {{type: money, currency: EUR, optional: true}}
    country: {{type: string, optional: true}}
  updates:
    label: {{type: enum, values: [fraud, legit], optional: true}}
    status: {{type: enum, values: [pending, declined], default: pending}}
points:
  checkout: {{on: payment, score: {{review: 10}}}}
  answered: {{after: checkout}}
features:
  tries: count(by=account, over="10m")
  known_frauds: count(by=account, where=label == "fraud", over="1h")
{more}
rules:
  - {{id: busy, when: tries > 2, score: 10, reason: "{{tries}} tries"}}
  - {{id: odd, when: country == "XX", outcome: block}}
"""
NEW = """
  spent_1h: sum(amount, by=account, over="1h", where=status != "declined")
  frauds: count(by=account, where=label == "fraud")
  blocked_1h: count(by=card, over="1h", where=final == "block")
  busy_cards: count(by=card, over="30m", where=fired("busy"))
  scores: sum(score, by=account, over="1h")
  countries: count_distinct(country, by=account, over="2h", delay="1m")
  first_country: first(country, by=account)
  daily: sum(amount, by=card, over="3h", every="10m")
  since_login: since_last(by=account, on=login)
  since_odd: count(by=account, since=country == "XX")
"""


def text(version: int, more: str = "", ids: int = 60) -> str:
    return OLD.format(version=version, more=more, ids=ids)


def test_a_label_or_an_outcome_that_the_new_policy_lacks_is_told_all_the_same(tmp_path: Path) -> None:
    """It is neither what was told before nor the default, whether memory or the journal says so."""
    features = 'fine: count(by=account, over="1h", where=status != "declined")\n'
    features += '  good: count(by=account, over="1h", where=final == "allow")'
    found = []
    for ids in (5, 60):
        engine = frmcore.Engine(tmp_path / f"{ids}", policy=text(1, ids=ids), clock=lambda: NOW, key=KEY, store=OPTIONS)
        for number in range(12):
            engine.decide({"id": f"e{number}", "ts": NOW + number, "kind": "login", "account": "a"})
            engine.update(f"e{number}", status="declined" if number % 2 else "pending", final="review")
        policy = text(2, "  " + features, ids).replace(
            "values: [pending, declined], default: pending", "values: [x, declined]"
        )
        policy = policy.replace("version: 2", "version: 2\noutcomes: [allow, block]").replace(
            "declined]}", "declined], default: x}"
        )
        engine.reload(policy.replace("review: 10", "block: 10"))
        found.append(engine.features(account="a"))
        engine.close()
    assert found[0] == found[1]
    assert (found[0]["fine"], found[0]["good"]) == (0, 12)


def test_what_was_told_as_another_type_is_not_told_to_the_new_policy(tmp_path: Path) -> None:
    found = []
    for ids in (5, 60):
        old = text(1, ids=ids).replace(
            "{type: enum, values: [pending, declined], default: pending}", "{type: string, optional: true}"
        )
        engine = frmcore.Engine(tmp_path / f"{ids}", policy=old, clock=lambda: NOW, key=KEY, store=OPTIONS)
        for number in range(12):
            engine.decide({"id": f"e{number}", "ts": NOW + number, "kind": "login", "account": "a"})
            engine.update(f"e{number}", status="declined")
        engine.reload(text(2, '  fine: count(by=account, over="1h", where=status == "pending")', ids))
        found.append(engine.features(account="a")["fine"])
        engine.close()
    assert found == [12, 12]


class Both:
    """An engine on a store that will learn the new features later, and one in memory that knew them from the start."""

    def __init__(self, folder: Path) -> None:
        self.now = NOW
        self.folder = folder
        self.policy = text(1)
        self.late = self.open(folder)
        self.early = frmcore.Engine(None, policy=text(1, NEW), clock=lambda: self.now, key=KEY)

    def open(self, folder: Path) -> frmcore.Engine:
        return frmcore.Engine(folder, policy=self.policy, clock=lambda: self.now, key=KEY, store=OPTIONS)

    def do(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        """What the store's engine refuses, because it forgot more, the other one is not asked."""
        try:
            ours = getattr(self.late, name)(*args, **kwargs)
        except FrmcoreError:
            return None, None
        return ours, getattr(self.early, name)(*args, **kwargs)

    def learn(self) -> None:
        self.policy = text(2, NEW)
        self.late.reload(self.policy)
        self.early.reload(self.policy)

    def crash(self) -> None:
        copy = self.folder.with_name(self.folder.name + "x")
        with self.late._store.flusher.paused():  # type: ignore[union-attr]
            shutil.copytree(self.folder, copy)
        self.late.close()
        self.folder, self.late = copy, self.open(copy)


def step(both: Both, random: Random, number: int) -> tuple[Any, Any]:
    both.now += random.choice((0, 1, 1_000, 20_000, 60_000))
    event = {
        "id": f"e{number}", "ts": both.now - random.choice((0, 0, 0, 5_000)),
        "kind": random.choice(("payment", "login")),
        "account": random.choice("ab"), "card": random.choice("cd"), "amount": random.choice((100, 250, 9_900)),
        "country": random.choice(("DE", "FR", "XX")),
    }  # fmt: skip
    what = random.random()
    known = f"e{random.randrange(max(0, number - 30), number + 1)}"
    if what < 0.15:
        return both.do(
            "observe", event | {"final": random.choice(("allow", "block")), "label": random.choice(("fraud", None))}
        )
    if what < 0.35:
        news = random.choice(({"label": "fraud"}, {"label": "legit"}, {"status": "declined"}, {"final": "block"}))
        return both.do("update", known, **news)
    if what < 0.45:
        return both.do("decide_again", known, "answered", status=random.choice(("pending", "declined")))
    if what < 0.5:
        both.late.flush()
    return both.do("decide", event)


def compare(ours: Any, theirs: Any) -> None:
    """A window of a group that was there before may reach less far back than one that is shared with new features."""
    if ours is None:
        return
    late = {note.split()[0] for note in ours.notes if "later than limits.horizon" in note}
    for name, value in ours.features.items():
        assert (name, value) == (name, theirs.features[name]) or (value is None and name in late)
    assert not [note for note in ours.notes if "incomplete" in note]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("crashes", [False, True])
def test_new_windows_say_what_they_would_have_said(seed: int, crashes: bool, tmp_path: Path) -> None:
    both, random = Both(tmp_path / "s"), Random(seed)
    for number in range(250):
        step(both, random, number)
    assert both.late.stats["forgotten"] > 0
    both.learn()
    if crashes:
        both.crash()
    for number in range(250, 400):
        compare(*step(both, random, number))
    both.late.close()


def test_a_reload_whose_commit_was_lost_is_filled_again(tmp_path: Path) -> None:
    """The process dies between the switch and its commit: the ring alone knows of the reload."""
    both, random = Both(tmp_path / "s"), Random(99)
    for number in range(200):
        step(both, random, number)
    flusher = both.late._store.flusher  # type: ignore[union-attr]
    flush, copy = flusher.flush, tmp_path / "x"

    def flush_and_copy(**more: Any) -> None:
        with flusher.paused():
            if both.late._core.book.plan.hash != both.late.policy.hash and not copy.exists():  # type: ignore[attr-defined]
                shutil.copytree(both.folder, copy)  # the core has switched, the database does not know it
            flush(**more)

    flusher.flush = flush_and_copy  # type: ignore[method-assign]
    both.learn()
    assert copy.exists()
    expected = both.late.state_hash()
    with both.open(copy) as engine:
        assert engine.policy.version == "2"
        assert engine.state_hash() == expected
    both.late.close()


def test_others_decide_while_a_reload_fills(tmp_path: Path) -> None:
    both, random = Both(tmp_path / "s"), Random(7)
    for number in range(400):
        step(both, random, number)
    stop, decided = threading.Event(), []

    def decide() -> None:
        while not stop.is_set() and len(decided) < 200_000:
            number = 10_000 + len(decided)
            event = {
                "id": f"t{number}",
                "ts": both.now + 1 + len(decided),
                "kind": "login",
                "account": "z",
                "country": "DE",
            }
            decided.append(both.late.decide(event))

    thread = threading.Thread(target=decide)
    thread.start()
    both.late.reload(text(2, NEW))
    stop.set()
    thread.join()
    last = both.late.decide(
        {"id": "last", "ts": both.now + len(decided) + 1_000, "kind": "payment", "account": "z", "country": "DE"}
    )
    assert decided
    assert last.features["since_login"] == 1_000
    assert last.features["since_odd"] == len(decided) + 1
    before = both.late.state_hash()
    both.late.close()
    both.policy = text(2, NEW)
    with both.open(both.folder) as engine:
        assert engine.state_hash() == before
