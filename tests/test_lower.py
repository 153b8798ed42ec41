"""The compiler's last step: what a plan computes is what the tree says, in few instructions."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest
from machine import JUMPS, Machine
from msgspec.structs import replace
from strategies import values
from strategies.expressions import Expressions
from strategies.programs import HEAD, LABELS, NAMES, quoted
from twin.evaluate import evaluate

from frmcore import limits
from frmcore.errors import PolicyError
from frmcore.plan import Dfa, Kind, Op, Plan, PrivateText, Re2, Rep, Segment, TraceNode
from frmcore.policy import load
from frmcore.policy.lower import lower
from frmcore.text import ip_text, parse_ip
from frmcore.verify import verify

if TYPE_CHECKING:
    from collections.abc import Iterator

    from machine import Value

    from frmcore.policy.tree import Expr, Policy, Type

R1 = Path(__file__).parents[1] / "bench" / "r1.yaml"


# -- random programs ---------------------------------------------------------------------------------------------------
def program(random: Random) -> str:
    """Features over fields, rules over both; rules repeat each other's parts, so that much is shared."""
    make = Expressions(random, NAMES, LABELS)
    kinds = (make.number, make.money, make.duration, make.timestamp, make.string, make.truth)
    features = {f"x{i}": random.choice(kinds)(random.randint(0, 4)).text for i in range(8)}
    features |= {f"y{i}": make.truth(2).text for i in range(2)} | {"y2": "y0", "y3": f"({features['x0']})"}
    parts = [make.truth(random.randint(1, 3)).text for _ in range(4)] + ["y0", "y1", "s in named", "upper(u) in named"]
    rules = [joined(random, parts, 3) for _ in range(8)]
    derived = (
        f"  derived:\n    z: {{is: '{quoted(make.string(2).text)}'}}\n    w: {{is: 'upper(z)'}}\n    v: {{is: z}}\n"
    )
    lists = "lists:\n  named: {of: string}\n"
    body = "\n".join(f"  {name}: '{quoted(text)}'" for name, text in features.items())
    lines = "\n".join(
        f"  - {{id: r{i}, when: '{quoted(text)}', outcome: review, score: 1}}" for i, text in enumerate(rules)
    )
    return HEAD.removesuffix("features:\n") + derived + lists + "features:\n" + body + "\nrules:\n" + lines + "\n"


def joined(random: Random, parts: list[str], depth: int) -> str:
    if depth == 0 or random.random() < 0.2:
        return f"({random.choice(parts)})"
    items = [joined(random, parts, depth - 1) for _ in range(random.randint(2, 3))]
    word = random.choice((" and ", " or "))
    return f"({random.choice(('not ', '', '', ''))}({word.join(items)}))"


class Facts:
    """What the twin's evaluator sees of one event: the machine's own inputs, by name."""

    def __init__(self, policy: Policy, random: Random) -> None:
        self.policy = policy
        self.values: dict[str, object] = {
            field.name: a_value(random, field.type, field.optional) for field in policy.fields
        }
        self.derived = {field.name: field.expression for field in policy.derived}
        self.features = {feature.name: feature.expression for feature in policy.features}

    def value(self, name: str) -> object:
        if name not in self.values:
            self.values[name] = evaluate(self.derived.get(name) or self.features[name], self)
        return self.values[name]

    def listed(self, _name: str, value: str) -> bool:
        return is_listed(value.encode())

    def original(self, name: str) -> object:
        return self.values[name]


def is_listed(item: bytes) -> bool:
    return sum(item) % 3 == 0


def a_value(random: Random, kind: Type, optional: bool) -> int | float | str | None:
    if optional and random.random() < 1 / 6:
        return None
    match kind.kind:
        case Kind.FLOAT:
            return values.a_float(random)
        case Kind.STRING:
            return random.choice(values.WORDS)
        case Kind.IP:
            return ip_text(parse_ip(random.choice(values.IPS)) or b"")
        case Kind.TIMESTAMP:
            return abs(values.a_time(random))  # tables of zones begin in 1970
        case Kind.BOOL:
            return random.randrange(2)
        case Kind.ENUM:
            return random.randrange(len(kind.values))
    return values.an_int(random)


def in_register(value: object, kind: Type) -> Value:
    if isinstance(value, str):
        return parse_ip(value) if kind.kind is Kind.IP else value.encode()
    return value if value is None or isinstance(value, float) else int(value)  # type: ignore[call-overload]


def started(plan: Plan, facts: Facts) -> Machine:
    """A machine with the event in its registers. The rest holds leftovers of an event before it."""
    machine = Machine(plan, listed=lambda _list, item: is_listed(item))
    constants = {register for register, _ in plan.constants}
    for register in set(range(plan.registers)) - constants:
        machine.registers[register] = 4711
    for register, field in enumerate(facts.policy.fields):
        machine.registers[register] = in_register(facts.values[field.name], field.type)
    return machine


def decide(machine: Machine, *, traced: bool = False) -> None:
    plan = machine.plan
    machine.run(plan.derive, traced=traced)
    machine.run(plan.keys, traced=traced)
    for probe in plan.probes:
        key = machine.registers[probe.key]
        machine.registers[probe.dst] = None if key is None else int(machine.listed(probe.list, key))
    machine.run(plan.compute, traced=traced)
    machine.run(plan.points[0].code, traced=traced)


def close(a: Value, b: Value) -> bool:
    """Distances go through libm: all else is equal to the last bit."""
    return a == b or (isinstance(a, float) and isinstance(b, float) and abs(a - b) <= 1e-9 * abs(b))


@pytest.mark.parametrize("seed", range(60))
def test_a_plan_computes_what_the_tree_says(seed: int) -> None:
    random = Random(seed)
    text = program(random)
    policy = load(text)
    plan = lower(policy)
    verify(plan)
    for _ in range(5):
        facts = Facts(policy, random)
        plain, traced = started(plan, facts), started(plan, facts)
        decide(plain)
        decide(traced, traced=True)
        for name, register, expr in results(policy, plan):
            wanted = in_register(evaluate(expr, facts), expr.type)
            shown = f"seed {seed}: {name} = {expr.text!r} of {facts.values}"
            assert close(plain.registers[register], wanted), shown
            assert close(traced.registers[register], wanted), f"traced, {shown}"
        for rule, planned in zip(policy.rules, plan.rules, strict=True):
            for node, expr in traced_nodes(planned.trace, rule.when):
                assert close(traced.registers[node.reg], in_register(evaluate(expr, facts), expr.type)), (
                    seed,
                    node.text,
                )


def results(policy: Policy, plan: Plan) -> Iterator[tuple[str, int, Expr]]:
    for register, field in enumerate(policy.derived, len(policy.fields)):
        assert field.expression is not None
        yield field.name, register, field.expression
    for feature, planned in zip(policy.features, plan.features, strict=True):
        assert feature.expression is not None
        yield feature.name, planned.reg, feature.expression
    for rule, compiled in zip(policy.rules, plan.rules, strict=True):
        yield rule.id, compiled.result, rule.when


def traced_nodes(node: TraceNode, expr: Expr) -> Iterator[tuple[TraceNode, Expr]]:
    from frmcore.policy.tree import Const
    from frmcore.policy.walk import children

    yield node, expr
    shown = [child for child in children(expr) if not isinstance(child, Const) or child.param]
    for child, of in zip(node.children, shown, strict=True):
        yield from traced_nodes(child, of)


# -- the shape of the code ---------------------------------------------------------------------------------------------
def segments(plan: Plan) -> list[Segment]:
    groups = [group.code for group in plan.groups]
    return [plan.derive, *groups, plan.keys, plan.compute, *(point.code for point in plan.points)]


@pytest.fixture(scope="module")
def plans() -> list[Plan]:
    return [lower(load(program(Random(seed)))) for seed in range(100, 110)]


def test_jumps_go_forward_and_stay_inside(plans: list[Plan]) -> None:
    found = 0
    for plan in plans:
        for segment in segments(plan):
            for at in range(segment.start, segment.end):
                if plan.code[at].op in JUMPS:
                    found += 1
                    assert at < plan.code[at].b <= segment.end
    assert found > len(plans)


def test_segments_cover_the_code_in_order(plans: list[Plan]) -> None:
    for plan in plans:
        end = 0
        for segment in segments(plan):
            assert segment.start == end
            end = segment.end
        assert end == len(plan.code)


def test_registers_are_assigned_once(plans: list[Plan]) -> None:
    for plan in plans:
        check_single_assignment(plan)


def check_single_assignment(plan: Plan) -> None:
    """A straight run may not overwrite what `explain` shows: only a jump writes what its segment writes again."""
    written = Counter(instr.dst for instr in plan.code if instr.op not in JUMPS)
    inputs = {*range(len(plan.fields)), *(register for register, _ in plan.constants), *(p.dst for p in plan.probes)}
    assert not inputs & written.keys()
    twice = [register for register, count in written.items() if count > 1]
    for register in twice:  # a conversion that two skipped stretches need
        same = {instr for instr in plan.code if instr.dst == register and instr.op not in JUMPS}
        assert len(same) == 1, register


def policy_of(rules: str, features: str = "", more: str = "") -> Policy:
    head = HEAD.removesuffix("features:\n") + more
    lines = [
        f"  - {{id: r{i}, when: '{quoted(rule)}', outcome: review, score: 1}}"
        for i, rule in enumerate(rules.split("\n"))
    ]
    return load(head + (f"features:\n{features}\n" if features else "") + "rules:\n" + "\n".join(lines) + "\n")


def ops(plan: Plan, segment: Segment | None = None) -> list[str]:
    start, end = segment or (0, len(plan.code))
    return [Op(instr.op).name for instr in plan.code[start:end]]


@pytest.mark.parametrize(
    ("rules", "wanted"),
    [
        ("i > 5", ["LT_I"]),
        ("b", []),
        ("i > 5 and j > 7", ["LT_I", "LT_I", "AND"]),
        ("f > 5", ["LT_F"]),
        ("f > i", ["LT_IF"]),
        ("d > 5", ["LT_I"]),  # the literal is scaled
        ("i < 1.5 * 2", ["LT_IF"]),
        ("d == q", ["FLOORDIV_I", "MOD_I", "LT_I", "ADD_I", "EQ_I", "EQ_I", "AND"]),
        ("d <= q", ["FLOORDIV_I", "MOD_I", "LT_I", "ADD_I", "LE_I"]),
        ("i / j > 0.5", ["INT_TO_FLOAT", "INT_TO_FLOAT", "DIV_F", "LT_F"]),
        ("s in (\"a\", \"b\")", ["IN_SET_S"]),
        ("s in (\"a\",)", ["EQ_S"]),
        ("e in (\"red\", \"blue\")", ["IN_SET_I"]),
        ("f in (0.5, 1.5)", ["EQ_F", "EQ_F", "OR"]),
        ("p == \"10.0.0.7\"", ["EQ_S"]),
        ("startswith(network(p, 8), \"10.\")", ["NETWORK_S", "STARTS_S"]),
        ("s[:2] == \"ab\"", ["SLICE_S", "EQ_S"]),
        ("round(d) == 3", ["FLOORDIV_I", "MOD_I", "MOD_I", "ADD_I", "LT_I", "ADD_I", "EQ_I"]),
        ("matches(s, \"^a\") and i > 5", ["LT_I", "JUMP_FALSE", "MATCH_S", "AND"]),  # cheap first
        ("fold(s) == \"a\" or i == 5", ["EQ_I", "JUMP_TRUE", "FOLD_S", "EQ_S", "OR"]),
    ],
)  # fmt: skip
def test_instructions(rules: str, wanted: list[str]) -> None:
    assert ops(lower(policy_of(rules))) == wanted


def test_a_shared_part_is_computed_once_and_before_any_jump() -> None:
    plan = lower(policy_of('b and i > 5 and fold(s) == "a"\nc and (fold(s) == "a" or j > 5)\nfold(s) == "b"'))
    assert Counter(ops(plan))["FOLD_S"] == 1
    assert ops(plan)[0] == "FOLD_S"


def test_rules_use_what_features_computed() -> None:
    plan = lower(policy_of("i + j > 7\ni + j > 9", features="  total: i + j"))
    assert ops(plan, plan.compute) == ["ADD_I"]
    assert ops(plan, plan.points[0].code) == ["LT_I", "LT_I"]
    assert plan.code[0].dst == plan.features[0].reg


def test_a_feature_of_another_name_is_a_move() -> None:
    plan = lower(policy_of("total > 7", features="  same: total\n  total: i + j\n  again: i + j"))
    assert ops(plan, plan.compute) == ["ADD_I", "MOV", "MOV"]


def test_list_probes_are_shared_and_cost_no_instruction() -> None:
    more = "lists:\n  one: {of: string}\n  two: {of: string}\n"
    rules = "s in one and i > 5\ns in one or s in two\nlower(s) in one\nlower(s) in two\nlabel in one"
    plan = lower(policy_of(rules, features="  label: lower(u)", more=more))
    assert [(probe.list, probe.key) for probe in plan.probes[:2]] == [(0, 11), (1, 11)]
    assert len(plan.probes) == 4
    assert plan.probes[2].key == plan.probes[3].key
    assert ops(plan, plan.keys) == ["LOWER_S"]
    assert Counter(ops(plan))["IN_LIST"] == 1  # its key is a feature: known only later


def test_r1_is_compact() -> None:
    plan = lower(load(R1))
    count = len(plan.code)
    print(f"R1: {count} instructions, {plan.registers} registers")
    assert count <= 69
    assert len(plan.groups) == 5
    assert plan.compute.start == plan.compute.end
    assert len(plan.sets) == 4
    assert len(plan.patterns) == 3


def test_r1_runs_in_few_steps() -> None:
    """Nothing fires on an ordinary event, and most of each rule is skipped."""
    plan = lower(load(R1))
    machine = Machine(plan)
    for feature in plan.features:
        machine.registers[feature.reg] = 2.0 if feature.rep is Rep.FLOAT else 2
    for register, field in enumerate(plan.fields):
        machine.registers[register] = 100 if field.kind is not Kind.STRING else b"ordinary"
    for probe in plan.probes:
        machine.registers[probe.dst] = 0
    machine.run(plan.points[0].code)
    assert machine.steps <= 50


# -- the parts of a plan -----------------------------------------------------------------------------------------------
POINTS = """\
policy: points
version: 3
outcomes: [allow, review, block]
event:
  id: id
  time: ts
  kind: kind
  fields:
    id: string
    ts: timestamp
    kind: {type: enum, values: [payment, login, payout]}
    account: {entity: account}
    amount: {type: money, currency: EUR, optional: true, required_on: [payment]}
  updates:
    status: {type: enum, values: [pending, declined], default: pending}
points:
  checkout: {on: payment, score: {review: 50, block: 80}}
  answered: {after: checkout}
  other: {on: [login, payout]}
params: {most: 8}
features:
  tries: count(by=account, over="10m", where=fired("second") or final == "block")
rules:
  - {id: first, when: tries > most, outcome: block, reason: "{tries} tries"}
  - {id: off, when: tries > 1, mode: off, outcome: review}
  - id: second
    when: tries > most and status == "pending"
    on: payout
    point: answered
    score: 7
    actions: [freeze]
    if_unknown: fires
  - {id: third, when: tries > most, mode: shadow, rollout: 20% by account, group: g, outcome: review, score: 3}
"""


def test_points_and_rules() -> None:
    plan = lower(load(POINTS))
    assert [rule.id for rule in plan.rules] == ["first", "second", "third"]
    checkout, answered, other = plan.points
    assert (other.kinds, other.after, other.rules) == ((1, 2), -1, (0, 2))
    assert (checkout.kinds, checkout.after, checkout.thresholds, checkout.rules) == (
        (0,),
        -1,
        ((50, 1), (80, 2)),
        (0, 2),
    )
    assert (answered.after, answered.rules) == (0, (0, 1, 2))
    first, second, third = plan.rules
    assert (first.points, first.outcome, first.live) == ((0, 1, 2), 2, -1)
    assert (second.points, second.kinds, second.score, second.fires_if_unknown) == ((1,), (2,), 7, True)
    assert third.result == first.result
    assert third.live in {plan.code[at].dst for at in range(*checkout.code)}
    assert plan.fired == ((second.id, plan.fired[0][1]),)
    assert [part.text for part in first.reason] == ["tries", " tries"]
    assert first.reason[0].reg == plan.features[0].reg
    assert ops(plan, checkout.code) == ["LT_I", "BUCKET_S", "LT_I"]


def test_trace_shows_parameters_but_no_literals() -> None:
    plan = lower(load(POINTS))
    tries, most = plan.rules[0].trace.children[::-1]
    assert (tries.text, most.text) == ("tries", "most")
    assert dict(plan.constants)[most.reg] == 8
    status = plan.rules[1].trace.children[1]
    assert [child.text for child in status.children] == ["status"]


def test_registers_are_laid_out_as_the_plan_says() -> None:
    plan = lower(load(POINTS))
    names = [field.name for field in (*plan.fields, *plan.derived, *plan.updates)]
    assert names == ["id", "ts", "kind", "account", "amount", "status"]
    special = [plan.final, plan.score, plan.fired[0][1]]
    assert special == [6, 7, 8]
    constants = [register for register, _ in plan.constants]
    assert constants == list(range(9, 9 + len(constants)))
    assert plan.features[0].reg == 9 + len(constants)


MONEY = """\
policy: money
version: 1
base: EUR
rates:
  USD: [{from: 2020-01-01, rate: 0.9}]
  JPY: [{from: 2020-01-01, rate: 0.006}]
event:
  id: id
  time: ts
  fields:
    id: string
    ts: timestamp
    code: string
    amount: {type: money, currency: code}
rules:
  - {id: r, when: original(amount) > 5, outcome: review, score: 1}
"""


def test_currencies() -> None:
    policy = load(MONEY)
    plan = lower(policy)
    (money,) = plan.currencies
    assert (money.amount, money.currency, money.original, money.rate) == (3, 2, 4, 5)
    assert plan.code[0][:4] == (Op.LT_I, plan.rules[0].result, 8, money.original)
    assert [(rate.currency, rate.exponent) for rate in plan.rates] == [("JPY", 0), ("USD", 2)]
    assert (plan.base_currency, plan.base_exponent) == ("EUR", 2)


def test_zones_sets_and_patterns_are_listed_once() -> None:
    rules = 'hour(ts, tz="Europe/Berlin") > 5\nweekday(ts, tz="Europe/Berlin") == 1\nhour(t, tz="UTC") == 2\n'
    rules += 'matches(s, "^a")\nmatches(u, "^a")\ni in (1, 2)\nj in (2, 1)'
    plan = lower(policy_of(rules))
    assert [zone.name for zone in plan.zones] == ["Europe/Berlin", "UTC"]
    assert plan.sets == ((1, 2),)
    assert len(plan.patterns) == 1


def test_patterns_beyond_the_dfa_are_left_to_google_re2() -> None:
    plan = lower(policy_of('matches(s, "^a")\nmatches(s, "a.{1000}")'))
    assert [type(pattern) for pattern in plan.patterns] == [Dfa, Re2]


def test_a_mapped_address_is_its_ipv4_address() -> None:
    plan = lower(policy_of('p == "::ffff:10.0.0.7"\np == "2001:db8::7"'))
    assert [len(value) for _, value in plan.constants if isinstance(value, bytes)] == [4, 16]


def test_private_values_meet_hashed_literals() -> None:
    """The checker refuses to write them down; the compiler would know what to do."""
    policy = policy_of('s == "x"\ns in ("x", "y")')
    plan = lower(with_private(policy, "s"))
    assert PrivateText("x") in dict(plan.constants).values()
    assert plan.sets == ((PrivateText("x"), PrivateText("y")),)
    machine = Machine(plan, private=lambda clear: b"#" + clear)
    machine.registers[[field.name for field in plan.fields].index("s")] = b"#x"
    machine.run(plan.points[0].code)
    assert [machine.registers[rule.result] for rule in plan.rules] == [1, 1]


def with_private(policy: Policy, name: str) -> Policy:
    from frmcore.policy.tree import Compare, InSet

    def private(expr: Expr) -> Expr:
        return replace(expr, type=replace(expr.type, private=True))

    whens = []
    for rule in policy.rules:
        when = rule.when
        assert isinstance(when, Compare | InSet)
        changed = (
            replace(when, left=private(when.left))
            if isinstance(when, Compare)
            else replace(when, item=private(when.item))
        )
        whens.append(replace(rule, when=changed))
    fields = tuple(replace(f, type=replace(f.type, private=f.name == name)) for f in policy.fields)
    return replace(policy, fields=fields, rules=tuple(whens))


# -- bounds and determinism --------------------------------------------------------------------------------------------
def test_a_policy_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = policy_of("\n".join(f"i + {n} > j" for n in range(50)))
    monkeypatch.setattr("frmcore.policy.emit.PROGRAM_LENGTH_MAX", 99)
    with pytest.raises(PolicyError, match="more than 99 instructions"):
        lower(policy)
    monkeypatch.setattr("frmcore.policy.emit.PROGRAM_LENGTH_MAX", 100)
    assert len(lower(policy).code) == 100
    monkeypatch.setattr("frmcore.policy.registers.REGISTERS_MAX", 100)
    with pytest.raises(PolicyError, match="more than 100 values"):
        lower(policy)


def test_operands_fit_sixteen_bits() -> None:
    assert limits.REGISTERS_MAX <= 2**16
    assert limits.PROGRAM_LENGTH_MAX < 2**16


def test_the_same_text_gives_an_equal_plan() -> None:
    text = program(Random(7))
    assert lower(load(text)) == lower(load(text))


PRINT_PLAN = """
import sys
from frmcore.policy import load
from frmcore.policy.lower import lower
print(lower(load(sys.stdin.read())))
"""


def test_plans_do_not_depend_on_the_hash_seed() -> None:
    text = program(Random(11))
    shown = set()
    for seed in ("0", "1", "4242"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[1])}
        done = subprocess.run(
            [sys.executable, "-c", PRINT_PLAN], input=text, capture_output=True, text=True, env=environment, check=True
        )
        shown.add(done.stdout)
    assert len(shown) == 1
