"""Two policies' difference in meaning: what was added, removed, changed and renamed, and which rules that reaches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from frmcore.authoring.aspects import Aspects, Meanings, Told, flat, parts_of
from frmcore.policy.tree import Aggregate, BoolOp, Compare, Const, Expr, InList, Ref
from frmcore.policy.unused import nodes_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from frmcore.policy import Policy
    from frmcore.policy.tree import Rule


@dataclass(frozen=True, slots=True)
class Change:
    """`how`: added, removed, changed or renamed (`name` is the new one). `details`: (aspect, before, now), "" for
    nothing. `rules`: those whose meaning changes with it."""

    how: str
    what: str
    name: str
    details: tuple[tuple[str, str, str], ...] = ()
    rules: tuple[str, ...] = ()


def changes(old: Policy, new: Policy) -> list[Change]:
    """Empty where both mean the same. O(size), and quadratic in the conditions of one rule."""
    before, now = parts_of(old), parts_of(new)
    readers = readers_of(new)
    found: list[Change] = []
    for what in before:
        if what == "rule":
            found += _rules(old, new, before[what], now[what])
            continue
        for how, name, details in _parts(before[what], now[what]):
            found.append(Change(how, what, name, details, () if how == "added" else readers.get(name, ())))
    return found


def _parts(
    before: dict[str, Aspects], now: dict[str, Aspects]
) -> Iterator[tuple[str, str, tuple[tuple[str, str, str], ...]]]:
    for name in {**before, **now}:
        if name not in now:
            yield "removed", name, ()
        elif name not in before:
            yield "added", name, tuple((aspect, "", text) for aspect, text in now[name].items() if _is_worth(text))
        elif details := _details(before[name], now[name]):
            yield "changed", name, details


def _is_worth(text: str) -> bool:
    """What a new part says beyond what every part has."""
    return text not in ("", "all", "no", "0", "live", "silent", "right", "exact")


def _details(before: Aspects, now: Aspects) -> tuple[tuple[str, str, str], ...]:
    aspects = {**before, **now}
    pairs = ((aspect, before.get(aspect, ""), now.get(aspect, "")) for aspect in aspects)
    return tuple(pair for pair in pairs if _counts(pair[1]) != _counts(pair[2]))


def _counts(text: str) -> str:
    return text.meaning if isinstance(text, Told) else text


# -- rules -------------------------------------------------------------------------------------------------------------
def _rules(old: Policy, new: Policy, before: dict[str, Aspects], now: dict[str, Aspects]) -> Iterator[Change]:
    olds, news = ({rule.id: rule for rule in policy.rules} for policy in (old, new))
    gone = {_meaning(olds[name], before[name]): name for name in olds if name not in news}
    renamed = {
        name: gone.pop(key) for name in news if name not in olds and (key := _meaning(news[name], now[name])) in gone
    }
    for name in {**olds, **news}:
        if name in renamed:
            yield Change("renamed", "rule", name, (("id", renamed[name], name),))
        elif name not in news:
            if name not in renamed.values():
                yield Change("removed", "rule", name, (("condition", olds[name].when.text, ""),))
        elif name not in olds:
            told = tuple((aspect, "", text) for aspect, text in now[name].items() if _is_worth(text))
            yield Change("added", "rule", name, (("condition", "", news[name].when.text), *told))
        else:
            details = (*_conditions(olds[name].when, news[name].when), *_details(before[name], now[name]))
            if details:
                yield Change("changed", "rule", name, details)


def _meaning(rule: Rule, aspects: Aspects) -> tuple[object, ...]:
    return (Meanings().of(rule.when), *((aspect, text) for aspect, text in aspects.items()))


def _conditions(before: Expr, now: Expr) -> tuple[tuple[str, str, str], ...]:
    """Which conditions came, went, or have another threshold."""
    texts = Meanings()
    if texts.of(before) == texts.of(now):
        return ()
    if isinstance(before, BoolOp) and isinstance(now, BoolOp) and before.op != now.op:
        return (("condition", before.text, now.text),)
    olds, news = ({texts.of(item): item for item in flat(expr)} for expr in (before, now))
    gone = [item for text, item in olds.items() if text not in news]
    come = [item for text, item in news.items() if text not in olds]
    details = []
    for item in gone:
        partner = next((other for other in come if _subject(other, texts) == _subject(item, texts) != ""), None)
        if partner is not None:
            come.remove(partner)
        details.append(("condition", item.text, partner.text if partner else ""))
    return (*details, *(("condition", "", item.text) for item in come))


def _subject(expr: Expr, texts: Meanings) -> str:
    """What a condition is about, "" where that is no one thing."""
    match expr:
        case Compare(left=left, right=Const()):
            return texts.of(left)
        case Compare(left=Const(), right=right):
            return texts.of(right)
        case InList(item=item):
            return texts.of(item)
    return ""


# -- what a change reaches ---------------------------------------------------------------------------------------------
def readers_of(policy: Policy) -> dict[str, tuple[str, ...]]:
    """Name of a field, feature, parameter or list -> the rules that read it, through features too."""
    inner = {feature.name: feature.aggregate or feature.expression for feature in policy.features}
    inner |= {field.name: field.expression for field in policy.derived}
    found: dict[str, list[str]] = {}
    for rule in policy.rules:
        waiting, seen = list(_named((rule.when, rule.rollout))), set[str]()
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                waiting += _named(inner.get(name))
        for name in seen:
            found.setdefault(name, []).append(rule.id)
    return {name: tuple(rules) for name, rules in found.items()}


def _named(tree: object) -> Iterator[str]:
    for node in nodes_of(tree):
        match node:
            case Ref(name=name) | InList(list=name):
                yield name
            case Const(param=name) if name:
                yield name
            case Aggregate(by=by, lookup=lookup):
                yield from (*by, *lookup)


def policy_at(source: str) -> Policy:
    """A policy from its file, or from a store: STORE for the one in force, STORE@HASH (its first digits) for one that
    decided there. Raises PolicyError, StoreError, UnknownName."""
    from pathlib import Path  # noqa: PLC0415

    from frmcore.policy import load  # noqa: PLC0415

    folder, _, wanted = source.rpartition("@") if "@" in source and not Path(source).exists() else (source, "", "")
    if not Path(folder).is_dir():
        return load(Path(source))
    return _recorded(folder, wanted)


def _recorded(store: str, wanted: str) -> Policy:
    from frmcore.errors import UnknownName  # noqa: PLC0415
    from frmcore.store.view import viewing  # noqa: PLC0415  brings LMDB in

    with viewing(store) as view:
        hashes = [operation.content["hash"] for operation in view.policies]
        found = [index for index, digest in enumerate(hashes) if digest.startswith(wanted)]
        if not found:
            known = ", ".join(digest[:16] for digest in dict.fromkeys(hashes))
            raise UnknownName(f"no policy of {store} has a hash that begins with {wanted}; it knew {known}")
        return view.policy(found[-1])[0]
