"""What limits took away. Everything here is a function of the recorded events alone."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from twin.base import Base
from twin.groups import UNBOUNDED, Group
from twin.records import Facts
from twin.windows import Bounds, Reader, floored, members_of, seen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from frmcore.policy.tree import Aggregate, Policy
    from twin.base import Key, Place
    from twin.records import Event
    from twin.values import Value

Why = Literal["late", "capped", "lost", "overflow", "incomplete"]
NOWHERE: Place = (-(2**63), 0)
Stand = tuple["Value", ...] | None  # what an event brings to a group, None where it does not belong


class Retention:
    """Each group remembers entries later than its line; each ring `ring_events_max` of them at most."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.watermark = 0  # the greatest event time recorded; 0 before the first
        self.oldest: int | None = None  # the least
        self.list_line = -(2**63)  # what expired on lists at or before it is gone

    def record(self, time: int) -> None:
        self.watermark = time if self.oldest is None else max(self.watermark, time)
        self.oldest = time if self.oldest is None else min(self.oldest, time)
        self.list_line = max(self.list_line, self.watermark - self.policy.limits.horizon_ms)

    def line(self, group: Group) -> int | None:
        """Entries at or before it are given up; None: nothing was ever recorded there."""
        line = self.limit(group)
        if line is None or self.oldest is None or floored(self.oldest, group.members.every_ms) > line:
            return None
        return line

    def limit(self, group: Group) -> int | None:
        if group.span_ms == UNBOUNDED or self.oldest is None:
            return None
        horizon = self.policy.limits.horizon_ms
        line = floored(self.watermark - horizon, group.members.every_ms) - group.span_ms - 1
        return line if group.given_up is None else max(line, group.given_up)

    # -- why a window can't be told --------------------------------------------------------------------------------
    def lost(self, reader: Reader, aggregate: Aggregate, group: Group, bounds: Bounds) -> Why | None:
        key = reader.key(aggregate.lookup)
        here = (reader.reader.time, reader.reader.seq)
        if group.marks is not None and (why := self.lost_mark(group.marks, key, here, bounds)):
            return why
        if aggregate.over is None and aggregate.since is None:
            past_end = (bounds.end + 1, 0) if aggregate.delay_ms else here
            return self.lost_of_life(aggregate.function, group, key, past_end if bounds.right else (bounds.end, 0))
        line, first = self.line(group), bounds.first
        if line is not None and first is not None and first[0] <= line and reader.reader.time < self.watermark:
            return "late"
        dropped = group.capped.get(key)
        return "capped" if dropped is not None and (first is None or first <= dropped) else None

    def lost_mark(self, marks: Group, key: Key, here: Place, bounds: Bounds) -> Why | None:
        """Where the last mark is not known a window may still be told, whose `over` starts after that mark's place."""
        why = self.lost_of_life("last", marks, key, here)
        last, start = self.base(marks, key).last, bounds.by_over
        starts_after = start is not None and last is not None and last <= start
        return None if why == "lost" and starts_after else why

    def lost_of_life(self, function: str, group: Group, key: Key, end: Place) -> Why | None:
        """Totals of what was given up can't be split: they serve windows that end after all of it."""
        line, base = self.line(group), self.base(group, key)
        if base.first is None or base.last is None:
            return None
        if line is not None and end[0] <= line and base.first[0] <= line:
            return "late"
        if end <= base.last:
            return "capped"
        if function in ("first", "since_first") and base.first_lost:
            return "lost"
        in_ring = (place for place in self.places(group, key) if place not in base.places and place < end)
        return "lost" if function in ("last", "since_last") and base.last_lost and not any(in_ring) else None

    # -- giving up -------------------------------------------------------------------------------------------------
    def settle(self, group: Group, key: Key) -> None:
        """A ring beyond its limit loses its oldest entries; the totals of life take what was given up."""
        if len(group.filed.get(key, ())) > self.policy.limits.ring_events_max:
            self.drop(group, key)
        if group.life:
            self.base(group, key)

    def drop(self, group: Group, key: Key) -> None:
        kept = [place for place in self.places(group, key) if not self.is_given_up(group, key, place)]
        if group.merges:
            kept = sorted({time: (time, seq) for time, seq in reversed(kept)}.values())
        excess = len(kept) - self.policy.limits.ring_events_max
        if excess > 0:
            group.capped[key] = kept[excess - 1]

    def base(self, group: Group, key: Key) -> Base:
        """With all that was given up until now, in order."""
        base = group.bases.setdefault(key, Base())
        for place in self.places(group, key):
            if place not in base.places and self.is_given_up(group, key, place):
                base.add(place)
        return base

    def is_given_up(self, group: Group, key: Key, place: Place) -> bool:
        line = self.line(group)
        return (line is not None and place[0] <= line) or place <= group.capped.get(key, NOWHERE)

    def places(self, group: Group, key: Key) -> list[Place]:
        """The places of all members, in order."""
        every = group.members.every_ms
        members = members_of(self.policy, group, key)
        return sorted((floored(event.time, every), event.seq) for event, _ in members)

    # -- later facts -----------------------------------------------------------------------------------------------
    def stand(self, group: Group, event: Event) -> Stand:
        """What the event brings to a group that updates can change."""
        where, facts = group.members.where, Facts(self.policy, event)
        if not group.reads_updates or group.key(event) is None or not (where is None or facts.of(where)):
            return None
        values = {column: seen(column.value, facts) for column in group.read}
        return tuple(bool(value) if column.form == "truth" else value for column, value in values.items())

    @contextmanager
    def mended(self, groups: Iterable[Group], event: Event) -> Iterator[None]:
        """While something is told of the event: where that changes what it brings it is retracted, and entered anew."""
        filed = [(group, key) for group in groups if (key := group.key(event)) is not None]
        for group, key in filed:
            self.settle(group, key)
        before = [self.stand(group, event) for group, _ in filed]
        yield
        for (group, key), stood in zip(filed, before, strict=True):
            if group.life and stood is not None and stood != self.stand(group, event):
                group.bases[key].retract((event.time, event.seq))
            self.settle(group, key)
