"""What a life group keeps of the entries that left its ring."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from twin.values import Value

Key = tuple["Value", ...]
Place = tuple[int, int]


@dataclass
class Base:
    """The entries that a life group folded into its totals for one key, and which were the first and the last.

    One of these two that is retracted leaves nobody who knows the next, until an entry beyond it is folded."""

    places: set[Place] = field(default_factory=set)
    first: Place | None = None
    last: Place | None = None
    first_lost: bool = False
    last_lost: bool = False

    def add(self, place: Place) -> None:
        if self.first is None or place <= self.first:
            self.first, self.first_lost = place, False
        if self.last is None or place >= self.last:
            self.last, self.last_lost = place, False
        self.places.add(place)

    def retract(self, place: Place) -> None:
        if place not in self.places:
            return
        self.places.remove(place)
        self.first_lost |= place == self.first
        self.last_lost |= place == self.last
        if not self.places:
            self.first, self.last, self.first_lost, self.last_lost = None, None, False, False
