"""A disk that fails: at each call that changes a file or syncs it, once or for good; and a database that is full at
each size. Decisions go on or a typed error says why; what was acknowledged as durable is there afterwards."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import NamedTuple

from faults.forks import FAST, forked
from faults.tracer import FOR_GOOD, Fault, Tracer
from faults.workload import Clock, Found, Reference, Stream, remember_policies
from frmcore.errors import StoreError
from frmcore.store import flusher

COMMITS = 200
AFTER = 25  # operations that a process still does once a call has failed
PAGE = 4096
RETRY = 0.001  # seconds after a failed commit
EXITS = {0: "as if nothing", 1: "untyped", 2: "refused", 3: "degraded", 4: "caught up"}


class Trouble(NamedTuple):
    """`fault` strikes `count` calls from `first` on; or the database may have `map_max` bytes."""

    fault: Fault | None
    first: int = 0
    count: int = 1
    map_max: int = 1 << 40

    def __str__(self) -> str:
        if self.fault is None:
            return f"a map of {self.map_max:,} bytes"
        return f"{self.fault.name} at call {self.first}, {'for good' if self.count == FOR_GOOD else 'once'}"


def life(folder: Path, stream: Stream, durability: str, trouble: Trouble, pipe: int) -> int:
    """A process on the failing disk, until it is gone; it says the sequence number of what was acknowledged durable."""
    tracer, clock = Tracer(), Clock()
    tracer.watch(folder)
    tracer.fail(trouble.fault, trouble.first, trouble.count)
    flusher.RETRY_SECONDS = RETRY
    logging.disable()
    outcome = 0
    try:
        engine = Found(folder, clock, durability=durability, map_max=trouble.map_max)
        os.write(pipe, b"opened\n")
        failures: list[StoreError] = []
        engine.on_store_failure(failures.append)
        left = AFTER
        for number in range(COMMITS):
            left -= tracer.hits > 0
            if not left:
                break
            answer = stream.apply(engine, clock, number)
            if hasattr(answer, "outcome") and answer.durable and not answer.duplicate:
                os.write(pipe, f"{answer.seq}\n".encode())
            if durability == "process" and not _flushed(engine):
                outcome = 3
            outcome = 3 if failures else outcome
        if trouble.count != FOR_GOOD and trouble.fault is not None:
            tracer.fail(None)
            _catch_up(engine)
            os.write(pipe, f"{engine.seq}\n".encode())
            outcome = 4 if outcome else 0
    except StoreError:
        outcome = 2
    return outcome


def _flushed(engine: Found) -> bool:
    try:
        engine.flush()
    except StoreError:
        return False
    return True


def _catch_up(engine: Found) -> None:
    """The disk is back: everything is written, and nothing is marked any more."""
    for _ in range(1_000):
        if _flushed(engine) and not engine.stats["store"]["degraded"]:
            return
        time.sleep(RETRY)
    raise AssertionError(f"the disk is back, the store is not: {engine.stats['store']['failure']}")


class Disk:
    """Runs lives on failing disks, and opens what they leave."""

    def __init__(self, root: Path, seed: int, durability: str) -> None:
        self.folder, self.durability = root / "store", durability
        self.stream = Stream(seed)
        self.reference = Reference(self.stream)
        self.hashes = {0: self.reference.engine.state_hash()}
        for _ in range(COMMITS):
            self.reference.step()
            self.hashes[self.reference.seq] = self.reference.engine.state_hash()
        self.reference.close()

    def suffer(self, trouble: Trouble) -> str:
        """How the process fared. Raises AssertionError where something was lost."""
        status, said = forked(lambda pipe: life(self.folder, self.stream, self.durability, trouble, pipe))
        try:
            assert status in EXITS and status != 1, f"{trouble}: the process ended with {status}"
            self._verify(said, trouble)
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)
        return EXITS[status]

    def _verify(self, said: list[str], trouble: Trouble) -> None:
        if not said or not self.folder.exists():
            return  # it never opened: nothing was acknowledged
        durable = max((int(word) for word in said[1:]), default=0)
        try:
            engine = Found(self.folder)
        except StoreError as error:
            raise AssertionError(f"{trouble}: it can't be opened on a sound disk: {error}") from error
        try:
            assert engine.seq >= durable, f"{trouble}: {durable} was durable, the store stands at {engine.seq}"
            assert engine.state_hash() == self.hashes[engine.seq], f"{trouble}: the state is another one"
            assert engine.records(0) == self.reference.records[1 : engine.seq + 1], f"{trouble}: records differ"
        finally:
            engine.abandon()

    def calls(self) -> tuple[int, int]:
        """(changes, syncs) of a run without trouble."""

        def counted(pipe: int) -> int:
            status = life(self.folder, self.stream, self.durability, Trouble(None), pipe)
            os.write(pipe, f"{Tracer().changes} {Tracer().syncs}\n".encode())
            return status

        _, said = forked(counted)
        self.size = (self.folder / "state.mdb").stat().st_size
        shutil.rmtree(self.folder)
        changes, syncs = said[-1].split()
        return int(changes), int(syncs)


def troubles(changes: int, syncs: int, size: int) -> list[Trouble]:
    """Every fault at every call, once and for good; every size of the database."""
    found = []
    for fault in Fault:
        calls = {Fault.EIO: changes + syncs, Fault.FSYNC: syncs}.get(fault, changes)
        found += [Trouble(fault, first, count) for first in range(calls) for count in (1, FOR_GOOD)]
    return found + [Trouble(None, map_max=bytes_) for bytes_ in range(2 * PAGE, size + PAGE, PAGE)]


def run(count: int, seed: int = 1) -> tuple[Counter[str], int]:
    """`count` of all troubles, drawn by the seed (0: all); how processes fared, and how many troubles there are."""
    remember_policies()
    fared, there_are = Counter[str](), 0
    for durability in ("power", "process"):
        with tempfile.TemporaryDirectory(prefix="frmcore-disk-", dir=FAST) as name:
            disk = Disk(Path(name), seed, durability)
            all_of_them = troubles(*disk.calls(), disk.size)
            there_are += len(all_of_them)
            few = Random(seed).sample(all_of_them, min(count // 2, len(all_of_them))) if count else all_of_them
            fared.update(disk.suffer(trouble) for trouble in few)
    return fared, there_are


def main(count: int) -> int:
    started = time.monotonic()
    fared, there_are = run(count)
    how = ", ".join(f"{name} {number}" for name, number in sorted(fared.items()))
    print(
        f"{fared.total()} of {there_are} failing calls and full sizes of {COMMITS} operations ({how}): nothing durable "
        f"lost, every store opens; {time.monotonic() - started:.0f} s"
    )
    return 0
