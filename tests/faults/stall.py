"""A disk that hangs or fails for a while: decisions go on, marked once nothing keeps them; then all catches up."""

from __future__ import annotations

import logging
import os
import tempfile
import time
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from faults.forks import FAST, forked
from faults.tracer import FOR_GOOD, Fault, Tracer
from faults.workload import Clock, Found, Reference, Stream, remember_policies
from frmcore.store import flusher

if TYPE_CHECKING:
    from collections.abc import Callable

    from frmcore.errors import StoreError

BEFORE, AFTER = 50, 50  # operations
MOST = 4_000  # operations until the ring of 64 KiB is full
WITHOUT = 200  # operations while it is
PATIENCE = 10.0  # seconds
SPILL = 1 << 14  # of events, and as much of what is none: beyond it such operations are forgotten
PAUSE = 0.005


class Outage(NamedTuple):
    """hangs: syncs do not return; else they fail. crash: the process dies before the disk is back. waits: the spill is
    full too, and events wait in memory."""

    hangs: bool
    crash: bool
    waits: bool


class Life:
    """The process on that disk."""

    def __init__(self, folder: Path, seed: int, outage: Outage, pipe: int) -> None:
        self.tracer, self.clock, self.stream = Tracer(), Clock(), Stream(seed)
        self.outage, self.pipe, self.number = outage, pipe, 0
        self.told: list[StoreError] = []
        self.slowest = 0.0
        flusher.RETRY_SECONDS = PAUSE
        logging.disable()
        self.tracer.watch(folder)
        self.engine = Found(folder, self.clock, flush_ms=5, spill_bytes=SPILL if outage.waits else 1 << 30)
        self.engine.on_store_failure(self.told.append)

    def step(self) -> bool | None:
        """Was the decision durable? None for other operations."""
        while self.stream[self.number].name == "reload":
            self.number += 1  # a reload waits for the disk
        started = time.perf_counter()
        answer = self.stream.apply(self.engine, self.clock, self.number)
        self.slowest = max(self.slowest, time.perf_counter() - started)
        self.number += 1
        if not hasattr(answer, "outcome") or answer.duplicate:
            return None
        if answer.durable:
            os.write(self.pipe, f"{answer.seq}\n".encode())
        return bool(answer.durable)

    def run(self) -> int:
        assert False not in [self.step() for _ in range(BEFORE)]
        self.engine.flush()
        self._break()
        assert any(self.step() is False for _ in range(MOST)), "the ring never filled"
        assert True not in [self.step() for _ in range(WITHOUT)], "durable without a place to be"
        assert self.outage.waits == (self.engine.stats["store"]["waiting"] > 0)
        self._until(lambda: bool(self.told), "nobody was told of the outage")
        assert self.engine.stats["store"]["degraded"]
        os.write(self.pipe, f"slowest {self.slowest}\n".encode())
        if self.outage.crash:
            return 0
        self._mend()
        self._until(lambda: not self.engine.stats["store"]["degraded"], "the disk is back, the store is not")
        assert False not in [self.step() for _ in range(AFTER)], "not durable on a sound disk"
        assert len(self.told) == 1, f"told {len(self.told)} times of one outage"
        os.write(self.pipe, f"{self.engine.seq}\n".encode())
        return 0

    def _break(self) -> None:
        if self.outage.hangs:
            self.tracer.stall(True)
        else:
            self.tracer.fail(Fault.FSYNC, 0, FOR_GOOD)

    def _mend(self) -> None:
        self.tracer.stall(False)
        self.tracer.fail(None)

    def _until(self, done: Callable[[], bool], otherwise: str) -> None:
        end = time.monotonic() + PATIENCE
        while not done():
            assert time.monotonic() < end, otherwise
            time.sleep(PAUSE)


def run(outage: Outage, seed: int) -> tuple[int, float]:
    """One outage; how many operations survived, and seconds of the slowest call. Raises AssertionError."""
    remember_policies()
    with tempfile.TemporaryDirectory(prefix="frmcore-stall-", dir=FAST) as name:
        folder = Path(name) / "store"
        status, said = forked(lambda pipe: Life(folder, seed, outage, pipe).run())
        assert status == 0, f"{outage}, seed {seed}: the process ended with {status}"
        slowest = max(float(line.split()[1]) for line in said if line.startswith("slowest"))
        durable = max(int(line) for line in said if not line.startswith("slowest"))
        engine, reference = Found(folder), Reference(Without(seed))
        try:
            assert engine.seq >= durable, f"{outage}, seed {seed}: {durable} was durable, it stands at {engine.seq}"
            reference.follow(engine.seq)
            assert engine.state_hash() == reference.engine.state_hash(), f"{outage}, seed {seed}: another state"
            return engine.seq, slowest
        finally:
            engine.abandon()
            reference.close()


class Without(Stream):
    """The stream as those processes see it: without reloads."""

    def apply(self, engine: object, clock: Clock, number: int) -> object:
        return None if self[number].name == "reload" else super().apply(engine, clock, number)


def main(count: int) -> int:
    started, random, slowest = time.monotonic(), Random(1), 0.0
    for seed in range(count):
        outage = Outage(hangs=seed % 2 == 0, crash=seed % 4 < 2, waits=seed % 8 < 4)
        slowest = max(slowest, run(outage, random.randrange(1 << 30))[1])
    print(
        f"{count} outages, half of them hanging, half of them with a crash: nothing durable lost, decisions went on; "
        f"slowest call {1000 * slowest:.1f} ms; {time.monotonic() - started:.0f} s"
    )
    return 0
