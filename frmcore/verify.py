"""Whether a plan can run without a check: the hot path verifies each plan once, when it loads it, and then trusts it.

After `verify` every number of the plan is an index of something, every register has one representation, jumps end, and
no instruction reads a register that this event did not fill (its text would point to where an earlier event's was).
What the plan *means* is the compiler's business;
a pattern's table is checked where it is loaded (_fast/regex.pxi).
"""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Final

from frmcore.limits import (
    GROUP_COLUMNS_MAX,
    INT_MAX,
    KEY_PARTS_MAX,
    KINDS_MAX,
    POLICY_BYTES_MAX,
    PROGRAM_LENGTH_MAX,
    REGISTERS_MAX,
    RULE_GROUPS_MAX,
)
from frmcore.plan import REP, Agg, ColumnKind, Op, PrivateText, Rep

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from frmcore.plan import (
        Group,
        Instr,
        LookupPlan,
        Plan,
        PointPlan,
        Query,
        ReasonPart,
        RulePlan,
        Segment,
        TraceNode,
        Zone,
    )

# What an operation takes: its result first. A register holds I, F or T, `=` what the result holds, or `?` anything. The
# others are numbers: i, s a set of ints or of texts, p a pattern, z a zone, l a list, d digits, 4, 6 the length of a
# prefix, k a lookup (which says what its key and its value hold), j where to jump.
SHAPES: Final[dict[Op, str]] = {
    Op.MOV: "==", Op.NOT: "II", Op.AND: "III", Op.OR: "III", Op.JUMP_FALSE: "IIj", Op.JUMP_TRUE: "IIj",
    Op.MISSING: "I?", Op.COALESCE: "===", Op.SELECT: "=I==",
    Op.ADD_I: "III", Op.SUB_I: "III", Op.MUL_I: "III", Op.FLOORDIV_I: "III", Op.MOD_I: "III", Op.NEG_I: "II",
    Op.ABS_I: "II", Op.MIN_I: "III", Op.MAX_I: "III", Op.EQ_I: "III", Op.NE_I: "III", Op.LT_I: "III", Op.LE_I: "III",
    Op.IN_SET_I: "IIi",
    Op.ADD_F: "FFF", Op.SUB_F: "FFF", Op.MUL_F: "FFF", Op.DIV_F: "FFF", Op.FLOORDIV_F: "FFF", Op.MOD_F: "FFF",
    Op.NEG_F: "FF", Op.ABS_F: "FF", Op.MIN_F: "FFF", Op.MAX_F: "FFF", Op.EQ_F: "IFF", Op.NE_F: "IFF", Op.LT_F: "IFF",
    Op.LE_F: "IFF", Op.ROUND_F: "FFd", Op.ROUND_I: "IF", Op.INT_TO_FLOAT: "FI",
    Op.EQ_IF: "IIF", Op.NE_IF: "IIF", Op.LT_IF: "IIF", Op.LE_IF: "IIF", Op.LT_FI: "IFI", Op.LE_FI: "IFI",
    Op.EQ_S: "ITT", Op.NE_S: "ITT", Op.STARTS_S: "ITT", Op.ENDS_S: "ITT", Op.CONTAINS_S: "ITT", Op.LEN_S: "IT",
    Op.LOWER_S: "TT", Op.UPPER_S: "TT", Op.SLICE_S: "TTII", Op.IN_SET_S: "ITs", Op.DOMAIN_S: "TT", Op.EMAIL_S: "TT",
    Op.FOLD_S: "TT", Op.NETWORK_S: "TT46", Op.MATCH_S: "ITp", Op.IP_TEXT_S: "TT", Op.BUCKET_S: "ITT",
    Op.HOUR_I: "IIz", Op.WEEKDAY_I: "IIz", Op.DAYS_BETWEEN_I: "IIIz", Op.DISTANCE_F: "FFFFF", Op.IN_LIST: "ITl",
    Op.LOOKUP: "??k",
}  # fmt: skip
_REGISTERS: Final = "IFT=?"
_HOLDS: Final = {"I": Rep.INT, "F": Rep.FLOAT, "T": Rep.TEXT}
_AGGREGATE: Final = {
    Agg.COUNT: Rep.INT, Agg.SUM: Rep.INT, Agg.DISTINCT: Rep.INT, Agg.SINCE_LAST: Rep.INT, Agg.SINCE_FIRST: Rep.INT,
    Agg.MEAN: Rep.FLOAT, Agg.STD: Rep.FLOAT, Agg.SHARE: Rep.FLOAT,
}  # fmt: skip
_WITHOUT_COLUMN: Final = (Agg.COUNT, Agg.SINCE_LAST, Agg.SINCE_FIRST)
_COLUMN: Final = {
    ColumnKind.INT: Rep.INT, ColumnKind.FLOAT: Rep.FLOAT, ColumnKind.TRUTH: Rep.INT, ColumnKind.TEXT: Rep.TEXT,
}  # fmt: skip
_OFFSET_MAX: Final = 2 * 86_400_000 - 1  # milliseconds


def verify(plan: Plan) -> tuple[Rep | None, ...]:
    """What each register holds; None for one that nothing uses. Raises ValueError with the first thing that is wrong.

    Cost: linear in the program (and its jumps times its registers), about 2 us an instruction.
    """
    return _Verifier(plan).registers()


class _Verifier:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        _within("registers", plan.registers, REGISTERS_MAX + 1)
        _within("length of the program", len(plan.code), PROGRAM_LENGTH_MAX + 1)
        _within("kinds", len(plan.kinds), KINDS_MAX + 1)
        groups = {name for rule in plan.rules for name in (rule.group, *rule.exempts) if name}
        _within("groups of rules", len(groups), RULE_GROUPS_MAX + 1)
        self.owners: dict[int, str] = {}
        self.same = list(range(plan.registers))  # union-find: registers that moves and choices tie together
        self.reps: dict[int, Rep] = {}

    def registers(self) -> tuple[Rep | None, ...]:
        _check_tables(self.plan)
        self._check_code()
        self._tie()
        self._declare()
        self._check_reps()
        self._check_segments()
        self._check_flow()
        return tuple(self.reps.get(self._root(register)) for register in range(self.plan.registers))

    # -- instructions ------------------------------------------------------------------------------------------------
    def _check_code(self) -> None:
        plan = self.plan
        sizes = {"i": len(plan.sets), "s": len(plan.sets), "p": len(plan.patterns), "z": len(plan.zones)}
        sizes |= {"k": len(plan.lookups), "l": len(plan.lists), "d": 10, "4": 33, "6": 129, "j": len(plan.code) + 1}
        sizes |= dict.fromkeys(_REGISTERS, plan.registers)
        ints = [all(isinstance(item, int) for item in items) for items in plan.sets]
        for at, instr in enumerate(plan.code):
            if instr.op not in SHAPES:
                raise ValueError(f"instruction {at}: there is no operation {instr.op}")
            where = _name(at, instr)
            for what, number in _operands(instr):
                _within(where, number, sizes[what])
                if what in "is" and (what == "i") != ints[number]:
                    raise ValueError(f"{where}: set {number} does not hold what the operation looks for")
            for number in instr[1:]:
                _within(where, number, 1 << 16)

    # -- what registers hold -----------------------------------------------------------------------------------------
    def _root(self, register: int) -> int:
        while self.same[register] != register:
            self.same[register] = register = self.same[self.same[register]]
        return register

    def _tie(self) -> None:
        for instr in self.plan.code:
            for what, number in _operands(instr):
                if what == "=":
                    self.same[self._root(number)] = self._root(instr.dst)

    def _hold(self, register: int, rep: Rep, where: str) -> None:
        _within(where, register, self.plan.registers)
        held = self.reps.setdefault(self._root(register), rep)
        if held is not rep:
            raise ValueError(f"{where}: register {register} holds {held.name}, not {rep.name}")

    def _claim(self, register: int, rep: Rep, owner: str) -> None:
        """The register is filled by `owner` alone."""
        self._hold(register, rep, owner)
        if self.owners.setdefault(register, owner) != owner:
            raise ValueError(f"register {register} belongs to {self.owners[register]} and to {owner}")

    def _declare(self) -> None:
        plan = self.plan
        for register, item in enumerate((*plan.fields, *plan.derived, *plan.updates)):
            self._claim(register, REP[item.kind], f"field {item.name}")
            self._check_kinds(f"field {item.name}", item.required_on)
        self._hold(plan.id, Rep.TEXT, "id")
        self._hold(plan.time, Rep.INT, "time")
        if plan.kind != -1:
            self._hold(plan.kind, Rep.INT, "kind")
        for name, register in (("final", plan.final), ("score", plan.score)):
            self._claim(register, Rep.INT, name)
        for rule, register in plan.fired:
            self._claim(register, Rep.INT, f"fired rule {rule}")
        for money in plan.currencies:
            self._hold(money.amount, Rep.INT, "an amount")
            self._hold(money.currency, Rep.TEXT, "a currency")
            self._claim(money.original, Rep.INT, f"the original of register {money.amount}")
            self._claim(money.rate, Rep.INT, f"the rate of register {money.amount}")
        for register, value in plan.constants:
            self._claim(register, _constant_rep(value), f"constant {value!r:.40}")
        for index, probe in enumerate(plan.probes):
            _within(f"probe {index}: list", probe.list, len(plan.lists))
            self._hold(probe.key, Rep.TEXT, f"the key of probe {index}")
            self._claim(probe.dst, Rep.INT, f"probe {index}")
        for index, group in enumerate(plan.groups):
            self._declare_group(index, group)

    def _declare_group(self, index: int, group: Group) -> None:
        where = f"group {index}"
        _within(f"{where}: columns", len(group.columns), GROUP_COLUMNS_MAX + 1)
        for keys in (group.keys, *(lookup.keys for lookup in group.lookups)):
            _within(f"{where}: parts of a key less one", len(keys) - 1, KEY_PARTS_MAX)
        _within(f"{where}: marks_group + 1", group.marks_group + 1, index + 1)
        self._check_kinds(where, group.kinds)
        if group.where != -1:
            self._hold(group.where, Rep.INT, f"{where}: where")
        for column in group.columns:
            if column.kind is not ColumnKind.MEMBER:
                self._hold(column.reg, _COLUMN[column.kind], f"{where}: column")
        for lookup in group.lookups:
            for query in lookup.queries:
                _within(f"{where}: zone", query.zone, max(len(self.plan.zones), 1))
                self._claim(query.dst, _query_rep(group, query), f"{where}: the query into register {query.dst}")

    def _check_reps(self) -> None:
        code = self.plan.code
        for at, instr in enumerate(code):
            where = _name(at, instr)
            for what, number in _operands(instr):
                if what in _HOLDS:
                    self._hold(number, _HOLDS[what], where)
            if instr.op == Op.LOOKUP:
                table = self.plan.lookups[instr.b]
                self._hold(instr.dst, table.value, where)
                self._hold(instr.a, table.key, where)
        for at, instr in enumerate(code):
            for what, number in _operands(instr):
                if what in _REGISTERS and self._root(number) not in self.reps:
                    raise ValueError(f"{_name(at, instr)}: nothing tells what register {number} holds")
        for feature in self.plan.features:
            self._hold(feature.reg, feature.rep, f"feature {feature.name}")
        for rule in self.plan.rules:
            self._check_rule(rule)
        holdout = self.plan.holdout
        if holdout is not None:
            self._hold(holdout.inside, Rep.INT, "the holdout")
            self._hold(holdout.by, Rep.TEXT, "the holdout's field")

    def _check_rule(self, rule: RulePlan) -> None:
        where = f"rule {rule.id}"
        self._hold(rule.result, Rep.INT, where)
        if rule.live != -1:
            self._hold(rule.live, Rep.INT, f"{where}: live")
        for part in _shown(rule):
            self._hold(part.reg, part.rep, f"{where}: its reason")
        for node in _trace_nodes(rule.trace):
            self._hold(node.reg, node.rep, f"{where}: its trace")
        if rule.alert is not None:
            _within(
                f"{where}: what its alert is about", rule.alert.about, len(self.plan.fields) + len(self.plan.derived)
            )
        if rule.breaker is not None and min(rule.breaker) < 1:
            raise ValueError(f"{where}: its breaker has no share, no window or no least number")
        self._check_kinds(where, rule.kinds)
        _within(f"{where}: outcome + 1", rule.outcome + 1, len(self.plan.outcomes) + 1)
        for point in rule.points:
            _within(f"{where}: point", point, len(self.plan.points))

    def _check_kinds(self, where: str, kinds: tuple[int, ...] | None) -> None:
        for kind in kinds or ():
            _within(f"{where}: kind", kind, len(self.plan.kinds))

    # -- jumps and the order of things -------------------------------------------------------------------------------
    def _check_segments(self) -> None:
        end = 0
        segments = self._segments()
        for segment in sorted(segment for segment in segments if segment.start != segment.end):
            if not end <= segment.start < segment.end <= len(self.plan.code):
                raise ValueError(f"segment {tuple(segment)} overlaps another, or leaves the program")
            end = segment.end
        for segment in segments:
            _within("segment", segment.start, len(self.plan.code) + 1)
            for at in range(*segment):
                instr = self.plan.code[at]
                what, target = _operands(instr)[-1]
                if what == "j" and not at < target <= segment.end:
                    raise ValueError(f"{_name(at, instr)}: jump to {target}, not forward in its segment")

    def _segments(self) -> list[Segment]:
        plan = self.plan
        codes = (*(group.code for group in plan.groups), *(point.code for point in plan.points))
        return [plan.derive, plan.keys, plan.compute, *codes]

    def _check_flow(self) -> None:
        """What is filled when: fields, then derived fields; keys of lists; what windows and lists answer; features;
        rules of one point. A group reads what is kept of an event, nothing else."""
        plan = self.plan
        derived = range(len(plan.fields), len(plan.fields) + len(plan.derived))
        found = [probe.dst for probe in plan.probes]
        found += [query.dst for group in plan.groups for lookup in group.lookups for query in lookup.queries]
        given = _bits(self.owners) & ~_bits(found)
        fields = given & ~_bits(derived) & ~_bits(range(derived.stop, derived.stop + len(plan.updates)))
        fields &= ~_bits([plan.final, plan.score, *(register for _, register in plan.fired)])
        owned = _bits(self.owners)
        filled, _ = _flow(plan, plan.derive, fields, owned & ~_bits(derived))
        _need(filled, derived, "derived fields")
        for index, group in enumerate(plan.groups):
            self._check_group(index, group, given)
        keys, _ = _flow(plan, plan.keys, given, owned)
        _need(keys, [probe.key for probe in plan.probes], "keys of lists")
        filled, traced = _flow(plan, plan.compute, keys | _bits(found), owned)
        _need(filled, [feature.reg for feature in plan.features], "features")
        for index, point in enumerate(plan.points):
            self._check_point(index, point, filled, traced)

    def _check_group(self, index: int, group: Group, given: int) -> None:
        filled, _ = _flow(self.plan, group.code, given, _bits(self.owners))
        _need(filled, [column.reg for column in group.columns], f"columns of group {index}")
        _need(filled, [] if group.where == -1 else [group.where], f"filter of group {index}")
        _need(given, [*group.keys, *(key for lookup in group.lookups for key in lookup.keys)], f"keys of group {index}")

    def _check_point(self, index: int, point: PointPlan, filled: int, traced: int) -> None:
        plan = self.plan
        _within(f"point {index}: after + 1", point.after + 1, len(plan.points) + 1)
        self._check_kinds(f"point {index}", point.kinds)
        for _, outcome in point.thresholds:
            _within(f"point {index}: outcome", outcome, len(plan.outcomes))
        known, seen = _flow(plan, point.code, filled, _bits(self.owners))
        if plan.holdout is not None:
            _need(known, [plan.holdout.inside, plan.holdout.by], "the holdout")
        for number in point.rules:
            _within(f"point {index}: rule", number, len(plan.rules))
            rule = plan.rules[number]
            parts = [part.reg for part in _shown(rule)]
            _need(known, [rule.result, *([] if rule.live == -1 else [rule.live]), *parts], f"rule {rule.id}")
            _need(traced | seen, [node.reg for node in _trace_nodes(rule.trace)], f"the trace of rule {rule.id}")


def _flow(plan: Plan, segment: Segment, known: int, owned: int) -> tuple[int, int]:
    """The registers surely filled after `segment`, as bits, and those filled when jumps are ignored."""
    arriving: dict[int, int] = {}  # what is filled on every jump to a place
    traced = known
    for at in range(*segment):
        instr = plan.code[at]
        known &= arriving.pop(at, -1)
        _, *operands = _operands(instr)
        _need(known, [number for what, number in operands if what in _REGISTERS], _name(at, instr))
        filled = 1 << instr.dst
        if owned & filled:
            raise ValueError(f"{_name(at, instr)}: register {instr.dst} is not the program's to write")
        if operands[-1][0] == "j":
            arriving[instr.b] = arriving.get(instr.b, -1) & (known | filled)
        else:
            known |= filled
            traced |= filled
    return known & arriving.get(segment.end, -1), traced


def _need(known: int, registers: Iterable[int], where: str) -> None:
    for register in registers:
        if register < 0 or not known >> register & 1:
            raise ValueError(f"{where}: register {register} may not be filled by then")


def _bits(registers: Iterable[int]) -> int:
    bits = 0
    for register in registers:
        bits |= 1 << register
    return bits


def _operands(instr: Instr) -> list[tuple[str, int]]:
    """What each number of the instruction is, the result first."""
    return list(zip(SHAPES[Op(instr.op)], instr[1:], strict=False))


def _name(at: int, instr: Instr) -> str:
    return f"instruction {at} ({Op(instr.op).name})"


def _within(what: str, number: int, size: int) -> None:
    if not 0 <= number < size:
        raise ValueError(f"{what}: {number} is not in 0..{size - 1}")


# -- tables ------------------------------------------------------------------------------------------------------------
def _check_tables(plan: Plan) -> None:
    for items in plan.sets:
        kinds = {_constant_rep(item) for item in items}
        if len(kinds) > 1 or Rep.FLOAT in kinds:
            raise ValueError("a set holds ints or texts")
    for zone in plan.zones:
        _check_zone(zone)
    for table in plan.lookups:
        _check_lookup(table)


def _check_lookup(table: LookupPlan) -> None:
    if table.key is Rep.FLOAT or len(table.keys) != len(table.values) or len(set(table.keys)) != len(table.keys):
        raise ValueError(f"lookup {table.name}: a value for each key, once")
    if table.key is Rep.INT and list(table.keys) != sorted(table.keys):
        raise ValueError(f"lookup {table.name}: ints must ascend")
    for items, rep in ((table.keys, table.key), (table.values, table.value)):
        if any(_constant_rep(item) is not rep for item in items):
            raise ValueError(f"lookup {table.name}: not all of it is {rep.name}")


def _constant_rep(value: float | str | bytes | PrivateText) -> Rep:
    if isinstance(value, PrivateText):
        value = value.text
    if isinstance(value, str | bytes):
        if len(value) > POLICY_BYTES_MAX:
            raise ValueError(f"a text of {len(value)} characters is longer than a policy")
        return Rep.TEXT
    if isinstance(value, float):
        if not isfinite(value):
            raise ValueError(f"{value} is no constant")
        return Rep.FLOAT
    if not -INT_MAX <= value <= INT_MAX:
        raise ValueError(f"{value} is beyond int64")
    return Rep.INT


def _check_zone(zone: Zone) -> None:
    ascending = all(a < b for a, b in zip(zone.at_ms, zone.at_ms[1:], strict=False))
    if len(zone.at_ms) != len(zone.offset_ms) or zone.at_ms[:1] != (-(2**62),) or not ascending:
        raise ValueError(f"zone {zone.name}: transitions must ascend from -2**62, with an offset each")
    if not all(-_OFFSET_MAX <= offset <= _OFFSET_MAX for offset in zone.offset_ms):
        raise ValueError(f"zone {zone.name}: an offset is two days or more")


def _query_rep(group: Group, query: Query) -> Rep:
    if query.agg not in _WITHOUT_COLUMN:
        _within("column of a query", query.column, len(group.columns))
    if query.agg in _AGGREGATE:
        return _AGGREGATE[query.agg]
    kind = group.columns[query.column].kind
    if kind not in _COLUMN:
        raise ValueError(f"{query.agg.name} of a column that holds members")
    return _COLUMN[kind]


def _shown(rule: RulePlan) -> list[ReasonPart]:
    return [part for part in rule.reason if part.reg != -1]


def _trace_nodes(node: TraceNode) -> Iterator[TraceNode]:
    yield node
    for child in node.children:
        yield from _trace_nodes(child)
