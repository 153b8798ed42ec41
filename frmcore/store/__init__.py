"""What outlives the process: the journal, checkpoints, lists and policies of an engine, in a folder. The only package
that imports lmdb."""

from __future__ import annotations

from frmcore.store.store import Keys, Opened, Store, StoreOptions

__all__ = ["Keys", "Opened", "Store", "StoreOptions"]
