"""Which features are read, directly or through another feature; and which by no rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frmcore.policy.tree import Aggregate, Expr, Feature, Ref, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def unused_features(features: tuple[Feature, ...], rules: tuple[Rule, ...]) -> tuple[Feature, ...]:
    """In file order. O(size of all trees)."""
    used = {feature.name for feature in features_read([(r.when, r.reason.parts, r.rollout) for r in rules], features)}
    return tuple(feature for feature in features if feature.name not in used)


def features_read(trees: object, features: tuple[Feature, ...]) -> tuple[Feature, ...]:
    """Those that expressions (in lists or tuples of any depth) rest on, in file order. O(size of all trees)."""
    known = {feature.name: feature for feature in features}
    waiting = list(_names(trees))
    used: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in known and name not in used:
            used.add(name)
            waiting += _names((known[name].aggregate, known[name].expression))
    return tuple(feature for feature in features if feature.name in used)


def _names(tree: object) -> Iterator[str]:
    """The features that a tree refers to."""
    return (node.name for node in nodes_of(tree) if isinstance(node, Ref) and node.source == "feature")


def nodes_of(tree: object) -> Iterator[Expr | Aggregate]:
    """Every node of expressions and aggregates, in tuples or not."""
    if isinstance(tree, tuple | list):
        for item in tree:
            yield from nodes_of(item)
    elif isinstance(tree, Expr | Aggregate):
        yield tree
        for name in tree.__struct_fields__:
            if name not in ("type", "place", "text"):
                yield from nodes_of(getattr(tree, name))
