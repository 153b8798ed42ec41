"""A pair whose engine lives in a store: it crashes, closes and comes back between operations, and must not forget
anything."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from strategies.operations import STARTS, Stream, first_policy
from twin.pair import KEY, Different, Pair

import frmcore
from frmcore.policy import load

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

PRIVATE_KEY = bytes(range(16, 32))
OPTIONS = frmcore.StoreOptions(flush_ms=60_000, ring_bytes=1 << 20)


def forgotten(_: object, event_id: str, __: object) -> None:
    raise frmcore.UnknownEvent(event_id)


class StoredPair(Pair):
    def __init__(self, text: str, now: int, folder: Path) -> None:
        super().__init__(text, now)
        self.root = folder
        self.opened = 0
        self.text = text
        self.engine = self.open(folder / "0")

    def reload(self, text: str) -> None:
        """From what memory remembers, as the twin does it: tests/test_store_fill.py fills from the journal."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("frmcore.store.store.is_needed", lambda *_: False)
            super().reload(text)
        self.text = text

    def open(self, folder: Path) -> frmcore.Engine:
        self.folder = folder
        engine = frmcore.Engine(
            folder, policy=load(self.text), clock=lambda: self.now, key=KEY, private_key=PRIVATE_KEY, store=OPTIONS
        )
        engine._store.find = forgotten  # as the twin, which has no journal to look into
        return engine

    def crash(self) -> None:
        """What a killed process leaves behind: the files as they are at this moment, copied elsewhere and
        opened there."""
        before, old = self.engine.state_hash(), self.engine
        self.opened += 1
        folder = self.root / str(self.opened)
        with old._store.flusher._writing:
            shutil.copytree(self.folder, folder)
        gone, self.engine = self.folder, self.open(folder)
        old.close()
        shutil.rmtree(gone)
        self.compare(before, "crash")

    def restart(self) -> None:
        before = self.engine.state_hash()
        self.engine.close()
        self.engine = self.open(self.folder)
        self.compare(before, "restart")

    def compare(self, before: str, what: str) -> None:
        if self.engine.state_hash() != before:
            raise Different(f"the state is another one after a {what}")

    def disturb(self, random: Random) -> None:
        chance = random.random()
        if chance < 0.10:
            flusher = self.engine._store.flusher
            flusher.checkpointer._owed = random.choice((0, 1, 2, 5, 100))
            flusher.flush()
        elif chance < 0.14:
            self.crash()
        elif chance < 0.16:
            self.restart()


def run(random: Random, folder: Path, operations: int, hot: bool) -> int:
    """One random policy under a random stream with crashes; how many operations it took."""
    with pytest.MonkeyPatch.context() as patch:
        if random.random() < 0.5:  # small pieces: they split, and come from different moments
            patch.setattr("frmcore.store.checkpoint.PIECE_BYTES", 100)
            patch.setattr("frmcore.store.checkpoint.SPLIT_BYTES", 400)
        return _run(random, folder, operations, hot)


def _run(random: Random, folder: Path, operations: int, hot: bool) -> int:
    policy = first_policy(random, hot)
    pair = StoredPair(policy.text, random.choice(STARTS), folder)
    stream = Stream(random, policy, pair, hot)
    for number in range(operations):
        try:
            pair.disturb(random)
            stream.step()
        except Exception as error:
            raise AssertionError(f"operation {number}: {error}\n{stream.policy.text}") from error
    pair.engine.close()
    return operations
