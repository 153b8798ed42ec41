"""Names: what each refers to, and why it can't be read where it can't."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from frmcore.names import nearest
from frmcore.plan import Kind
from frmcore.policy.checker import Wrong
from frmcore.policy.families import BOOL, INT
from frmcore.policy.functions import AGGREGATES, FUNCTIONS
from frmcore.policy.tree import Const, Expr, Ref, Type
from frmcore.policy.words import quoted

if TYPE_CHECKING:
    import ast

    from frmcore.policy.checker import Checker

Source = Literal["field", "derived", "update", "feature", "final", "score"]

_SHOWN: Final = {"field": "field", "derived": "derived field", "update": "update", "feature": "feature"}
_NOTHING: Final = frozenset(["null", "none", "nil", "absent", "undefined", "nan", "NULL", "NaN"])


def name(c: Checker, node: ast.Name) -> Expr:
    word, scope = node.id, c.scope
    if word in ("true", "false"):
        return Const(BOOL, *c.at(node), int(word == "true"))
    if word in scope.params:
        param = scope.params[word]
        return Const(param.type, *c.at(node), param.value, word)
    if word in ("final", "score"):
        return _special(c, node)
    if word in scope.fields:
        return _ref(c, node, "field", scope.fields[word].type)
    if word in scope.derived:
        return _ref(c, node, "derived", scope.derived[word].type)
    if word in scope.updates:
        return _ref(c, node, "update", scope.updates[word].type)
    if word in scope.features:
        return _ref(c, node, "feature", scope.features[word].type)
    raise _unknown(c, node)


def _ref(c: Checker, node: ast.Name, source: Source, of: Type) -> Ref:
    if source not in c.names:
        raise c.wrong(node, f'the {_SHOWN[source]} "{node.id}" can\'t be read here', _readable(c))
    return Ref(of, *c.at(node), node.id, source)


def _special(c: Checker, node: ast.Name) -> Ref:
    source: Source = "final" if node.id == "final" else "score"
    if source not in c.names:
        raise c.wrong(
            node, f'"{source}" is known once an event was decided', "where= and since= can read it, of past events"
        )
    return Ref(Type(Kind.ENUM, values=c.scope.outcomes) if source == "final" else INT, *c.at(node), source, source)


def _readable(c: Checker) -> str:
    if c.clear:
        return "a derived field is computed from the event's fields"
    return "where=, since= and values look at one event: its fields, updates, final, score and fired(...)"


def _unknown(c: Checker, node: ast.Name) -> Wrong:
    word, scope = node.id, c.scope
    if word in scope.broken:
        return Wrong()
    if word in scope.feature_names:
        return c.wrong(node, f'the feature "{word}" can\'t be read here', _readable(c))
    if word in FUNCTIONS or word in AGGREGATES:
        usage = FUNCTIONS[word].usage if word in FUNCTIONS else AGGREGATES[word]
        return c.wrong(node, f'"{word}" is a function', f"write {usage}")
    if word in scope.lists:
        return c.wrong(node, f'"{word}" is a list', f"ask whether something is in it: card in {word}")
    if word in scope.lookups:
        return c.wrong(node, f'"{word}" is a lookup', f"write what is to be looked up: {word}[card_bin]")
    return c.wrong(node, f"unknown name {quoted(word)}", _meant(c, word))


def _meant(c: Checker, word: str) -> str:
    scope = c.scope
    if word in _NOTHING:
        return "missing(x) asks whether x is absent"
    for declared in (scope.fields | scope.derived | scope.updates).values():
        if word in declared.type.values:
            return f'a text stands in quotes: {declared.name} == "{word}"'
    if word in scope.outcomes:
        return f'a text stands in quotes: "{word}"'
    known = [
        *scope.fields,
        *scope.derived,
        *scope.updates,
        *scope.params,
        *scope.features,
        *scope.lists,
        *scope.lookups,
    ]
    return nearest(word, [*known, *FUNCTIONS, "true", "false", "final", "score"])
