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
Why = Literal["late", "capped", "overflow", "incomplete"]
NOWHERE: Place = (-(2**63), 0)


class Retention:
    """Each group remembers entries later than its line; each ring `ring_events_max` of them at most."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.watermark = 0  # the greatest event time recorded; 0 before the first
        self.oldest: int | None = None  # the least
        self.list_line = -(2**63)  # what expired on lists at or before it is gone

    def record(self, time: int) -> None:
        self.watermark = time if self.oldest is None else max(self.watermark, time)
        self.oldest = time if self.oldest is None else min(self.oldest, time)
        self.list_line = max(self.list_line, self.watermark - self.limits.horizon_ms)

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
        here = (reader.reader.time, reader.reader.seq)
        if group.marks is not None and (why := self.life(reader, group.marks, key, here)):
            return why
        if aggregate.over is None and aggregate.since is None:
            past_end = (bounds.end + 1, 0) if aggregate.delay_ms else here
            return self.life(reader, group, key, past_end if bounds.right else (bounds.end, 0))
        line, first = self.line(group), bounds.first
        if line is not None and first is not None and first[0] <= line and reader.reader.time < self.watermark:
            return "late"
        dropped = group.capped.get(key)
        return "capped" if dropped is not None and (first is None or first <= dropped) else None

    def life(self, reader: Reader, group: Group, key: Key, end: Place) -> Why | None:
        """Totals of what was given up can't be split: they serve windows that end after all of it."""
        line = self.line(group)
        places = self.places(reader.policy, group, reader.events).get(key, [])
        if line is not None and end[0] <= line and any(place[0] <= line for place in places):
            return "late"
        dropped = group.capped.get(key, NOWHERE)
        return "capped" if any(end <= place <= dropped for place in places) else None

    def is_given_up(self, group: Group, key: Key, place: Place) -> bool:
        line = self.line(group)
        return (line is not None and place[0] <= line) or place <= group.capped.get(key, NOWHERE)

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
