"""Many million decisions in stores that are killed and closed at random: nothing acknowledged is lost, files and memory
stay bounded, and no call gets slower. With FOLDER set the stores stay there, and the next run goes on from them."""

from __future__ import annotations

import mmap
import os
import shutil
import signal
import statistics
import struct
import tempfile
import time
import traceback
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

import frmcore
from faults.workload import KEY
from frmcore.policy import load

if TYPE_CHECKING:
    from frmcore import Engine

SCHEMA = """
policy: soak
version: 1
limits: {horizon: 10m, ids_min: 50000, ids_max: 200000}
event:
  id: id
  time: ts
  fields:
    id: string
    ts: timestamp
    account: {entity: account}
    card: {entity: card}
    device: {entity: device}
    country: {type: string}
    amount: {type: money, currency: EUR}
  updates:
    status: {type: enum, values: [pending, approved, declined], default: pending}
lists:
  cards: {of: card}
"""
CHEAP = (
    SCHEMA
    + """
features:
  often: count(by=card, over="10m")
rules:
  - {id: often, when: often > 5, outcome: review}
"""
)
REAL = (
    SCHEMA
    + """
features:
  card_10m: count(by=card, over="10m")
  card_1h: count(by=card, over="1h")
  spent_1h: sum(amount, by=account, over="1h", where=status != "declined")
  spent_6h: sum(amount, by=account, over="6h", where=final != "block")
  usual: mean(amount, by=account, over="6h", closed="left")
  spread: std(amount, by=account, over="6h", closed="left")
  cards_of: count_distinct(card, by=device, over="1h")
  countries: count_distinct(country, by=account, over="6h")
  accounts: count_distinct(account, by=device, over="6h")
  quiet: since_last(by=card, over="6h")
rules:
  - {id: listed, when: card in cards, outcome: block, reason: the card is listed}
  - {id: often, when: card_10m > 3, score: 20}
  - {id: hourly, when: card_1h > 6, score: 20}
  - {id: much, when: spent_1h > money("900"), score: 15}
  - {id: long, when: spent_6h > money("2500"), score: 10}
  - {id: unusual, when: amount > usual + 3 * spread, score: 25}
  - {id: sharing, when: cards_of > 4 and accounts > 4, outcome: review}
  - {id: moving, when: countries > 3, outcome: review}
  - {id: quick, when: quiet < "5s", score: 10}
"""
)
START, STEP_MS = 1_760_000_000_000, 20  # of event time between two events
POOL, BLOCK, TIMED_EACH = 20_000, 5_000, 10  # events made beforehand; of one call; blocks between two timed ones
ENTITIES, HOT = 100_000, 200  # a fifth of the events is of few entities
OPTIONS = frmcore.StoreOptions(keep_decisions="6h")
LIFE_SECONDS = (2.0, 30.0)
LINE_SECONDS = 60.0
GROWTH_MAX = 1.3  # of memory and file, from a run's second quarter to its last
_SHARED = struct.Struct("<QQQQ")  # acknowledged, anonymous bytes, timed calls, milliseconds of openings


class Line(NamedTuple):
    """What was measured in one minute. Microseconds; bytes."""

    store: str
    decided: int
    p50: float
    p99: float
    p999: float
    greatest: float
    memory: int
    file: int


class Endured:
    """One store, and the processes that live on it one after another."""

    def __init__(self, folder: Path, text: str) -> None:
        self.folder, self.policy = folder, load(text)
        self.shared = mmap.mmap(-1, _SHARED.size)
        self.times = mmap.mmap(-1, 8 * 1_000_000)  # nanoseconds of timed calls, a ring
        self.kills = self.closes = 0
        self.acknowledged = 0
        self.slowest_opening = 0

    def live(self, seconds: float, until: int, *, kill: bool) -> None:
        """One process. Raises AssertionError where it found that something was lost."""
        child = os.fork()
        if not child:
            status = 1
            try:
                _Life(self, seconds if not kill else 1e9, until).run()
                status = 0
            except BaseException:
                traceback.print_exc()
                raise
            finally:
                os._exit(status)
        if kill:
            end = time.monotonic() + seconds + self.slowest_opening / 1000  # on a slow machine too some lives decide
            while time.monotonic() < end and self._now()[0] < until:
                time.sleep(0.05)
            os.kill(child, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        killed = status == -signal.SIGKILL
        assert killed == kill or status == 0, (
            f"{self.folder.name}: the process ended with {status}"
        )  # it may be done first
        self.kills, self.closes = self.kills + killed, self.closes + (not killed)
        self.acknowledged, _, _, opening = self._now()
        self.slowest_opening = max(self.slowest_opening, opening)

    def _now(self) -> tuple[int, ...]:
        return _SHARED.unpack_from(self.shared)

    def line(self) -> Line:
        """What was timed since the last line."""
        acknowledged, memory, timed, opening = self._now()
        count = min(timed, len(self.times) // 8)
        times = sorted(memoryview(self.times).cast("Q")[:count].tolist()) or [0]
        _SHARED.pack_into(self.shared, 0, acknowledged, memory, 0, opening)
        at = (times[min(count, int(count * share))] / 1000 if count else 0.0 for share in (0.5, 0.99, 0.999))
        file = (self.folder / "state.mdb").stat().st_blocks * 512
        return Line(self.folder.name, acknowledged, *at, times[-1] / 1000, memory, file)


class _Life:
    """A process that decides, until it is killed or its time is over."""

    def __init__(self, endured: Endured, seconds: float, until: int) -> None:
        self.endured, self.until = endured, until
        self.end = time.monotonic() + seconds
        self.pool = pool()
        self.times = memoryview(endured.times).cast("Q")

    def run(self) -> None:
        started = time.monotonic()
        engine = frmcore.Engine(self.endured.folder, policy=self.endured.policy, clock=None, key=KEY, store=OPTIONS)
        opening = int(1000 * (time.monotonic() - started))
        number = engine.stats["seq"]
        acknowledged, *_ = self.endured._now()
        assert number >= acknowledged, f"{acknowledged:,} were acknowledged, the store stands at {number:,}"
        if number:
            assert engine.decide(self._events(number, 1)[0]).duplicate, f"event {number:,} is decided again"
        self.end += opening / 1000
        block = 0
        while time.monotonic() < self.end and number < self.until:
            events = self._events(number + 1, BLOCK)
            timed = self.endured._now()[2]
            if block % TIMED_EACH == 0:
                timed = self._timed(engine, events, timed)
            else:
                engine.decide_many(events)
            number, block = number + BLOCK, block + 1
            _SHARED.pack_into(self.endured.shared, 0, number, anonymous_bytes(), timed, opening)
        engine.close()

    def _timed(self, engine: Engine, events: list[Any], timed: int) -> int:
        decide, clock, size = engine.decide, time.perf_counter_ns, len(self.times)
        for event in events:
            at = clock()
            decide(event)
            self.times[timed % size] = clock() - at
            timed += 1
        return timed

    def _events(self, first: int, count: int) -> list[Any]:
        """The events of these numbers: values from the pool, under their own id and time."""
        event, values = self.endured.policy.Event, self.pool
        return [
            event(id=f"e{number}", ts=START + number * STEP_MS, **values[number % POOL])
            for number in range(first, first + count)
        ]


def pool() -> list[dict[str, Any]]:
    """Events without their id and time."""
    random = Random(1)

    def entity() -> int:
        return random.randrange(HOT if random.random() < 0.2 else ENTITIES)

    countries = ("DE", "FR", "IT", "ES", "PL")
    return [
        {
            "account": f"a{entity()}", "card": f"c{entity()}", "device": f"d{entity()}",
            "country": random.choice(countries), "amount": random.randrange(100, 100_000),
        }
        for _ in range(POOL)
    ]  # fmt: skip


def anonymous_bytes() -> int:
    """Memory of this process that is in no file."""
    with Path("/proc/self/status").open() as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("RssAnon"))


def endure(root: Path, count: int) -> list[Line]:
    """Decides until each store holds half of `count` decisions; a line a minute of each."""
    random, lines = Random(time.time_ns()), list[Line]()
    stores = [Endured(root / name, text) for name, text in (("cheap", CHEAP), ("real", REAL))]
    started = time.monotonic()
    shown = dict.fromkeys(("cheap", "real"), started)
    while under_way := [store for store in stores if store.acknowledged < count // 2]:
        for store in under_way:
            store.live(random.uniform(*LIFE_SECONDS), count // 2, kill=random.random() < 0.5)
            done = store.acknowledged >= count // 2
            if done or time.monotonic() - shown[store.folder.name] >= LINE_SECONDS:
                shown[store.folder.name] = time.monotonic()
                lines.append(store.line())
                show(lines[-1], store, time.monotonic() - started)
    return lines


def show(line: Line, store: Endured, seconds: float) -> None:
    print(
        f"{seconds:7.0f} s  {line.store:5} {line.decided:12,} decisions, {store.kills} kills, {store.closes} closings, "
        f"p50 {line.p50:.1f} p99 {line.p99:.1f} p99.9 {line.p999:.1f} max {line.greatest:,.0f} us, "
        f"memory {line.memory / 1e6:,.0f} MB, file {line.file / 1e6:,.0f} MB, "
        f"slowest opening {store.slowest_opening / 1000:.1f} s",
        flush=True,
    )


def grown(lines: list[Line], store: str) -> dict[str, float]:
    """The last quarter of a store's lines against the second one; nothing of a run too short to compare its parts."""
    own = [line for line in lines if line.store == store]
    quarter = len(own) // 4
    if not quarter:
        return {}
    second, last = own[quarter : 2 * quarter], own[-quarter:]

    def median(of: list[Line], name: str) -> float:
        return float(statistics.median(getattr(line, name) for line in of))

    return {name: median(last, name) / max(median(second, name), 1) for name in ("p999", "memory", "file")}


def main(count: int) -> int:
    kept = os.environ.get("FOLDER")
    root = Path(kept or tempfile.mkdtemp(prefix="frmcore-soak-"))
    root.mkdir(parents=True, exist_ok=True)
    try:
        lines = endure(root, count)
    finally:
        if not kept:
            shutil.rmtree(root)
    unbounded = 0
    for store in ("cheap", "real"):
        shares = grown(lines, store)
        print(f"{store}, last quarter / second quarter:", ", ".join(f"{what} {x:.2f}" for what, x in shares.items()))
        unbounded += sum(shares.get(what, 1.0) > GROWTH_MAX for what in ("memory", "file"))
    print(f"{count:,} decisions: 0 acknowledged lost, 0 decided twice; {unbounded} of what must be bounded grew")
    return unbounded
