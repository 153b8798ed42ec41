"""Where a decision differs from what a test expects, and the values that made the difference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from frmcore.authoring.conditions import decisive
from frmcore.authoring.expectations import BY_RULE, BY_TEXT
from frmcore.durations import format_timestamp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from frmcore.authoring.cases import Case, Expectation, Step
    from frmcore.authoring.wishes import Wish
    from frmcore.explain import Explanation, FeatureTrace, Node
    from frmcore.policy import Policy
    from frmcore.policy.source import Place

_EVIDENCE_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Difference:
    """One expectation that was not met. `because`: lines of (how far indented, what, its value)."""

    place: Place
    expected: str
    found: str
    because: tuple[tuple[int, str, str], ...] = ()


def refusal(case: Case, step: Step, error: Exception) -> Iterator[Difference]:
    """A step was refused: what some tests expect of their event."""
    errors = [expectation for expectation in case.expected if expectation.key == "error"]
    if not errors or step is not case.event:
        what = "the event is decided" if step is case.event else "the history happens"
        yield Difference(step.place, what, f"refused: {error}")
    for expectation in case.expected if errors and step is case.event else ():
        if expectation.key != "error":
            yield Difference(expectation.place, _told(expectation), f"refused: {error}")
        elif expectation.name not in str(error):
            yield Difference(expectation.place, f'an error with "{expectation.name}"', f"refused: {error}")


def differences(policy: Policy, case: Case, explained: Explanation) -> Iterator[Difference]:
    judge = _Judge(policy, explained)
    for expectation in case.expected:
        found = judge.found(expectation)
        if found is not None:
            yield Difference(expectation.place, _told(expectation), found, tuple(judge.because(expectation)))


def _told(expectation: Expectation) -> str:
    """What was expected, in words."""
    name, text = expectation.name, expectation.wish.text
    if expectation.key in BY_RULE or expectation.key == "state":
        if not name:
            return f"{expectation.key}: none"
        state = text if expectation.key == "state" else expectation.key.replace("_", " ")
        return f"{name}: {state}"
    if expectation.key == "features":
        return f"{name} = {text}"
    if expectation.key in BY_TEXT:
        return f'{expectation.key} with "{name}"'
    return f"{expectation.key}: {name or text}"


@dataclass(frozen=True, slots=True)
class _Judge:
    policy: Policy
    explained: Explanation

    def found(self, expectation: Expectation) -> str | None:
        """What is there instead; None where it is as expected."""
        key, name, wish = expectation.key, expectation.name, expectation.wish
        decision = self.explained.decision
        if key == "features":
            trace = self._feature(name)
            return None if wish.holds(trace.value) else "absent" if trace.value is None else self._shown(wish, trace)
        if key in ("outcome", "score", "late"):
            value = getattr(decision, key)
            return None if wish.holds(value) else str(value)
        if key == "error":
            return f"decided: {decision.outcome}"
        if key in BY_TEXT:
            texts: list[str] = list(getattr(decision, key))
            return None if any(name in text for text in texts) else "; ".join(texts) or "none"
        if key == "state":
            return None if self._state(name) == wish.value else self._state(name)
        if key == "not_fired":
            return "fired" if name in decision.fired else None
        return self._among(expectation, list(getattr(decision, key)))

    @staticmethod
    def _shown(wish: Wish, trace: FeatureTrace) -> str:
        """Durations are written in words, whatever their digits."""
        return trace.shown if wish.text[-1:] in "smhdw" else wish.shown(trace.value, trace.shown)

    @staticmethod
    def _among(expectation: Expectation, names: list[str]) -> str | None:
        if not expectation.name:
            return ", ".join(names) or None
        return None if expectation.name in names else ", ".join(names) or "none"

    def _state(self, rule: str) -> str:
        found = (trace.state for trace in self.explained.rules if trace.id == rule)
        return next(found, f"not evaluated at {self.explained.decision.point}")

    def _feature(self, name: str) -> FeatureTrace:
        return next(trace for trace in self.explained.features if trace.name == name)

    def because(self, expectation: Expectation) -> Iterator[tuple[int, str, str]]:
        if expectation.key == "features":
            yield from self._window(self._feature(expectation.name))
        elif expectation.key in (*BY_RULE, "state") and expectation.name:
            yield from self._rule(expectation.name, 0)
        elif expectation.key not in BY_TEXT:
            yield from self._fired()

    def _fired(self) -> Iterator[tuple[int, str, str]]:
        """Every rule that had a part in the outcome."""
        for trace in self.explained.rules:
            if trace.state in ("fired", "exempted", "unknown"):
                effect = ", ".join(filter(None, (trace.outcome, f"score {trace.score}" if trace.score else "")))
                yield 0, f"{trace.id} ({effect or 'no outcome'})", trace.state
                yield from self._rule(trace.id, 1)

    def _rule(self, rule: str, depth: int) -> Iterator[tuple[int, str, str]]:
        """The conditions that decided it."""
        checked = next(each for each in self.policy.rules if each.id == rule)
        trace = next((each for each in self.explained.rules if each.id == rule), None)
        if trace is None or trace.state == "not evaluated":
            return
        for node in decisive(checked.when, trace.tree):
            yield from _lines(node, depth)

    @staticmethod
    def _window(trace: FeatureTrace) -> Iterator[tuple[int, str, str]]:
        if trace.end is None:
            return
        start = "the first" if trace.start is None else format_timestamp(trace.start)
        ids = ", ".join(trace.evidence[:_EVIDENCE_SHOWN])
        more = len(trace.evidence) - _EVIDENCE_SHOWN
        yield (
            0,
            f"its window, {start} to {format_timestamp(trace.end)}",
            ids + (f" and {more} more" * (more > 0)) or "no events",
        )


def _lines(node: Node, depth: int) -> Iterator[tuple[int, str, str]]:
    yield depth, node.text, node.shown
    for child in node.children:
        yield from _lines(child, depth + 1)
