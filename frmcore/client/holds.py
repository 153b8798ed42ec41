"""The legal holds of an engine in another process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from frmcore.client import messages
from frmcore.holds import Hold

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from frmcore.lists import Expiry


class RemoteHolds:
    """The methods of `Engine.holds`; each is a call to the owner, and raises OwnerUnavailable as well."""

    def __init__(self, ask: Callable[..., Any]) -> None:
        self._ask = ask

    def add(self, entity: str, value: str, *, reason: str = "", source: str = "", until: Expiry = None) -> None:
        """Holds a subject, as `Engine.holds.add`."""
        self._ask("hold_add", (entity, value), messages.hold(reason, source, until))

    def remove(self, entity: str, value: str) -> bool:
        """Ends a hold; False where there was none."""
        return bool(self._ask("hold_remove", (entity, value)))

    def get(self, entity: str, value: str) -> Hold | None:
        """The hold of a subject that is in force."""
        found = self._ask("hold_get", (entity, value))
        return None if found is None else Hold(**found)

    def __iter__(self) -> Iterator[Hold]:
        """Page by page: what changes meanwhile may be met twice, or not at all."""
        start = 0
        while found := self._page(start)["holds"]:
            yield from (Hold(**each) for each in found)
            start += len(found)

    def __len__(self) -> int:
        return int(self._page(0)["size"])

    def _page(self, start: int) -> dict[str, Any]:
        page: dict[str, Any] = self._ask("holds", None, {"start": start})
        return page

    def __repr__(self) -> str:
        return "<RemoteHolds>"
