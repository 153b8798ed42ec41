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
        """Entries at or before it are given up; None: nothing was ever recorded there.

        A life group gives up by folding into totals, so it keeps one more millisecond: an event up to the horizon late,
        decided again, is not among them itself.
        """
        if group.span_ms == UNBOUNDED or self.oldest is None:
            return None
        every_ms = group.members.every_ms
        line = floored(self.watermark, every_ms) - group.span_ms - self.limits.horizon_ms - group.life
        return line if floored(self.oldest, every_ms) <= line else None

    def lost(self, reader: Reader, aggregate: Aggregate, group: Group, bounds: Bounds) -> Why | None:
        """Why this window can't be told."""
        key = reader.key(aggregate.lookup)
        if group.marks is not None and self.late_life(reader, group.marks, key, reader.reader.time):
            return "late"
        if aggregate.over is None and aggregate.since is None:
            after_end = bounds.end + (bounds.right and (aggregate.delay_ms > 0 or aggregate.every_ms > 0))
            return "late" if self.late_life(reader, group, key, after_end) else None
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
        places = self.places(reader.policy, group, reader.events).get(key, [])
        given_up = [place for place in places if self.is_given_up(group, key, place)]
        line = self.line(group)
        too_late = line is not None and reader.reader.time <= line
        return too_late or (bool(given_up) and max(given_up) >= (end, reader.reader.seq))

    def is_given_up(self, group: Group, key: Key, place: Place) -> bool:
        line = self.line(group)
        return (line is not None and place[0] <= line) or (key in group.capped and place <= group.capped[key])

    # -- ring_events_max -----------------------------------------------------------------------------------------
    def drop(self, policy: Policy, groups: Iterable[Group], events: Iterable[Event]) -> None:
        """Called after every operation: each ring that grew beyond its limit loses its oldest entries."""
        for group in groups:
            for key, places in self.places(policy, group, events).items():
                kept = [place for place in places if not self.is_given_up(group, key, place)]
                if group.merges:
                    kept = sorted({time: (time, seq) for time, seq in reversed(kept)}.values())
                excess = len(kept) - self.limits.ring_events_max
                if excess > 0:
                    group.capped[key] = kept[excess - 1]

    def places(self, policy: Policy, group: Group, events: Iterable[Event]) -> dict[Key, list[Place]]:
        """The places of all members by key, in order."""
        found: dict[Key, list[Place]] = {}
        for event in events:
            if event.seq not in group.unknown and belongs(group.members, event, Facts(policy, event)):
                key = tuple(event.values[name] for name in group.members.by)
                found.setdefault(key, []).append((floored(event.time, group.members.every_ms), event.seq))
        return {key: sorted(places) for key, places in found.items()}
