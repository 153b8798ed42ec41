"""`rules:`: the envelope of each rule around its expression."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, cast

from frmcore.limits import RULE_GROUPS_MAX, RULES_MAX, SCORE_MAX
from frmcore.plan import Kind, Mode
from frmcore.policy.check import check_expression, check_reason, check_rollout
from frmcore.policy.control import read_alert, read_breaker, read_dates
from frmcore.policy.envelope import Leaf, Map, Node
from frmcore.policy.sections import kinds_of
from frmcore.policy.tree import ReasonText, Rule, Type
from frmcore.policy.words import check_identifier, check_label, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Literal

    from frmcore.policy.reader import Reader, Section
    from frmcore.policy.scope import Scope
    from frmcore.policy.source import Scalar
    from frmcore.policy.tree import Expr

RULE_KEYS: Final = (
    "id", "group", "when", "on", "point", "exempts", "outcome", "score", "actions", "if_unknown", "mode", "rollout",
    "from", "until", "breaker", "alert", "reason", "owner", "tests",
)  # fmt: skip
_MODES: Final = {"live": Mode.LIVE, "shadow": Mode.SHADOW, "off": Mode.OFF}


class _Draft(NamedTuple):
    id: str
    group: str
    section: Section


class RuleReader:
    """Collects the rules of every file, then checks them: filters and rules may name rules that stand further down."""

    def __init__(self, reader: Reader, scope: Scope) -> None:
        self._reader = reader
        self._problems = reader.problems
        self._scope = scope
        self._drafts: dict[str, _Draft] = {}
        self._conditions: Mapping[str, Scalar] = {}
        self.groups: tuple[str, ...] = ()  # that rules belong to, once they were checked

    def collect(self, node: Node) -> None:
        """Ids and groups of one `rules:` list."""
        for item in self._reader.items(node, '"rules"'):
            name = item.get("id") if isinstance(item, Map) else None
            what = f"rule {quoted(name.text)}" if isinstance(name, Leaf) else "a rule"
            section = self._reader.section(item, what, RULE_KEYS)
            leaf = section and section.required("id", "give it a name of its own, by which decisions report it")
            if section and leaf:
                self._add(section, leaf)
            if len(self._drafts) > RULES_MAX:
                self._problems.add(item.place, f"more than {RULES_MAX:,} rules")
                return

    def _add(self, section: Section, leaf: Leaf) -> None:
        rule_id = check_label(leaf.scalar, "rule", self._problems)
        if first := self._drafts.get(rule_id):
            place = first.section.place_of("id")
            hint = f"it is the id of the rule in {place.file}, line {place.line}: rename one of them"
            self._problems.add(leaf.place, f"duplicate rule id {quoted(rule_id)}", hint)
        elif rule_id:
            self._drafts[rule_id] = _Draft(rule_id, self._label(section, "group"), section)
            self._scope.rules.add(rule_id)

    def check(self, points: tuple[str, ...], conditions: Mapping[str, Scalar]) -> tuple[Rule, ...]:
        """Every rule, in file order; those with problems are left out. `conditions`: those of rows of tables by id."""
        self._conditions = conditions
        firsts: dict[str, _Draft] = {}
        for draft in self._drafts.values():
            if draft.group and firsts.setdefault(draft.group, draft) is draft and len(firsts) == RULE_GROUPS_MAX + 1:
                draft.section.add("group", f"more than {RULE_GROUPS_MAX} groups of rules", "let rules share groups")
        self.groups = tuple(firsts)
        rules = (self._rule(draft, points, self.groups) for draft in self._drafts.values())
        return tuple(rule for rule in rules if rule is not None)

    def _rule(self, draft: _Draft, points: tuple[str, ...], groups: tuple[str, ...]) -> Rule | None:
        section = draft.section
        score = section.integer("score", -SCORE_MAX, SCORE_MAX)
        first, end = read_dates(section)
        rule = Rule(
            id=draft.id,
            group=draft.group,
            when=cast("Expr", self._when(draft)),
            on=kinds_of(section.one_or_more("on"), self._reader, self._scope),
            points=self._known(section, "point", points) or None,
            outcome=next(iter(self._outcome(section)), ""),
            score=score or 0,
            exempts=self._exempts(draft, groups),
            actions=self._actions(section),
            if_unknown=cast("Literal['silent', 'fires']", section.choice("if_unknown", ("silent", "fires"), "silent")),
            mode=_MODES[section.choice("mode", tuple(_MODES), "live")],
            rollout=self._rollout(draft),
            from_ms=first,
            until_ms=end,
            breaker=read_breaker(section),
            alert=read_alert(section, self._scope),
            reason=self._reason(draft),
            owner=self._owner(section),
            tests=self._tests(section),
            place=section.place_of("id"),
        )
        effects = section.found.keys() & {"outcome", "score", "exempts", "actions", "alert"}
        if not effects or (effects == {"score"} and score == 0):
            hint = "give an outcome, a score, actions, an alert, or groups that it exempts"
            section.add("id", f"{section.what} has no effect", hint)
        return rule if rule.when is not None else None

    def _when(self, draft: _Draft) -> Expr | None:
        section = draft.section
        if "when" not in section.found:
            section.add("id", f'{section.what} lacks "when"', "give the expression that makes it fire")
        text = self._conditions[draft.id] if draft.id in self._conditions else section.text("when")
        return check_expression(text, self._scope, self._problems, want=Type(Kind.BOOL)) if text else None

    def _known(self, section: Section, key: str, known: tuple[str, ...]) -> tuple[str, ...]:
        leaves = section.one_or_more(key)
        for leaf in leaves:
            if leaf.text not in known:
                self._reader.unknown(leaf, key, known)
        return tuple(leaf.text for leaf in leaves)

    def _outcome(self, section: Section) -> tuple[str, ...]:
        leaf = section.leaf("outcome")
        if leaf and leaf.text not in self._scope.outcomes:
            self._reader.unknown(leaf, "outcome", self._scope.outcomes)
        return (leaf.text,) if leaf else ()

    def _exempts(self, draft: _Draft, groups: tuple[str, ...]) -> tuple[str, ...]:
        leaves = draft.section.one_or_more("exempts")
        for leaf in leaves:
            if leaf.text not in groups:
                self._reader.unknown(leaf, "group", groups)
            elif leaf.text == draft.group:
                hint = "put the rule into another group, or into none"
                self._problems.add(leaf.place, f"{draft.section.what} exempts its own group, and so itself", hint)
        return tuple(leaf.text for leaf in leaves)

    def _actions(self, section: Section) -> tuple[str, ...]:
        leaves = section.one_or_more("actions")
        return tuple(check_identifier(leaf.scalar, "action", self._problems) for leaf in leaves)

    def _rollout(self, draft: _Draft) -> Expr | None:
        text = draft.section.text("rollout")
        if text is None:
            return None
        if draft.section.choice("mode", tuple(_MODES), "live") == "off":
            draft.section.add("rollout", "a rule that is off has no rollout", 'remove "rollout", or change "mode"')
        return check_rollout(text, draft.id, self._scope, self._problems)

    def _reason(self, draft: _Draft) -> ReasonText:
        """Without one, the rule's id says why."""
        text = draft.section.text("reason")
        found = check_reason(text, self._scope, self._problems) if text else None
        return found or ReasonText((draft.id,))

    def _owner(self, section: Section) -> str:
        leaf = section.leaf("owner")
        return leaf.text if leaf else ""

    def _label(self, section: Section, key: str) -> str:
        leaf = section.leaf(key)
        return check_label(leaf.scalar, key, self._problems) if leaf else ""

    def _tests(self, section: Section) -> tuple[Node, ...]:
        node = section.get("tests")
        return () if node is None else self._reader.items(node, '"tests"')
