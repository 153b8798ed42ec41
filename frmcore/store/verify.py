"""`verify`: is what a store or a snapshot holds what was written? A store is walked in a child process: a flipped bit
in one of LMDB's inner pages can end a process (SIGBUS, SIGSEGV, an assertion)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from frmcore.errors import StoreDamaged
from frmcore.store.child import Crashed, run_child
from frmcore.store.layout import DATA_FILE, INBOX, RING_FILE, TABLES
from frmcore.store.ringfile import ring_problem
from frmcore.store.snapfile import SECTIONS
from frmcore.store.snapshot import opened_snapshot
from frmcore.store.view import viewing
from frmcore.store.walk import Problem, Walk

if TYPE_CHECKING:
    from collections.abc import Callable

    from frmcore.store.view import StoreView

    Progress = Callable[[int, int], None]


class Report(NamedTuple):
    """What a walk found. `rows`: table -> rows; `first`, `last`: of the journal."""

    problems: list[Problem]
    rows: dict[str, int]
    records: int
    first: int
    last: int


def verify(path: str | Path, progress: Progress = lambda _done, _all: None) -> Report:
    """Walks everything in a store (a folder, whoever has it open) or a snapshot (a file). progress(done, all): rows or
    bytes. Raises StoreUnavailable, StoreVersion where there is nothing to walk; damage is reported, not raised."""
    path = Path(path)
    if not path.is_dir():
        return _verify_snapshot(path, progress)
    try:
        found = run_child("frmcore.store.verify", "walk_store", [str(path.absolute())], progress)
    except Crashed as error:
        what = f"reading it crashed ({error}): a page of the database is damaged; restore a snapshot"
        return Report([Problem(str(path / DATA_FILE), what)], {}, 0, 0, 0)
    return Report(**{**found, "problems": [Problem(*each) for each in found["problems"]]})


def _verify_snapshot(path: Path, progress: Progress) -> Report:
    walk = Walk()
    try:
        with opened_snapshot(path) as (reader, size):
            for row in reader.rows():
                walk.row(row.table, row.key, row.value)
                progress(reader.at, size)
            walk.finish()
    except StoreDamaged as error:
        walk.report(str(path), str(error))
    return _report(walk)


def walk_store(folder: str, progress: Progress) -> dict[str, Any]:
    """The child's part; the report as plain data."""
    walk = Walk()
    try:
        with viewing(folder) as view:
            problem = ring_problem(Path(folder) / RING_FILE, view.settings["id"], view.drained["seq"])
            if problem:
                walk.report(RING_FILE, problem)
            _walk_tables(view, walk, progress)
    except StoreDamaged as error:
        walk.report(DATA_FILE, str(error))
    report = _report(walk)
    return {**report._asdict(), "problems": [tuple(problem) for problem in report.problems]}


def _walk_tables(view: StoreView, walk: Walk, progress: Progress) -> None:
    done, total = 0, sum(view.reader.count(table) for table in TABLES)
    for table in (*SECTIONS, INBOX):
        last = b""
        for key in view.reader.keys(table):
            if key <= last:
                raise StoreDamaged(f"table {table.decode()}: its keys are out of order, behind {last.hex()}")
            last, done = key, done + 1
            _walk_row(view, walk, table, key)
            progress(done, total)
        if walk.counts[table.decode()] != view.reader.count(table):
            walk.report(
                f"table {table.decode()}", f"it has {walk.counts[table.decode()]:,} sound rows, not as many as it says"
            )
    walk.finish()


def _walk_row(view: StoreView, walk: Walk, table: bytes, key: bytes) -> None:
    try:
        value = view.reader.get(table, key)
    except StoreDamaged as error:
        walk.report(f"table {table.decode()}, key {key.hex()}", str(error))
        return
    if value is None:
        raise StoreDamaged(f"table {table.decode()}: key {key.hex()} can't be found again")
    walk.row(table, key, value)


def _report(walk: Walk) -> Report:
    return Report(walk.problems, dict(walk.counts), walk.records.total(), walk.first, walk.last)
