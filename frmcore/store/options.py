"""How a store is kept."""

from __future__ import annotations

import mmap
from typing import Final, Literal

import msgspec

from frmcore.durations import parse_duration

Durability = Literal["process", "power", "none"]
DURABILITIES: Final = ("process", "power", "none")


class StoreOptions(msgspec.Struct, frozen=True):
    """How a store is kept.

    durability: "process": a decision survives a crash of the process once `decide` returned it, and one of the
    machine `flush_ms` later. "power": `decide` returns it once it survives a crash of the machine. "none":
    both take `flush_ms`. ring_bytes: of the mapped journal in front of the database: what may be recorded
    while the disk stalls. spill_bytes: of records that wait in memory once the ring is full; events that come
    after wait as long as they are remembered (the policy's `limits`). map_max: bytes that the database may grow
    to. keep_decisions: how long the journal is kept, for explanations. on_store_failure: "degrade": decide on, in
    memory, while the disk fails; "raise": refuse then.
    """

    durability: Durability = "process"
    flush_ms: int = 100
    ring_bytes: int = 64 << 20
    spill_bytes: int = 1 << 30
    map_max: int = 1 << 40
    keep_decisions: str = "1826d"
    on_store_failure: Literal["degrade", "raise"] = "degrade"

    def __post_init__(self) -> None:
        if self.durability not in DURABILITIES:
            raise ValueError(f"durability: expected one of {', '.join(DURABILITIES)}, got {self.durability!r}")
        if self.on_store_failure not in {"degrade", "raise"}:
            raise ValueError(f"on_store_failure: expected degrade or raise, got {self.on_store_failure!r}")
        if not 1 <= self.flush_ms <= 60_000:
            raise ValueError(f"flush_ms: expected 1 to 60,000, got {self.flush_ms}")
        if not 1 << 16 <= self.ring_bytes <= 1 << 34 or self.ring_bytes % mmap.PAGESIZE:
            raise ValueError(f"ring_bytes: expected 64 KiB to 16 GiB in whole pages, got {self.ring_bytes}")
        if parse_duration(self.keep_decisions) is None:
            raise ValueError(f'keep_decisions: expected a duration such as "1826d", got {self.keep_decisions!r}')

    @property
    def keep_ms(self) -> int:
        return parse_duration(self.keep_decisions) or 0
