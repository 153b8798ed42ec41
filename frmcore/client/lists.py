"""The lists of an engine in another process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from frmcore._fast import shorten
from frmcore.client import messages
from frmcore.errors import UnknownName
from frmcore.lists import Entry, Expiry
from frmcore.names import nearest

if TYPE_CHECKING:
    from collections.abc import Callable

    Ask = Callable[..., Any]


class RemoteList:
    """One list, with the methods of `Engine.lists[name]`; each is a call to the owner."""

    def __init__(self, name: str, read_only: bool, ask: Ask) -> None:
        self.name, self.read_only, self._ask = name, read_only, ask

    def add(self, value: str, *, reason: str = "", source: str = "", owner: str = "", expires: Expiry = None) -> None:
        """Adds a value, or replaces what is said of it. Raises InvalidEvent, ReadOnlyList, OwnerUnavailable."""
        self.add_many([value], reason=reason, source=source, owner=owner, expires=expires)

    def add_many(
        self, values: Iterable[str], *, reason: str = "", source: str = "", owner: str = "", expires: Expiry = None
    ) -> int:
        """Adds many values; the number of new ones. In parts of 10,000, each checked before its first is added."""
        left, changed = iter(values), 0
        while part := list(islice(left, messages.LIST_VALUES)):
            told = messages.change(part, reason=reason, source=source, owner=owner, expires=expires)
            changed += self._ask("list_add", self.name, told)
        return changed

    def remove(self, value: str, *, reason: str = "", source: str = "") -> bool:
        """Removes a value; False when it was not there."""
        return bool(self._ask("list_remove", self.name, messages.change([value], reason=reason, source=source)))

    def get(self, value: str) -> Entry | None:
        """What is known of a value; None where it is not listed."""
        found = self._ask("list_get", self.name, {"value": value})
        return None if found is None else Entry(**found)

    def __contains__(self, value: str) -> bool:
        return bool(self._ask("list_contains", self.name, {"value": value}))

    def __len__(self) -> int:
        return int(self._page(0)["size"])

    def __iter__(self) -> Iterator[str]:
        """Page by page: what changes meanwhile may be met twice, or not at all."""
        start = 0
        while values := self._page(start)["values"]:
            yield from values
            start += len(values)

    def _page(self, start: int) -> dict[str, Any]:
        found: dict[str, Any] = self._ask("list_values", self.name, {"start": start})
        return found

    def __repr__(self) -> str:
        return f"<RemoteList {self.name}>"


class RemoteLists(Mapping[str, RemoteList]):
    """The lists of the policy in force, by name; asked for each time."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def _known(self) -> dict[str, bool]:
        known: dict[str, bool] = self._ask("lists", None)
        return known

    def __getitem__(self, name: str) -> RemoteList:
        known = self._known()
        if name not in known:
            hint = nearest(str(name), known) or f"its lists: {', '.join(known) or 'none'}"
            raise UnknownName(f"the policy has no list {shorten(name)}; {hint}")
        return RemoteList(name, known[name], self._ask)

    def __iter__(self) -> Iterator[str]:
        return iter(self._known())

    def __len__(self) -> int:
        return len(self._known())
