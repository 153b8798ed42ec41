"""What limits took away. Everything here is a function of the recorded events alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from twin.groups import UNBOUNDED, GroupKey, group_key, reaches
from twin.records import Facts
from twin.windows import Window, floored, member

if TYPE_CHECKING:
    from collections.abc import Iterable

    from frmcore.policy.tree import Aggregate, Policy
    from twin.records import Event
    from twin.values import Value

Key = tuple["Value", ...]
Place = tuple[int, int]


class Retention:
    """Each group remembers entries later than its line; each ring `ring_events_max` of them at most."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.reaches = reaches(policy)
        self.watermark: int | None = None  # the greatest event time recorded
        self.oldest: int | None = None  # the least
        self.capped: dict[tuple[GroupKey, Key], Place] = {}  # the latest entry dropped by ring_events_max

    def record(self, time: int) -> None:
        self.watermark = time if self.watermark is None else max(self.watermark, time)
        self.oldest = time if self.oldest is None else min(self.oldest, time)

    def line(self, group: GroupKey) -> int | None:
        """Entries at or before it are given up; None: nothing ever was."""
        span = self.reaches[group].span_ms
        if span == UNBOUNDED or self.watermark is None or self.oldest is None:
            return None
        line = floored(self.watermark, group.every_ms) - span - self.policy.limits.horizon_ms
        return line if floored(self.oldest, group.every_ms) <= line else None

    def note(self, aggregate: Aggregate, window: Window, key: Key) -> Literal["late", "capped"] | None:
        """Why this window can't be told. A life window rests on totals: it fails when it ends before the line."""
        group = group_key(self.policy, aggregate)
        line = self.line(group)
        life = aggregate.over is None and aggregate.since is None
        reach = window.end if life else window.start
        if line is not None and reach is not None and reach < line:
            return "late"
        dropped = self.capped.get((group, key))
        if dropped is not None and not life and (window.start is None or window.start <= dropped[0]):
            return "capped"
        return None

    def drop(self, events: Iterable[Event]) -> None:
        """Called after every operation: each ring that grew beyond its limit loses its oldest entries."""
        for group in self.reaches:
            for key, places in self.rings(group, events).items():
                excess = len(places) - self.policy.limits.ring_events_max
                if excess > 0:
                    self.capped[group, key] = places[excess - 1]

    def rings(self, group: GroupKey, events: Iterable[Event]) -> dict[Key, list[Place]]:
        """The places retained under each key, in order."""
        line = self.line(group)
        found: dict[Key, list[Place]] = {}
        for event in events:
            if member(group, event, Facts(self.policy, event)):
                key = tuple(event.values[name] for name in group.by)
                place = (floored(event.time, group.every_ms), event.seq)
                kept = (line is None or place[0] > line) and place > self.capped.get((group, key), (-(2**63), 0))
                found.setdefault(key, []).extend([place] if kept else [])
        return {key: sorted(places) for key, places in found.items()}
