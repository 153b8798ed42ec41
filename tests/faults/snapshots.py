"""Snapshots cut short, with flipped bits, or with right checksums over wrong content: refused, or a store that
works."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import tempfile
import time
import traceback
from collections import Counter
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

from shared import POLICIES

from faults.forks import FAST, forked
from faults.mutants import Store, mutant, segments_changed, written
from faults.workload import KEY, Clock, Found, remember_policies
from frmcore.errors import FrmcoreError, StoreError, StoreVersion
from frmcore.policy import load
from frmcore.store.archive import Archive
from frmcore.store.database import Database, Put
from frmcore.store.inspection import inspect
from frmcore.store.snapfile import Row, SnapshotReader
from frmcore.store.snapshot import opened_snapshot, restore_snapshot, take_snapshot
from frmcore.store.verify import verify
from frmcore.store.view import viewing

START = 1_760_000_000_000
TIGHT, LIMITS = "{horizon: 10m, ids_min: 20,", "{horizon: 10m, ring_events_max: 40, ids_min: 60,"
PLAIN_RULE = 'actions: [slow], reason: "{attempts} in a minute"}'
TOLD_RULE = (
    PLAIN_RULE[:-1] + ", alert: {about: card, once: 1m, typology: testing}, breaker: {share: 10%, over: 1h, min: 10}}"
)
TEXT = (POLICIES / "rich.yaml").read_text().replace(TIGHT, LIMITS).replace("ids_max: 40", "ids_max: 90")
TEXT = TEXT.replace(PLAIN_RULE, TOLD_RULE)
EVENTS = 96
BATCH = 250  # mutants of one process
CPU_SECONDS = 1.0  # of one mutant: beyond it hangs
WALL_SECONDS = 60
EVERY_LENGTH = 10_000  # flipped bits with which every truncation is tried
FLIP_SHARE = 10  # mutants for one flipped bit
DIRECT, PARTS, LOOKED = 0.25, 0.1, 0.2  # shares of mutants
BAD = ("crashed", "hung", "untyped", "broken", "another after reopening")


def event(random: Random, number: int, now: int) -> dict[str, Any]:
    return {
        "id": f"e{number}", "ts": now - random.choice((0,) * 9 + (200_000,)),
        "kind": random.choice(("payment", "payment", "login", "payout")),
        "account": f"a{random.randrange(3)}", "payee": f"a{random.randrange(3)}", "card": f"c{random.randrange(9)}",
        "device": f"d{random.randrange(2)}", "ip": f"10.0.{random.randrange(3)}.7",
        "country": random.choice(("DE", "FR", "IT")), "amount": random.randrange(1, 100_000),
        "price": f"{random.randrange(10_000) / 1000:.3f}", "weight": random.random(),
    }  # fmt: skip


def live(engine: Found, clock: Clock, first: int, count: int) -> None:
    """Some of every operation."""
    random = Random(first)
    for number in range(first, first + count):
        clock.now = START + number * 9_000
        with suppress(FrmcoreError):
            engine.decide(event(random, number, clock.now))
            told = random.choice(({"status": "declined"}, {"label": "fraud"}, {"fee": 5}, {"final": "block"}))
            if number % 3 == 0:
                engine.update(f"e{number - random.randrange(9)}", **told)
            if number % 7 == 0:
                engine.decide_again(f"e{number - 1}", "answered", status="approved")
    engine.lists["cards"].add("c1", reason="stolen")
    engine.lists["networks"].add_many(["10.0.1.0/24"])


def steer(engine: Found, clock: Clock, part: int) -> None:
    """Some of every operation that is about no event: switches, snoozes, holds, evictions, erasures."""
    engine.switch("rule", "ratio", ("off", "shadow", "on", "shadow")[part], reason="tried")
    engine.switch("group", "lists", ("off", "on")[part % 2])
    engine.snooze("half", "account:a1" if part % 2 else None, until="1h", by="ann")
    engine.holds.add("account", f"held-{part}", reason="case 7", until="90d")
    engine.holds.remove("account", f"held-{part - 1}")
    signatures = [group.signature for group in engine._core.groups()]
    engine._core.evict(dict.fromkeys(signatures[part::2], clock.now - 300_000), ids=80 + part)
    engine.erase("card", f"c{part + 2}", reason="request 9")


def made(root: Path) -> Store:
    """A store with every kind of window and operation, two policies, a checkpoint of several ages and a journal behind
    it."""
    clock = Clock()
    engine = Found(root / "made", clock, wanted=load(TEXT))
    for part in range(4):
        live(engine, clock, 1 + part * EVENTS // 4, EVENTS // 4)
        steer(engine, clock, part)
        engine._store.flusher.checkpointer._owed = 12.0
        engine.flush()
        if part == 1:
            engine.reload(load(TEXT.replace("version: 1", "version: 2").replace("{many: 3}", "{many: 4}")))
    live(engine, clock, 1 + EVENTS, 5)
    engine.flush()
    engine.abandon()
    take_snapshot(root / "made", root / "made.snap")
    with opened_snapshot(root / "made.snap") as (reader, _):
        return Store(list(reader.rows()), reader.description, KEY)


class Judge:
    """What becomes of a snapshot's bytes."""

    def __init__(self, root: Path) -> None:
        self.root, self.store, self.wanted = root, made(root), load(TEXT)
        self.sound = (root / "made.snap").read_bytes()
        self.state, self.random = "", Random(0)
        fate = self.fate(self.sound)
        assert fate == "another content", fate  # than none
        with Found(root / "made", wanted=self.wanted) as engine:
            self.state = engine.state_hash()
        assert self.fate(self.sound) == "the same"

    def fate(self, data: bytes) -> str:
        """Of a file."""
        file, folder = self.root / "a.snap", self.root / "there"
        file.write_bytes(data)
        shutil.rmtree(folder, ignore_errors=True)
        sound = None
        try:
            if len(data) % 5 == 0:
                sound = not verify(file).problems
            restore_snapshot(file, folder)
        except StoreVersion:
            return "refused"
        except StoreError as error:
            assert sound is not True, f"refused, though verify found nothing: {error}"
            assert not folder.exists(), "the folder of a snapshot that was refused"
            return "refused"
        assert sound is not False, "restored, though verify found something"
        return self._opened(folder)

    def fate_of_rows(self, rows: list[Row]) -> str:
        """Of a database that holds these rows: nobody looked at them before."""
        folder = self.root / "there"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        database = Database(folder, create=True)
        database.commit(Put(*row) for row in rows)
        database.close()
        return self._opened(folder)

    def _opened(self, folder: Path) -> str:
        try:
            if self.random.random() < LOOKED:
                self._look(folder)
            return self._used(folder)
        except StoreError:
            return "not opened"

    def _look(self, folder: Path) -> None:
        """What the commands read, which don't open an engine."""
        with suppress(StoreError):
            inspect(folder)
        with suppress(StoreError), viewing(folder) as view:
            archive = Archive(view)
            with suppress(StoreError):
                for _, _, record in view.records():
                    archive.content(record)
            with suppress(FrmcoreError):
                archive.explain("e5")
            archive.lists()

    def _used(self, folder: Path) -> str:
        clock = Clock()
        clock.now = START + 10 * EVENTS * 9_000
        engine = Found(folder, clock, wanted=self.wanted)
        engine._core.check_rings()
        fate = "the same" if engine.state_hash() == self.state else "another content"
        try:
            self._work(engine, clock)
            engine._core.check_rings()
            left = engine.state_hash()
            engine.close()
        except BaseException:
            engine.abandon()
            raise
        with Found(folder, clock, wanted=self.wanted) as engine:
            engine._core.check_rings()
            return fate if engine.state_hash() == left else "another after reopening"

    def _work(self, engine: Found, clock: Clock) -> None:
        live(engine, clock, EVENTS - 3, 12)
        for ident in ("e3", f"e{EVENTS}", f"e{EVENTS + 7}"):
            with suppress(FrmcoreError):
                engine.explain(ident)
        with suppress(FrmcoreError):
            engine.features(account="a1", at=clock.now)
        list(engine.lists["cards"].entries())
        assert engine.stats["seq"] == engine.seq

    def mutant(self, number: int) -> str:
        """What becomes of one: as a file, as a file with a part that is another, or as a database."""
        self.random = random = Random(number)
        rows = mutant(self.store, random)
        if random.random() < DIRECT:
            return self.fate_of_rows(rows)
        data = written(rows)
        return self.fate(segments_changed(data, random) if random.random() < PARTS else data)


def batch(judge: Judge, numbers: range, pipe: int) -> int:
    """Judges mutants in this process; says each before and after."""
    logging.disable()
    for number in numbers:
        os.write(pipe, f"begin {number}\n".encode())
        signal.alarm(WALL_SECONDS)
        started = time.process_time()
        try:
            fate = judge.mutant(number)
        except AssertionError as error:
            fate = "another content" if "no place twice" in str(error) else f"broken ({error})"
        except BaseException as error:
            fate = f"untyped ({error!r})" + _place(error)
        seconds = time.process_time() - started
        os.write(pipe, f"end {number} {seconds} {fate if seconds < CPU_SECONDS else 'hung'}\n".encode())
    return 0


def _place(error: BaseException) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f" at {Path(frame.filename).name}:{frame.lineno}"


def mutants(judge: Judge, count: int, first: int, bad: list[str]) -> tuple[Counter[str], float]:
    """What became of `count` mutants; the seconds of the slowest."""
    fared, slowest, number = Counter[str](), 0.0, first
    while number < first + count:
        numbers = range(number, min(number + BATCH, first + count))
        status, said = forked(lambda pipe, numbers=numbers: batch(judge, numbers, pipe))  # type: ignore[misc]
        ends = [line.split(" ", 3)[1:] for line in said if line.startswith("end")]
        number += len(ends)
        if len(ends) < len(numbers):
            ends.append([str(number), "0", "hung" if status == -signal.SIGALRM else f"crashed ({status})"])
            number += 1
        for one, seconds, fate in ends:
            kind = fate.split(" (")[0]
            fared[kind] += 1
            slowest = max(slowest, float(seconds))
            if kind in BAD:
                bad.append(f"mutant {one}: {fate}")
                print(bad[-1], flush=True)
    return fared, slowest


def refused_parts(judge: Judge, flips: int) -> tuple[int, int]:
    """Truncations (in a long run every one) and flipped bits of the snapshot; raises where one is not refused."""
    random, path = Random(1), judge.root / "cut.snap"
    lengths = range(0, len(judge.sound), max(1, EVERY_LENGTH // max(flips, 1)))
    for length in lengths:
        assert refused(path, judge.sound[:length]), f"cut at {length}"
    for _ in range(flips):
        data, bit = bytearray(judge.sound), random.randrange(8 * len(judge.sound))
        data[bit // 8] ^= 1 << bit % 8
        assert refused(path, bytes(data)), f"bit {bit}"
    return len(lengths), flips


def refused(path: Path, data: bytes) -> bool:
    path.write_bytes(data)
    try:
        with path.open("rb") as file:
            for _ in SnapshotReader(file, path).rows():
                pass
    except StoreError:
        return True
    return False


def main(count: int, first: int = 0) -> int:
    remember_policies()
    started, bad = time.monotonic(), list[str]()
    with tempfile.TemporaryDirectory(prefix="frmcore-mutants-", dir=FAST) as name:
        judge = Judge(Path(name))
        cuts, flips = refused_parts(judge, count // FLIP_SHARE)
        fared, slowest = mutants(judge, count, first, bad)
    how = ", ".join(f"{name} {number:,}" for name, number in sorted(fared.items()))
    print(
        f"a snapshot of {len(judge.sound):,} bytes: {cuts:,} truncations and {flips:,} flipped bits, each refused; "
        f"{count:,} mutants with right checksums ({how}), the slowest took {slowest:.2f} s of CPU; "
        f"{time.monotonic() - started:.0f} s"
    )
    return len(bad)
