"""An engine and its twin, driven together: every operation must give both the same answer or the same error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import frmcore.explain
from frmcore.errors import EventConflict, FrmcoreError
from frmcore.policy import load
from twin.engine import Twin
from twin.explain import Explanation

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = bytes(range(16))
PRIVATE = ("pan", "holder")  # fields of the random policies
PLAIN = ("event_id", "point", "outcome", "score", "fired", "shadow", "unknown", "actions", "lists", "seq")


class Different(AssertionError):
    """Engine and twin disagree."""


class Pair:
    """`now` is the clock of both, epoch ms."""

    def __init__(self, text: str, now: int) -> None:
        self.now = now
        policy = load(text)
        self.twin = Twin(policy, clock=lambda: self.now)
        self.engine = frmcore.Engine(None, policy=policy, clock=lambda: self.now, key=KEY)

    def both(self, operation: Callable[[Any], object], what: object = "") -> object:
        """Applies `operation` to the engine and to the twin, and returns the twin's answer."""
        ours, theirs = answer(operation, self.engine), answer(operation, self.twin)
        check(ours, theirs, what)
        return theirs

    def explain(self, event_id: str, point: str | None) -> None:
        """Of the evidence only what the twin can tell."""
        ours, theirs = (answer(lambda side: side.explain(event_id, point), side) for side in (self.engine, self.twin))
        if isinstance(ours, dict) and isinstance(theirs, dict):
            ours["evidence"] = {name: ours["evidence"][name] for name in theirs["evidence"]}
        check(ours, theirs, ("explain", event_id, point))

    def decide(self, event: dict[str, object]) -> object:
        return self.both(lambda side: side.decide(event), ("decide", event))

    def evict(self, windows: dict[str, int], ids: int | None) -> None:
        """`windows`: feature, or "~" and a feature whose `since` is meant, -> up to which time its idle keys go."""
        plan = self.engine._core.book.plan
        of = {feature.name: plan.groups[feature.group] for feature in plan.features if feature.group >= 0}
        untils: dict[str, int] = {}
        for name, until in windows.items():
            group = plan.groups[of[name[1:]].marks_group] if name.startswith("~") else of[name]
            untils[group.signature] = max(until, untils.get(group.signature, until))
        self.engine._core.evict(untils, ids)
        self.twin.evict(windows, ids)

    def aggregates(self) -> list[str]:
        """The names that `evict` knows."""
        placed = self.twin.group_of
        return [*placed, *(f"~{name}" for name, group in placed.items() if group.marks is not None)]

    def reload(self, text: str) -> None:
        policy = load(text)
        self.both(lambda side: side.reload(policy), "reload")


def check(ours: object, theirs: object, what: object) -> None:
    if ours != theirs:
        raise Different(f"{what}\nengine: {ours}\ntwin:   {theirs}\n{difference(ours, theirs)}")


def answer(operation: Callable[[Any], object], side: Any) -> object:
    try:
        return plain(operation(side))
    except EventConflict as error:
        return "EventConflict", plain(error.decision)
    except FrmcoreError as error:
        return type(error).__name__


def plain(result: Any) -> object:
    """A decision or features as comparable data, floats by their bits; anything else says only that it was done."""
    if isinstance(result, dict):
        return {name: exact(value) for name, value in result.items()}
    if isinstance(result, frmcore.explain.Explanation):
        states = {rule.id: rule.state for rule in result.rules if rule.state != "not evaluated"}
        evidence = {feature.name: (feature.start, feature.evidence) for feature in result.features}
        return explanation(result, states, evidence)
    if isinstance(result, Explanation):
        return explanation(result, result.states, result.evidence)
    if not hasattr(result, "outcome"):
        return "done"
    found = {name: getattr(result, name) for name in PLAIN}
    found |= {"late": bool(result.late), "duplicate": bool(result.duplicate)}
    found |= {name: getattr(result, name) for name in ("intended", "holdout", "probability")}
    found["alerts"] = tuple(map(alerted, result.alerts))
    found["reasons"] = tuple(result.reasons)
    found["notes"] = tuple(sorted(result.notes))
    found["features"] = {name: exact(value) for name, value in result.features.items()}
    return found


def alerted(alert: Any) -> object:
    """An alert without its evidence, which must begin with the event itself."""
    if isinstance(alert, tuple):
        return alert
    assert alert.evidence[0] == alert.event_id
    entity = "private" if alert.about in PRIVATE else alert.entity
    return alert.rule, alert.about, entity, alert.typology, alert.event_id, alert.time


def explanation(result: Any, states: object, evidence: object) -> dict[str, Any]:
    fields = {name: exact(value) for name, value in result.fields.items()}
    decision = plain(result.decision)
    return {"decision": decision, "final": result.final, "fields": fields, "states": states, "evidence": evidence}


def exact(value: object) -> object:
    """A value that equals another only if type and bits do."""
    return type(value).__name__, value.hex() if isinstance(value, float) else value


def difference(ours: object, theirs: object) -> str:
    if not isinstance(ours, dict) or not isinstance(theirs, dict):
        return ""
    lines = []
    for name in ours:
        if name in theirs and name == "features" and ours[name].keys() == theirs[name].keys():
            pairs = ((feature, ours[name][feature], theirs[name][feature]) for feature in ours[name])
            lines += [f"  {feature}: engine {one}, twin {other}" for feature, one, other in pairs if one != other]
        elif ours[name] != theirs.get(name):
            lines.append(f"  {name}: engine {ours[name]}, twin {theirs.get(name)}")
    return "\n".join(lines)
