"""Small stretches of the journal become large ones: a flush each 100 ms makes a stretch, however little happened."""

from __future__ import annotations

from itertools import islice, pairwise, takewhile
from typing import TYPE_CHECKING, Final

from frmcore._fast import stretch_frames, stretch_head, stretch_of
from frmcore.store.database import Put
from frmcore.store.layout import JOURNAL, seq_key

if TYPE_CHECKING:
    from frmcore.store.database import Reader

STRETCH_BYTES: Final = 1 << 20


def joined(reader: Reader, newest: tuple[int, bytes], first: int, key: bytes) -> list[Put]:
    """The changes that make one stretch of those from record `first` on, with the newest one (its first record, its
    bytes), which the database does not have yet. None where there is one only, where they make more than
    STRETCH_BYTES, or where the newest is not the next one. Work: STRETCH_BYTES at most."""
    last_key = seq_key(newest[0])
    sizes = list(takewhile(lambda row: row[0] < last_key, reader.sizes(JOURNAL, seq_key(first))))
    if not sizes or sum(size for _, size in sizes) + len(newest[1]) > STRETCH_BYTES:
        return []
    rows = list(islice(reader.items(JOURNAL, seq_key(first)), len(sizes)))
    values = [*(value for _, value in rows), newest[1]]
    heads = [stretch_head(value) for value in values]
    if any(after[1] != before[2] + 1 for before, after in pairwise(heads)):
        return []  # some of them come with the same commit
    whole = stretch_of(b"".join(map(stretch_frames, values)), key, heads[-1][5])
    gone = [Put(JOURNAL, each, None) for each in (*(name for name, _ in rows[1:]), last_key)]
    return [*gone, Put(JOURNAL, rows[0][0], whole)]
