"""What belongs between the events of a history: updates at their own times, and entries of lists while they are in
force."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from frmcore.history.batches import NO_TIME
from frmcore.history.events import BATCH
from frmcore.history.files import attempt
from frmcore.history.quality import doubtful

if TYPE_CHECKING:
    from collections.abc import Iterator

    from frmcore.history.files import Source
    from frmcore.history.workspace import Workspace


class Update(NamedTuple):
    """`field` of the event `id` became `value` at `at` (epoch ms). `point`: it is decided again there. `due`: when it
    is told, which is not before its event; `after` the events of that instant, or before them."""

    ordinal: int
    at: int
    id: str
    field: str
    value: Any
    point: str | None
    due: int
    after: bool


class Listing(NamedTuple):
    """`value` is in `list` from `added` (None: from the beginning) until `expires` (None: for good), epoch ms."""

    ordinal: int
    list: str
    value: str
    added: int | None
    expires: int | None
    reason: str


class Updates:
    """The table `updates`. Those whose event the history does not have are left out and counted: `strangers`; those
    without a time or a field too: `broken`."""

    def __init__(self, space: Workspace, source: Source, event_id: str) -> None:
        """event_id: SQL of the id of the table `events`."""
        source.need("id", "at", "field", "value")
        self._space = space
        names = ("id", "field", "value")
        cells = ", ".join(f"{source.text(name)} AS {name}" for name in names)
        point = source.text("point") if source.has("point") else "NULL::VARCHAR"
        read = (
            f"SELECT row_number() OVER () AS ordinal, {source.time('at')} AS told_at, {cells}, {point} AS point "
            f"FROM {source.scan}"
        )
        known = f"SELECT {event_id} AS id, min(t) FILTER (t > {NO_TIME}) AS t FROM events GROUP BY ALL"
        joined = f"SELECT u.*, e.t FROM ({read}) u LEFT JOIN ({known}) e USING (id)"
        sorted_ = "SELECT *, greatest(told_at, t) AS due, told_at <= t AS after"
        attempt(
            source.what,
            partial(
                space.db.execute,
                f"CREATE TABLE updates AS {sorted_} FROM ({joined}) ORDER BY due NULLS FIRST, after, ordinal",
            ),
        )
        bad = "told_at IS NULL OR id IS NULL OR field IS NULL"
        found = space.row(
            f"SELECT count(*) FILTER ({bad}) AS broken, count(*) FILTER (NOT ({bad}) AND t IS NULL) AS "
            "strangers FROM updates"
        )
        self.broken, self.strangers = int(found["broken"]), int(found["strangers"])

    def doubts(self) -> list[str]:
        """What is odd about their times, as notes."""
        found = self._space.row(
            "SELECT count(*) FILTER (told_at < t) AS early, min(told_at) AS first, max(told_at) AS last FROM updates"
        )
        notes = doubtful("updates", found["first"], found["last"])
        if found["early"]:
            notes.append(f"updates dated before their events: {found['early']:,}; they are told right after them")
        return notes

    def rows(self) -> Iterator[Update]:
        """In the order in which they are told."""
        cursor = self._space.db.cursor().execute(
            "SELECT ordinal, told_at, id, field, value, point, due, after FROM updates "
            "WHERE after IS NOT NULL AND field IS NOT NULL"
        )
        while rows := cursor.fetchmany(BATCH):
            yield from map(Update._make, rows)


class Listings:
    """The table `listings`: entries of lists with their times."""

    def __init__(self, space: Workspace, source: Source) -> None:
        source.need("list", "value")
        self._space = space
        times = ", ".join(
            f"{source.time(name) if source.has(name) else 'NULL::BIGINT'} AS {name}" for name in ("added", "expires")
        )
        cells = ", ".join(
            f"{source.text(name) if source.has(name) else 'NULL'} AS {name}" for name in ("list", "value", "reason")
        )
        read = f"SELECT row_number() OVER () AS ordinal, {times}, {cells} FROM {source.scan}"
        order = f"CREATE TABLE listings AS SELECT * FROM ({read}) ORDER BY added NULLS FIRST, ordinal"
        attempt(source.what, partial(space.db.execute, order))

    def rows(self) -> Iterator[Listing]:
        """In the order of `added`."""
        found = "SELECT ordinal, list, value, added, expires, coalesce(reason, '') FROM listings"
        cursor = self._space.db.cursor().execute(found)
        while rows := cursor.fetchmany(BATCH):
            yield from map(Listing._make, rows)
