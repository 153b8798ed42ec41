"""Text to typed trees: the expressions of a policy, checked against what it declares.

text -> tokens.py -> expression.py (Python's `ast`) -> the handlers below -> tree.py
"""

from __future__ import annotations

import ast
from functools import partial
from typing import TYPE_CHECKING, Final

from frmcore.policy import reasons
from frmcore.policy.arithmetic import arithmetic, negative
from frmcore.policy.calls import call, subscript
from frmcore.policy.checker import Checker, Handler, Wrong
from frmcore.policy.compare import comparison, conditional, logic, negation
from frmcore.policy.expression import parse
from frmcore.policy.families import comparable, describe
from frmcore.policy.features import check_all
from frmcore.policy.literals import become, constant, mismatch
from frmcore.policy.reading import name
from frmcore.policy.scope import ALL
from frmcore.policy.tree import Const, Expr

if TYPE_CHECKING:
    from collections.abc import Sequence

    from frmcore.policy.scope import Scope
    from frmcore.policy.source import Problems, Scalar
    from frmcore.policy.tree import Feature, ReasonText, Type


def _unary(c: Checker, node: ast.UnaryOp) -> Expr:
    if isinstance(node.op, ast.Not):
        return negation(c, node)
    if isinstance(node.op, ast.USub):
        return negative(c, node)
    raise c.wrong(node, "this operator is not part of the language", "there are not and -")


def _brackets(c: Checker, node: ast.Tuple | ast.List | ast.Set) -> Expr:
    raise c.wrong(node, "listed values stand after in, keys after by=", "write x in (1, 2, 3)")


HANDLERS: Final[dict[type[ast.expr], Handler]] = {  # every other node is refused
    ast.BoolOp: logic,
    ast.UnaryOp: _unary,
    ast.Compare: comparison,
    ast.IfExp: conditional,
    ast.BinOp: arithmetic,
    ast.Call: call,
    ast.Subscript: subscript,
    ast.Name: name,
    ast.Constant: constant,
    ast.Tuple: _brackets,
    ast.List: _brackets,
    ast.Set: _brackets,
}


def check_expression(
    scalar: Scalar, scope: Scope, problems: Problems, *, want: Type | None = None, names: frozenset[str] = ALL
) -> Expr | None:
    """The tree of one expression, or None after its problems were added (or were known: see `Scope.broken`).

    `want`: the type it must have (a rule wants BOOL); a string literal becomes it where it can. `names`: what it may
    read: `ALL`, `FILTER` or `DERIVED` of scope.py. Linear in the length of the text.
    """
    source = parse(scalar, problems)
    if source is None:
        return None
    c = Checker(source, scope, problems, names, HANDLERS)
    try:
        expr = c.expr(source.tree)
        return expr if want is None else _wanted(c, expr, want)
    except Wrong:
        return None


def _wanted(c: Checker, expr: Expr, want: Type) -> Expr:
    if isinstance(expr, Const) and isinstance(expr.value, str):
        expr = become(c, expr, want)
    if not comparable(expr.type, want) or expr.type.rep is not want.rep:
        other = Const(want, expr.place, "", 0)
        hint = mismatch(expr, other) or "compare it with something: amount > ..."
        raise c.wrong(expr, f"{describe(want)} is wanted here, and this is {describe(expr.type)}", hint)
    return expr


def check_features(items: Sequence[tuple[Scalar, Scalar]], scope: Scope, problems: Problems) -> tuple[Feature, ...]:
    """The features of (name, text) pairs, in file order, in any order of reference.

    Fills `scope.features` with the sound ones and `scope.broken` with the others. Names are unique and well formed.
    """
    scope.feature_names |= {title.text for title, _ in items}
    sources = {}
    for title, text in items:
        source = parse(text, problems)
        if source is None:
            scope.broken.add(title.text)
        else:
            sources[title.text] = (title, source)
    check_all(sources, scope, problems, HANDLERS)
    checked = {title: scope.features.pop(title) for title in sources if title in scope.features}
    scope.features |= checked
    return tuple(checked.values())


def check_reason(scalar: Scalar, scope: Scope, problems: Problems) -> ReasonText | None:
    """`"{card_attempts_10m} attempts"`: braces hold a name, `{{` and `}}` stand for braces."""
    return reasons.reason(scalar, problems, partial(check_expression, scope=scope, problems=problems))


def check_rollout(scalar: Scalar, rule_id: str, scope: Scope, problems: Problems) -> Expr | None:
    """`20% by account` as `bucket(account, rule_id) < 2000`; hundredths of a per cent are the finest grain."""
    return reasons.rollout(scalar, rule_id, problems, partial(check_expression, scope=scope, problems=problems))
