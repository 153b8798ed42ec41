"""`describe`: each rule of a policy as sentences that somebody reads who writes no rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from frmcore.authoring.aspects import flat
from frmcore.authoring.phrases import Phrases
from frmcore.authoring.windows import plain_name, words_of_duration
from frmcore.durations import format_timestamp
from frmcore.plan import Mode
from frmcore.policy.tree import BoolOp, Call, Compare, Const, Ref

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from frmcore.policy import Policy
    from frmcore.policy.tree import Alert, Breaker, Expr, Holdout, Rule

_KNOWN = {"block": "block", "review": "send to review", "allow": "allow"}
_LISTED_FROM = 3  # conditions: below it they fit into a sentence
_MODES = {Mode.LIVE: "", Mode.SHADOW: "only watched, never enforced: ", Mode.OFF: "switched off: "}
_HUNDREDTHS = 100  # of a per cent: what a rollout is kept in


@dataclass(frozen=True, slots=True)
class RuleText:
    """One rule: what it does and when, its conditions where they are many, and what else there is to say of it."""

    id: str
    says: str
    conditions: tuple[str, ...]
    more: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Description:
    title: str
    introduction: tuple[str, ...]
    rules: tuple[RuleText, ...]


def describe(policy: Policy, only: str = "") -> Description:
    """The whole policy, or the one rule `only`, which must be there. O(size)."""
    phrases = Phrases(policy)
    rules = [rule for rule in policy.rules if only in ("", rule.id)]
    texts = tuple(_rule(rule, policy, phrases) for rule in rules)
    title = f"{policy.name}, version {policy.version}"
    return Description(title, () if only else tuple(_introduction(policy)), texts)


def _introduction(policy: Policy) -> Iterator[str]:
    outcomes = ", ".join(f'"{outcome}"' for outcome in policy.outcomes)
    yield f"All rules are looked at; the strongest outcome wins. From the weakest to the strongest: {outcomes}."
    yield "A rule does not apply where something it asks for is unknown, unless it says so."
    for point in policy.points:
        if point.thresholds:
            told = _and(
                [f'a score of {score:,} or more means at least "{outcome}"' for score, outcome in point.thresholds]
            )
            yield f"At {plain_name(point.name)} {told}."
    for group in policy.groups:
        if group.takes_max:
            yield f"Of the rules of the group {group.name} that fire only the greatest score counts."
        if not group.enabled:
            yield f"The rules of the group {group.name} are switched off."
    if policy.holdout is not None:
        yield _holdout(policy.holdout)


def _holdout(holdout: Holdout) -> str:
    whom = f"{holdout.share / _HUNDREDTHS:g} % of all values of {plain_name(holdout.by.name)}"
    kept = f" Rules of {_groups(holdout.excepted)} count all the same." if holdout.excepted else ""
    return f"For {whom} the rules are only noted and nothing is stopped, to learn what would have happened.{kept}"


def _rule(rule: Rule, policy: Policy, phrases: Phrases) -> RuleText:
    items = flat(rule.when)
    effect = f"{_and(list(_effects(rule)))} {_when(rule.when, items, phrases)}"
    sentence = _capital(f"{_MODES[rule.mode]}{_where(rule, policy)}{effect}")
    listed = tuple(map(phrases.bare, items)) if len(items) >= _LISTED_FROM else ()
    return RuleText(rule.id, sentence, listed, tuple(_more(rule)))


def _when(whole: Expr, items: Sequence[Expr], phrases: Phrases) -> str:
    if len(items) >= _LISTED_FROM:
        return f"when {'all' if isinstance(whole, BoolOp) and whole.op == 'and' else 'any'} of this holds:"
    clause = phrases.clause(whole)
    return f"{clause}." if clause in ("always", "never") else f"when {clause}."


def _more(rule: Rule) -> Iterator[str]:
    if rule.if_unknown == "fires":
        yield "Also where that can't be told, because something is unknown."
    if rule.rollout is not None:
        yield f"{_rollout(rule.rollout)}; for all others it is only watched."
    if rule.from_ms is not None or rule.until_ms is not None:
        yield f"It counts for events {_and(list(_dates(rule)))}."
    if rule.breaker is not None:
        yield _breaker(rule.breaker)
    if rule.alert is not None:
        yield _alert(rule.alert)
    if rule.group:
        yield f"It belongs to the group {rule.group}."
    parts = rule.reason.parts
    reason = "".join(part if isinstance(part, str) else f"<{plain_name(part.text)}>" for part in parts)
    if reason != rule.id:
        yield f"It says: {reason}."
    if rule.owner:
        yield f"{rule.owner} answers for it."


def _dates(rule: Rule) -> Iterator[str]:
    if rule.from_ms is not None:
        yield f"from {format_timestamp(rule.from_ms)} on"
    if rule.until_ms is not None:
        yield f"before {format_timestamp(rule.until_ms)}"


def _breaker(breaker: Breaker) -> str:
    share, span = f"{breaker.share / _HUNDREDTHS:g} %", words_of_duration(breaker.over_ms)
    wild = f"it fires for more than {share} of at least {breaker.least:,} decisions within {span}"
    return f"When {wild}, it is only watched."


def _alert(alert: Alert) -> str:
    whom, span = plain_name(alert.about.name), words_of_duration(alert.once_ms)
    case = f", as a case of {alert.typology}" if alert.typology else ""
    return f"There is one alert about the same {whom} in {span}{case}."


def _effects(rule: Rule) -> Iterator[str]:
    if rule.outcome:
        yield _KNOWN.get(rule.outcome, f'decide "{rule.outcome}"')
    if rule.score:
        yield f"add {rule.score:,} to the score" if rule.score > 0 else f"take {-rule.score:,} from the score"
    if rule.actions:
        yield f"ask for {_and(list(map(plain_name, rule.actions)))}"
    if rule.exempts:
        yield f"waive the rules of {_groups(rule.exempts)}"
    if rule.alert is not None:
        yield f"raise an alert about the {plain_name(rule.alert.about.name)}"


def _where(rule: Rule, policy: Policy) -> str:
    parts = []
    if rule.points is not None and len(policy.points) > 1:
        parts.append(f"at {_and([plain_name(point) for point in rule.points])}")
    if rule.on is not None:
        parts.append(f"for a {' or '.join(map(plain_name, rule.on))}")
    return f"{', '.join(parts)}, " if parts else ""


def _rollout(expr: Expr) -> str:
    match expr:
        case Compare(left=Call(args=(Ref(name=name), *_)), right=Const(value=share)):
            return f"For {int(share) / _HUNDREDTHS:g} % of all values of {plain_name(name)}"
    raise AssertionError(expr)


def _groups(names: Sequence[str]) -> str:
    return f"{'group' if len(names) == 1 else 'groups'} {_and(names)}"


def _and(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
