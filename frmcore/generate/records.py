"""What a stream is made of."""

from __future__ import annotations

from typing import Any, Final, NamedTuple, TypeAlias

Event: TypeAlias = dict[str, Any]

FIELDS: Final = {
    "txn_id": str, "ts": int, "kind": str, "account": str, "country": str, "channel": str, "email": str, "device": str,
    "ip": str, "card": str, "merchant": str, "category": str, "payee": str, "amount": int, "currency": str,
}  # fmt: skip
"""Every field of an event, in order: the columns of CSV and Parquet. An absent field is left out of its event."""


class Update(NamedTuple):
    """A later fact about an event: `field` became `value` at `at` (epoch milliseconds)."""

    id: str
    at: int
    field: str
    value: str


Record: TypeAlias = Event | Update
