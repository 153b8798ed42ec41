"""What a store refuses, each with a typed error that says what to do, and at once."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from faults.forks import forked
from faults.workload import KEY, Clock, Found, Stream, policy

import frmcore
from frmcore.errors import EngineForked, FrmcoreError, StoreDamaged, StoreError, StoreLocked, StoreUnavailable
from frmcore.store import database
from frmcore.store.layout import META

if TYPE_CHECKING:
    from collections.abc import Iterator

SECOND = 1.0
NOBODY = (65534, 65534) if os.geteuid() == 0 else (-1, -1)
EVENT = {"id": "x", "ts": 1_760_000_000_000, "kind": "login", "account": "a", "amount": 5}
OPEN = """
import sys, frmcore
from faults.forks import forked
from faults.workload import Found
try:
    Found({folder!r})
except frmcore.FrmcoreError as error:
    sys.exit(f"{{type(error).__name__}}: {{error}}")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A closed store with a little in it."""
    engine, clock, stream = Found(tmp_path / "store"), Clock(), Stream(1)
    for number in range(50):
        stream.apply(engine, clock, number)
    engine.close()
    return tmp_path / "store"


@pytest.fixture
def live(folder: Path) -> Iterator[Found]:
    engine = Found(folder)
    yield engine
    engine.close()


def refused(folder: Path, error: type[FrmcoreError], *words: str) -> None:
    started = time.monotonic()
    with pytest.raises(error) as caught:
        Found(folder)
    assert time.monotonic() - started < SECOND
    assert all(word in str(caught.value) for word in (*words, str(folder))), str(caught.value)


def test_second_engine_in_this_process(live: Found) -> None:
    refused(live._store.folder, StoreLocked, str(os.getpid()), "Close it there first")
    assert live.decide(EVENT).durable


def test_second_engine_in_another_process(live: Found) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", OPEN.format(folder=str(live._store.folder))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert "StoreLocked" in done.stderr and str(os.getpid()) in done.stderr, done.stderr


def test_lock_ends_with_its_process(folder: Path) -> None:
    child = os.fork()
    if not child:
        engine = Found(folder)
        os.kill(os.getpid(), signal.SIGKILL)
        engine.close()
    os.waitpid(child, 0)
    Found(folder).close()


def test_forked_child(live: Found) -> None:
    """It may not decide, and what it does as it ends leaves the parent's store alone."""
    live.decide(EVENT)
    out, into = os.pipe()
    child = os.fork()
    if not child:
        try:
            live.decide({**EVENT, "id": "y"})
        except EngineForked as error:
            os.write(into, str(error).encode())
        finally:
            os._exit(0)
    os.close(into)
    os.waitpid(child, 0)
    with os.fdopen(out) as said:
        assert "open it in the child" in said.read()
    assert live.decide({**EVENT, "id": "z"}).seq == live.seq
    seq, folder = live.seq, live._store.folder
    live.abandon()
    again = Found(folder)
    assert again.seq == seq
    again.abandon()


def test_forked_child_that_opens_the_parents_folder(live: Found) -> None:
    child = os.fork()
    if not child:
        status = 1
        try:
            Found(live._store.folder)
        except StoreLocked:
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("what", ["folder", "files"])
def test_read_only(folder: Path, what: str) -> None:
    """In a process without root's rights, in a folder that it can reach."""
    with tempfile.TemporaryDirectory() as name:
        store = Path(name) / "store"
        shutil.copytree(folder, store)
        for path in (Path(name), store, *store.iterdir()):
            os.chown(path, *NOBODY)
            path.chmod(path.stat().st_mode & (0o500 if path != Path(name) else 0o700))
        if what == "files":
            store.chmod(0o700)
        status, said = forked(lambda pipe: _open_as_nobody(store, pipe))
        assert status == 0
        assert said and said[0].startswith("StoreUnavailable") and str(store) in said[0], said


def _open_as_nobody(store: Path, pipe: int) -> int:
    if os.geteuid() == 0:
        os.setgid(NOBODY[1])
        os.setuid(NOBODY[0])
    try:
        Found(store)
    except StoreError as error:
        os.write(pipe, f"{type(error).__name__}: {error}\n".encode())
    return 0


@pytest.mark.parametrize("name", ["lock", "state.mdb", "journal.ring"])
def test_file_that_is_no_file(folder: Path, name: str) -> None:
    """As a folder that can't be written fails: root may write anywhere, but not into a directory."""
    (folder / name).unlink()
    (folder / name).mkdir()
    refused(folder, StoreUnavailable)


def test_foreign_folder(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    tmp_path.chmod(0o700)
    refused(tmp_path, StoreUnavailable, "letter.txt", "empty folder")
    assert (tmp_path / "letter.txt").read_text() == "dear"


def test_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("no folder")
    refused(tmp_path / "store", StoreUnavailable)


def test_folder_that_others_can_read(folder: Path) -> None:
    folder.chmod(0o755)
    refused(folder, StoreUnavailable, "chmod 700")


@pytest.mark.parametrize("name", ["journal.ring", "lock"])
def test_symlink_in_the_folder(folder: Path, tmp_path: Path, name: str) -> None:
    (folder / name).rename(tmp_path / "elsewhere")
    (folder / name).symlink_to(tmp_path / "elsewhere")
    refused(folder, StoreUnavailable)


def test_files_are_private(live: Found) -> None:
    folder = live._store.folder
    assert folder.stat().st_mode & 0o777 == 0o700
    for path in folder.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600, path


@pytest.mark.parametrize("content", [b"", b"no database", bytes(1 << 16), os.urandom(1 << 16)], ids=len)
def test_database_that_is_none(folder: Path, content: bytes) -> None:
    (folder / "state.mdb").write_bytes(content)
    refused(folder, StoreError)


def test_database_cut_short(folder: Path) -> None:
    """A map beyond the end of a file is a signal, not an error, unless somebody looks."""
    content = (folder / "state.mdb").read_bytes()
    for pages in range(len(content) // 4096):
        (folder / "state.mdb").write_bytes(content[: pages * 4096])
        child = os.fork()
        if not child:
            status = 1
            try:
                Found(folder)
                status = 2
            except StoreError:
                status = 0
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, f"{pages} pages of {len(content) // 4096}"


def test_older_database_beside_the_ring(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "state.mdb", tmp_path / "old")
    engine, clock, stream = Found(folder), Clock(), Stream(1)
    for number in range(50, 80):
        stream.apply(engine, clock, number)
    engine.close()
    shutil.copy(tmp_path / "old", folder / "state.mdb")
    with pytest.raises(StoreDamaged, match="an older copy"):
        Found(folder)


def test_ring_of_another_store(folder: Path, tmp_path: Path) -> None:
    Found(tmp_path / "other").close()
    shutil.copy(tmp_path / "other" / "journal.ring", folder / "journal.ring")
    refused(folder, StoreDamaged, "another store")


def test_after_close(folder: Path) -> None:
    engine = Found(folder)
    engine.close()
    engine.close()
    with pytest.raises(frmcore.FrmcoreError):
        engine.decide(EVENT)


def test_another_key_changes_nothing(folder: Path) -> None:
    """The key is kept with the store: one that is given later does not count."""
    engine = Found(folder)
    state = engine.state_hash()
    engine.close()
    frmcore.Engine(folder, policy=engine.policy, key=bytes(16), clock=Clock()).close()
    engine = Found(folder)
    assert engine.state_hash() == state
    engine.close()


def test_map_grows_only_while_nobody_reads(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory that a reader looks at is the map itself."""
    monkeypatch.setattr(database, "MAP_FIRST", 1 << 20)
    found = database.Database(folder, map_max=1 << 30)
    big = [database.Put(META, b"big", bytes(4 << 20))]
    with found.reading() as reader:
        writer = threading.Thread(target=found.commit, args=(big,))
        writer.start()
        writer.join(0.2)
        assert writer.is_alive()
        assert reader.get(META, b"store") is not None
        assert reader.get(META, b"big") is None
    writer.join(10)
    assert found.get(META, b"big") == big[0].value
    found.close()


def test_the_view_of_a_killed_process_ends(live: Found) -> None:
    """What it could see would keep the file growing for as long as the engine lives."""
    code = f"""
import os
from frmcore.store.view import viewing
with viewing({str(live._store.folder)!r}):
    print(os.getpid(), flush=True)
    os.kill(os.getpid(), 9)
"""
    pid = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=False).stdout.strip()
    environment = live._store._database._env
    assert pid in environment.readers()
    live._store._trimmed_at = -1e9
    live._store._housekeeping()
    assert pid not in environment.readers()


def test_a_dropped_engine_gives_its_folder_back(folder: Path) -> None:
    others = set(threading.enumerate())  # of what ran before in this process
    engine = Found(folder, flush_ms=5)
    engine.decide(EVENT)
    decide = engine.decide
    del engine
    gc.collect()
    assert decide({**EVENT, "id": "y"}).durable  # whoever can still decide keeps the store open
    refused(folder, StoreLocked)
    del decide
    with Found(folder) as engine:  # the folder's lock sees to the garbage
        assert engine.decide({**EVENT, "id": "y"}).duplicate
    assert not [thread for thread in threading.enumerate() if thread not in others]


def test_an_engine_whose_opening_fails_gives_its_folder_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise StoreUnavailable("no")

    monkeypatch.setattr("frmcore.store.store.Store.reload", refuse)
    with pytest.raises(StoreUnavailable, match="no"):
        frmcore.Engine(folder, policy=policy(1), key=KEY, clock=Clock())
    Found(folder).close()
