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

SMALL, LARGE = (400, 100), (8_000, 2_000)  # operations, and of them between two openings
LARGE_SHARE = 8  # flips of small stores for one of a large one
IN_RING = 50  # the last operations of a session, which the database does not have
FILES = ("state.mdb", "journal.ring")
SAME, TOLD, SHORTER, DIFFERENT, UNTYPED = range(5)
EXITS = {SAME: "harmless", TOLD: "told", SHORTER: "cut short", DIFFERENT: "different", UNTYPED: "untyped"}
NOT_BAD = ("harmless", "told", "cut short")  # cut short: a flipped bit looks like a record that was never finished
SECONDS = 20  # an opening that takes longer hangs
PAGE, HEAD = 4096, 128  # bytes before the ring's records, and of them in use


class Rot:
    """A store with a checkpoint, a journal and, unless it was closed, a tail in its ring; and the copies that rot."""

    def __init__(self, root: Path, seed: int, size: tuple[int, int], *, closed: bool) -> None:
        self.root, self.store, self.random = root, root / "store", Random(seed)
        stream, clock, reference = Stream(seed), Clock(), Reference(Stream(seed))
        operations, session = size
        for start in range(0, operations, session):
            engine = Found(self.store, clock)
            for number in range(start, start + session - IN_RING):
                stream.apply(engine, clock, number)
                if number % 10 == 0:
                    engine._store.flusher.checkpointer._owed = 3.0
                    engine.flush()
            with engine._store.flusher._writing:  # what follows stays in the ring
                for number in range(start + session - IN_RING, start + session):
                    stream.apply(engine, clock, number)
                if start + session == operations and not closed:
                    shutil.copytree(self.store, root / "crashed")
            ring = engine._store.flusher._ring
            self.tail = range(ring.position - ring.used, ring.position), ring.size
            engine.close()
        assert len(self.tail[0]) > 1_000, "hardly anything is in the ring"
        if closed:
            shutil.copytree(self.store, root / "crashed")
        self.hashes: dict[int, str] = {}  # where a store that was cut short may stand
        for number in range(operations):
            if number >= operations - 2 * IN_RING:
                self.hashes[reference.seq] = reference.engine.state_hash()
            reference.step()
        self.hashes[reference.seq] = reference.engine.state_hash()
        self.seq, self.records = reference.seq, reference.records
        self.bytes = (root / "crashed" / "state.mdb").stat().st_blocks * 512
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
        if engine.state_hash() != self.hashes.get(engine.seq):
            return DIFFERENT
        if engine.records(0) != self.records[1 : engine.seq + 1]:
            return DIFFERENT
        for name in ("e0", "e50", "e150", "e250"):
            try:
                engine.decided(name)
            except KeyError:
                continue
        return SAME if engine.seq == self.seq else SHORTER


def run(count: int, seed: int = 1) -> tuple[Counter[str], list[str], list[int]]:
    """`count` flips; what became of them, where those were that nobody was told of, and bytes of the databases."""
    remember_policies()
    fared, silent, sizes = Counter[str](), list[str](), list[int]()
    for closed in (True, False):
        for size in (SMALL, LARGE):
            flips = count // 2 // LARGE_SHARE if size is LARGE else count // 2 - count // 2 // LARGE_SHARE
            with tempfile.TemporaryDirectory(prefix="frmcore-rot-", dir=FAST) as name:
                rot = Rot(Path(name), seed, size, closed=closed)
                what = f"{'closed' if closed else 'crashed'} store of {rot.bytes / 1e6:.1f} MB"
                sizes.append(rot.bytes)
                for number in range(flips):
                    file = FILES[number % 8 == 7]
                    fate, where = rot.flip(file)
                    fared[f"{file}: {fate}"] += 1
                    if fate not in {"harmless", "told"}:
                        silent.append(f"{what}, seed {seed}, {where}: {fate}")
    return fared, silent, sizes


def main(count: int) -> int:
    started = time.monotonic()
    fared, silent, sizes = run(count)
    print("\n".join(silent[:40]))
    how = ", ".join(f"{name} {number}" for name, number in sorted(fared.items()))
    of = ", ".join(f"{size / 1e6:.1f}" for size in sorted(sizes))
    seconds = time.monotonic() - started
    print(f"{fared.total():,} flipped bits in databases of {of} MB and in their rings ({how}); {seconds:.0f} s")
    return sum(number for name, number in fared.items() if not name.endswith(NOT_BAD))
