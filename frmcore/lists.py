"""Lists at run time: who added what, why, from where, until when.

Membership lives in the hot path (hashes only); this is its other half, the values with their metadata.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import TYPE_CHECKING, cast

from sortedcontainers import SortedSet

from frmcore import text
from frmcore._fast import epoch_ms
from frmcore.durations import parse_duration
from frmcore.errors import InvalidEvent, ReadOnlyList, UnknownName
from frmcore.limits import STRING_BYTES_MAX, TIME_MS_MAX
from frmcore.names import nearest
from frmcore.plan import Kind

if TYPE_CHECKING:
    from frmcore._fast import Core
    from frmcore.plan import ListPlan, Plan

Expiry = int | str | datetime | timedelta | None


@dataclass(frozen=True, slots=True)
class Entry:
    """One value of a list. Times are epoch milliseconds; `expires` is None for a value that stays."""

    value: str
    reason: str = ""
    source: str = ""
    owner: str = ""
    added: int | None = None
    expires: int | None = None


class EntityList:
    """One list: `add`, `add_many`, `remove`, `get`, `in`, `len`, iteration over its values.

    A change takes effect with the next decision. A value expires by event time: from `expires` on it is no member. `in`,
    `len` and iteration go by the engine's clock. Values of a private list are kept and shown as hashes. Every operation on
    one value is O(1), or O(log n) where it expires; on a network list a change is O(n log n).
    """

    def __init__(self, core: Core, index: int, spec: ListPlan) -> None:
        self._core = core
        self._index = index
        self._spec = spec
        self._entries: dict[str, Entry] = {}
        self._expiring: SortedSet[tuple[int, str]] = SortedSet()
        if spec.values is not None:
            self._fill(spec.values)

    @property
    def name(self) -> str:
        return self._spec.name

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
        """Adds many values as one operation; the number of new ones. All are checked before the first is added."""
        self._writable()
        now = self._core.now()
        until = _expiry(expires, now)
        entries = [Entry(self._canonical(value), reason, source, owner, now, until) for value in values]
        fresh = sum(entry.value not in self._entries for entry in {entry.value: entry for entry in entries}.values())
        for entry in entries:
            self._forget(entry.value)
            self._entries[entry.value] = entry
            if until is not None:
                self._expiring.add((until, entry.value))
        self._apply("add", entries)
        return fresh

    def remove(self, value: str, *, reason: str = "", source: str = "") -> bool:
        """Removes a value; False when it was not there. Raises InvalidEvent, ReadOnlyList."""
        self._writable()
        entry = Entry(self._canonical(value), reason, source)
        known = entry.value in self._entries
        self._forget(entry.value)
        self._apply("remove", [entry])
        return known

    def get(self, value: str) -> Entry | None:
        """What is known of a value: why, from where, by whom, since and until when. None where it is not listed."""
        value = self._canonical(value)
        if self._spec.values is not None and not self._spec.network:
            listed = self._core.list_contains(self._index, self._raw(value), 0)
            return Entry(value, source="policy") if listed else None
        entry = self._entries.get(value)
        return entry if entry is not None and self._in_force(entry) else None

    def entries(self) -> Iterator[tuple[str, int | None]]:
        """Every value that is kept with its expiry, expired or not; of a read-only list none."""
        return ((entry.value, entry.expires) for entry in self._entries.values() if not self.read_only)

    def __contains__(self, value: str) -> bool:
        if self._spec.network and "/" not in value:
            return self._core.list_contains(self._index, self._address(value), self._core.now())
        return self.get(value) is not None

    def __len__(self) -> int:
        if self._spec.values is not None:
            return len(self._spec.values)
        return len(self._entries) - self._expiring.bisect_left((self._core.now() + 1, ""))

    def __iter__(self) -> Iterator[str]:
        if self._spec.values is not None:
            return iter(self._spec.values)
        return iter([entry.value for entry in self._entries.values() if self._in_force(entry)])

    def __repr__(self) -> str:
        return f"<EntityList {self.name}: {len(self)} values>"

    def _in_force(self, entry: Entry) -> bool:
        return entry.expires is None or entry.expires > self._core.now()

    def _writable(self) -> None:
        if self.read_only:
            raise ReadOnlyList(f"list {self.name} comes from the policy: change it there, or its file, and reload")

    def _forget(self, value: str) -> None:
        before = self._entries.pop(value, None)
        if before is not None and before.expires is not None:
            self._expiring.discard((before.expires, value))

    def _apply(self, action: str, entries: list[Entry]) -> None:
        content = {"list": self.name, "action": action, "entries": [asdict(entry) for entry in entries]}
        if self._spec.network:
            self._core.change_networks(self._index, [_range(entry) for entry in self._entries.values()], content)
        else:
            values = [(self._raw(entry.value), entry.expires) for entry in entries]
            self._core.change_list(self._index, action, values, content)

    def _fill(self, values: Iterable[str]) -> None:
        if self._spec.network:
            self._entries = {value: Entry(value, source="policy") for value in map(self._canonical, values)}
            self._core.fill_list(self._index, [_range(entry) for entry in self._entries.values()])
        else:
            self._core.fill_list(self._index, [self._raw(self._canonical(value)) for value in values])

    def _canonical(self, value: str) -> str:
        """The one form in which a value is kept; of a private list its hash, in hex."""
        if not isinstance(value, str) or not 0 < len(value) <= STRING_BYTES_MAX:
            raise InvalidEvent(f"list {self.name}: a value is text of 1 to {STRING_BYTES_MAX} characters")
        if self._spec.network:
            return str(_network(self.name, value))
        if self._spec.kind is Kind.IP:
            return text.ip_text(self._address(value))
        try:
            raw = value.encode()
        except UnicodeEncodeError:
            raise InvalidEvent(f"list {self.name}: a value is valid Unicode, without lone surrogates") from None
        return self._core.hide(raw).hex() if self._spec.private else value

    def _raw(self, value: str) -> bytes:
        if self._spec.private:
            return bytes.fromhex(value)
        return self._address(value) if self._spec.kind is Kind.IP else value.encode()

    def _address(self, value: str) -> bytes:
        address = text.parse_ip(value)
        if address is None:
            raise InvalidEvent(f"list {self.name}: expected an IPv4 or IPv6 address, got {value[:60]!r}")
        return address


class EntityLists(Mapping[str, EntityList]):
    """The lists of an engine, by name."""

    def __init__(self, core: Core, plan: Plan, before: EntityLists | None = None) -> None:
        kept = {} if before is None else before._lists
        self._lists: dict[str, EntityList] = {}
        for index, spec in enumerate(plan.lists):
            known = kept.get(spec.name)
            if known is not None and known._spec == spec:
                known._index = index
                if spec.values is not None:
                    known._fill(spec.values)
                self._lists[spec.name] = known
            else:
                self._lists[spec.name] = EntityList(core, index, spec)

    def __getitem__(self, name: str) -> EntityList:
        try:
            return self._lists[name]
        except KeyError:
            known = ", ".join(self._lists) or "none"
            hint = nearest(str(name), self._lists) or f"its lists: {known}"
            raise UnknownName(f"the policy has no list {name!r}; {hint}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._lists)

    def __len__(self) -> int:
        return len(self._lists)


def _network(name: str, value: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(value)
    except ValueError as error:
        raise InvalidEvent(f"list {name}: expected a network such as 10.0.0.0/8: {error}") from None


def _range(entry: Entry) -> tuple[bytes, bytes, int | None]:
    network = ip_network(entry.value)
    return network.network_address.packed, network.broadcast_address.packed, entry.expires


def _expiry(expires: Expiry, now: int) -> int | None:
    if expires is None:
        return None
    if isinstance(expires, timedelta):
        return now + expires // timedelta(milliseconds=1)
    duration = parse_duration(expires) if isinstance(expires, str) else None
    until = now + duration if duration is not None else epoch_ms(expires)
    if not isinstance(until, int) or not -TIME_MS_MAX <= until <= TIME_MS_MAX:
        raise InvalidEvent(f'expires: expected a duration ("90d") or a time, got {expires!r:.60}')
    return cast(int, until)
