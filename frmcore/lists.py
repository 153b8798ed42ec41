"""Lists that change while the engine runs: who added what, why, from where, until when.

Membership lives in the hot path (hashes only); this is its other half, the values with their metadata.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from frmcore.errors import InvalidEvent, ReadOnlyList, UnknownName

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from frmcore.engine import Engine
    from frmcore.plan import ListPlan

Expiry = "int | str | datetime | timedelta | None"


@dataclass(frozen=True, slots=True)
class Entry:
    """One value of a list. Times are epoch milliseconds; `expires` is None for a value that stays."""

    value: str
    reason: str
    source: str
    owner: str
    added: int
    expires: int | None


class EntityList:
    """One list: `add`, `add_many`, `remove`, `get`, `in`, `len`, iteration over its values.

    Changes take effect with the next decision. A value expires by event time: from `expires` on it is no member.
    """

    def __init__(self, engine: Engine, spec: ListPlan) -> None:
        self._engine = engine
        self._spec = spec
        self._entries: dict[str, Entry] = {}

    @property
    def name(self) -> str:
        return self._spec.name

    @property
    def read_only(self) -> bool:
        return self._spec.values is not None

    def add(self, value: str, *, reason: str = "", source: str = "", owner: str = "", expires: Expiry = None) -> None:
        """Adds a value, or replaces its metadata. `expires`: a duration from now ("90d"), an epoch in ms, a datetime."""
        self.add_many([value], reason=reason, source=source, owner=owner, expires=expires)

    def add_many(
        self, values: Iterable[str], *, reason: str = "", source: str = "", owner: str = "", expires: Expiry = None
    ) -> int:
        """Adds many values with one metadata; the number of new ones. All are checked before the first is added."""
        self._writable()
        values = [self._canonical(value) for value in values]
        now = self._engine.now()
        until = self._engine.expiry(expires, now)
        entries = [Entry(value, reason, source, owner, now, until) for value in values]
        return self._engine.change_list(self._spec, "add", entries)

    def remove(self, value: str, *, reason: str = "", source: str = "") -> bool:
        """Removes a value; False when it was not there."""
        self._writable()
        entry = Entry(self._canonical(value), reason, source, "", self._engine.now(), None)
        return self._engine.change_list(self._spec, "remove", [entry]) > 0
