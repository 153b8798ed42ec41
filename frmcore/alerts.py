"""Alerts: what rules tell people about entities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import msgspec
from msgspec.structs import asdict

if TYPE_CHECKING:
    from collections.abc import Mapping


class Alert(msgspec.Struct, frozen=True):
    """One alert: raised by a rule about an entity, once in the span that the rule's `alert` says.

    `about`: the field that names the entity; `entity`: its value (of a private field a hash). `event_id`, `time`: the
    event that raised it, in epoch ms. `evidence`: ids of the events in the windows that the rule rests on, that event
    first, at most 100.
    """

    rule: str
    about: str
    entity: str | int
    typology: str
    event_id: str
    time: int
    evidence: tuple[str, ...]

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Self:
        """From what a record says."""
        named = {name: said[name] for name in ("rule", "about", "entity", "typology", "time")}
        return cls(**named, event_id=said["event"], evidence=tuple(said["evidence"]))

    def to_dict(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return {**asdict(self), "evidence": list(self.evidence)}

    def __str__(self) -> str:
        return f"{self.typology or self.rule}: {self.about} {self.entity}"
