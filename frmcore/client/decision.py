"""A decision that came over a socket."""

from __future__ import annotations

from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import msgspec

from frmcore.alerts import Alert

if TYPE_CHECKING:
    from collections.abc import Mapping

    from frmcore.values import Value

_NAMES: Final = {"event_id": "id", "packed": "features", "asked": "intended", "raised": "alerts"}
_NO_FEATURES: Final = msgspec.Raw(b"\x80")
_read_features: Final = msgspec.msgpack.Decoder(dict[str, Any]).decode


def alert(told: Mapping[str, Any]) -> Alert:
    """As it came."""
    return Alert(**{**told, "evidence": tuple(told["evidence"])})


class Decision(msgspec.Struct, frozen=True, kw_only=True, dict=True, rename=_NAMES):
    """One decision, with the attributes of `frmcore.Decision`, and `fallback`: the owner was away or slow, and the
    caller's own choice was taken. Then `seq` is 0, and no rule, feature or reason is known.

    Features are decoded when they are asked for.
    """

    event_id: str
    outcome: str
    point: str = ""
    policy: str = ""
    time: int = 0
    seq: int = 0
    score: int = 0
    duplicate: bool = False
    late: bool = False
    durable: bool = False
    fallback: bool = False
    holdout: bool = False
    probability: float = 1.0
    asked: str = ""
    fired: tuple[str, ...] = ()
    reasons: list[str] = []
    actions: tuple[str, ...] = ()
    shadow: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    exempted: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    raised: list[dict[str, Any]] = []
    packed: msgspec.Raw = _NO_FEATURES

    @cached_property
    def features(self) -> Mapping[str, Value]:
        """Name -> value, in file order; None is absent. Read-only."""
        return MappingProxyType(_read_features(self.packed))

    @property
    def intended(self) -> str:
        """The outcome that the rules asked for; of the holdout another one took effect."""
        return self.asked or self.outcome

    @property
    def alerts(self) -> tuple[Alert, ...]:
        """What people are told about entities."""
        return tuple(map(alert, self.raised))

    def to_dict(self) -> dict[str, Any]:
        """The decision as plain data, for JSON; `fallback` only where it is one."""
        plain: dict[str, Any] = {
            "event_id": self.event_id, "point": self.point, "outcome": self.outcome, "score": self.score,
            "intended": self.intended, "holdout": self.holdout, "probability": self.probability,
            "fired": list(self.fired), "shadow": list(self.shadow), "unknown": list(self.unknown),
            "actions": list(self.actions), "alerts": self.raised, "reasons": self.reasons,
            "features": dict(self.features), "lists": list(self.lists), "policy": self.policy, "seq": self.seq,
            "duplicate": self.duplicate, "late": self.late, "durable": self.durable, "notes": list(self.notes),
        }  # fmt: skip
        return plain | {"fallback": True} if self.fallback else plain

    def __repr__(self) -> str:
        fired = f" fired={', '.join(self.fired)}" if self.fired else ""
        kind = " fallback" if self.fallback else f" score={self.score}"
        return f"<Decision {self.event_id} {self.outcome}{kind}{fired}>"
