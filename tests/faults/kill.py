"""SIGKILL at any moment: of what was acknowledged nothing may be missing, twice, or different."""

from __future__ import annotations

import os
import select
import shutil
import signal
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import NamedTuple

from faults.child import PHASES, RESTORED, SNAPSHOT, run
from faults.forks import FAST
from faults.workload import Found, Reference, Stream, remember_policies
from frmcore.errors import EventTooOld, StoreError
from frmcore.store.snapshot import restore_snapshot

AIMS = ("any", *PHASES, *PHASES)
ROUNDS = 50  # kills of one store
PATIENCE = 10.0  # seconds until a child that says nothing is taken to hang
CHECKED = 40  # acknowledged operations looked up after each kill
WHOLE = (SNAPSHOT, RESTORED)
LIFE = 0.06  # seconds within which a kill comes that aims at nothing


class Did(NamedTuple):
    """One acknowledged operation."""

    number: int
    seq: int
    outcome: str
    duplicate: bool
    point: str


class Heard:
    """What one child said until it was killed."""

    def __init__(self) -> None:
        self.did: list[Did] = []
        self.stands: list[int] = []
        self.phases: list[str] = []  # open ones
        self.begun = Counter[str]()

    def take(self, line: str) -> None:
        word, *rest = line.split()
        match word:
            case "did":
                number, seq, outcome, duplicate, point = rest
                self.did.append(Did(int(number), int(seq), outcome, duplicate == "1", point))
            case "stands":
                self.stands.append(int(rest[0]))
            case "begin":
                self.phases.append(rest[0])
                self.begun[rest[0]] += 1
            case _:
                self.phases.remove(rest[0])


class Killer:
    """Starts children on one store and kills them."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root, self.folder, self.seed = root, root / "store", seed
        self.random = Random(seed)
        self.stream = Stream(seed)
        self.reference = Reference(self.stream)
        self.durations: dict[str, float] = {}
        self.opened = False
        self.landed = Counter[str]()

    def round(self, aim: str) -> None:
        """One life of a child, and what it left."""
        heard = self._live(aim)
        self.landed[aim if aim in heard.phases else "elsewhere" if heard.begun else "before"] += 1
        self.opened |= bool(heard.stands)
        self._verify(heard)

    def _live(self, aim: str) -> Heard:
        out, into = os.pipe()
        child = os.fork()
        if not child:
            try:
                os.close(out)
                run(self.folder, self.stream, self.reference.number, into, self.random.randrange(1 << 30), aim)
            finally:
                os._exit(1)
        self.random.random()  # parent and child have drawn alike
        with suppress(PermissionError):  # it did so itself, and runs already
            os.setpgid(child, child)
        os.close(into)
        try:
            return self._listen(out, child, aim)
        finally:
            os.close(out)

    def _listen(self, out: int, child: int, aim: str) -> Heard:
        heard, raw, which = Heard(), b"", self.random.randint(1, 4)
        when = time.monotonic() + (self.random.uniform(0, LIFE) if aim == "any" else PATIENCE)
        while (left := when - time.monotonic()) > 0:
            if left > 0.001 and select.select([out], [], [], left - 0.0005)[0]:
                said = os.read(out, 1 << 16)
                assert said, f"seed {self.seed}: the child ended by itself: {os.waitpid(child, 0)}"
                raw = self._hear(heard, raw + said)
                if heard.begun[aim] >= which and aim in heard.phases:
                    when, which = time.monotonic() + self.random.uniform(0, self._duration(aim)), 1 << 30
        assert aim == "any" or which == 1 << 30, f"seed {self.seed}: aimed at {aim}, the child hangs in {heard.phases}"
        os.killpg(child, signal.SIGKILL)
        assert os.waitpid(child, 0)[1] == signal.SIGKILL
        while said := os.read(out, 1 << 16):
            raw = self._hear(heard, raw + said)
        return heard

    def _hear(self, heard: Heard, raw: bytes) -> bytes:
        *lines, rest = raw.split(b"\n")
        for line in lines:
            heard.take(line.decode())
        return rest

    def _duration(self, phase: str) -> float:
        """Seconds within which to kill: phases take from a tenth of a millisecond to some ten."""
        return self.random.choice((0.0005, 0.002, 0.01) if phase != "open" else (0.002, 0.01, 0.03))

    def _verify(self, heard: Heard) -> None:
        copy = (FAST or self.root) / f"frmcore-kill-{os.getpid()}"
        shutil.copytree(self.folder, copy) if self.folder.exists() else copy.mkdir(mode=0o700)
        try:
            engine = Found(copy, self.reference.clock)
        except StoreError:
            assert not self.opened, f"seed {self.seed}: the store can't be opened any more"
            shutil.rmtree(self.folder)
            self.landed["unfinished store"] += 1
        else:
            self.landed["(whole snapshots and stores left)"] += check_left(self.root, self.reference)
            self._compare(engine, heard)
            engine.abandon()
        finally:
            shutil.rmtree(copy)

    def _compare(self, engine: Found, heard: Heard) -> None:
        before, reference = self.reference.seq, self.reference
        least = max([before, *heard.stands, *(did.seq for did in heard.did)])
        assert least <= engine.seq <= least + 1, f"{least} were acknowledged, the store stands at {engine.seq}"
        reference.follow(engine.seq)
        engine._core.check_rings()
        assert engine.state_hash() == reference.engine.state_hash(), "the recovered state is another one"
        assert engine.records(before) == reference.records[before + 1 : engine.seq + 1], "the records are others"
        for did in heard.did[-CHECKED:]:
            self._check_one(engine, did)
        assert engine.seq == reference.seq, "a repeated event was recorded twice"

    def _check_one(self, engine: Found, did: Did) -> None:
        operation = self.stream[did.number]
        if operation.name == "update":
            assert _known(engine, operation.ident) == _known(self.reference.engine, operation.ident)
        if did.outcome == "-":
            return
        decision = engine.decided(operation.ident, did.point)
        assert (decision.outcome, decision.seq) == (did.outcome, did.seq), f"{did} is now {decision}"
        if operation.name in {"decide", "repeat"}:
            try:
                again = engine.decide(self.stream.events[operation.ident])
            except EventTooOld:
                return
            assert again.duplicate, f"{did} was decided again"
            assert (again.outcome, again.seq) == (did.outcome, did.seq)


def check_left(root: Path, reference: Reference) -> int:
    """What a snapshot or a restoring left behind, which is removed. Under their names there is nothing, or something
    whole: how many of those there were. Raises AssertionError."""
    held: list[tuple[int, str, str]] = []
    for path in set(root.iterdir()) - {root / "store"}:
        engine = _opened(path, root / "opened")
        if engine is not None:
            held.append((engine.seq, engine.state_hash(), path.name))
            engine.abandon()
        assert engine is not None or path.name not in WHOLE, f"{path.name} can't be opened"
        shutil.rmtree(root / "opened", ignore_errors=True)
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for seq, state, name in sorted(held):
        assert seq or name not in WHOLE, f"{name} is empty"
        if seq:  # else there was nothing in it, and now it is a new store
            reference.follow(seq)
            assert state == reference.engine.state_hash(), f"{name} holds another state"
    return sum(name in WHOLE for _, _, name in held)


def _opened(path: Path, there: Path) -> Found | None:
    """What a snapshot or a store holds; None where it is refused."""
    try:
        if path.is_dir():
            return Found(path)
        restore_snapshot(path, there)
    except StoreError:
        return None
    return Found(there)


def _known(engine: object, ident: str) -> object:
    try:
        return engine._core.known_now(ident)
    except KeyError:
        return None


def kills(count: int, seed: int = 1) -> Counter[str]:
    """Kills `count` children; where they were hit. Raises AssertionError where anything is lost, twice or different."""
    remember_policies()
    landed = Counter[str]()
    while count > 0:
        with tempfile.TemporaryDirectory(prefix="frmcore-kill-") as name:
            killer = Killer(Path(name), seed)
            for number in range(min(count, ROUNDS)):
                try:
                    killer.round(AIMS[number % len(AIMS)])
                except (AssertionError, StoreError) as error:
                    raise AssertionError(f"seed {seed}, kill {number}, {AIMS[number % len(AIMS)]}: {error}") from error
            landed += killer.landed
            killer.reference.close()
        count, seed = count - ROUNDS, seed + 1
    return landed


def main(count: int) -> int:
    started = time.monotonic()
    landed = kills(count)
    aimed = sum(landed[phase] for phase in PHASES)
    where = ", ".join(f"{phase} {number}" for phase, number in sorted(landed.items()))
    print(
        f"{count} kills, {aimed} of them within the phase aimed at ({where}): 0 lost, 0 twice, 0 different; "
        f"{time.monotonic() - started:.0f} s"
    )
    return 0
