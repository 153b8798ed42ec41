"""Single flipped bits in the files of a store: harmless, or told; never another state without a word."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random

from faults.forks import FAST, forked
from faults.workload import Clock, Found, Reference, Stream, remember_policies
from frmcore.errors import StoreError

OPERATIONS = 400
SESSION = 100  # operations between two openings
FILES = ("state.mdb", "journal.ring")
SAME, TOLD, SHORTER, DIFFERENT, UNTYPED = range(5)
EXITS = {SAME: "harmless", TOLD: "told", SHORTER: "cut short", DIFFERENT: "different", UNTYPED: "untyped"}
NOT_BAD = ("harmless", "told", "cut short")  # cut short: a flipped bit looks like a record that was never finished
SECONDS = 20  # an opening that takes longer hangs
PAGE, HEAD = 4096, 128  # bytes before the ring's records, and of them in use


class Rot:
    """A store with a checkpoint, a journal and, unless it was closed, a tail in its ring; and the copies that rot."""

    def __init__(self, root: Path, seed: int, *, closed: bool) -> None:
        self.root, self.store, self.random = root, root / "store", Random(seed)
        stream, clock, reference = Stream(seed), Clock(), Reference(Stream(seed))
        for start in range(0, OPERATIONS, SESSION):
            engine = Found(self.store, clock)
            for number in range(start, start + SESSION // 2):
                stream.apply(engine, clock, number)
                if number % 10 == 0:
                    engine._store.flusher.checkpointer._owed = 3.0
                    engine.flush()
            with engine._store.flusher._writing:  # what follows stays in the ring
                for number in range(start + SESSION // 2, start + SESSION):
                    stream.apply(engine, clock, number)
                if start + SESSION == OPERATIONS and not closed:
                    shutil.copytree(self.store, root / "crashed")
            ring = engine._store.flusher._ring
            self.tail = range(ring.position - ring.used, ring.position), ring.size
            assert len(self.tail[0]) > 1_000, "hardly anything is in the ring"
            engine.close()
        if closed:
            shutil.copytree(self.store, root / "crashed")
        self.hashes = []
        for _ in range(OPERATIONS):
            self.hashes += [reference.engine.state_hash()] * (reference.seq == len(self.hashes))
            reference.step()
        self.hashes += [reference.engine.state_hash()] * (reference.seq == len(self.hashes))
        self.seq, self.records = reference.seq, reference.records
        reference.close()

    def flip(self, file: str) -> tuple[str, str]:
        """What became of a store with one flipped bit, and where the bit was."""
        folder = self.root / "flipped"
        shutil.copytree(self.root / "crashed", folder)
        path = folder / file
        bit = self.random.randrange(8 * path.stat().st_size) if file == "state.mdb" else self._ring_bit()
        content = bytearray(path.read_bytes())
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        status, _ = forked(lambda _: self._look(folder))
        shutil.rmtree(folder)
        fate = EXITS[status] if status in EXITS else signal.Signals(-status).name
        return fate, f"{file} byte {bit // 8} bit {bit % 8}"

    def _ring_bit(self) -> int:
        """In the head's two slots, or among the records that only the ring has."""
        tail, size = self.tail
        if self.random.random() < 0.2:
            return self.random.randrange(8 * HEAD)
        return 8 * (PAGE + self.random.choice(tail) % size) + self.random.randrange(8)

    def _look(self, folder: Path) -> int:
        signal.alarm(SECONDS)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            return self._judge(Found(folder))
        except StoreError:
            return TOLD
        except BaseException:
            return UNTYPED

    def _judge(self, engine: Found) -> int:
        """Everything that can be asked for, against the reference."""
        if engine.seq > self.seq or engine.state_hash() != self.hashes[engine.seq]:
            return DIFFERENT
        if engine.records(0) != self.records[1 : engine.seq + 1]:
            return DIFFERENT
        for name in ("e0", "e50", "e150", "e250"):
            try:
                engine.decided(name)
            except KeyError:
                continue
        return SAME if engine.seq == self.seq else SHORTER


def run(count: int, seed: int = 1) -> tuple[Counter[str], list[str]]:
    """`count` flips; what became of them, and where those were that nobody was told of."""
    remember_policies()
    fared, silent = Counter[str](), []
    for closed in (True, False):
        with tempfile.TemporaryDirectory(prefix="frmcore-rot-", dir=FAST) as name:
            rot = Rot(Path(name), seed, closed=closed)
            for number in range(count // 2):
                file = FILES[number % 8 == 7]
                fate, where = rot.flip(file)
                fared[f"{file}: {fate}"] += 1
                if fate not in {"harmless", "told"}:
                    silent.append(f"{'closed' if closed else 'crashed'} store, seed {seed}, {where}: {fate}")
    return fared, silent


def main(count: int) -> int:
    started = time.monotonic()
    fared, silent = run(count)
    print("\n".join(silent[:40]))
    how = ", ".join(f"{name} {number}" for name, number in sorted(fared.items()))
    print(f"{fared.total():,} flipped bits ({how}); {time.monotonic() - started:.0f} s")
    return sum(number for name, number in fared.items() if not name.endswith(NOT_BAD))
