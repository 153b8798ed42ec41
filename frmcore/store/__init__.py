"""What outlives the process: the journal, checkpoints, lists and policies of an engine, in a folder.

The only package that imports lmdb, and only once a store is opened.
"""

from __future__ import annotations

from frmcore.store.options import StoreOptions

__all__ = ["StoreOptions"]
