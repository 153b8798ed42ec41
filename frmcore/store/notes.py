"""What a store knows of the snapshots that were taken of it: an erasure names those that still hold the subject."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, Final

import msgspec

from frmcore.erasure import Snapshot
from frmcore.store.database import Database, Put
from frmcore.store.layout import META, pack, unpack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from frmcore.store.database import Reader

_PREFIX: Final = b"snapshot:"


def note_snapshot(folder: Path, file: Path, seq: int) -> None:
    """Notes that a snapshot was taken; one of the same name was replaced by it. Whoever owns the store. Raises
    StoreError."""
    name = str(file.absolute())
    key = _PREFIX + hashlib.blake2b(name.encode(), digest_size=16).digest()
    note = Snapshot(name, time.time_ns() // 1_000_000, seq)
    database = Database(folder, guest=True)
    try:
        database.commit([Put(META, key, pack(note))])
    finally:
        database.close()


def noted_snapshots(reader: Reader) -> Iterator[Snapshot]:
    """The snapshots that were taken so far, the oldest first."""
    found = (
        msgspec.convert(unpack(value), Snapshot)
        for key, value in reader.items(META, _PREFIX)
        if key.startswith(_PREFIX)
    )
    return iter(sorted(found, key=lambda each: (each.time, each.file)))
