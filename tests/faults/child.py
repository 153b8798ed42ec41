"""A process that runs the stream on a store and says what it does, until it is killed.

It writes lines, each whole and unbuffered, a call's after it returned: `did NUMBER SEQ OUTCOME DUPLICATE POINT`,
`begin PHASE`, `end PHASE`, and `stands SEQ` after an opening. Where snapshots or restoring are aimed at, a second
process makes them beside it, and is killed with it: both are of one process group.
"""

from __future__ import annotations

import os
import shutil
import time
from random import Random
from typing import TYPE_CHECKING, Any

from faults.workload import Clock, Found, Stream
from frmcore.errors import StoreError
from frmcore.store import snapshot
from frmcore.store.database import Database
from frmcore.store.snapshot import restore_snapshot, take_snapshot

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SHORT = (5, 40)  # operations between two openings, where those or closings are aimed at
LONG = (300, 1_000)
ACT_EACH = 20
SNAPSHOT, RESTORED = "a.snap", "there"
COMMIT_BYTES = 1 << 10  # of a store that is restored: many commits, for a kill to fall between


class Voice:
    """Says things through a pipe. A write below PIPE_BUF bytes is whole or not there."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe

    def say(self, *words: object) -> None:
        os.write(self._pipe, (" ".join(map(str, words)) + "\n").encode())

    def around(self, phase: str, function: Any) -> Any:
        """The function, with its begin and end said."""

        def told(*args: Any, **kwargs: Any) -> Any:
            self.say("begin", phase)
            try:
                return function(*args, **kwargs)
            finally:
                self.say("end", phase)

        return told


def checkpoint(engine: Found, _: Path) -> None:
    """Every piece that there is."""
    engine._store.flusher.checkpointer._owed = 100.0
    engine.flush()


# Phases that the stream does not bring about by itself: what does, given the engine and a folder for other files.
ACTIONS: dict[str, Callable[[Found, Path], None]] = {"checkpoint": checkpoint}


def snapshots(folder: Path, voice: Voice) -> None:
    while True:
        voice.around("snapshot", take_snapshot)(folder, folder.parent / SNAPSHOT)


def restorings(folder: Path, voice: Voice) -> None:
    snapshot.COMMIT_BYTES = COMMIT_BYTES  # type: ignore[misc]
    file, there = folder.parent / SNAPSHOT, folder.parent / RESTORED
    take_snapshot(folder, file)
    while True:
        voice.around("restore", restore_snapshot)(file, there)
        shutil.rmtree(there)


# Phases that another process brings about, beside the engine.
BESIDE: dict[str, Callable[[Path, Voice], None]] = {"snapshot": snapshots, "restore": restorings}
PHASES = ("open", "flush", "close", "reload", *ACTIONS, *BESIDE)


def beside(phase: str, folder: Path, voice: Voice) -> None:
    """Forks the process that goes through the phase, once there is a store."""
    if os.fork():
        return
    try:
        while True:
            try:
                BESIDE[phase](folder, voice)
            except StoreError:
                time.sleep(0.001)
    finally:
        os._exit(1)


def run(folder: Path, stream: Stream, number: int, pipe: int, seed: int, aim: str) -> None:
    """Never ends by itself. `number`: of the first operation."""
    random, clock, voice = Random(seed), Clock(), Voice(pipe)
    os.setpgid(0, 0)
    if aim in BESIDE:
        beside(aim, folder, voice)
    Database.commit = voice.around("flush", Database.commit)  # type: ignore[method-assign]
    while True:
        options = {"flush_ms": random.choice((1, 5, 60_000)), "durability": random.choice(("process", "power"))}
        engine = voice.around("open", Found)(folder, clock, **options)
        voice.say("stands", engine.seq)
        until = number + random.randint(*(SHORT if aim in {"open", "close"} else LONG))
        for number in range(number, until):  # noqa: B020, PLR1704
            if number % ACT_EACH == 0 and aim in ACTIONS:
                voice.around(aim, ACTIONS[aim])(engine, folder.parent)
            _one(engine, stream, clock, number, voice)
        number = until
        voice.around("close", engine.close)()


def _one(engine: Found, stream: Stream, clock: Clock, number: int, voice: Voice) -> None:
    before, apply = engine.seq, stream.apply
    if stream[number].name == "reload":
        apply = voice.around("reload", apply)
    answer = apply(engine, clock, number)
    if hasattr(answer, "outcome"):
        voice.say("did", number, answer.seq, answer.outcome, int(answer.duplicate), answer.point)
    elif engine.seq > before:
        voice.say("did", number, engine.seq, "-", 0, "-")
