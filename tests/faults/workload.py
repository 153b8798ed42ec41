"""A seeded stream of operations that depends on nothing but its seed, so that a reference in memory can follow a store
that crashed anywhere."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

import frmcore
from faults.forks import FAST
from frmcore import engine
from frmcore.errors import EventConflict, FrmcoreError, StoreError, UnknownEvent
from frmcore.policy import Policy, load
from frmcore.store import policies, store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

KEY = bytes(range(16))
START = 1_760_000_000_000
LEAN = """
policy: faults
version: 1
limits: {horizon: 10m, ids_min: 100, ids_max: 300}
event:
  id: id
  time: ts
  kind: kind
  fields:
    id: string
    ts: timestamp
    kind: {type: enum, values: [payment, login]}
    account: {entity: account}
    card: {entity: card, optional: true}
    amount: {type: money, currency: EUR, optional: true}
  updates:
    status: {type: enum, values: [pending, approved, declined], default: pending}
points:
  checkout: {score: {review: 20, block: 40}}
  answered: {after: checkout}
lists:
  cards: {of: card}
features:
  attempts: count(by=card, over="10m")
  spent: sum(amount, by=account, over="1h", where=status != "declined")
  life: sum(amount, by=account)
  in_cells: std(amount, by=account, over="1d", every="10m")
rules:
  - {id: listed, when: card in cards, outcome: block}
  - {id: often, when: attempts > 3, score: 25}
  - {id: much, when: spent > money("200"), score: 20}
"""
RICH = LEAN.replace(
    "rules:",
    '  cards_of: count_distinct(card, by=account, over="1h")\nrules:\n  - {id: many, when: cards_of > 3, score: 5}',
)
POLICIES = (LEAN, RICH)


class Operation(NamedTuple):
    """One call. `now` is the engine's clock, epoch ms."""

    now: int
    name: str
    ident: str
    arguments: tuple[Any, ...]


class Clock:
    """The clock of an engine: it stands where the operation says."""

    now = START

    def __call__(self) -> int:
        return self.now


def operations(seed: int) -> Iterator[Operation]:
    """Without end."""
    random, now, sent = Random(seed), START, 0
    while True:
        now += random.choice((0, 1, 500, 1_000, 5_000, 60_000))
        name = random.choices(
            ("decide", "repeat", "observe", "update", "again", "list", "reload"), (60, 6, 8, 14, 6, 5, 2)
        )[0]
        if name in {"decide", "observe"} or not sent:
            arguments: tuple[Any, ...] = (_event(random, now, sent),)
            name, ident, sent = ("decide" if name not in {"observe"} else name), f"e{sent}", sent + 1
        else:
            ident = f"e{max(0, sent - 1 - int(random.expovariate(0.1)))}"
            arguments = _arguments(random, name, now)
        yield Operation(now, name, ident, arguments)


def _event(random: Random, now: int, number: int) -> dict[str, Any]:
    late = random.choice((0, 0, 0, 0, 1_000, 60_000))
    event = {"id": f"e{number}", "ts": now - late, "kind": random.choice(("payment", "payment", "login"))}
    event |= {"account": f"a{random.randrange(20)}", "amount": random.choice((1, 999, 12_990))}
    return event | ({"card": f"c{random.randrange(30)}"} if random.random() < 0.9 else {})


def _arguments(random: Random, name: str, now: int) -> tuple[Any, ...]:
    status = random.choice(("approved", "declined"))
    if name == "list":
        return random.choice(("add", "remove")), f"c{random.randrange(30)}", random.choice((None, now + 60_000))
    if name == "reload":
        return (random.randrange(len(POLICIES)),)
    return (status,) if name in {"update", "again"} else ()


class Stream:
    """Operations by number; those already seen are kept."""

    def __init__(self, seed: int) -> None:
        self._coming, self._seen = operations(seed), []
        self.events: dict[str, dict[str, Any]] = {}

    def __getitem__(self, number: int) -> Operation:
        while len(self._seen) <= number:
            operation = next(self._coming)
            self._seen.append(operation)
            if operation.name in {"decide", "observe"}:
                self.events[operation.ident] = operation.arguments[0]
        return self._seen[number]

    def apply(self, engine: frmcore.Engine, clock: Clock, number: int) -> Any:
        """The decision, None, or the name of the error that refused the operation."""
        _, name, ident, arguments = operation = self[number]
        clock.now = operation.now
        try:
            match name:
                case "decide" | "repeat":
                    return engine.decide(self.events[ident])
                case "observe":
                    return engine.observe(arguments[0])
                case "update":
                    return engine.update(ident, status=arguments[0])
                case "again":
                    return engine.decide_again(ident, "answered", status=arguments[0])
                case "reload":
                    return engine.reload(policy(arguments[0]))
                case _:
                    return _change(engine, *arguments)
        except StoreError:
            raise
        except FrmcoreError as error:
            return error.decision if isinstance(error, EventConflict) else type(error).__name__


def _change(engine: frmcore.Engine, action: str, value: str, expires: int | None) -> None:
    if action == "add":
        engine.lists["cards"].add(value, expires=expires)
    else:
        engine.lists["cards"].remove(value)


@functools.cache
def policy(index: int) -> Policy:
    return load(POLICIES[index])


class Reference:
    """An engine that follows the stream and never crashes, and what it recorded. It has a store, in memory: a reload
    fills new windows from the journal."""

    def __init__(self, stream: Stream) -> None:
        self.stream, self.clock, self.number = stream, Clock(), 0
        self._folder = tempfile.TemporaryDirectory(prefix="frmcore-reference-", dir=FAST)
        self.engine = Found(Path(self._folder.name) / "store", self.clock, durability="none")
        self.records: list[bytes] = [b""]
        self.engine.on_operation(self.records.append)

    def close(self) -> None:
        self.engine.abandon()
        self._folder.cleanup()

    @property
    def seq(self) -> int:
        return self.engine._core.seq

    def follow(self, seq: int) -> None:
        """Up to the operation of that sequence number. Raises AssertionError where it was passed."""
        while self.seq < seq:
            self.step()
        assert self.seq == seq, f"the store stands at operation {seq}, before {self.seq}, where it stood already"

    def step(self) -> Any:
        self.number += 1
        return self.stream.apply(self.engine, self.clock, self.number - 1)


class Found(frmcore.Engine):
    """What a store holds: opened without putting another policy in force."""

    def __init__(self, folder: Path, clock: Clock | None = None, wanted: Policy | None = None, **options: Any) -> None:
        options = {"ring_bytes": 1 << 16, "flush_ms": 60_000} | options
        self._opening = True
        super().__init__(
            folder, policy=wanted or policy(0), key=KEY, clock=clock or Clock(), store=frmcore.StoreOptions(**options)
        )
        self._opening = False

    def reload(self, policy: Any) -> None:
        if not self._opening:
            super().reload(policy)

    @property
    def seq(self) -> int:
        return self._core.seq

    def records(self, after: int) -> list[bytes]:
        """Every record behind `after` that the database has."""
        assert self._store is not None
        return [record for _, _, record in self._store.tail(after)]

    def decided(self, event_id: str, point: str | None = None) -> Any:
        """A decision, from memory or from the store. Raises UnknownEvent."""
        assert self._store is not None
        try:
            return self._core.find(event_id, point)
        except UnknownEvent:
            return self._store.find(self._core, event_id, point)

    def abandon(self) -> None:
        """Lets go of the folder without a flush."""
        assert self._store is not None
        self._store.abandon()
        self._core.close()


def remember_policies() -> None:
    """Policies are compiled once for all openings of a harness: most of an opening's time, and not what is tested."""
    plain_load, plain_lower = policies.load_contents, policies.lower
    loaded: dict[Any, Any] = {}

    def once(key: Any, make: Callable[[], Any]) -> Any:
        if key not in loaded:
            loaded[key] = make()
        return loaded[key]

    def load_contents(files: dict[str, str]) -> Policy:
        found: Policy = once(tuple(sorted(files.items())), lambda: plain_load(files))
        return found

    def lower(wanted: Policy, keep: Any = (), earlier: Sequence[Policy] = ()) -> Any:
        known = tuple(policy.hash for policy in earlier)
        return once((wanted.hash, repr(keep), known), lambda: plain_lower(wanted, keep, earlier))

    policies.load_contents = load_contents
    policies.lower = store.lower = engine.lower = lower
