"""Features: each an aggregate or an expression, checked after those it needs."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, TypeGuard

from frmcore.policy.aggregates import aggregate
from frmcore.policy.calls import is_aggregate
from frmcore.policy.checker import Checker, Wrong
from frmcore.policy.scope import ALL
from frmcore.policy.tree import Feature

if TYPE_CHECKING:
    from collections.abc import Mapping

    from frmcore.policy.checker import Handler
    from frmcore.policy.expression import Source
    from frmcore.policy.scope import Scope
    from frmcore.policy.source import Problems, Scalar

    Sources = Mapping[str, tuple[Scalar, Source]]


def feature(c: Checker, name: Scalar) -> Feature:
    """One feature; those it names are in the scope already."""
    node, text = c.source.tree, c.source.scalar.text.strip()
    if _is_aggregate(node):
        computed, of = aggregate(c, node)
        return Feature(name.text, of, computed, None, name.place, text)
    expression = c.expr(node)
    return Feature(name.text, expression.type, None, expression, name.place, text)


def check_all(sources: Sources, scope: Scope, problems: Problems, handlers: Mapping[type[ast.expr], Handler]) -> None:
    """Fills `scope.features`, or `scope.broken`."""
    for name in _in_order(sources, scope, problems):
        scalar, source = sources[name]
        try:
            scope.features[name] = feature(Checker(source, scope, problems, ALL, handlers), scalar)
        except Wrong:
            scope.broken.add(name)


def _is_aggregate(node: ast.expr) -> TypeGuard[ast.Call]:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and is_aggregate(node.func.id, node)


def _in_order(sources: Sources, scope: Scope, problems: Problems) -> list[str]:
    """Names, each after those it needs. Cycles are reported and left out."""
    needs = {name: _needs(source.tree, sources) for name, (_, source) in sources.items()}
    while True:
        try:
            return list(TopologicalSorter(needs).static_order())
        except CycleError as error:
            cycle: list[str] = error.args[1][::-1]  # graphlib lists each before what needs it
            _report(cycle, sources, problems)
            scope.broken.update(cycle)
            needs = {name: needed - set(cycle) for name, needed in needs.items() if name not in cycle}


def _needs(tree: ast.expr, sources: Sources) -> set[str]:
    """The features that an expression names; an aggregate looks at events, not at features."""
    if _is_aggregate(tree):
        return set()
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id in sources}


def _report(cycle: list[str], sources: Sources, problems: Problems) -> None:
    order = list(sources)
    start = cycle.index(min(cycle, key=order.index))
    around = cycle[start:-1] + cycle[: start + 1] if start else cycle
    message = f'the feature "{around[0]}" needs itself'
    hint = "" if len(around) == 2 else " needs ".join(around)
    problems.add(sources[around[0]][0].place, message, hint)
