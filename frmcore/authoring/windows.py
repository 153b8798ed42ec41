"""Aggregates in plain English: "the number of payments by this card in the last 10 minutes"."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from frmcore.plan import CalendarUnit
from frmcore.policy.tree import Aggregate, Calendar, Duration, Ref

if TYPE_CHECKING:
    from frmcore.authoring.phrases import Phrases

_UNITS: Final = ((86_400_000, "day"), (3_600_000, "hour"), (60_000, "minute"), (1_000, "second"), (1, "millisecond"))
_DAY_MS: Final = 86_400_000
_OF_VALUES: Final = {
    "sum": "the total {} of", "mean": "the average {} of", "min": "the smallest {} of", "max": "the largest {} of",
    "std": "the standard deviation of the {} of",
    "first": "the first {} of", "last": "the last {} of",
}  # fmt: skip
_CALENDARS: Final = {CalendarUnit.DAY: "today", CalendarUnit.WEEK: "this week", CalendarUnit.MONTH: "this month"}


def words_of_duration(ms: int) -> str:
    """`600000` is "10 minutes"; a day is "24 hours", as people count back from now."""
    if ms == _DAY_MS:
        return "24 hours"
    size, name = next(((size, name) for size, name in _UNITS if ms % size == 0), _UNITS[-1])
    count = ms // size
    return f"{count:,} {name}{'' if count == 1 else 's'}"


def plain_name(name: str) -> str:
    return name.replace("_", " ")


def plural(name: str) -> str:
    return f"{name[:-1]}ies" if name.endswith("y") and name[-2:-1] not in "aeiou" else f"{name}s"


def aggregate_phrase(found: Aggregate, phrases: Phrases) -> str:
    head = _head(found, phrases)
    parts = [head, _by(found), _window(found, phrases)]
    if found.function == "share" and found.value is not None:
        parts.append(f"for which {phrases.clause(found.value)}")
    if found.closed in ("left", "neither") and found.over is not None:
        parts.append("before this one")
    if found.where is not None:
        parts.append(f"(only those where {phrases.clause(found.where)})")
    return " ".join(filter(None, parts))


def _head(found: Aggregate, phrases: Phrases) -> str:
    events = _events(found.on)
    match found.function:
        case "count":
            return f"the number of {events}"
        case "share":
            return f"the share of {events}"
        case "since_last" | "since_first":
            which = "last" if found.function == "since_last" else "first"
            return f"the time since the {which} {_event(found.on)}"
    assert found.value is not None  # noqa: S101  the others take one
    simple = isinstance(found.value, Ref)
    value = plain_name(found.value.name) if isinstance(found.value, Ref) else phrases.noun(found.value)
    if found.function == "count_distinct":
        return f"the number of different {plural(value) if simple else f'values of {value}'} in {events}"
    return f"{_OF_VALUES[found.function].format(value.removeprefix('the '))} {events}"


def _events(on: tuple[str, ...] | None) -> str:
    return "events" if on is None else " and ".join(plural(plain_name(kind)) for kind in on)


def _event(on: tuple[str, ...] | None) -> str:
    return "event" if on is None else " or ".join(map(plain_name, on))


def _by(found: Aggregate) -> str:
    """By the same key, or by another role of the same entity: whose payee is this account."""
    if found.by == found.lookup:
        return f"by this {' and '.join(map(plain_name, found.by))}"
    pairs = zip(found.by, found.lookup, strict=True)
    return "whose " + " and ".join(f"{plain_name(by)} is this {plain_name(lookup)}" for by, lookup in pairs)


def _window(found: Aggregate, phrases: Phrases) -> str:
    parts = []
    if isinstance(found.over, Calendar):
        days = found.over.unit is CalendarUnit.DAY and found.over.count > 1
        name = f"in {found.over.count} calendar days up to today" if days else _CALENDARS[found.over.unit]
        parts.append(f"{name} ({found.over.zone})")
    elif isinstance(found.over, Duration):
        length = words_of_duration(found.over.ms)
        delay = words_of_duration(found.delay_ms)
        parts.append(
            f"in the {length} that ended {delay} ago" if found.delay_ms else f"in the last {length.removeprefix('1 ')}"
        )
    elif found.delay_ms:
        parts.append(f"until {words_of_duration(found.delay_ms)} ago")
    if found.since is not None:
        parts.append(f"since the last event for which {phrases.clause(found.since)}")
    if found.every_ms:
        parts.append(f"in steps of {words_of_duration(found.every_ms)}")
    return " ".join(parts)
