"""What a policy will need: memory for so many entities, and the work of one decision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from frmcore.limits import WINDOW_MS_MAX
from frmcore.policy.lower import lower

if TYPE_CHECKING:
    from collections.abc import Mapping

    from frmcore.plan import Group, Plan
    from frmcore.policy import Policy

# Upper bounds of what the engine accounts for, as tests/test_authoring_lint.py measures them.
_KEY_BYTES: Final = 96  # of a key that is known
_LIFE_BYTES: Final = 64  # of totals over all that was recorded
_TOTAL_BYTES: Final = 96  # for each value that is summed up there
_EVENT_BYTES: Final = 24  # of one event in a ring: time, sequence, slack
_COLUMN_BYTES: Final = 8  # for each value that is kept of it
_DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class Memory:
    """Of one group of windows: bytes for `keys` keys with `events` events each; 0 keys where nobody said how many."""

    entity: str
    features: tuple[str, ...]
    keys: int
    events: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Work:
    """One decision at most: instructions of the program, windows that are asked, rings they are in, look-ups in
    lists."""

    instructions: int
    windows: int
    rings: int
    lists: int


def memory(policy: Policy, entities: Mapping[str, int], per_day: float) -> list[Memory]:
    """By group. `entities`: how many of each type ("card+merchant" for a key of two); `per_day`: events of each a day,
    evenly spread."""
    plan = lower(policy)
    return [_group(index, group, plan, entities, per_day) for index, group in enumerate(plan.groups)]


def _group(index: int, group: Group, plan: Plan, entities: Mapping[str, int], per_day: float) -> Memory:
    features = tuple(feature.name for feature in plan.features if feature.group == index)
    keys, events = entities.get(group.entity, 0), _events(group, plan, per_day)
    values = len(group.columns)
    per_key = _KEY_BYTES + (_LIFE_BYTES + _TOTAL_BYTES * values if group.life else 0)
    return Memory(
        group.entity, features, keys, events, keys * (per_key + events * (_EVENT_BYTES + _COLUMN_BYTES * values))
    )


def _events(group: Group, plan: Plan, per_day: float) -> int:
    """What a ring keeps: the longest window, and as much more as events may be late."""
    span = group.span_ms if group.span_ms >= 0 else WINDOW_MS_MAX
    kept = span + plan.limits.horizon_ms
    cell = group.every_ms if group.every_ms else 0
    most = per_day * kept / _DAY_MS
    if cell:
        most = min(most, kept / cell + 1)
    return min(round(most + 0.5), plan.limits.ring_events_max)


def work(policy: Policy) -> Work:
    plan = lower(policy)
    windows = sum(feature.group >= 0 for feature in plan.features)
    return Work(len(plan.code), windows, len(plan.groups), len(plan.probes))
