"""What `explain` and reasons show: the tree of a rule, and its reason, with the registers to read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from frmcore.plan import Kind, ReasonPart, TraceNode
from frmcore.policy.tree import Const, Expr, ReasonText
from frmcore.policy.walk import children, references

if TYPE_CHECKING:
    from frmcore.policy.emit import Emitter
    from frmcore.policy.tree import Policy

_NUMBERS: Final = (Kind.INT, Kind.DECIMAL, Kind.FLOAT, Kind.MONEY, Kind.DURATION)


def trace(emitter: Emitter, expr: Expr) -> TraceNode:
    """The tree as it was written."""
    kind = expr.type
    return TraceNode(
        text=expr.text,
        reg=emitter.home(expr),
        kind=kind.kind,
        rep=kind.rep,
        scale=kind.scale,
        values=kind.values,
        currency=kind.currency,
        private=kind.private,
        children=tuple(trace(emitter, child) for child in shown_children(expr)),
    )


def shown_children(expr: Expr) -> tuple[Expr, ...]:
    """Literals say it all in their parent's text; a parameter's value is worth a line."""
    return tuple(child for child in children(expr) if not isinstance(child, Const) or child.param)


def rests_on(emitter: Emitter, expr: Expr, policy: Policy) -> tuple[ReasonPart, ...]:
    """The numbers that an expression depends on, each once: facts and aggregates, those behind other features too."""
    expressions = {feature.name: feature.expression for feature in policy.features if feature.expression is not None}
    found: dict[str, ReasonPart] = {}
    waiting, seen = [expr], set[str]()
    while waiting:
        for ref in references(waiting.pop(0)):
            if ref.name in expressions and ref.source == "feature":
                waiting += [expressions[ref.name]] if ref.name not in seen else []
                seen.add(ref.name)
            elif ref.type.kind in _NUMBERS and not ref.type.private:
                found.setdefault(ref.name, _shown(emitter, ref))
    return tuple(found.values())


def reason(emitter: Emitter, text: ReasonText) -> tuple[ReasonPart, ...]:
    return tuple(ReasonPart(part) if isinstance(part, str) else _shown(emitter, part) for part in text.parts)


def _shown(emitter: Emitter, expr: Expr) -> ReasonPart:
    kind = expr.type
    return ReasonPart(expr.text, emitter.home(expr), kind.kind, kind.rep, kind.scale, kind.values, kind.currency)
