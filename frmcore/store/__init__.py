"""What outlives the process: the journal, checkpoints, lists and policies of an engine, in a folder. The only package
that imports lmdb."""

from __future__ import annotations

from frmcore.store.snapshot import restore_snapshot, take_snapshot
from frmcore.store.store import Keys, Opened, Store, StoreOptions
from frmcore.store.verify import verify

__all__ = [
    "Keys",
    "Opened",
    "Store",
    "StoreOptions",
    "restore_snapshot",
    "take_snapshot",
    "verify",
]
