"""What limits took away. Everything here is a function of the recorded events alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from twin.groups import UNBOUNDED, Group
from twin.records import Facts
from twin.windows import Bounds, Reader, belongs, floored

if TYPE_CHECKING:
    from collections.abc import Iterable

    from frmcore.plan import Limits
    from frmcore.policy.tree import Aggregate, Policy
    from twin.records import Event
    from twin.values import Value

Key = tuple["Value", ...]
Place = tuple[int, int]
Why = Literal["late", "capped", "overflow"]
NOWHERE: Place = (-(2**63), 0)


class Retention:
    """Each group remembers entries later than its line; each ring `ring_events_max` of them at most."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.watermark = 0  # the greatest event time recorded; 0 before the first
        self.oldest: int | None = None  # the least

    def record(self, time: int) -> None:
        self.watermark = time if self.oldest is None else max(self.watermark, time)
        self.oldest = time if self.oldest is None else min(self.oldest, time)

    def line(self, group: Group) -> int | None:
        """Entries at or before it are given up; None: nothing was ever recorded there."""
        line = self.limit(group)
        if line is None or self.oldest is None or floored(self.oldest, group.members.every_ms) > line:
            return None
        return line

    def limit(self, group: Group) -> int | None:
        if group.span_ms == UNBOUNDED or self.oldest is None:
            return None
        line = floored(self.watermark - self.limits.horizon_ms, group.members.every_ms) - group.span_ms - 1
        return line if group.given_up is None else max(line, group.given_up)

    def lost(self, reader: Reader, aggregate: Aggregate, group: Group, bounds: Bounds) -> Why | None:
        """Why this window can't be told."""
        key = reader.key(aggregate.lookup)
        if group.marks is not None and self.late_life(reader, group.marks, key, reader.reader.time):
            return "late"
        if aggregate.over is None and aggregate.since is None:
            after_end = bounds.end + (bounds.right and (aggregate.delay_ms > 0 or aggregate.every_ms > 0))
            if self.late_life(reader, group, key, after_end):
                return "late"
            return "capped" if group.capped.get(key, NOWHERE) >= (after_end, reader.reader.seq) else None
        line = self.line(group)
        earliest = bounds.earliest
        if line is not None and earliest is not None and earliest <= line and reader.reader.time < self.watermark:
            return "late"
        dropped = group.capped.get(key)
        if dropped is not None and (earliest is None or earliest <= dropped[0]):
            return "capped"
        return None

    def late_life(self, reader: Reader, group: Group, key: Key, end: int) -> bool:
        """Totals of what was given up can't be split: they serve reads after all of it, not those amid it."""
        line = self.line(group)
        if line is None:
            return False
        given_up = [entry.place for entry in reader.entries(group.members, key, None) if entry.time <= line]
        return bool(given_up) and (reader.reader.time <= line or max(given_up) >= (end, reader.reader.seq))

    # -- ring_events_max -----------------------------------------------------------------------------------------
    def drop(self, policy: Policy, groups: Iterable[Group], events: Iterable[Event]) -> None:
        """Called after every operation: each ring that grew beyond its limit loses its oldest entries."""
        for group in groups:
            for key, places in self.rings(policy, group, events).items():
                excess = len(places) - self.limits.ring_events_max
                if excess > 0:
                    group.capped[key] = places[excess - 1]

    def rings(self, policy: Policy, group: Group, events: Iterable[Event]) -> dict[Key, list[Place]]:
        """The places retained under each key, in order."""
        line = self.line(group)
        found: dict[Key, list[Place]] = {}
        for event in events:
            key = tuple(event.values[name] for name in group.members.by)
            place = (floored(event.time, group.members.every_ms), event.seq)
            kept = (line is None or place[0] > line) and place > group.capped.get(key, NOWHERE)
            if kept and belongs(group.members, event, Facts(policy, event)):
                found.setdefault(key, []).append(place)
        return {key: sorted(places) for key, places in found.items()}
