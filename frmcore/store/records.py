"""The records of a stretch, one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frmcore._fast import frame_epochs, frame_records, stretch_frames
from frmcore.store.sound import sensible

if TYPE_CHECKING:
    from collections.abc import Iterator


def framed(stretch: bytes) -> Iterator[tuple[int, bytes]]:
    """(epoch, record) of every record of a stretch, in order. Raises StoreDamaged."""
    with sensible("a stretch of the journal is damaged"):
        frames = stretch_frames(stretch)
        records = frame_records(frames)
        return zip(frame_epochs(frames), records, strict=True)
