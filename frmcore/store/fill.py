"""Filling the windows of a new policy from the journal, while the old policy goes on deciding."""

from __future__ import annotations

import time
from itertools import islice
from typing import TYPE_CHECKING, Final

from frmcore._fast import STRETCH_HEAD, frame_records, frames_split, record_head, stretch_frames, stretch_head
from frmcore.store.layout import JOURNAL, META, NO_TIME, RecordType, seq_key, seq_of, unpack

if TYPE_CHECKING:
    from frmcore._fast import Core
    from frmcore.plan import Plan
    from frmcore.store.database import Reader

PART_STRETCHES: Final = 64  # under one view of the database
_EVENTS: Final = frozenset(map(int, (RecordType.DECISION, RecordType.OBSERVED)))
SLICE_BYTES: Final = 32 << 10  # some 100 records: 0.2 ms of the GIL


def is_needed(core: Core, plan: Plan) -> bool:
    """Does the plan have groups that this engine lacks, and has it forgotten what they should hold?"""
    present = {group.signature for group in core.groups()}
    return core.floor is not None and any(group.signature not in present for group in plan.groups)


def reach(core: Core, plan: Plan) -> int:
    """The event time behind which new groups look at nothing; NO_TIME where one looks at everything."""
    present = {group.signature for group in core.groups()}
    fresh = [group for group in plan.groups if group.signature not in present]
    if core.watermark is None or any(group.life or group.span_ms < 0 for group in fresh):
        return NO_TIME
    longest = max(group.span_ms + 2 * group.every_ms for group in fresh)
    return core.watermark - plan.limits.horizon_ms - longest - 1


def start_of(reader: Reader, line: int) -> int:
    """The first sequence number from which on every event after `line` is met: that of the first such event, however
    the journal is cut into stretches."""
    first = 0
    for raw in reader.heads_back(JOURNAL, STRETCH_HEAD):
        head = stretch_head(raw, whole=False)
        if head[5] <= line:
            break
        first = head[1]
    return _first_after(reader, first, line) if first else 1


def _first_after(reader: Reader, stretch: int, line: int) -> int:
    found = reader.get(JOURNAL, seq_key(stretch))
    heads = [record_head(record) for record in frame_records(stretch_frames(found or b""))]
    return next((seq for seq, type_, time_, _ in heads if type_ in _EVENTS and time_ > line), stretch)


def gap_of(reader: Reader) -> int:
    """The greatest time of events that were trimmed from the journal; NO_TIME where none were."""
    value = reader.get(META, b"trimmed")
    return NO_TIME if value is None else int(unpack(value))


def fill(reader: Reader, filler: Core, last: int, *, stretches: int | None = None, politely: bool = False) -> None:
    """Applies what the database has behind the filler's sequence number, up to `last`, of at most so many stretches.
    `politely`: in small slices, so that threads that decide go first; the filler may then fall behind them."""
    found = reader.last_at_most(JOURNAL, seq_key(filler.seq + 1))
    for key, value in islice(reader.items(JOURNAL, found[0] if found is not None else b""), stretches):
        if seq_of(key) > last:
            return
        for part in frames_split(stretch_frames(value), SLICE_BYTES):
            filler.fill(part, last)
            if politely:
                time.sleep(0)
