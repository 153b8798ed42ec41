"""A store with everything in it that may hold a subject, random operations on it, and a shadow that is never erased
from."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

import frmcore
from frmcore import StoreOptions

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

NOW, MINUTE = 1_760_000_000_000, 60_000
KEYS = {"key": bytes(range(16)), "private_key": bytes(range(16, 32))}
QUIET = StoreOptions(flush_ms=60_000, ring_bytes=1 << 20)
POLICY = """
policy: erasing
version: 1
limits: {horizon: 1h}
event:
  id: id
  time: ts
  kind: kind
  fields:
    id: string
    ts: timestamp
    kind: {type: enum, values: [payment, login]}
    account: {entity: account}
    payee: {entity: account, optional: true}
    card: {entity: card, optional: true, private: true}
    device: {entity: device, optional: true}
    merchant: {type: int, entity: merchant}
    ip: {type: ip, entity: ip, optional: true}
    email: {type: string, optional: true}
    amount: {type: money, currency: EUR}
  derived:
    mailbox: {is: canonical_email(email), entity: mailbox}
  updates:
    label: {type: enum, values: [fraud, legit], optional: true}
    remark: {type: string, optional: true}
points:
  first: {on: [payment, login]}
  later: {after: first}
lists:
  blocked: {of: account}
  cards: {of: card}
  words: {of: string}
features:
  tries: count(by=account, over="1h")
  spent: sum(amount, by=account)
  payees: count_distinct(payee, by=account, over="1d")
  received: sum(amount, by=payee, over="1d")
  pair: sum(amount, by=[account, merchant], over="1d")
  accounts: count_distinct(account, by=merchant, over="2h")
  sold: sum(amount, by=merchant)
  sold_cells: sum(amount, by=merchant, over="6h", every="1h")
  frauds: count(by=merchant, where=label == "fraud" and email != "x@y.z", over="1d")
  mail: last(email, by=device)
  mail_or: coalesce(mail, "none")
  first_mail: first(email, by=merchant, over="3h")
  first_ip: first(ip, by=device)
  noted: last(remark, by=merchant, over="1d")
  cards_seen: count_distinct(card, by=device, over="1d")
  of_card: count(by=card, over="1d")
rules:
  - {id: listed, when: account in blocked, outcome: block, reason: "{mail} of {account}"}
  - {id: card, when: card in cards, score: 1}
  - {id: busy, when: tries > 3, outcome: review, reason: "{tries} tries, last by {mail}"}
"""
MORE = POLICY.replace("version: 1", "version: 2").replace(
    "rules:",
    '  late: count(by=merchant, over="90m", where=email == "mail3@b.c")\n  last_two: last(email, by=ip)\nrules:',
)
ADDED = ("late", "last_two")  # by a reload: erased events do not come into new windows
TOMBSTONES = ("<erased>", "0.0.0.0")  # noqa: S104  no address that is listened on
OTHERS: dict[str, tuple[Any, ...]] = {
    "merchant": (40_000, 40_001, 40_002, 40_003),
    "device": ("device-0", "device-1", "device-2", "device-3"),
    "ip": ("10.7.7.0", "10.7.7.3"),
}


def event(random: Random, number: int, now: int) -> dict[str, Any]:
    who, other = random.randrange(6), random.randrange(6)
    found = {
        "id": f"e{number}", "ts": now - random.choice((0, 0, 0, 7, 50)) * MINUTE,
        "kind": random.choice(("payment", "login")),
        "account": f"subject-{who}", "merchant": random.randrange(40_000, 40_004), "amount": random.randrange(1, 1000),
        "payee": f"subject-{other}", "card": f"secret-{who % 4}", "device": f"device-{random.randrange(4)}",
        "ip": f"10.7.7.{who}", "email": f"mail{who}@b.c",
    }  # fmt: skip
    optional = ("payee", "card", "device", "ip", "email")
    return {name: value for name, value in found.items() if name not in optional or random.random() < 0.8}


class Life:
    """An engine on a store, and its shadow in memory, which sees the same operations but the erasures."""

    def __init__(self, root: Path, random: Random) -> None:
        self.root, self.random, self.now, self.count, self.opened = root, random, NOW, 0, 0
        self.text = POLICY
        self.shadow = frmcore.Engine(None, policy=POLICY, clock=lambda: self.now, **KEYS)
        self.folder = root / "0"
        self.engine = self.open(self.folder)
        self.erased: set[str] = set()

    def open(self, folder: Path) -> frmcore.Engine:
        self.folder = folder
        return frmcore.Engine(folder, policy=self.text, clock=lambda: self.now, store=QUIET, **KEYS)

    def both(self, name: str, *args: Any, **more: Any) -> None:
        """An erased event is refused, and the shadow does not hear of it; what else is refused, both refuse."""
        try:
            done = getattr(self.engine, name)(*args, **more)
        except frmcore.EventErased:
            return
        except frmcore.FrmcoreError as error:
            with pytest.raises(type(error)):
                getattr(self.shadow, name)(*args, **more)
            return
        if not getattr(done, "duplicate", False):  # of an erased event the content is not compared
            getattr(self.shadow, name)(*args, **more)

    def step(self) -> None:
        random = self.random
        self.now += random.choice((0, 1000, MINUTE, 9 * MINUTE))
        known = f"e{random.randrange(max(self.count, 1))}"
        match random.choices(("decide", "observe", "update", "again", "list"), (12, 2, 4, 3, 1))[0]:
            case "decide":
                self.both("decide", event(random, self.count, self.now))
                self.count += 1
            case "observe":
                self.both("observe", {**event(random, self.count, self.now), "remark": f"note {self.count}"})
                self.count += 1
            case "update":
                said = {"label": random.choice(("fraud", "legit")), "remark": random.choice((None, f"of {known}", ""))}
                self.both("update", known, by="reviewer of it", **said)
            case "again":
                self.both("decide_again", known, "later", remark="seen again")
            case _:
                for engine in (self.engine, self.shadow):
                    engine.lists["blocked"].add(f"subject-{self.count % 6}", reason="chargeback")

    def erase(self, *subjects: tuple[str, str]) -> frmcore.Erased:
        self.erased |= {value for _, value in subjects}
        return self.engine.erase(*subjects[0], *subjects[1:])

    def disturb(self) -> None:
        chance = self.random.random()
        if chance < 0.05:
            self.engine._store.flusher.checkpointer._owed = self.random.choice((0, 1, 5, 100))
            self.engine.flush()
        elif chance < 0.09:
            self.crash()
        elif chance < 0.11:
            before = self.engine.state_hash()
            self.engine.close()
            self.engine = self.open(self.folder)
            assert self.engine.state_hash() == before
        elif chance < 0.13:
            self.text = MORE if self.text == POLICY else POLICY
            for engine in (self.engine, self.shadow):
                engine.reload(self.text)
        elif chance < 0.18:
            self.disturbed_erasure()

    def disturbed_erasure(self) -> None:
        """Some are cut off after some slices, and the process is killed there."""
        who = self.random.randrange(6)
        subjects = [("account", f"subject-{who}"), ("card", f"secret-{who % 4}"), ("mailbox", f"mail{who}@b.c")]
        with pytest.MonkeyPatch.context() as patch:
            if self.random.random() < 0.6:
                cut_off(patch, self.engine, self.random.choice((0, 1, 3, 5, 8, 13)))
            try:
                self.erase(*subjects[: self.random.choice((1, 1, 3))])
            except Killed:
                self.crash()

    def crash(self) -> None:
        """The files as a killed process leaves them, opened elsewhere."""
        before, old = self.engine.state_hash(), self.engine
        self.opened += 1
        folder = self.root / str(self.opened)
        with old._store.flusher._writing:
            shutil.copytree(self.folder, folder)
        self.engine = self.open(folder)
        old.close()
        assert self.engine.state_hash() == before

    def compare(self) -> None:
        """The windows of others: as if nobody had been erased, but for texts."""
        for entity, value in ((entity, value) for entity, values in OTHERS.items() for value in values):
            ours, theirs = (engine.features(**{entity: value}) for engine in (self.engine, self.shadow))
            assert ours.keys() == theirs.keys()
            for name, found in ours.items():
                if name not in ADDED and found not in TOMBSTONES:
                    assert found == theirs[name], (entity, value, name)


class Killed(BaseException):
    """The process dies here."""


def cut_off(patch: pytest.MonkeyPatch, engine: frmcore.Engine, slices: int) -> None:
    left = iter(range(slices))

    def go_on() -> None:
        if next(left, None) is None:
            raise Killed

    patch.setattr(engine._store.eraser, "_go_on", go_on)
