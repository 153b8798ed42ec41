"""Event ids -> sequence numbers, for events that memory no longer holds: sorted runs of fingerprints, merged sixteen at
a time, as in a log-structured merge tree (O'Neil et al., 1996). A random insert for each event would cost a commit a
page each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from frmcore._fast import fingerprint_of, ids_find, ids_merged, stretch_head, stretch_ids
from frmcore.store.database import Put
from frmcore.store.layout import IDS, JOURNAL, SEQ_BYTES, level_key, level_of, seq_key, seq_of
from frmcore.store.stretches import joined

if TYPE_CHECKING:
    from frmcore.store.database import Database, Reader

FAN: Final = 16  # runs of one level that become one of the next
RUN_BYTES_MAX: Final = 8 << 20  # a run beyond it is not merged any more


class Run(NamedTuple):
    """Fingerprints of the events from `first` to `last`. Those of level 0 lie in their stretches, and here."""

    level: int
    first: int
    last: int
    size: int
    ids: bytes | None


class IdRuns:
    """The runs of a store, in order. Changes are taken back by `undo` when their commit failed, else made good by
    `keep`."""

    def __init__(self, database: Database, key: bytes) -> None:
        self._database = database
        self.key = key
        self._runs: list[Run] = []
        with database.reading() as reader:
            self._load(reader)
        self._kept = list(self._runs)

    def _load(self, reader: Reader) -> None:
        found = []
        for key, value in reader.items(IDS):
            level, first = level_of(key)
            found.append(Run(level, first, seq_of(value[:SEQ_BYTES]), len(value) - SEQ_BYTES, None))
        self._runs = sorted(found, key=lambda run: run.first)
        last = self._runs[-1].last if self._runs else 0
        for key, value in reader.items(JOURNAL, seq_key(last + 1)):
            ids = stretch_ids(value)
            self._runs.append(Run(0, seq_of(key), stretch_head(value)[2], len(ids), ids))

    def add(self, first: int, last: int, stretch: bytes) -> list[Put]:
        """A new stretch; the changes that merging it brings, its stretches with it where they are small."""
        ids = stretch_ids(stretch)
        self._runs.append(Run(0, first, last, len(ids), ids))
        changes: list[Put] = []
        start = first
        while (tail := self._mergeable()) is not None:
            changes += self._merge(tail)
            start = tail[0].first
        if start < first:  # stretches never go beyond their run
            with self._database.reading() as reader:
                changes += joined(reader, (first, stretch), start, self.key)
        return changes

    def _mergeable(self) -> list[Run] | None:
        tail = self._runs[-FAN:]
        same = len(tail) == FAN and all(run.level == tail[0].level for run in tail)
        return tail if same and sum(run.size for run in tail) <= RUN_BYTES_MAX else None

    def _merge(self, tail: list[Run]) -> list[Put]:
        level, first, last = tail[0].level + 1, tail[0].first, tail[-1].last
        value = ids_merged([self._ids(run) for run in tail], seq_key(last))
        self._runs[-FAN:] = [Run(level, first, last, len(value) - SEQ_BYTES, value[SEQ_BYTES:])]
        gone = [Put(IDS, level_key(run.level, run.first), None) for run in tail if run.level]
        return [*gone, Put(IDS, level_key(level, first), value)]

    def _ids(self, run: Run) -> bytes:
        if run.ids is not None:
            return run.ids
        value = self._database.get(IDS, level_key(run.level, run.first))
        assert value is not None  # noqa: S101  its key is in the table of runs
        return value[SEQ_BYTES:]

    def keep(self) -> None:
        """The last changes are committed; merged runs need not stay in memory."""
        self._runs = [run._replace(ids=None) if run.level else run for run in self._runs]
        self._kept = list(self._runs)

    def undo(self) -> None:
        self._runs = list(self._kept)

    def trimmed(self, first_kept: int) -> list[Put]:
        """Forgets runs that lie wholly before the first record that is kept."""
        gone = [run for run in self._runs if run.last < first_kept]
        self._runs = [run for run in self._runs if run.last >= first_kept]
        return [Put(IDS, level_key(run.level, run.first), None) for run in gone if run.level]

    def find(self, event_id: str) -> list[int]:
        """Sequence numbers of records that may be about the event, newest first. O(runs * log events)."""
        fingerprint = fingerprint_of(event_id, self.key)
        found: list[int] = []
        with self._database.reading() as reader:
            for run in reversed(self._kept):
                if run.ids is not None:
                    found += reversed(ids_find(run.ids, fingerprint))
                else:
                    found += reversed(reader.find_id(level_key(run.level, run.first), fingerprint))
        return found
