"""Text to typed trees: the expressions of a policy, checked against what it declares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frmcore.policy.scope import ALL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from frmcore.policy.scope import Scope
    from frmcore.policy.source import Problems, Scalar
    from frmcore.policy.tree import Expr, Feature, ReasonText, Type


def check_expression(
    scalar: Scalar, scope: Scope, problems: Problems, *, want: Type | None = None, names: frozenset[str] = ALL
) -> Expr | None:
    """The tree of one expression, or None after its problems were added.

    `want`: the type it must have (a rule wants BOOL); a string literal becomes it where it can. `names`: what it may
    read: `ALL`, `FILTER` or `DERIVED` of scope.py.
    """
    raise NotImplementedError


def check_features(items: Sequence[tuple[Scalar, Scalar]], scope: Scope, problems: Problems) -> tuple[Feature, ...]:
    """The features of (name, text) pairs, in file order; in any order of reference.

    Fills `scope.features` with the sound ones and `scope.broken` with the others.
    """
    raise NotImplementedError


def check_reason(scalar: Scalar, scope: Scope, problems: Problems) -> ReasonText | None:
    """`"{card_attempts_10m} attempts"`: braces hold a name, `{{` and `}}` stand for braces."""
    raise NotImplementedError


def check_rollout(scalar: Scalar, rule_id: str, scope: Scope, problems: Problems) -> Expr | None:
    """`20% by account` as `bucket(account, rule_id) < 2000`."""
    raise NotImplementedError
