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

Why = Literal["late", "capped", "lost", "overflow", "incomplete", "evicted"]
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
        past_end = (bounds.end + 1, 0) if aggregate.delay_ms else here
        end = past_end if bounds.right else (bounds.end, 0)
        if aggregate.over is None and aggregate.since is None:
            return self.lost_of_life(aggregate.function, group, key, end, here[1])
        line, first = self.line(group), bounds.first
        if line is not None and first is not None and first[0] <= line and reader.reader.time < self.watermark:
            return "late"
        since = self.since(group, key)
        dropped = None if self.is_void(group, key, None) else group.capped.get(key)
        if dropped is not None and (first is None or first <= dropped):
            return "capped"
        if since is None or (first is not None and first[0] > since):
            return None
        is_known = aggregate.function in ("last", "since_last") and self.has_earlier(group, key, end, here[1])
        return None if is_known else "evicted"

    def lost_mark(self, marks: Group, key: Key, here: Place, bounds: Bounds) -> Why | None:
        """Where the last mark is not known a window may still be told, whose `over` starts after that mark's place."""
        why = self.lost_of_life("last", marks, key, here, here[1])
        last, start, since = self.base(marks, key).last, bounds.by_over, self.since(marks, key)
        if why == "evicted":
            assert since is not None
            return None if start is not None and start[0] > since else why
        starts_after = start is not None and last is not None and last <= start
        return None if why == "lost" and starts_after else why

    def lost_of_life(self, function: str, group: Group, key: Key, end: Place, own: int) -> Why | None:
        """Totals of what was given up can't be split: they serve windows that end after all of it."""
        line, base, since = self.line(group), self.base(group, key), self.since(group, key)
        if self.is_void(group, key, None):
            return None if since is None else "evicted"
        in_ring = self.has_earlier(group, key, end, own)
        last = function in ("last", "since_last")
        evicted: Why | None = None if since is None or (last and (in_ring or base.last)) else "evicted"
        if base.first is None or base.last is None:
            return evicted
        if line is not None and end[0] <= line and base.first[0] <= line:
            return "late"
        if end <= base.last:
            return "capped"
        if evicted:
            return evicted
        if function in ("first", "since_first") and base.first_lost:
            return "lost"
        return "lost" if last and base.last_lost and not in_ring else None

    def has_earlier(self, group: Group, key: Key, end: Place, own: int) -> bool:
        """Is there an entry in the ring before `end`, the reader's own aside."""
        folded = self.folded(group, key).places
        earlier = [place for place in self.places(group, key) if place < end and place[1] != own]
        return not self.is_void(group, key, None) and any(place not in folded for place in earlier)

    # -- evictions -------------------------------------------------------------------------------------------------
    def since(self, group: Group, key: Key) -> int | None:
        """Up to this time events of the key may lack."""
        return group.evicted if self.is_void(group, key, None) else group.since.get(key)

    def is_void(self, group: Group, key: Key, newcomer: Event | None) -> bool:
        """Was the key idle when idle keys were evicted? `newcomer`: the event that is about to enter."""
        if group.evicted is None:
            return False
        line = self.limit(group)
        out = -1 if newcomer is None else newcomer.seq
        signs = [place[0] for place in self.places(group, key) if place[1] != out]
        if group.life and (base := self.folded(group, key)).last is not None:
            signs.append(base.last[0])
        if (capped := group.capped.get(key)) is not None and (line is None or capped[0] > line):
            signs.append(capped[0])
        edge = group.evicted if group.life or line is None else max(group.evicted, line)
        return max(signs, default=NOWHERE[0]) <= edge

    def evict(self, group: Group, until: int) -> None:
        every = group.members.every_ms
        until = floored(until + 1, every) - 1 if every else until
        group.evicted = until if group.evicted is None else max(group.evicted, until)

    def admit(self, group: Group, key: Key, newcomer: Event) -> None:
        """Before an event enters: a key that evictions took begins anew."""
        line, every = self.limit(group), group.members.every_ms
        is_late = line is not None and floored(newcomer.time, every) <= line and not group.life
        if not is_late and self.is_void(group, key, newcomer):
            assert group.evicted is not None
            group.since[key] = group.evicted
            group.bases.pop(key, None)
            group.capped.pop(key, None)

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
        base = self.folded(group, key)
        for place in self.places(group, key):
            if place not in base.places and self.is_given_up(group, key, place):
                base.add(place)
        return base

    def folded(self, group: Group, key: Key) -> Base:
        return group.bases.setdefault(key, Base())

    def is_given_up(self, group: Group, key: Key, place: Place) -> bool:
        line = self.line(group)
        return (line is not None and place[0] <= line) or place <= group.capped.get(key, NOWHERE)

    def places(self, group: Group, key: Key) -> list[Place]:
        """The places of all members, in order."""
        every = group.members.every_ms
        members = members_of(self.policy, group, key)
        since = group.since.get(key, NOWHERE[0])
        places = ((floored(event.time, every), event.seq) for event, _ in members)
        return sorted(place for place in places if place[0] > since)

    # -- later facts -----------------------------------------------------------------------------------------------
    def stand(self, group: Group, event: Event) -> Stand:
        """What the event brings to a group that updates can change."""
        where, facts = group.members.where, Facts(self.policy, event)
        if not group.reads_updates or group.key(event) is None or not (where is None or facts.of(where)):
            return None
        values = {column: seen(column.value, facts) for column in group.read}
        return tuple(bool(value) if column.form == "truth" else value for column, value in values.items())

    def belongs(self, group: Group, event: Event) -> bool:
        where = group.members.where
        return where is None or bool(Facts(self.policy, event).of(where))

    @contextmanager
    def mended(self, groups: Iterable[Group], event: Event) -> Iterator[None]:
        """While something is told of the event: where that changes what it brings it is retracted, and entered anew."""
        filed = [(group, key) for group in groups if (key := group.key(event)) is not None]
        for group, key in filed:
            self.settle(group, key)
        before = [self.stand(group, event) for group, _ in filed]
        yield
        for (group, key), stood in zip(filed, before, strict=True):
            stands = self.stand(group, event)
            if group.life and stood is not None and stood != stands:
                self.folded(group, key).retract((event.time, event.seq))
            if stood is None and stands is not None:
                self.admit(group, key, event)
            self.settle(group, key)
