"""Lists at run time: who added what, why, from where, until when.

Membership lives in the hot path (hashes only); this is its other half, the values with their metadata.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from ipaddress import ip_network
from threading import RLock
from typing import TYPE_CHECKING, Any

import msgspec
from sortedcontainers import SortedSet

from frmcore import text
from frmcore._fast import checked_text, epoch_ms, shorten
from frmcore.durations import parse_duration
from frmcore.errors import InvalidEvent, ReadOnlyList, UnknownName
from frmcore.limits import LIST_CHANGE_VALUES, SECONDS_MAX, STRING_BYTES_MAX, TIME_MS_MAX
from frmcore.names import nearest
from frmcore.plan import Kind
from frmcore.policy.networks import canonical_network, nearest_network

if TYPE_CHECKING:
    from frmcore._fast import Core
    from frmcore.plan import ListPlan, Plan
    from frmcore.store.inbox import Command

Expiry = int | str | datetime | timedelta | None


class Entry(msgspec.Struct, frozen=True, gc=False):  # texts and numbers: nothing for the collector to follow
    """One value of a list. Times are epoch milliseconds; `expires` is None for a value that stays."""

    value: str
    reason: str = ""
    source: str = ""
    owner: str = ""
    added: int | None = None
    expires: int | None = None


class EntityList:
    """One list: `add`, `add_many`, `remove`, `get`, `in`, `len`, iteration over its values.

    A change takes effect with the next decision. A value expires by event time: from `expires` on it is no member, and
    once `limits.horizon` is past it is forgotten. `in`, `len` and iteration go by the engine's clock. Values of a
    private list are kept and shown as hashes. Every operation on one value is O(1), or O(log n) where it expires; on a
    network list a change is O(n log n).
    """

    def __init__(self, core: Core, spec: ListPlan, guard: Callable[[], None], settled: Callable[[], None]) -> None:
        self._core = core
        self._guard, self._settled = guard, settled
        self._changing = RLock()  # the store's inbox changes lists from its own thread
        self._spec = spec
        self._entries: dict[str, Entry] = {}
        self._expiring: SortedSet[tuple[int, str]] = SortedSet()
        if spec.network and spec.values is not None:
            self._entries = {value: Entry(value, source="policy") for value in spec.values}

    @property
    def name(self) -> str:
        return self._spec.name

    @property
    def network(self) -> bool:
        """Its values are networks; an address is in it when one of them holds it."""
        return self._spec.network

    @property
    def private(self) -> bool:
        """Its values are kept as hashes."""
        return self._spec.private

    @property
    def read_only(self) -> bool:
        """Its values come from the policy or a file."""
        return self._spec.values is not None

    def add(self, value: str, *, reason: str = "", source: str = "", owner: str = "", expires: Expiry = None) -> None:
        """Adds a value, or replaces what is said of it. `expires`: a duration from now ("90d", a timedelta), or a time
        (epoch ms, an aware datetime, RFC 3339). Raises InvalidEvent, ReadOnlyList."""
        self.add_many([value], reason=reason, source=source, owner=owner, expires=expires)

    def add_many(
        self, values: Iterable[str], *, reason: str = "", source: str = "", owner: str = "", expires: Expiry = None
    ) -> int:
        """Adds many values; the number of new ones. All are checked before the first is added. Recorded as one
        operation, or several of LIST_CHANGE_VALUES values."""
        return self._add(values, Entry("", reason, source, owner), expires, "")

    def _add(self, values: Iterable[str], said: Entry, expires: Expiry, command: str) -> int:
        self._writable()
        now = self._core.now()
        reason, source = checked_note("reason", said.reason), checked_note("source", said.source)
        owner = checked_note("owner", said.owner)
        until = expiry("expires", expires, now)
        found = self._found(values)
        known = self._apply(
            "add", [Entry(value, reason, source, owner, now, until) for value in found], list(found.values()), command
        )
        return len(found) - known

    def remove(self, value: str, *, reason: str = "", source: str = "") -> bool:
        """Removes a value; False when it was not there. Raises InvalidEvent, ReadOnlyList."""
        return bool(self._remove([value], Entry("", reason, source), ""))

    def _remove(self, values: Iterable[str], said: Entry, command: str) -> int:
        self._writable()
        reason, source = checked_note("reason", said.reason), checked_note("source", said.source)
        found = self._found(values)
        return self._apply("remove", [Entry(value, reason, source) for value in found], list(found.values()), command)

    def obey(self, command: Command, token: str) -> int:
        """A change that another process asked for; how many values it changed. Recorded with the command's token."""
        said = Entry("", command.reason, command.source, command.owner)
        if command.action == "add":
            return self._add(command.values, said, command.expires, token)
        return self._remove(command.values, said, token)

    def get(self, value: str) -> Entry | None:
        """What is known of a value: why, from where, by whom, since and until when. None where it is not listed."""
        now, value = self._now(), self._canonical(value)
        if self._spec.values is not None and not self._spec.network:
            listed = self._core.list_contains(self._spec, self._raw(value), now)
            return Entry(value, source="policy") if listed else None
        entry = self._entries.get(value)
        return entry if entry is not None and _in_force(entry, now) else None

    def listed(self) -> Iterator[Entry]:
        """Every value in force, with what is said of it."""
        if self._spec.values is not None:
            return (Entry(value, source="policy") for value in self._spec.values)
        now = self._now()
        return (entry for entry in list(self._entries.values()) if _in_force(entry, now))

    def check(self, value: str) -> None:
        """Raises InvalidEvent for what can be no value of this list."""
        _network(self._spec, value) if self._spec.network else _raw_value(self._spec, value)

    def entries(self) -> Iterator[tuple[str, int | None]]:
        """Every value with its expiry, until the horizon is past that; of a read-only list none."""
        with self._changing:
            self._drop_expired()
        return ((entry.value, entry.expires) for entry in list(self._entries.values()) if not self.read_only)

    def __contains__(self, value: str) -> bool:
        address = _address(value) if self._spec.network else None
        if address is not None:
            return self._core.list_contains(self._spec, address, self._now())
        return self.get(value) is not None

    def keeps(self, value: str) -> bool:
        """Is it there, even if it has expired: for late events it counts until `limits.horizon` is past that. Of
        networks the one that holds this address alone."""
        return value in self if self.read_only and not self.network else self._canonical(value) in self._entries

    def __len__(self) -> int:
        if self._spec.values is not None:
            return len(self._spec.values)
        with self._changing:
            expired: int = self._expiring.bisect_left((self._now() + 1, ""))
            return len(self._entries) - expired

    def __iter__(self) -> Iterator[str]:
        if self._spec.values is not None:
            return map(self._canonical, self._spec.values)
        now = self._now()
        return iter([entry.value for entry in list(self._entries.values()) if _in_force(entry, now)])

    def __repr__(self) -> str:
        return f"<EntityList {self.name}: {len(self)} values>"

    def _now(self) -> int:
        """Before all time where the engine has no clock and saw no event yet: then nothing has expired."""
        now = self._core.now()
        return -TIME_MS_MAX if now is None else now

    def _writable(self) -> None:
        if self.read_only:
            raise ReadOnlyList(f"list {self.name} comes from the policy: change it there, or its file, and reload")
        self._guard()

    def _apply(self, action: str, entries: list[Entry], raws: list[bytes], command: str) -> int:
        """The change, recorded in parts of bounded size; how many of the values were listed before."""
        known = 0
        with self._changing:
            self._drop_expired()
            for first in range(0, len(entries), LIST_CHANGE_VALUES):
                part = slice(first, first + LIST_CHANGE_VALUES)
                known += self._apply_part(action, entries[part], raws[part], command)
        self._settled()
        return known

    def _apply_part(self, action: str, entries: list[Entry], raws: list[bytes], command: str) -> int:
        """One recorded operation: the membership first, which may refuse it."""
        content: dict[str, object] = {"list": self.name, "action": action, "entries": entries}
        if command:
            content["command"] = command
        if self._spec.network:
            changed = {entry.value: entry for entry in entries}
            left = [entry for value, entry in self._entries.items() if value not in changed]
            left += entries if action == "add" else []
            self._core.change_networks(self._spec, list(map(_range, left)), content)
        else:
            values = [(raw, entry.expires) for raw, entry in zip(raws, entries, strict=True)]
            self._core.change_list(self._spec, action, values, content)
        known = [entry.value for entry in entries if entry.value in self._entries]
        for value in known:
            self._forget(value)
        if action == "add":
            self._keep(entries)
        return len(known)

    def restore(self, entries: Mapping[str, Entry]) -> None:
        """Takes up recorded values, without recording them again."""
        self._keep(entries.values())
        if self._spec.network:
            self._core.restore_networks(self._spec, list(map(_range, entries.values())))
        else:
            self._core.restore_list(self._spec, [(self._raw(entry.value), entry.expires) for entry in entries.values()])

    def _keep(self, entries: Collection[Entry]) -> None:
        self._entries.update({entry.value: entry for entry in entries})
        self._expiring.update([(entry.expires, entry.value) for entry in entries if entry.expires is not None])

    def _forget(self, value: str) -> None:
        before = self._entries.pop(value)
        if before.expires is not None:
            self._expiring.discard((before.expires, value))

    def _drop_expired(self) -> None:
        """Values that no decision can see any more. Each is dropped once, so that all of them cost what adding did."""
        line = self._core.lists_line()
        while self._expiring and self._expiring[0][0] <= line:
            _, value = self._expiring.pop(0)
            del self._entries[value]

    def _found(self, values: Iterable[str]) -> dict[str, bytes]:
        """Each value once: the one form in which it is kept (of a private list its hash, in hex), and what is probed
        (of a network nothing)."""
        spec = self._spec
        if spec.network:
            return {_network(spec, value): b"" for value in values}
        raws = [_raw_value(spec, value) for value in values]
        if spec.private:
            return {raw.hex(): raw for raw in map(self._core.hide, raws)}
        if spec.kind is Kind.IP:
            return {text.ip_text(raw): raw for raw in raws}
        return {raw.decode(): raw for raw in raws}

    def _canonical(self, value: str) -> str:
        return next(iter(self._found([value])))

    def _raw(self, canonical: str) -> bytes:
        return bytes.fromhex(canonical) if self._spec.private else _raw_value(self._spec, canonical)


class EntityLists(Mapping[str, EntityList]):
    """The lists of an engine, by name."""

    def __init__(
        self,
        core: Core,
        plan: Plan,
        before: EntityLists | None = None,
        guard: Callable[[], None] = lambda: None,
        settled: Callable[[], None] = lambda: None,
    ) -> None:
        """`before`: the lists of the policy before, whose content is kept where the list is still the same.
        `guard`: called before a change, raises where it can't be recorded. `settled`: called after it, returns when it
        is as durable as it has to be."""
        kept = {} if before is None else before._lists
        self._lists: dict[str, EntityList] = {}
        for spec in plan.lists:
            known = kept.get(spec.name)
            self._lists[spec.name] = (
                known if known is not None and known._spec == spec else EntityList(core, spec, guard, settled)
            )

    def restore(self, lists: Mapping[str, Mapping[str, Entry]]) -> None:
        """Fills the lists with what a store recorded."""
        for name, entries in lists.items():
            if name in self._lists:
                self._lists[name].restore(entries)

    def __getitem__(self, name: str) -> EntityList:
        try:
            return self._lists[name]
        except KeyError:
            known = ", ".join(self._lists) or "none"
            hint = nearest(str(name), self._lists) or f"its lists: {known}"
            raise UnknownName(f"the policy has no list {shorten(name)}; {hint}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._lists)

    def __len__(self) -> int:
        return len(self._lists)


def list_contents(plan: Plan) -> list[list[Any] | None]:
    """What the policy's own lists hold, for the hot path: raw values or ranges; None for a list that changes at run
    time."""
    return [None if spec.values is None else [_content(spec, value) for value in spec.values] for spec in plan.lists]


def _content(spec: ListPlan, value: str) -> bytes | tuple[bytes, bytes, int | None]:
    return _range(Entry(value)) if spec.network else _raw_value(spec, value)


def _raw_value(spec: ListPlan, value: str) -> bytes:
    """As events bring it to a list: the bytes of a string or of an address."""
    if spec.kind is Kind.IP:
        address = _address(value)
        if address is None:
            raise _unfit(spec, "an IPv4 or IPv6 address", value)
        return address
    plain = checked_text(value)
    if not plain:
        raise _unfit(spec, f"text of 1 to {STRING_BYTES_MAX} bytes of valid UTF-8", value)
    return plain.encode()


def _in_force(entry: Entry, now: int) -> bool:
    return entry.expires is None or entry.expires > now


def _address(value: str) -> bytes | None:
    plain = checked_text(value)
    return None if plain is None else text.parse_ip(plain)


def _network(spec: ListPlan, value: str) -> str:
    plain = checked_text(value) or ""
    canonical = canonical_network(plain)
    if canonical is None:
        meant = nearest_network(plain)
        hint = f", without bits beyond the prefix: {meant}" if meant else " such as 10.0.0.0/8 or 2001:db8::/32"
        raise _unfit(spec, f"a network{hint}", value)
    return canonical


def _unfit(spec: ListPlan, expected: str, value: object) -> InvalidEvent:
    shown = "a private value" if spec.private else shorten(value)
    return InvalidEvent(f"list {spec.name}: expected {expected}, got {shown}", spec.name)


def checked_note(name: str, value: str) -> str:
    plain = checked_text(value)
    if plain is None:
        raise InvalidEvent(f"{name}: expected text of at most {STRING_BYTES_MAX} bytes, got {shorten(value)}", name)
    return plain


def _range(entry: Entry) -> tuple[bytes, bytes, int | None]:
    network = ip_network(entry.value)
    return network.network_address.packed, network.broadcast_address.packed, entry.expires


def expiry(name: str, expires: Expiry, now: int | None) -> int | None:
    """The time, epoch ms, that an argument of that name means: a duration counts from now. Raises InvalidEvent."""
    if expires is None:
        return None
    duration = parse_duration(expires) if isinstance(expires, str) else None
    if isinstance(expires, timedelta):
        duration = expires // timedelta(milliseconds=1)
    if duration is not None and now is None:
        raise InvalidEvent(
            f"{name}: a duration counts from now, and without a clock there is no now before the first event: give a "
            "time, or open the engine with a clock",
            name,
        )
    until: object = epoch_ms(expires) if duration is None or now is None else now + duration
    if not isinstance(until, int) or not -TIME_MS_MAX <= until <= TIME_MS_MAX:
        expected = (
            'a duration ("90d", a timedelta), or epoch milliseconds, an aware datetime, RFC 3339 text with offset'
        )
        raise InvalidEvent(f"{name}: expected {expected}, got {shorten(expires)}", name)
    if isinstance(expires, int) and 0 < until < SECONDS_MAX <= (now or 0):
        raise InvalidEvent(f"{name}: expected epoch milliseconds, got {until}: that is a time in seconds", name)
    return until
