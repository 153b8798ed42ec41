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

    def line(self, group: Group) -> int:
        """Entries at or before it are given up: no window of an event up to the horizon late starts there."""
        if group.span_ms == UNBOUNDED or self.oldest is None:
            return group.given_up
        newest = floored(self.watermark - self.limits.horizon_ms, group.members.every_ms)
        return max(group.given_up, newest - group.span_ms - 1)

    def lost(self, reader: Reader, aggregate: Aggregate, group: Group, bounds: Bounds) -> Why | None:
        """Why this window can't be told."""
        key = reader.key(aggregate.lookup)
        place = (reader.reader.time, reader.reader.seq)
        unsure = group.marks is not None and self.life_lost(reader, group.marks, key, place)
        if unsure:
            return unsure
        if aggregate.over is None and aggregate.since is None:
            at_place = bounds.right and not aggregate.delay_ms
            return self.life_lost(reader, group, key, place if at_place else (bounds.end + bounds.right, 0))
        return self.late(reader, group, bounds) or self.beyond_cap(group, key, bounds.earliest)

    def late(self, reader: Reader, group: Group, bounds: Bounds) -> Why | None:
        """Does the window of a late event start where entries are given up, and was anything ever recorded there."""
        if self.oldest is None or bounds.earliest is None or reader.reader.time >= self.watermark:
            return None
        line = self.line(group)
        return "late" if bounds.earliest <= line and floored(self.oldest, group.members.every_ms) <= line else None

    def beyond_cap(self, group: Group, key: Key, earliest: int | None) -> Why | None:
        dropped = group.capped.get(key)
        return "capped" if dropped is not None and (earliest is None or earliest <= dropped[0]) else None

    def life_lost(self, reader: Reader, group: Group, key: Key, end: Place) -> Why | None:
        """Totals of what was given up can't be split: they serve windows that end after all of it."""
        places = self.places(reader.policy, group, reader.events).get(key, [])
        if end[0] <= self.line(group) and any(place[0] <= self.line(group) for place in places):
            return "late"
        capped = [place for place in places if key in group.capped and place <= group.capped[key]]
        return "capped" if capped and max(capped) >= end else None

    def is_given_up(self, group: Group, key: Key, place: Place) -> bool:
        return place[0] <= self.line(group) or (key in group.capped and place <= group.capped[key])

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
