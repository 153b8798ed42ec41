"""Runs a test through the very engine that decides live, in memory, on a clock that stands where the test says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from frmcore.authoring.cases import EventStep, ListStep, UpdateStep
from frmcore.authoring.differences import Difference, differences, refusal
from frmcore.engine import Engine
from frmcore.errors import FrmcoreError

if TYPE_CHECKING:
    from frmcore._fast import Decision
    from frmcore.authoring.cases import Case, Step
    from frmcore.explain import Explanation
    from frmcore.policy import Policy

_KEY: Final = bytes(16)  # no decision depends on it


@dataclass(frozen=True, slots=True)
class Result:
    """How a test went. `explained`: the decision that was tested, None where its event was refused."""

    case: Case
    differences: tuple[Difference, ...]
    explained: Explanation | None

    @property
    def ok(self) -> bool:
        return not self.differences


def run(policy: Policy, case: Case) -> Result:
    """A new engine for each test: none sees what another did. A test that can't be carried out differs."""
    world = _World(policy)
    step: Step = case.event
    try:
        for step in case.history:
            world.take(step)
        step = case.event
        decision = world.decide(case.event, case.point)
        explained = world.engine.explain(decision.event_id, decision.point)
        return Result(case, tuple(differences(policy, case, explained)), explained)
    except (FrmcoreError, ValueError) as error:
        return Result(case, tuple(refusal(case, step, error)), None)
    finally:
        world.engine.close()


class _World:
    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._now = 0
        self._after = {point.name: point.after for point in policy.points}
        self._required = dict.fromkeys((field.name for field in policy.fields if not field.optional), None)
        self.engine = Engine(None, policy=policy, clock=lambda: self._now, max_ahead=0, key=_KEY, private_key=_KEY)

    def take(self, step: Step) -> None:
        self._now = step.at
        match step:
            case EventStep():
                self._first(step)
                self._tell(step.event_id, step.updates)
            case UpdateStep(point=""):
                self._tell(step.event_id, step.updates)
            case UpdateStep():
                self.engine.decide_again(step.event_id, step.point, **step.updates)
            case ListStep():
                self._change(step)

    def decide(self, step: EventStep, point: str) -> Decision:
        """The decision that is tested: at a later point after those before it."""
        self._now = step.at
        if not self._after.get(point):
            return self._first(step, point or None)
        self._first(step)
        for later in self._between(point):
            self.engine.decide_again(step.event_id, later)
        return self.engine.decide_again(step.event_id, point, **step.updates)

    def _between(self, point: str) -> list[str]:
        """Later points that come before `point`, in order."""
        before = self._after[point]
        return [*self._between(before), before] if self._after[before] else []

    def _first(self, step: EventStep, point: str | None = None) -> Decision:
        fields: dict[str, Any] = {**self._required, **step.fields}
        fields |= {self._policy.id_field: step.event_id, self._policy.time_field: step.at}
        return self.engine.decide(self._policy.Event(**fields), point)

    def _tell(self, event_id: str, updates: Any) -> None:
        if updates:
            self.engine.update(event_id, **updates)

    def _change(self, step: ListStep) -> None:
        entries = self.engine.lists[step.list]
        if step.removed:
            entries.remove(step.value)
        else:
            entries.add(step.value, expires=step.expires)
