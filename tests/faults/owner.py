"""SIGKILL of an owner and its clients, under load: what was answered stands, once, and no call outlives its budget."""

from __future__ import annotations

import os
import select
import signal
import tempfile
import time
import traceback
from pathlib import Path
from random import Random
from typing import NamedTuple

from serving import NOON, POLICY, event

import frmcore
from frmcore._fast import record_head
from frmcore.policy import load
from frmcore.serve.owner import Service, run
from frmcore.store.archive import Archive
from frmcore.store.layout import RecordType
from frmcore.store.view import viewing

CLIENTS = 3
BUDGET_MS = 40.0
SLACK_MS = 2_000.0  # of a machine that has other things to do: what is over budget and this is a call that hung
CALM = (0.005, 0.12)  # seconds between two kills
STEP = 1_000_000  # ids of one life of a client


class Told(NamedTuple):
    """What one call gave."""

    ident: str
    seq: int
    outcome: str
    fallback: bool
    took_ms: float


def start_owner(store: Path) -> int:
    child = os.fork()
    if not child:
        try:
            run(Service(store, load(POLICY), frmcore.StoreOptions(flush_ms=10)))
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return child


def start_client(path: Path, life: int) -> tuple[int, int]:
    """(process, the pipe that it tells its calls through)."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(read)
        try:
            _work(path, life, write)
        finally:
            os._exit(1)
    os.close(write)
    return child, read


def _work(path: Path, life: int, pipe: int) -> None:
    """Decides until it is killed; told to stop (SIGTERM), it lets its reports go out first."""
    stopped: list[bool] = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    client = frmcore.connect(path)
    number = life * STEP
    while not stopped:
        number += 1
        one = event(number, ts=NOON, account=f"l{life}")
        started = time.perf_counter()
        decision = client.decide(one, within_ms=BUDGET_MS, otherwise="review")
        took = 1000 * (time.perf_counter() - started)
        line = f"{one['id']} {decision.seq} {decision.outcome} {int(decision.fallback)} {took:.1f}\n"
        os.write(pipe, line.encode())
    client.close(30)
    os._exit(0 if not client._reporter.counts()["waiting"] else 1)


class Life:
    """A client process, and what it told."""

    def __init__(self, path: Path, number: int) -> None:
        self.number = number
        self.process, self._pipe = start_client(path, number)
        os.set_blocking(self._pipe, False)
        self._text = b""

    def hear(self) -> None:
        while select.select([self._pipe], [], [], 0)[0]:
            data = os.read(self._pipe, 1 << 16)
            if not data:
                return
            self._text += data

    def end(self, number: int) -> list[Told]:
        os.kill(self.process, number)
        while os.waitpid(self.process, os.WNOHANG) == (0, 0):
            self.hear()
            time.sleep(0.005)
        self.hear()
        os.close(self._pipe)
        lines = self._text.decode().split("\n")[:-1]
        return [Told(a, int(b), c, d == "1", float(e)) for a, b, c, d, e in (line.split() for line in lines)]


def main(kills: int) -> int:
    random = Random(kills)
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder, "store")
        owner = start_owner(store)
        lives = [Life(store, number) for number in range(CLIENTS)]
        told: dict[int, list[Told]] = {}
        born = CLIENTS
        for _ in range(kills):
            until = time.monotonic() + random.uniform(*CALM)
            while time.monotonic() < until:
                for life in lives:
                    life.hear()
                time.sleep(0.002)
            if random.random() < 0.6:
                os.kill(owner, signal.SIGKILL)
                os.waitpid(owner, 0)
                time.sleep(random.choice([0, 0, 0.1]))
                owner = start_owner(store)
                if random.random() < 0.7:  # let it get to work
                    with frmcore.connect(store, timeout=60) as client:
                        client.health()
            else:
                at = random.randrange(CLIENTS)
                told[lives[at].number] = lives[at].end(signal.SIGKILL)
                lives[at] = Life(store, born)
                born += 1
        with frmcore.connect(store, timeout=60) as client:
            client.health()
        survivors = {life.number for life in lives}
        told |= {life.number: life.end(signal.SIGTERM) for life in lives}
        os.kill(owner, signal.SIGTERM)
        assert os.waitstatus_to_exitcode(os.waitpid(owner, 0)[1]) == 0
        return report(store, told, survivors, kills)


def report(store: Path, told: dict[int, list[Told]], survivors: set[int], kills: int) -> int:
    lost = different = untold = 0
    seqs: dict[int, str] = {}
    doubled = 0
    with frmcore.Engine(store, policy=POLICY) as engine:
        for life, calls in told.items():
            for call in calls:
                try:  # `explain` would find the evidence too, of thousands of events an account
                    found, final = engine._core.find(call.ident), engine._core.known_now(call.ident)["final"]
                except frmcore.UnknownEvent:
                    lost += not call.fallback
                    untold += call.fallback and life in survivors
                    continue
                if call.fallback:
                    untold += final != call.outcome and life in survivors
                    continue
                different += (found.seq, found.outcome) != (call.seq, call.outcome)
                doubled += seqs.setdefault(call.seq, call.ident) != call.ident
        stats = engine.stats
        doubled += stats["decisions"] != stats["ids"]
    doubled += reported_twice(store)
    took = sorted(call.took_ms for calls in told.values() for call in calls)
    late = sum(each > BUDGET_MS + SLACK_MS for each in took)
    answered = sum(not call.fallback for calls in told.values() for call in calls)
    print(
        f"{kills} kills, {answered:,} answered, {len(took) - answered:,} fallbacks: {lost} lost, {doubled} twice, "
        f"{different} different, {untold} reports missing, {late} calls over their budget of {BUDGET_MS:g} ms "
        f"(longest {took[-1]:.1f} ms, p99 {took[99 * len(took) // 100]:.1f} ms)"
    )
    return lost + doubled + different + untold + late


def reported_twice(store: Path) -> int:
    """No event is decided by two calls, so none has two updates."""
    with viewing(store) as view:
        archive = Archive(view)
        records = (record for _, _, record in view.records() if record_head(record)[1] == RecordType.UPDATE)
        updated = [archive.content(record)["id"] for record in records]
    return len(updated) - len(set(updated))
