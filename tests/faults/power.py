"""Power cuts, simulated on the traced writes of a store that decides, updates, reloads, closes and comes back."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, NamedTuple
from unittest.mock import patch

from faults.forks import FAST, forked
from faults.images import Disk, Op, entries
from faults.tracer import Tracer
from faults.workload import Clock, Found, Reference, Stream, remember_policies
from frmcore.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

FILES = ("state.mdb", "journal.ring")
HOW = ("none", "all", "subset", "torn", "torn")
IMAGES = 2_000  # of one recorded run, in a long one
SESSION = 60  # operations between two openings
FLUSH_EACH = 7  # operations between two flushes, where decisions don't wait for one


class Cut(NamedTuple):
    """What an image must hold: the operations up to `least`; and `most` is the last that was ever asked for."""

    least: int
    most: int
    opened: bool


class Figures(NamedTuple):
    images: int
    lost: int
    unreadable: int
    different: int
    untyped: int  # unreadable, and not said by a StoreError
    points: int
    seconds: float

    @property
    def bad(self) -> int:
        return self.lost + self.unreadable + self.different + self.untyped


def record(folder: Path, log: Path, durability: str, operations: int, seed: int, *, lying: bool) -> None:
    """Runs the stream on a traced store, in a process of its own that ends as a killed one does."""
    child = os.fork()
    if child:
        assert os.waitpid(child, 0)[1] == 0, "the recorded run failed"
        return
    status = 1
    try:
        _run(Tracer(), folder, log, durability, operations, seed, lying)
        status = 0
    finally:
        os._exit(status)


def _run(tracer: Tracer, folder: Path, log: Path, durability: str, operations: int, seed: int, lying: bool) -> None:
    random, stream, clock, number = Random(seed), Stream(seed), Clock(), 0
    tracer.watch(folder, log)
    if lying:
        tracer.drop_syncs()
    while number < operations:
        engine = Found(folder, clock, durability=durability)
        tracer.mark(f"safe {engine.seq}")
        for number in range(number, min(number + SESSION, operations)):  # noqa: B020
            tracer.mark(f"asked {engine.seq + 1}")
            stream.apply(engine, clock, number)
            if durability == "power":
                tracer.mark(f"safe {engine.seq}")
            elif random.randrange(FLUSH_EACH) == 0:
                engine._store.flusher.checkpointer._owed = random.choice((0, 1, 20))
                engine.flush()
                tracer.mark(f"safe {engine.seq}")
        number += 1
        if random.random() < 0.5:
            seq = engine.seq
            engine.close()
            tracer.mark(f"safe {seq}")
        else:
            engine.abandon()


def cuts(log: Path) -> Iterator[tuple[Disk, Cut]]:
    """Every moment at which a cut may come, with what must survive it."""
    disk, cut = Disk(), Cut(0, 0, False)
    for entry in entries(log):
        disk.take(entry)
        if entry.op is Op.MARK:
            word, seq = entry.content.decode().split()
            cut = cut._replace(most=max(cut.most, int(seq)))
            cut = cut._replace(least=int(seq), opened=True) if word == "safe" else cut
        yield disk, cut


class Judge:
    """Opens images and says what became of the store."""

    def __init__(self, seed: int, most: int, root: Path) -> None:
        self.root = root
        reference = Reference(Stream(seed))
        self.hashes = [reference.engine.state_hash()]
        while reference.seq < most:
            reference.step()
            if reference.seq == len(self.hashes):
                self.hashes.append(reference.engine.state_hash())
        self.records = reference.records
        reference.close()

    def verdict(self, folder: Path, cut: Cut, durability: str) -> str:
        try:
            with patch("frmcore.store.ringfile.boot_id", lambda: b"the next start.."):
                engine = Found(folder, durability=durability)
        except StoreError as error:
            return "unfinished" if not cut.opened else f"unreadable: {error}"
        except Exception as error:
            return f"untyped: {error!r}"
        try:
            if engine.seq < cut.least:
                return f"lost: it stands at {engine.seq}, {cut.least} was acknowledged"
            if engine.seq > cut.most or engine.state_hash() != self.hashes[engine.seq]:
                return f"different: its state at {engine.seq} is another one"
            after = max(0, engine.seq - 50)
            if engine.records(after) != self.records[after + 1 : engine.seq + 1]:
                return f"different: its records behind {after} are others"
            return "sound"
        except StoreError as error:
            return f"unreadable: {error}"
        finally:
            engine.abandon()


def run(count: int, durability: str, *, seed: int = 1, lying: bool = False, operations: int = 300) -> Figures:
    """`count` images of a recorded run, spread over its moments. `lying`: no sync reaches the disk."""
    remember_policies()
    started, found, random = time.monotonic(), Counter[str](), Random(seed)
    with tempfile.TemporaryDirectory(prefix="frmcore-power-", dir=FAST) as name:
        root = Path(name)
        log = root / "log"
        record(root / "store", log, durability, operations, seed, lying=lying)
        points = sum(1 for _ in cuts(log))
        judge = Judge(seed, max(cut.most for _, cut in cuts(log)), root)
        share, owed, images = count / points, 0.0, 0
        for disk, cut in cuts(log):
            owed += share
            while owed >= 1:
                owed -= 1
                how = HOW[images % len(HOW)]
                found[_one(judge, disk, cut, durability, random, how, seed, lying=lying)] += 1
                images += 1
    seconds = time.monotonic() - started
    return Figures(images, found["lost"], found["unreadable"], found["different"], found["untyped"], points, seconds)


def _one(
    judge: Judge, disk: Disk, cut: Cut, durability: str, random: Random, how: str, seed: int, *, lying: bool
) -> str:
    folder = judge.root / "image"
    disk.build(folder, random, how, FILES)
    verdict = _apart(judge, folder, cut, durability) if lying else judge.verdict(folder, cut, durability)
    shutil.rmtree(folder)
    if verdict not in {"sound", "unfinished"} and "FAULTS_QUIET" not in os.environ:
        print(f"seed {seed}, {durability}, {how}, {cut}: {verdict}", flush=True)
    return verdict.split(":")[0]


def _apart(judge: Judge, folder: Path, cut: Cut, durability: str) -> str:
    """The verdict of another process: pages that were never written may make LMDB end the one that reads them."""

    def work(pipe: int) -> int:
        os.write(pipe, judge.verdict(folder, cut, durability).replace("\n", " ").encode() + b"\n")
        return 0

    status, said = forked(work)
    return said[0] if said else f"unreadable: the process ended with {status}"


def main(count: int) -> int:
    """Prints the figures; how many images were bad, or 1 where the harness did not notice a disk that lies."""
    bad = 0
    for durability in ("power", "process"):
        runs = max(1, count // 2 // IMAGES)
        all_figures = [run(count // 2 // runs + 1, durability, seed=seed) for seed in range(1, runs + 1)]
        figures = Figures(*map(sum, zip(*all_figures, strict=True)))
        bad += figures.bad
        _print(f'power cuts, durability="{durability}"', figures)
    os.environ["FAULTS_QUIET"] = "1"
    for durability in ("power", "process"):
        figures = run(max(100, count // 100), durability, lying=True)
        _print(f"the same on a disk that never syncs, {durability} (must be bad)", figures)
        bad += figures.lost == 0
    return bad


def _print(what: str, figures: Figures) -> None:
    print(
        f"{what}: {figures.images:,} images of {figures.points:,} moments, {figures.lost} lost, "
        f"{figures.unreadable} unreadable, {figures.different} different, {figures.untyped} untyped; "
        f"{figures.seconds:.0f} s, "
        f"{figures.images / figures.seconds:.0f} images/s",
        flush=True,
    )
