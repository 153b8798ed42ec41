"""Cells of files as the values that events have: what `run`, `explain` and a backtest share."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from frmcore.plan import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from frmcore.policy.tree import Policy

Fields: TypeAlias = "Mapping[str, tuple[tuple[str, ...], Kind]]"
"""Name -> where the field stands in an event, and its kind."""

EPOCH: Final = datetime.fromtimestamp(0, UTC)
UPDATE_FIELDS: Final[Fields] = {
    "id": (("id",), Kind.STRING),
    "at": (("at",), Kind.TIMESTAMP),
    "field": (("field",), Kind.STRING),
    "value": (("value",), Kind.STRING),
}


def event_fields(policy: Policy) -> Fields:
    """What readers of files want to know of a policy's events."""
    return {field.name: (field.path, field.type.kind) for field in policy.fields}


def typed(text: str, kind: Kind) -> Any:
    """A text as the value it spells; as it is where it spells none, so that the engine says what is wrong."""
    try:
        if kind in (Kind.INT, Kind.MONEY):
            return int(text)
        if kind is Kind.FLOAT:
            return float(text)
        if kind is Kind.TIMESTAMP and text.lstrip("-").isdecimal():
            return int(text)
    except ValueError:
        return text
    return {"true": True, "false": False}.get(text.lower(), text) if kind is Kind.BOOL else text


def epoch_ms(value: object) -> int | None:
    """A time of an event in epoch milliseconds; None for what is no time, or one of no zone."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if isinstance(value, datetime) and value.tzinfo is not None:
        return (value - EPOCH) // timedelta(milliseconds=1)
    return value if type(value) is int else None


def nested(cells: Iterable[tuple[tuple[str, ...], Any]]) -> dict[str, Any]:
    """An event of (path, value) pairs; None is absent."""
    event: dict[str, Any] = {}
    for path, value in cells:
        if value is None:
            continue
        inner = event
        for part in path[:-1]:
            inner = inner.setdefault(part, {})
        inner[path[-1]] = value
    return event
