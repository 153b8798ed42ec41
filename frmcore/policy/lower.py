"""A checked policy lowered to a plan: the compiler's last step.

Like a two-pass assembler it runs twice: constants have registers below those of features, but only lowering tells which
are needed. The second run knows them from the first and is otherwise the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import astuple

from frmcore.plan import (
    AlertPlan,
    BreakerPlan,
    FeaturePlan,
    HoldoutPlan,
    Mode,
    Plan,
    PointPlan,
    Probe,
    RulePlan,
    Segment,
)
from frmcore.policy.canonical import Texts
from frmcore.policy.declarations import digits_of, field_plan, list_plan, lookup_plan, rate_plans
from frmcore.policy.digests import group_plans, rule_digest
from frmcore.policy.earlier import Earlier
from frmcore.policy.emit import Emitter, Program
from frmcore.policy.groups import Grouping
from frmcore.policy.regex import compile_regex
from frmcore.policy.registers import Registers
from frmcore.policy.trace import reason, rests_on, trace
from frmcore.policy.tree import Alert, Expr, Feature, Fired, InList, Point, Policy, Rule
from frmcore.policy.unused import features_read
from frmcore.policy.walk import references, walk

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from frmcore.plan import Group
    from frmcore.policy.registers import Constant


def lower(policy: Policy, keep: Sequence[Group] = (), earlier: Sequence[Policy] = ()) -> Plan:
    """The plan of `policy`. `keep`: the groups of the running engine, whose rings are kept where they suffice: a group
    of the plan that has the signature of one of them has its columns and its span too. `earlier`: the policies whose
    events may be read, the running one last.

    The same policy and its own groups give an equal plan. Raises PolicyError where the policy needs more registers or
    instructions than the machine has. Cost: linear in the size of the policy, about half a millisecond a rule.
    """
    texts = Texts()
    rings = keep, Earlier(policy, earlier)
    draft = _Lowering(policy, texts, rings, ())
    final = _Lowering(policy, texts, rings, [value for _, value in draft.registers.constants])
    return final.plan()


class _Lowering:
    """One run over the policy. `decisions` is the world of lists, features and rules; filters and derived fields have
    their own."""

    def __init__(
        self, policy: Policy, texts: Texts, rings: tuple[Sequence[Group], Earlier], constants: Sequence[Constant]
    ) -> None:
        self.policy = policy
        self.rules = [rule for rule in policy.rules if rule.mode is not Mode.OFF]
        self.indices = {rule.id: index for index, rule in enumerate(self.rules)}
        self.registers = Registers(policy, self._fired(), constants)
        self.program = Program(policy, texts, self.registers)
        self.decisions = Emitter(self.program)
        self.derive = self._derive()
        grouping = Grouping(policy, Emitter(self.program), *rings)
        self.places = {
            feature.name: grouping.place(feature.aggregate, self.registers.features[feature.name])
            for feature in policy.features
            if feature.aggregate is not None
        }
        self.groups = grouping.groups()
        self.probes: list[Probe] = []
        self.keys = self._probe_lists()
        self.compute = self._compute()
        self.points = tuple(map(self._point, policy.points))
        self.rule_plans = tuple(map(self._rule, self.rules))

    # -- segments ----------------------------------------------------------------------------------------------------
    def _derive(self) -> Segment:
        expressions = {field.name: field.expression for field in self.policy.derived if field.expression is not None}
        return Emitter(self.program, clear=True).definitions(expressions, self.registers.names)

    def _probe_lists(self) -> Segment:
        """List memberships that depend on the event alone are asked before the program runs."""
        found = {self.decisions.text(node): node for node in self._list_memberships() if _is_of_event(node.item)}
        segment = self.decisions.segment([node.item for node in found.values()])
        for node in found.values():
            probe = Probe(self.program.lists[node.list], self.decisions.home(node.item), self.registers.new())
            self.decisions.given(node, probe.dst)
            self.probes.append(probe)
        return segment

    def _list_memberships(self) -> Iterator[InList]:
        features = [feature.expression for feature in self.policy.features if feature.expression is not None]
        for expr in (*features, *(root for rule in self.rules for root in _roots(rule))):
            yield from (node for node in walk(expr) if isinstance(node, InList))

    def _compute(self) -> Segment:
        features = self.policy.features
        expressions = {feature.name: feature.expression for feature in features if feature.expression is not None}
        return self.decisions.definitions(expressions, self.registers.features)

    def _point(self, point: Point) -> PointPlan:
        rules = [rule for rule in self.rules if rule.points is None or point.name in rule.points]
        with self.decisions.apart():
            roots = [root for rule in rules for root in _roots(rule)]
            holdout = self.policy.holdout
            code = self.decisions.segment(roots if holdout is None else [*roots, holdout.inside])
        return PointPlan(
            name=point.name,
            kinds=self._kinds(point.on),
            after=self._point_index(point.after) if point.after else -1,
            thresholds=tuple((score, self.policy.outcomes.index(outcome)) for score, outcome in point.thresholds),
            code=code,
            rules=tuple(self.indices[rule.id] for rule in rules),
        )

    # -- parts of the plan -------------------------------------------------------------------------------------------
    def _fired(self) -> list[str]:
        """The rules that filters ask about, in file order."""
        asked = {
            node.rule
            for feature in self.policy.features
            if feature.aggregate is not None
            for expr in (feature.aggregate.value, feature.aggregate.where, feature.aggregate.since)
            for node in (() if expr is None else walk(expr))
            if isinstance(node, Fired)
        }
        return [rule.id for rule in self.policy.rules if rule.id in asked]

    def _kinds(self, names: Sequence[str] | None) -> tuple[int, ...] | None:
        return None if names is None else tuple(sorted(map(self.policy.kinds.index, names)))

    def _point_index(self, name: str) -> int:
        return [point.name for point in self.policy.points].index(name)

    def _rule(self, rule: Rule) -> RulePlan:
        points = [point.name for point in self.policy.points] if rule.points is None else rule.points
        return RulePlan(
            id=rule.id,
            group=rule.group,
            result=self.decisions.home(rule.when),
            live=-1 if rule.rollout is None else self.decisions.home(rule.rollout),
            kinds=self._kinds(rule.on),
            points=tuple(sorted(map(self._point_index, points))),
            mode=rule.mode,
            outcome=self.policy.outcomes.index(rule.outcome) if rule.outcome else -1,
            score=rule.score,
            exempts=rule.exempts,
            actions=rule.actions,
            fires_if_unknown=rule.if_unknown == "fires",
            reason=reason(self.decisions, rule.reason),
            trace=trace(self.decisions, rule.when),
            owner=rule.owner,
            from_ms=rule.from_ms,
            until_ms=rule.until_ms,
            breaker=None if rule.breaker is None else BreakerPlan(*astuple(rule.breaker)),
            alert=None if rule.alert is None else self._alert(rule, rule.alert),
            rests_on=rests_on(self.decisions, rule.when, self.policy),
            digest=rule_digest(rule, self.decisions.text),
        )

    def _alert(self, rule: Rule, alert: Alert) -> AlertPlan:
        rests_on = features_read(rule.when, self.policy.features)
        names = tuple(feature.name for feature in rests_on if feature.aggregate is not None)
        return AlertPlan(self.decisions.home(alert.about), alert.once_ms, alert.typology, names)

    def _holdout(self) -> HoldoutPlan | None:
        holdout = self.policy.holdout
        if holdout is None:
            return None
        home = self.decisions.home
        return HoldoutPlan(home(holdout.inside), home(holdout.by), holdout.share, holdout.excepted)

    def _feature(self, feature: Feature) -> FeaturePlan:
        group, keys = self.places.get(feature.name, (-1, ()))
        kind = feature.type
        register = self.registers.features[feature.name]
        return FeaturePlan(
            feature.name, register, kind.kind, kind.rep, kind.scale, kind.values, kind.currency, group, keys
        )

    def plan(self) -> Plan:
        policy, registers, tables = self.policy, self.registers, self.program.tables
        return Plan(
            name=policy.name,
            version=policy.version,
            hash=policy.hash,
            limits=policy.limits,
            outcomes=policy.outcomes,
            kinds=policy.kinds,
            fields=tuple(field_plan(field, policy) for field in policy.fields),
            derived=tuple(field_plan(field, policy) for field in policy.derived),
            updates=tuple(field_plan(field, policy) for field in policy.updates),
            id=registers.names[policy.id_field],
            time=registers.names[policy.time_field],
            kind=registers.names[policy.kind_field] if policy.kind_field else -1,
            final=registers.final,
            score=registers.score,
            fired=tuple(registers.fired.items()),
            registers=registers.count,
            constants=registers.constants,
            features=tuple(map(self._feature, policy.features)),
            code=tuple(self.program.code),
            derive=self.derive,
            keys=self.keys,
            compute=self.compute,
            groups=self.groups,
            lists=tuple(map(list_plan, policy.lists)),
            lookups=tuple(map(lookup_plan, policy.lookups)),
            probes=tuple(self.probes),
            rules=self.rule_plans,
            points=self.points,
            sets=tuple(tables.sets),
            patterns=tuple(map(compile_regex, tables.patterns)),
            zones=tuple(policy.zones[name] for name in tables.zones),
            currencies=tuple(registers.currencies.values()),
            rates=rate_plans(policy),
            base_currency=policy.base_currency,
            base_exponent=digits_of(policy.base_currency),
            rule_groups=group_plans(policy),
            holdout=self._holdout(),
        )


def _roots(rule: Rule) -> list[Expr]:
    """All that a rule wants computed."""
    shown = [part for part in rule.reason.parts if not isinstance(part, str)]
    return [rule.when, *([] if rule.rollout is None else [rule.rollout]), *shown]


def _is_of_event(expr: Expr) -> bool:
    """Fields and derived fields are known before windows and updates are read."""
    return all(ref.source in ("field", "derived") for ref in references(expr)) and not any(
        isinstance(node, InList) for node in walk(expr)
    )
