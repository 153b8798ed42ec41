"""A decision that came over a socket."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Self

import msgspec

from frmcore._fast import packed_value
from frmcore.alerts import Alert

if TYPE_CHECKING:
    from collections.abc import Mapping

    from frmcore.values import Value

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder().decode


def alert(told: Mapping[str, Any]) -> Alert:
    """As it came."""
    return Alert(**{**told, "evidence": tuple(told["evidence"])})


class Decision(msgspec.Struct, frozen=True, eq=False, gc=False):
    """One decision, with the attributes of `frmcore.Decision`, and `fallback`: the owner was away or slow, and the
    caller's own choice was taken. Then `seq` is 0, and no rule, feature or reason is known.

    It holds the bytes that came, and reads in them when it is asked: what nobody looks at costs nothing. No garbage
    collector goes through it.
    """

    data: bytes
    shown: Any = None  # features, once they were asked for

    @classmethod
    def of(cls, **told: Any) -> Self:
        """From what it says, by the protocol's keys."""
        return cls(_encode(told))

    def _read(self, key: bytes, absent: Any) -> Any:
        found = packed_value(self.data, key)
        return absent if found is None else _decode(found)

    @property
    def event_id(self) -> str:
        return str(self._read(b"id", ""))

    @property
    def outcome(self) -> str:
        return str(self._read(b"outcome", ""))

    @property
    def point(self) -> str:
        return str(self._read(b"point", ""))

    @property
    def policy(self) -> str:
        return str(self._read(b"policy", ""))

    @property
    def time(self) -> int:
        return int(self._read(b"time", 0))

    @property
    def seq(self) -> int:
        return int(self._read(b"seq", 0))

    @property
    def score(self) -> int:
        return int(self._read(b"score", 0))

    @property
    def duplicate(self) -> bool:
        return bool(self._read(b"duplicate", False))

    @property
    def late(self) -> bool:
        return bool(self._read(b"late", False))

    @property
    def durable(self) -> bool:
        return bool(self._read(b"durable", False))

    @property
    def fallback(self) -> bool:
        return bool(self._read(b"fallback", False))

    @property
    def holdout(self) -> bool:
        return bool(self._read(b"holdout", False))

    @property
    def probability(self) -> float:
        return float(self._read(b"probability", 1.0))

    @property
    def intended(self) -> str:
        """The outcome that the rules asked for; of the holdout another one took effect."""
        return str(self._read(b"intended", "")) or self.outcome

    @property
    def fired(self) -> tuple[str, ...]:
        return tuple(self._read(b"fired", ()))

    @property
    def reasons(self) -> list[str]:
        return list(self._read(b"reasons", ()))

    @property
    def actions(self) -> tuple[str, ...]:
        return tuple(self._read(b"actions", ()))

    @property
    def shadow(self) -> tuple[str, ...]:
        return tuple(self._read(b"shadow", ()))

    @property
    def unknown(self) -> tuple[str, ...]:
        return tuple(self._read(b"unknown", ()))

    @property
    def exempted(self) -> tuple[str, ...]:
        return tuple(self._read(b"exempted", ()))

    @property
    def lists(self) -> tuple[str, ...]:
        return tuple(self._read(b"lists", ()))

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(self._read(b"notes", ()))

    @property
    def alerts(self) -> tuple[Alert, ...]:
        """What people are told about entities."""
        return tuple(map(alert, self._read(b"alerts", ())))

    @property
    def features(self) -> Mapping[str, Value]:
        """Name -> value, in file order; None is absent. Read-only."""
        if self.shown is None:
            msgspec.structs.force_setattr(self, "shown", MappingProxyType(self._read(b"features", {})))
        shown: Mapping[str, Value] = self.shown
        return shown

    def packed(self) -> bytes:
        """As MessagePack, as it came (docs/protocol.md)."""
        return self.data

    def to_dict(self) -> dict[str, Any]:
        """The decision as plain data, for JSON; `fallback` only where it is one."""
        plain: dict[str, Any] = {
            "event_id": self.event_id, "point": self.point, "outcome": self.outcome, "score": self.score,
            "intended": self.intended, "holdout": self.holdout, "probability": self.probability,
            "fired": list(self.fired), "shadow": list(self.shadow), "unknown": list(self.unknown),
            "actions": list(self.actions), "alerts": self._read(b"alerts", []), "reasons": self.reasons,
            "features": dict(self.features), "lists": list(self.lists), "policy": self.policy, "seq": self.seq,
            "duplicate": self.duplicate, "late": self.late, "durable": self.durable, "notes": list(self.notes),
        }  # fmt: skip
        return plain | {"fallback": True} if self.fallback else plain

    def __repr__(self) -> str:
        fired = f" fired={', '.join(self.fired)}" if self.fired else ""
        kind = " fallback" if self.fallback else f" score={self.score}"
        return f"<Decision {self.event_id} {self.outcome}{kind}{fired}>"
