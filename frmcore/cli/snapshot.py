"""`frmcore snapshot`, `frmcore restore`: a store as one file, and back."""

from __future__ import annotations

from time import monotonic

from frmcore.cli.arguments import SnapshotFile, StorePath
from frmcore.cli.console import complain, counted
from frmcore.cli.progress import Bar, size_of
from frmcore.store.snapshot import restore_snapshot, take_snapshot


def snapshot(store: StorePath, file: SnapshotFile) -> None:
    """Write what a store holds into one file. An engine may go on deciding in it meanwhile."""
    began = monotonic()
    with Bar("snapshot") as bar:
        found = take_snapshot(store, file, bar)
    size = size_of(file.stat().st_size)
    complain(f"{file}: {counted(found.seq, 'operation')} of {found.policy}, {size}, in {monotonic() - began:.1f} s")


def restore(file: SnapshotFile, store: StorePath) -> None:
    """Make a store of a snapshot, in a new or an empty folder."""
    began = monotonic()
    with Bar("restore") as bar:
        found = restore_snapshot(file, store, bar)
    complain(f"{store}: {counted(found.seq, 'operation')} of {found.policy}, in {monotonic() - began:.1f} s")
