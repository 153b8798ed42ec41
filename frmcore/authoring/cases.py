"""A test of a policy as data: what happened before, the event that is decided, and what is expected of the decision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from frmcore.authoring.wishes import Wish
    from frmcore.policy.source import Place

START_MS = 1_772_452_800_000  # 2026-03-02T12:00:00Z, a Monday: when tests start that do not say


@dataclass(frozen=True, slots=True)
class EventStep:
    """An event happens at `at` (epoch ms). `updates` are told right after it was decided."""

    place: Place
    at: int
    event_id: str
    fields: Mapping[str, Any]
    updates: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class UpdateStep:
    """Facts are told about an earlier event, which is decided again at `point` if one is named."""

    place: Place
    at: int
    event_id: str
    point: str
    updates: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ListStep:
    """A value comes onto a list, until `expires` (epoch ms) where given, or leaves it."""

    place: Place
    at: int
    list: str
    value: str
    removed: bool
    expires: int | None


Step = EventStep | UpdateStep | ListStep


@dataclass(frozen=True, slots=True)
class Expectation:
    """One thing that is expected. `key` as in `expect:`, `name` the rule or feature it is about ("" for none)."""

    place: Place
    key: str
    name: str
    wish: Wish


@dataclass(frozen=True, slots=True)
class Case:
    """One test. `rule`: the rule it stands beside, "" in a file of tests. `point`: where it asks for the decision, ""
    for the point that the event's kind says."""

    name: str
    rule: str
    place: Place
    point: str
    history: tuple[Step, ...]
    event: EventStep
    expected: tuple[Expectation, ...]
