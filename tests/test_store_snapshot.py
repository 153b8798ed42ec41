"""Snapshots: whole or not at all, restored anywhere to the same state, and whatever a file says, nothing worse than an
error."""

from __future__ import annotations

import fcntl
import io
import os
import shutil
import stat
import subprocess
import sys
import time
import zlib
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from store_cases import KEY, PRIVATE_KEY, SECOND, event, filled, killed, opened

import frmcore
from frmcore._fast import (
    crc32c,
    frame_records,
    record_content,
    record_frames,
    record_head,
    stretch_frames,
    stretch_head,
    stretch_of,
)
from frmcore.errors import StoreDamaged, StoreError, StoreLocked, StoreUnavailable, StoreVersion
from frmcore.store import snapfile as format_
from frmcore.store.folder import FolderLock
from frmcore.store.layout import BLOBS, JOURNAL, META, OPERATIONS, RING_FILE, RINGS, pack, unpack
from frmcore.store.snapfile import SECTIONS, Description, Row, SnapshotReader, SnapshotWriter
from frmcore.store.snapshot import restore_snapshot, take_snapshot
from frmcore.store.verify import verify

if TYPE_CHECKING:
    from collections.abc import Iterator


class Made:
    def __init__(self, root: Path) -> None:
        self.folder, self.file = root / "killed", root / "small.snap"
        engine = filled(root / "live")
        self.hash, self.seq = engine.state_hash(), engine.stats["seq"]
        killed(engine, self.folder)
        engine.close()
        self.description = take_snapshot(self.folder, self.file)
        self.bytes = self.file.read_bytes()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("made"))


# -- there and back ----------------------------------------------------------------------------------------------------
def test_a_killed_engine_s_store_comes_back_from_its_snapshot(made: Made, tmp_path: Path) -> None:
    """With what only the journal's ring had."""
    assert made.description.seq == made.seq
    assert verify(made.file).problems == verify(made.folder).problems == []
    restore_snapshot(made.file, tmp_path / "store")
    assert verify(tmp_path / "store").problems == []
    with opened(tmp_path / "store", SECOND) as engine:
        assert engine.state_hash() == made.hash
        assert engine.stats["seq"] == made.seq
        assert engine.decide(event(7)).duplicate
        assert engine.explain("e3").decision.policy != engine.policy.hash
        assert engine.lists["blocked"].get("a0").reason == "chargeback"
        engine.decide(event(1000))
        left = engine.state_hash()
    assert verify(tmp_path / "store").problems == []
    with opened(tmp_path / "store", SECOND) as engine:
        assert engine.state_hash() == left


def test_an_engine_snapshots_itself_and_goes_on(tmp_path: Path) -> None:
    engine, told = filled(tmp_path / "store"), []
    before, then = engine.stats["seq"], engine.state_hash()
    engine.snapshot(tmp_path / "a.snap", lambda done, total: told.append((done, total)))
    engine.decide(event(2000))
    engine.close()
    restore_snapshot(tmp_path / "a.snap", tmp_path / "other")
    with opened(tmp_path / "other", SECOND) as other:
        assert other.stats["seq"] == before
        assert other.state_hash() == then


def test_a_snapshot_of_a_store_at_work_is_consistent(tmp_path: Path) -> None:
    """Another process takes it while this one decides, flushes and checkpoints."""
    code = "import sys; from frmcore.store.snapshot import take_snapshot; print(take_snapshot(*sys.argv[1:]).seq)"
    options = frmcore.StoreOptions(flush_ms=5, ring_bytes=1 << 16)
    hashes: dict[int, str] = {}
    with opened(tmp_path / "store", store=options) as engine:
        command = [sys.executable, "-c", code, str(tmp_path / "store"), str(tmp_path / "a.snap")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            number = 0
            while child.poll() is None:
                engine.decide(event(number))
                hashes[engine.stats["seq"]] = engine.state_hash()
                number += 1
                if number % 50 == 0:
                    engine._store.flusher.flush(whole=True)
            seq = int(child.stdout.read())
    restore_snapshot(tmp_path / "a.snap", tmp_path / "other")
    with opened(tmp_path / "other") as other:
        assert other.state_hash() == hashes[seq]


def test_the_restored_store_is_another_one_with_the_same_key(made: Made, tmp_path: Path) -> None:
    restore_snapshot(made.file, tmp_path / "store")
    opened(tmp_path / "store", SECOND).close()
    (made.folder / RING_FILE).replace(tmp_path / "ring")
    try:
        os.link(tmp_path / "store" / RING_FILE, made.folder / RING_FILE)
        (problem,) = verify(made.folder).problems
        assert "belongs to another store" in str(problem)
    finally:
        (tmp_path / "ring").replace(made.folder / RING_FILE)


def test_an_empty_store(tmp_path: Path) -> None:
    opened(tmp_path / "store").close()
    take_snapshot(tmp_path / "store", tmp_path / "a.snap")
    assert verify(tmp_path / "a.snap").problems == verify(tmp_path / "store").problems == []
    restore_snapshot(tmp_path / "a.snap", tmp_path / "other")
    with opened(tmp_path / "other") as engine:
        assert engine.stats["seq"] == 0


def test_private_values_are_not_in_the_file(made: Made) -> None:
    rows = list(reader(made.bytes).rows())
    assert not [row for row in rows if b"secret-card" in row.value]
    assert [row for row in rows if b"chargeback" in row.value]


# -- files -------------------------------------------------------------------------------------------------------------
def test_the_file_is_private_and_appears_whole(made: Made, tmp_path: Path) -> None:
    file = tmp_path / "a.snap"
    file.touch()
    take_snapshot(made.folder, file)
    take_snapshot(made.folder, file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["a.snap"]
    with pytest.raises(StoreUnavailable, match=r"no such folder|No such file"):
        take_snapshot(made.folder, tmp_path / "nowhere" / "a.snap")
    with pytest.raises(StoreUnavailable, match="is a folder"):
        take_snapshot(made.folder, tmp_path)
    with pytest.raises(StoreUnavailable, match="is no store"):
        take_snapshot(tmp_path, file)
    assert verify(file).problems == []


def test_only_a_snapshot_is_replaced(made: Made, tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("important")
    for path in (notes, Path("/dev/null")):
        with pytest.raises(StoreUnavailable, match="is no snapshot: name another file"):
            take_snapshot(made.folder, path)
    assert notes.read_text() == "important" and not Path("/dev/null").is_file()


def test_a_restored_folder_is_private(made: Made, tmp_path: Path) -> None:
    restore_snapshot(made.file, tmp_path / "store")
    assert stat.S_IMODE((tmp_path / "store").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "store").iterdir()} == {0o600}


def test_nothing_is_overwritten(made: Made, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("x")
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    (tmp_path / "file").write_text("x")
    (tmp_path / "snap").symlink_to(made.file)
    for target, said in (("full", "not empty"), ("link", "symbolic link"), ("file", "not empty"), ("a/b", "no such")):
        with pytest.raises(StoreUnavailable, match=said):
            restore_snapshot(made.file, tmp_path / target)
    with pytest.raises(StoreUnavailable, match="symbolic link"):
        restore_snapshot(tmp_path / "snap", tmp_path / "store")
    before = sorted(path.name for path in tmp_path.iterdir())
    restore_snapshot(made.file, tmp_path / "empty")
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_failed_restore_leaves_nothing(made: Made, tmp_path: Path) -> None:
    broken = tmp_path / "broken.snap"
    broken.write_bytes(made.bytes[:-1])
    with pytest.raises(StoreDamaged):
        restore_snapshot(broken, tmp_path / "store")
    assert [path.name for path in tmp_path.iterdir()] == ["broken.snap"]


def test_what_a_killed_run_left_is_in_nobodys_way(made: Made, tmp_path: Path) -> None:
    file, folder = tmp_path / "a.snap", tmp_path / "store"
    (tmp_path / ".a.snap.tmp").write_bytes(bytes(10 << 20))
    take_snapshot(made.folder, file)
    assert verify(file).problems == []
    shutil.copytree(made.folder, tmp_path / ".store.restoring")
    restore_snapshot(file, folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.snap", "store"]


def test_one_process_at_a_time_writes_under_a_name(made: Made, tmp_path: Path) -> None:
    with (tmp_path / ".a.snap.tmp").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(StoreUnavailable, match="another process"):
            take_snapshot(made.folder, tmp_path / "a.snap")
    (tmp_path / ".store.restoring").mkdir()
    lock = FolderLock(tmp_path / ".store.restoring")
    with pytest.raises(StoreLocked):
        restore_snapshot(made.file, tmp_path / "store")
    lock.release()
    assert not (tmp_path / "store").exists()
    assert not (tmp_path / "a.snap").exists()


# -- damage ------------------------------------------------------------------------------------------------------------
def reader(data: bytes) -> SnapshotReader:
    return SnapshotReader(io.BytesIO(data), Path("a.snap"))


def is_damaged(data: bytes) -> bool:
    try:
        for _ in reader(data).rows():
            pass
    except StoreDamaged as error:
        assert "a.snap" in str(error)
        return True
    return False


def test_every_truncation_is_found(made: Made) -> None:
    assert not is_damaged(made.bytes)
    assert is_damaged(made.bytes + b"x")
    step = max(1, len(made.bytes) // 3000)
    for length in range(0, len(made.bytes), step):
        assert is_damaged(made.bytes[:length]), length


def test_every_flipped_bit_is_found(made: Made) -> None:
    random = Random(7)
    for _ in range(2000):
        data = bytearray(made.bytes)
        at, bit = random.randrange(len(data)), random.randrange(8)
        data[at] ^= 1 << bit
        try:
            assert is_damaged(bytes(data)), (at, bit)
        except StoreVersion:
            raise AssertionError((at, bit)) from None


def written(rows: list[Row], **changed: Any) -> bytes:
    """A snapshot of these rows, its checksums right."""
    counts = {table.decode(): sum(row.table == table for row in rows) for table in SECTIONS}
    description = Description("0.1.0", bytes(16), "store", 1, counts)
    out = io.BytesIO()
    writer = SnapshotWriter(out, msgspec.structs.replace(description, **changed))
    for table in SECTIONS:
        writer.section(table, ((row.key, row.value) for row in rows if row.table == table))
    writer.finish()
    return out.getvalue()


def mutated(rows: list[Row], random: Random) -> list[Row]:
    """One to three rows changed, lost, or doubled."""
    rows = list(rows)
    for _ in range(random.randint(1, 3)):
        at = random.randrange(len(rows))
        row = rows[at]
        what = random.randrange(8)
        if what == 0 and len(rows) > 1:
            del rows[at]
        elif what == 1:
            rows[at] = row._replace(
                key=bytes(random.choice((row.key[:-1], row.key + b"\1", b"\xff" * len(row.key)))) or b"x"
            )
        elif what == 2:
            rows[at] = row._replace(value=row.value[: random.randrange(len(row.value) + 1)])
        elif what == 3:
            rows[at] = row._replace(value=row.value + random.randbytes(random.randint(1, 40)))
        elif what >= 6:
            deep = [i for i, each in enumerate(rows) if each.table in (JOURNAL, RINGS)]
            at = random.choice(deep or [at])
            rows[at] = rerecorded(rows[at], random) if rows[at].table == JOURNAL else scribbled(rows[at], random)
        else:
            rows[at] = scribbled(row, random)
    return sorted(rows, key=lambda row: (SECTIONS.index(row.table), row.key))


def scribbled(row: Row, random: Random, first: int = 0) -> Row:
    value = bytearray(row.value or b"\0")
    if first < len(value):
        for _ in range(random.randint(1, 4)):
            value[random.randrange(first, len(value))] = random.choice((0, 1, 0x7F, 0x80, 0xFF, random.randrange(256)))
    return row._replace(value=bytes(value))


def rerecorded(row: Row, random: Random) -> Row:
    """A record changed behind its sequence number, its size and its id's place; frames and fingerprints to match."""
    try:
        records = frame_records(stretch_frames(row.value)) if stretch_head(row.value) else []
    except ValueError:  # changed already
        return row
    at = random.randrange(len(records))
    record = bytearray(scribbled(row._replace(value=records[at]), random, random.choice((8, 64))).value)
    record[32:40], record[48:50], record[52] = records[at][32:40], records[at][48:50], records[at][52]
    records[at] = bytes(record)
    return row._replace(value=stretch_of(record_frames(records), KEY, stretch_head(row.value)[5]))


def survives(data: bytes, root: Path, number: int) -> str:
    """Restores a file and decides with what comes out: an error is fine, a crash is not."""
    file, store = root / f"{number}.snap", root / f"{number}"
    file.write_bytes(data)
    started = time.perf_counter()
    try:
        restore_snapshot(file, store)
    except StoreError:
        return "refused"
    finally:
        file.unlink()
        assert time.perf_counter() - started < 5.0
    try:
        with opened(store, SECOND) as engine:
            for each in (event(3), event(500), event(501)):
                try:
                    engine.decide(each)
                except frmcore.FrmcoreError:
                    continue
            engine.state_hash()
    except StoreError:
        return "not opened"
    return "opened"


def test_changed_rows_with_right_checksums_do_no_harm(made: Made, tmp_path: Path) -> None:
    rows = list(reader(made.bytes).rows())
    assert survives(written(rows), tmp_path, 0) == "opened"
    random = Random(11)
    seen = {survives(written(mutated(rows, random)), tmp_path, number) for number in range(1, 120)}
    assert "refused" in seen


def test_a_newer_snapshot_is_refused_by_name(made: Made, tmp_path: Path) -> None:
    rows = list(reader(made.bytes).rows())
    file = tmp_path / "a.snap"
    before = format_.SNAPSHOT_FORMAT
    try:
        format_.SNAPSHOT_FORMAT = 9
        file.write_bytes(written(rows, version="7.1.0"))
    finally:
        format_.SNAPSHOT_FORMAT = before
    for look in (verify, lambda path: restore_snapshot(path, tmp_path / "store")):
        with pytest.raises(
            StoreVersion, match=r"a\.snap was written by frmcore 7\.1\.0 \(snapshot format 9\).*upgrade"
        ):
            look(file)
    newer = [replaced_note(row, b"store", format=5, version="7.2.0") for row in rows]
    file.write_bytes(written(newer))
    with pytest.raises(StoreVersion, match=r"frmcore 7\.2\.0 \(store format 5\)"):
        restore_snapshot(file, tmp_path / "store")
    assert not (tmp_path / "store").exists()


def replaced_note(row: Row, key: bytes, **changed: Any) -> Row:
    is_it = (row.table, row.key) == (META, key)
    return row._replace(value=pack({**unpack(row.value), **changed})) if is_it else row


def test_a_policy_s_files_stay_in_their_folder(made: Made, tmp_path: Path) -> None:
    """A snapshot that names a policy's file `../../evil` writes nothing there."""
    rows = list(reader(made.bytes).rows())
    evil = tmp_path / "evil"
    blob = next(row for row in rows if row.table == BLOBS)

    def turned(row: Row) -> Row:
        if row.table != OPERATIONS or "files" not in record_content(row.value):
            return row
        content = {**record_content(row.value), "files": {str(evil): blob.key.hex()}}
        body = msgspec.msgpack.encode(content)
        size = (len(row.value) - len(msgspec.msgpack.encode(record_content(row.value)))) + len(body)
        head = bytearray(row.value[: size - len(body)])
        head[32:36] = size.to_bytes(4, "little")
        return row._replace(value=bytes(head) + body)

    last = next(row for row in rows if row.table == OPERATIONS and record_head(row.value)[1] == 6)
    turned_rows = [turned(row) if row is last else row for row in rows]
    file = tmp_path / "a.snap"
    file.write_bytes(written(turned_rows))
    with pytest.raises(StoreError):
        restore_snapshot(file, tmp_path / "store")
        opened(tmp_path / "store", SECOND)
    assert not evil.exists()


# -- what would take too much ------------------------------------------------------------------------------------------
def block(part: bytes, *, said: int | None = None) -> bytes:
    packed = zlib.compress(part, 9)
    data = format_._BLOCK.pack(b"BLCK", 0, len(part) if said is None else said, len(packed)) + packed
    return data + crc32c(data).to_bytes(4, "little")


def with_block(data: bytes) -> Iterator[Row]:
    out = io.BytesIO()
    SnapshotWriter(out, Description("0.1.0", bytes(16), "store", 1, {}))
    yield from reader(out.getvalue() + data).rows()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (block(bytes(100 << 20), said=1 << 20), "another size"),  # a bomb: 100 KB that unpack to 100 MiB
        (block(bytes(100 << 20)), "head is none"),
        (block(format_._ROW.pack(1, 0xFFFFFFFF) + b"k"), "no possible size"),
        (block(format_._ROW.pack(0, 1) + b"k"), "no possible size"),
        (block(format_._ROW.pack(1, 500 << 20) + b"k"), "too early"),
    ],
)
def test_a_bomb_is_not_unpacked(data: bytes, said: str) -> None:
    started = time.perf_counter()
    with pytest.raises(StoreDamaged, match=said):
        list(with_block(data))
    assert time.perf_counter() - started < 1.0


def test_values_larger_than_a_block(tmp_path: Path) -> None:
    random = Random(3)
    rows = [Row(META, b"a", b"1"), Row(BLOBS, b"b", random.randbytes(3 << 20)), Row(BLOBS, b"c", b"")]
    assert list(reader(written(rows)).rows()) == rows


def test_the_private_key_is_asked_for_again(made: Made, tmp_path: Path) -> None:
    restore_snapshot(made.file, tmp_path / "store")
    with pytest.raises(StoreUnavailable, match="private_key"):
        opened(tmp_path / "store", SECOND, private_key=bytes(16))
    opened(tmp_path / "store", SECOND, private_key=PRIVATE_KEY).close()
