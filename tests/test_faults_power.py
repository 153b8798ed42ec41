"""The short form of `make faults`: simulated power cuts, and the model of the disk that they are made with."""

from __future__ import annotations

from random import Random

from faults.images import Disk, Entry, Op
from shared import faults


def test_power_cuts() -> None:
    """The harness fails by itself where a disk that never syncs goes unnoticed."""
    assert "(must be bad)" in faults("power", 800)


def disk(*entries: Entry) -> Disk:
    found = Disk()
    for entry in (Entry(Op.NAME, 0, 0, 1, b"f"), *entries):
        found.take(entry)
    return found


def write(at: int, content: bytes) -> Entry:
    return Entry(Op.WRITE, 0, at, len(content), content)


def images(found: Disk, how: str) -> set[bytes]:
    return {found.files["f"].image(Random(seed), how) for seed in range(64)}


def test_what_was_synced_is_there() -> None:
    found = disk(write(0, b"a" * 512), Entry(Op.SYNC, 0, 0, 0, b""), write(0, b"b" * 512))
    assert images(found, "none") == {b"a" * 512}
    assert images(found, "all") == {b"b" * 512}
    assert images(found, "subset") == {b"a" * 512, b"b" * 512}


def test_sectors_are_torn_apart() -> None:
    found = disk(write(0, b"a" * 1024), Entry(Op.SYNC, 0, 0, 0, b""), write(0, b"b" * 1024))
    assert images(found, "torn") == {one * 512 + two * 512 for one in (b"a", b"b") for two in (b"a", b"b")}


def test_synced_write_saves_itself_alone() -> None:
    found = disk(write(0, b"a" * 512), write(512, b"b" * 512), Entry(Op.SYNC_RANGE, 0, 512, 512, b""))
    assert images(found, "none") == {bytes(512) + b"b" * 512}


def test_ring_sectors_are_of_any_age() -> None:
    ring = [Entry(Op.RING, 0, 0, 512, bytes([age]) * 512) for age in (1, 2, 3)]
    assert images(disk(*ring), "torn") == {b"", *(entry.content for entry in ring)}
    assert images(disk(*ring), "all") == {ring[-1].content}
