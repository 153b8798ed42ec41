"""What every part of the checker shares: the source, the scope, and how a mistake is reported."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from frmcore.policy.tree import Expr
from frmcore.policy.words import quoted

if TYPE_CHECKING:
    import ast

    from frmcore.policy.expression import Source
    from frmcore.policy.scope import Scope
    from frmcore.policy.source import Place, Problems

Handler = Callable[["Checker", Any], Expr]  # takes the kind of node it is filed under


class Wrong(Exception):
    """The problem was added; nothing is left to say about this node."""


class Checker(msgspec.Struct, frozen=True):
    """Checks the nodes of one expression. A handler returns a typed tree or raises `Wrong`."""

    source: Source
    scope: Scope
    problems: Problems
    names: frozenset[str]  # what may be read: see scope.py
    handlers: Mapping[type[ast.expr], Handler]

    def expr(self, node: ast.expr, *, private: bool = False) -> Expr:
        """The typed tree of `node`. Private values are refused unless the caller can do with a keyed hash."""
        handler = self.handlers.get(type(node))
        if handler is None:
            raise self.wrong(node, "this is not part of the language")
        expr = handler(self, node)
        if expr.type.private and not private and not self.clear:
            hint = "it can be a key, in a list, compared by ==, counted by count_distinct; or derive a field from it"
            raise self.wrong(expr, f"the private {quoted(expr.text)} can't be used here", hint)
        return expr

    def exprs(self, nodes: Iterable[ast.expr], *, private: bool = False) -> list[Expr]:
        """Every one of `nodes`, so that the mistakes of all are seen."""
        found, wrong = [], False
        for node in nodes:
            try:
                found.append(self.expr(node, private=private))
            except Wrong:
                wrong = True
        if wrong:
            raise Wrong
        return found

    @property
    def clear(self) -> bool:
        """Derived fields are computed before private values are hashed."""
        return "clear" in self.names

    def at(self, node: ast.expr) -> tuple[Place, str]:
        """Place and text: what every tree node starts with, after its type."""
        return self.source.place(node), self.source.text(node)

    def wrong(self, where: ast.expr | ast.keyword | Expr, message: str, hint: str = "") -> Wrong:
        """Adds the problem; the caller raises what is returned."""
        place = where.place if isinstance(where, Expr) else self.source.place(where)
        self.problems.add(place, message, hint)
        return Wrong()

    def warn(self, where: ast.expr, message: str) -> None:
        """Something that `check` says of a sound policy."""
        self.scope.warn(self.source.place(where), message)
