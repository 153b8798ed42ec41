"""The register machine against plain Python: every operation, random programs, and what the verifier refuses."""

from __future__ import annotations

import itertools
import math
import random
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machine import EARTH_KM, Machine
from msgspec.structs import replace

from frmcore import text
from frmcore._fast import Lists, ListTable, NetworkTable, Program
from frmcore.limits import TIME_MS_MAX
from frmcore.plan import (
    Agg,
    Column,
    ColumnKind,
    Dfa,
    FeaturePlan,
    FieldPlan,
    Group,
    Instr,
    Kind,
    Limits,
    ListPlan,
    Lookup,
    LookupPlan,
    Mode,
    Op,
    Plan,
    PointPlan,
    PrivateText,
    Probe,
    Query,
    Re2,
    ReasonPart,
    Rep,
    RulePlan,
    Segment,
    Span,
    TraceNode,
    Zone,
)
from frmcore.verify import SHAPES, verify

if TYPE_CHECKING:
    from collections.abc import Sequence

    from machine import Value

KEY = b"0123456789abcdef"
DAY_MS = 86_400_000
INTS = (None, 0, 1, -1, 2, 7, -7, 3_600_000, 2**53 + 1, 2**62, 2**63 - 1, -(2**63 - 1))
FLOATS = (None, 0.0, -0.0, 1.0, -1.0, 0.5, 2.5, -7.25, 1e308, -1e308, 5e-324, 2.0**53, 2.0**63, -(2.0**63), 9.3e18)
TEXTS = (None, b"", b"a", b"ab", b"abab", "Straße İ".encode(), "𝔘a".encode(), b"Ann.X+y@GMail.com", b"f r e e  money")
IPS = (None, b"\x0a\x01\x02\x03", bytes(15) + b"\x01", bytes.fromhex("20010db8000000000000000000000001"))
SETS: tuple[Any, ...] = (
    (0, 7, -7),
    tuple(range(-50, 60, 3)),
    ("a", "abab", b"Stra"),
    (*(f"v{i}" for i in range(40)), "ab"),
)
FIELDS = [Kind.STRING, Kind.TIMESTAMP] + [Kind.INT] * 4 + [Kind.FLOAT] * 4 + [Kind.STRING] * 3 + [Kind.IP]
NAMES = {"I": (2, 3, 4, 5), "F": (6, 7, 8, 9), "T": (10, 11, 12)}


def zone_of(name: str) -> Zone:
    """Its transitions from 1970 to 2037, found by bisection of the hours."""
    tz = ZoneInfo(name)

    def offset(ms: int) -> int:
        moved = datetime.fromtimestamp(ms // 1000, tz).utcoffset()
        assert moved is not None
        return round(moved.total_seconds() * 1000)

    at, offsets, step = [-(2**62)], [offset(-30 * 365 * DAY_MS)], 7 * DAY_MS
    for low in range(-30 * 365 * DAY_MS, 68 * 365 * DAY_MS, step):
        if offset(low + step) != offsets[-1]:
            high, start = low + step, low
            while high - start > 1000:
                middle = (start + high) // 2000 * 1000
                start, high = (middle, high) if offset(middle) == offsets[-1] else (start, middle)
            at.append(high)
            offsets.append(offset(high))
    return Zone(name, tuple(at), tuple(offsets))


ZONES = (Zone("UTC", (-(2**62),), (0,)), zone_of("Europe/Berlin"), zone_of("America/St_Johns"), zone_of("Pacific/Apia"))
# Finds "ab" anywhere: dead, matched, start, after an "a".
AB_STEPS = (0, 0, 0, 1, 1, 1, 2, 3, 2, 2, 3, 1)
AB_CLASSES = bytes(1 if byte == ord("a") else 2 if byte == ord("b") else 0 for byte in range(256))
AB = Dfa("ab", AB_CLASSES, 3, b"".join(state.to_bytes(2, "little") for state in AB_STEPS), bytes((0, 1, 0, 0)), 2)
LOOKUPS = tuple(
    LookupPlan(f"{key.name}-{value.name}", keys, values, key, value)
    for key, keys in ((Rep.INT, (0, 7)), (Rep.TEXT, ("", "ab")))
    for value, values in ((Rep.INT, (-1, 2**62)), (Rep.FLOAT, (0.5, -0.0)), (Rep.TEXT, ("ab", "")))
)
LISTS = (ListPlan("l", Kind.STRING, False, False, None), ListPlan("n", Kind.IP, True, False, None))


def plan_of(code: Sequence[Instr], **changes: Any) -> Plan:
    """A plan whose one point runs `code` over fourteen fields: id, time, four ints, four floats, three texts, an ip."""
    fields = tuple(FieldPlan(f"f{index}", kind, (f"f{index}",), True) for index, kind in enumerate(FIELDS))
    here, nothing = Segment(0, len(code)), Segment(0, 0)
    plan = Plan(
        name="test", version="1", hash="0" * 64, limits=Limits(0, 0, 0, 0, 0, 0, ()), outcomes=("allow", "block"),
        kinds=("a", "b"), fields=fields, derived=(), updates=(), id=0, time=1, kind=-1, final=14, score=15, fired=(),
        registers=60, constants=((16, 1), (17, 0.5), (18, "ab"), (19, b"\x01\x02")), features=(), code=tuple(code),
        derive=nothing, keys=nothing, compute=nothing, groups=(), lists=LISTS, probes=(), rules=(),
        points=(PointPlan("p", None, -1, (), here, ()),), sets=SETS, patterns=(AB, Re2("ab+(a|$)")), zones=ZONES,
        lookups=LOOKUPS,
    )  # fmt: skip
    return replace(plan, **changes)


def lists() -> Lists:
    values, networks = ListTable(KEY), NetworkTable()
    values.add(b"ab", 1000)
    values.add(b"", None)
    networks.load([(b"\x0a\x00\x00\x00", b"\x0a\xff\xff\xff", None)])
    return Lists((values, networks), KEY)


def listed(index: int, value: bytes) -> bool:
    return value in (b"ab", b"") if index == 0 else value[:1] == b"\x0a" and len(value) == 4


def program_of(plan: Plan) -> Program:
    return Program(plan, lists(), KEY)


# -- against the machine in plain Python -------------------------------------------------------------------------------
def twin_run(plan: Plan, values: Sequence[Value], traced: bool = False) -> Machine:
    machine = Machine(plan, listed)
    constants = {register for register, _ in plan.constants}
    for register, value in enumerate(values):
        if register not in constants:
            machine.registers[register] = value
    machine.run(Segment(0, len(plan.code)), traced=traced)
    return machine


def great_circle(lat1: float, lon1: float, lat2: float, lon2: float) -> float:
    """Vincenty's form for a sphere, exact for neighbours and antipodes."""
    p, q, d = math.radians(lat1), math.radians(lat2), math.radians(lon1 - lon2)
    x = math.cos(q) * math.sin(d)
    y = math.cos(p) * math.sin(q) - math.sin(p) * math.cos(q) * math.cos(d)
    return EARTH_KM * math.atan2(math.hypot(x, y), math.sin(p) * math.sin(q) + math.cos(p) * math.cos(q) * math.cos(d))


def same(found: Value, wanted: Value, close: bool = False) -> bool:
    """`close`: a distance, whose sines the machine computes by itself. Antipodes are ill-conditioned in the twin."""
    if isinstance(found, float) and isinstance(wanted, float):
        return math.isclose(found, wanted, rel_tol=1e-6, abs_tol=1e-6) if close else found.hex() == wanted.hex()
    return type(found) is type(wanted) and found == wanted


# -- every operation meets every shape of operand ----------------------------------------------------------------------
LITERALS = {
    "i": (0, 1),
    "s": (2, 3),
    "p": (0, 1),
    "z": (0, 1, 2, 3),
    "l": (0, 1),
    "d": (0, 2, 9),
    "4": (0, 9, 32),
    "6": (0, 50, 128),
    **{letter: (index,) for index, letter in enumerate("uvwxyq")},
}
LOOKUP_SHAPES = ["IIu", "FIv", "TIw", "ITx", "FTy", "TTq"]  # each table has a key and a value of its own kinds
SHOWN: dict[str, Sequence[Value]] = {"I": INTS, "F": FLOATS, "T": TEXTS}
DEGREES = (None, 0.0, 52.5, -33.9, 90.0, 180.0, -180.0, 91.0)


def shapes_of(op: Op) -> list[str]:
    """The operands of `op`, one string for each representation it works on."""
    shape = SHAPES[op]
    if op is Op.LOOKUP:
        return LOOKUP_SHAPES
    return [shape.replace("=", rep).replace("?", rep) for rep in "IFT"] if set(shape) & set("=?") else [shape]


def values_for(op: Op, what: str) -> Sequence[Value]:
    match op, what:
        case ((Op.NETWORK_S | Op.IP_TEXT_S), "T"):
            return IPS
        case Op.IN_LIST, "T":
            return IPS + TEXTS
        case ((Op.NOT | Op.AND | Op.OR), _):
            return (None, 0, 1)
        case ((Op.HOUR_I | Op.WEEKDAY_I | Op.DAYS_BETWEEN_I), "I"):
            return (*INTS[:-3], -TIME_MS_MAX, TIME_MS_MAX)
        case Op.DISTANCE_F, _:
            return DEGREES
        case Op.SLICE_S, "I":
            return (None, 0, 1, -1, 3, -3, 2**63 - 1, -(2**63 - 1))
    return SHOWN[what]


@pytest.mark.parametrize("op", [op for op in SHAPES if not SHAPES[op].endswith("j")], ids=lambda op: op.name)
def test_every_operation_on_every_operand(op: Op) -> None:
    for shape in shapes_of(op):
        for literals in itertools.product(*(LITERALS[what] for what in shape[1:] if what in LITERALS)):
            check_shape(op, shape, literals)


def check_shape(op: Op, shape: str, literals: tuple[int, ...]) -> None:
    free = {rep: iter(registers) for rep, registers in NAMES.items()}
    rest = iter(literals)
    operands = [next(rest) if what in LITERALS else next(free[what]) for what in shape[1:]]
    registers = [number for what, number in zip(shape[1:], operands, strict=True) if what not in LITERALS]
    plan = plan_of([Instr(op, 20, *operands)])
    program, overflows = program_of(plan), 0
    for given_values in itertools.product(*(values_for(op, what) for what in shape[1:] if what not in LITERALS)):
        values: list[Value] = [None] * 60
        for register, value in zip(registers, given_values, strict=True):
            values[register] = value
        found, twin = program.run(0, 1, values)[20], twin_run(plan, values)
        overflows += twin.overflows
        assert same(found, twin.registers[20], op is Op.DISTANCE_F), (op.name, given_values, literals, found)
    assert program.overflows == overflows


def test_operations_have_the_numbers_of_the_plan() -> None:
    source = Path(__file__).parent.parent.joinpath("frmcore/_fast/machine.pxi").read_text()
    found = {name: int(number) for name, number in re.findall(r"^    OP_(\w+) = (\d+)$", source, re.MULTILINE)}
    assert found == {op.name: op.value for op in Op} and set(SHAPES) == set(Op)


def test_least_int_is_no_result() -> None:
    """A window's sum may bring -2**63; what would repeat it is an overflow, and dividing it by -1 must not trap."""
    for op, other in (
        (Op.NEG_I, 0),
        (Op.ABS_I, 0),
        (Op.FLOORDIV_I, -1),
        (Op.FLOORDIV_I, 1),
        (Op.ADD_I, 0),
        (Op.MUL_I, -1),
    ):
        program = program_of(plan_of([Instr(op, 20, 2, 3)]))
        assert program.run(0, 1, [None, None, -(2**63), other] + [None] * 56)[20] is None
        assert program.overflows == 1
    rest = program_of(plan_of([Instr(Op.MOD_I, 20, 2, 3)])).run(0, 1, [None, None, -(2**63), -1] + [None] * 56)
    assert rest[20] == 0


# -- jumps and random programs -----------------------------------------------------------------------------------------
class Writer:
    """Writes random programs as the compiler would: what a jump may skip is not read after it."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.code: list[Instr] = []
        self.known: dict[str, list[int]] = {"I": [2, 3, 4, 5, 16], "F": [6, 7, 8, 9, 17], "T": [10, 11, 12, 18]}
        self.free = list(range(20, 60))

    def operand(self, what: str) -> int:
        return self.random.choice(self.known[what] if what in "IFT" else LITERALS[what])

    def instruction(self) -> None:
        op = self.random.choice(
            [op for op in SHAPES if SHAPES[op][-1] != "j" and op not in (Op.NETWORK_S, Op.IP_TEXT_S)]
        )
        shape = self.random.choice(shapes_of(op))
        dst = self.free.pop()
        self.code.append(Instr(op, dst, *map(self.operand, shape[1:])))
        self.known[shape[0]].append(dst)

    def block(self, depth: int) -> None:
        for _ in range(self.random.randint(1, 4)):
            if not self.free:
                return
            if depth == 0 or len(self.free) < 6 or self.random.random() < 0.7:
                self.instruction()
            else:
                self.skipped(depth - 1)

    def skipped(self, depth: int) -> None:
        at, dst, test = len(self.code), self.free.pop(), self.operand("I")
        self.code.append(Instr(Op.MOV, 0))
        before = {what: list(registers) for what, registers in self.known.items()}
        self.block(depth)
        self.code.append(Instr(Op.AND, dst, test, self.operand("I")))
        self.known = before
        self.known["I"].append(dst)
        self.code[at] = Instr(self.random.choice((Op.JUMP_FALSE, Op.JUMP_TRUE)), dst, test, len(self.code))


@settings(max_examples=400, derandomize=True, deadline=None)
@given(st.integers(0, 2**32), st.booleans())
def test_random_programs(seed: int, traced: bool) -> None:
    writer = Writer(seed)
    writer.block(3)
    plan = plan_of(writer.code)
    program, overflows = program_of(plan), 0
    close = any(instr.op == Op.DISTANCE_F for instr in writer.code)
    for _ in range(5):
        values: list[Value] = [None, None, *writer.random.choices(INTS[:-3], k=4), *writer.random.choices(FLOATS, k=4)]
        values += [*writer.random.choices(TEXTS, k=3), *[None] * 47]
        found, twin = program.run(0, len(writer.code), values, traced=traced), twin_run(plan, values, traced)
        overflows += twin.overflows
        for register, (one, other) in enumerate(zip(found, twin.registers, strict=True)):
            assert same(one, other, close), (seed, register, one, other)
    assert program.overflows == overflows


def test_a_jump_gives_its_answer_and_skips() -> None:
    code = [Instr(Op.JUMP_FALSE, 20, 2, 3), Instr(Op.LT_F, 21, 6, 7), Instr(Op.AND, 20, 2, 21), Instr(Op.NOT, 22, 20)]
    program = program_of(plan_of(code))
    values = [None, None, 0, *[None] * 57]
    assert program.run(0, 4, values)[20:23] == [0, None, 1]
    values[6:8] = 1.0, 2.0
    assert program.run(0, 4, values)[21] is None
    assert program.run(0, 4, values, traced=True)[20:23] == [0, 1, 1]
    values[2] = None
    assert program.run(0, 4, values)[20:23] == [None, 1, None]


# -- lists, private constants, patterns --------------------------------------------------------------------------------
def test_lists_are_asked_at_the_time_of_the_event() -> None:
    program = program_of(plan_of([Instr(Op.IN_LIST, 20, 10, 0)]))
    values = [*[None] * 10, b"ab", *[None] * 49]
    assert [program.run(0, 1, values, event_time=time)[20] for time in (999, 1000)] == [1, 0]


def test_private_constants_are_hashed_with_the_private_key() -> None:
    halves = text.siphash128(*(int.from_bytes(KEY[i : i + 8], "little") for i in (0, 8)), b"secret", 1, 3)
    hashed = b"".join(half.to_bytes(8, "little") for half in halves)
    code = [Instr(Op.EQ_S, 20, 10, 19), Instr(Op.IN_SET_S, 21, 10, 0)]
    changes = {"constants": ((19, PrivateText("secret")),), "sets": ((PrivateText("secret"), PrivateText(b"other")),)}
    program = program_of(plan_of(code, **changes))
    assert program.run(0, 2, [*[None] * 10, hashed, *[None] * 49])[20:22] == [1, 1]
    other = Program(plan_of(code, **changes), lists(), KEY[::-1])
    assert other.run(0, 2, [*[None] * 10, hashed, *[None] * 49])[20:22] == [0, 0]


def test_only_google_re2_runs_python() -> None:
    assert program_of(plan_of([])).runs_python
    assert not program_of(plan_of([], patterns=(AB,))).runs_python


def test_running_twice_counts_twice() -> None:
    program = program_of(plan_of([Instr(Op.ADD_I, 20, 2, 3)]))
    program.run(0, 1, [None, None, 2**62, 2**62, *[None] * 56], times=3)
    assert program.overflows == 3


# -- dates and places --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("zone", range(len(ZONES)), ids=[zone.name for zone in ZONES])
def test_dates_agree_with_zoneinfo(zone: int) -> None:
    """Around every transition of the zone (Apia skipped a whole day), before 1970, and at random."""
    chance = random.Random(zone)
    edges = [at + delta for at in ZONES[zone].at_ms[1:] for delta in (-1, 0, 1, 3_599_999, 3_600_000)]
    times = edges + [chance.randrange(-30 * 365 * DAY_MS, 65 * 365 * DAY_MS) for _ in range(500)] + [-1, 0, -DAY_MS]
    code = [Instr(Op.HOUR_I, 20, 2, zone), Instr(Op.WEEKDAY_I, 21, 2, zone), Instr(Op.DAYS_BETWEEN_I, 22, 3, 2, zone)]
    program = program_of(plan_of(code))
    for ms in times:
        day = datetime.fromtimestamp(ms // 1000, UTC).astimezone(ZoneInfo(ZONES[zone].name))
        first = datetime.fromtimestamp(0, ZoneInfo(ZONES[zone].name)).date()
        found = program.run(0, 3, [None, None, ms, 0, *[None] * 56])
        assert found[20:23] == [day.hour, day.weekday(), (day.date() - first).days], ms


@settings(max_examples=500, derandomize=True, deadline=None)
@given(*[st.floats(-90, 90), st.floats(-180, 180)] * 2)
def test_distance_anywhere(lat1: float, lon1: float, lat2: float, lon2: float) -> None:
    check_distance(lat1, lon1, lat2, lon2)


@settings(max_examples=500, derandomize=True, deadline=None)
@given(st.floats(-90, 90), st.floats(-180, 180), st.floats(-1e-3, 1e-3), st.floats(-1e-3, 1e-3), st.booleans())
def test_distance_of_neighbours_and_antipodes(lat: float, lon: float, up: float, right: float, opposite: bool) -> None:
    if opposite:
        check_distance(lat, lon, max(-90.0, min(90.0, up - lat)), (lon + right) % 360 - 180)
    else:
        check_distance(lat, lon, max(-90.0, min(90.0, lat + up)), max(-180.0, min(180.0, lon + right)))


DISTANCE = program_of(plan_of([Instr(Op.DISTANCE_F, 20, 6, 7, 8, 9)]))


def check_distance(*place: float) -> None:
    found = DISTANCE.run(0, 1, [*[None] * 6, *place, *[None] * 50])[20]
    assert math.isclose(found, great_circle(*place), rel_tol=1e-9, abs_tol=1e-9), (place, found)


# -- what the verifier refuses -----------------------------------------------------------------------------------------
NODE = TraceNode("x", 2, Kind.BOOL, Rep.INT, 0, (), "", False, ())
RULE = RulePlan("r", "", 20, -1, None, (0,), Mode.LIVE, 1, 0, (), (), False, (), NODE)
GROUP = Group(
    "g", "e", None, (10,), -1, Segment(0, 0), (Column(2, ColumnKind.INT, False, True, True, "x"),), 0, 1,
    False, False, False, -1, (Lookup((10,), (Query(40, Agg.SUM, 0, Span.DURATION, 1, 0, False, True),)),),
)  # fmt: skip
DERIVE: dict[str, Any] = {"derive": Segment(0, 1), "points": ()}
KEYS: dict[str, Any] = {"keys": Segment(0, 1), "points": ()}
TRUE = Instr(Op.LT_I, 20, 2, 3)
QUERY = GROUP.lookups[0].queries[0]


def with_query(query: Query) -> dict[str, Any]:
    return {"groups": (replace(GROUP, lookups=(Lookup((10,), (query,)),)),)}


def with_rule(rule: RulePlan) -> dict[str, Any]:
    return {"rules": (rule,), "points": (PointPlan("p", None, -1, (), Segment(0, 1), (0,)),)}


SOUND: list[tuple[list[Instr], dict[str, Any]]] = [
    ([TRUE], with_rule(replace(RULE, live=20, reason=(ReasonPart("a"), ReasonPart("", 6, Kind.FLOAT, Rep.FLOAT))))),
    ([TRUE], {"groups": (GROUP, replace(GROUP, marks_group=0, lookups=()))}),
    ([Instr(Op.ADD_I, 20, 40, 40)], {"groups": (GROUP,)}),
    (
        [Instr(Op.MOV, 20, 10), TRUE._replace(dst=21)],
        {"keys": Segment(0, 1), "probes": (Probe(0, 20, 41),), "points": ()},
    ),
]
HOSTILE: list[tuple[str, list[Instr], dict[str, Any]]] = [
    ("no operation 99", [Instr(99, 20, 2, 3)], {}),
    ("no operation 9", [Instr(9, 20)], {}),
    ("60 is not in", [Instr(Op.ADD_I, 60, 2, 3)], {}),
    ("65535 is not in", [Instr(Op.ADD_I, 20, 65535, 3)], {}),
    ("-1 is not in", [Instr(Op.ADD_I, 20, 2, -1)], {}),
    ("65536 is not in", [Instr(Op.NOT, 20, 2, 65536)], {}),
    ("not in 0..3", [Instr(Op.IN_SET_I, 20, 2, 4)], {}),
    ("does not hold what", [Instr(Op.IN_SET_I, 20, 2, 2)], {}),
    ("does not hold what", [Instr(Op.IN_SET_S, 20, 10, 0)], {}),
    ("a set holds", [], {"sets": ((1, "a"),)}),
    ("a set holds", [], {"sets": ((1.5,),)}),
    ("beyond int64", [], {"sets": ((2**63,),)}),
    ("not in 0..1", [Instr(Op.MATCH_S, 20, 10, 2)], {}),
    ("not in 0..3", [Instr(Op.HOUR_I, 20, 2, 4)], {}),
    ("not in 0..3", [Instr(Op.DAYS_BETWEEN_I, 20, 2, 3, 4)], {}),
    ("not in 0..1", [Instr(Op.IN_LIST, 20, 10, 2)], {}),
    ("not in 0..9", [Instr(Op.ROUND_F, 20, 6, 10)], {}),
    ("not in 0..32", [Instr(Op.NETWORK_S, 20, 13, 33, 64)], {}),
    ("not in 0..128", [Instr(Op.NETWORK_S, 20, 13, 24, 129)], {}),
    ("holds FLOAT, not INT", [Instr(Op.ADD_I, 20, 2, 6)], {}),
    ("holds TEXT, not INT", [Instr(Op.NOT, 20, 10)], {}),
    ("holds INT, not TEXT", [Instr(Op.LEN_S, 20, 2)], {}),
    ("holds INT, not TEXT", [Instr(Op.MOV, 20, 2), Instr(Op.MOV, 21, 20), Instr(Op.LEN_S, 22, 21)], {}),
    ("holds INT, not FLOAT", [Instr(Op.SELECT, 20, 2, 3, 6)], {}),
    ("holds INT, not TEXT", [Instr(Op.COALESCE, 20, 10, 2)], {}),
    ("holds INT, not FLOAT", [TRUE, Instr(Op.ADD_F, 20, 6, 7)], {}),
    ("nothing tells", [Instr(Op.MOV, 20, 21), Instr(Op.MOV, 21, 20)], {}),
    ("not forward", [Instr(Op.JUMP_FALSE, 20, 2, 0)], {}),
    ("not forward", [TRUE, Instr(Op.JUMP_TRUE, 21, 2, 1)], {}),
    ("2 is not in 0..1", [Instr(Op.JUMP_FALSE, 20, 2, 2)], {}),
    ("not forward", [Instr(Op.JUMP_FALSE, 21, 2, 2), TRUE], {"keys": Segment(0, 1), "points": ()}),
    ("overlaps", [TRUE, TRUE], {"keys": Segment(0, 2)}),
    ("overlaps", [TRUE], {"keys": Segment(0, 2), "points": ()}),
    ("overlaps", [TRUE], {"keys": Segment(1, 0), "points": ()}),
    ("segment: -1", [TRUE], {"keys": Segment(-1, -1), "points": ()}),
    ("register 21 may not be filled", [Instr(Op.ADD_I, 20, 2, 21), Instr(Op.ADD_I, 21, 2, 3)], {}),
    ("register 20 may not be filled", [Instr(Op.JUMP_FALSE, 21, 2, 2), TRUE, Instr(Op.NOT, 22, 20)], {}),
    ("register 20 may not be filled", [Instr(Op.NOT, 21, 20), TRUE], DERIVE | {"keys": Segment(1, 2)}),
    ("register 40 may not be filled", [Instr(Op.NOT, 21, 40)], KEYS | {"groups": (GROUP,)}),
    ("register 14 may not be filled", [Instr(Op.NOT, 21, 14)], DERIVE),
    ("not the program's", [Instr(Op.ADD_I, 16, 2, 3)], {}),
    ("not the program's", [Instr(Op.ADD_I, 2, 2, 3)], {}),
    ("not the program's", [Instr(Op.JUMP_FALSE, 14, 2, 1)], {}),
    ("not the program's", [Instr(Op.ADD_I, 40, 2, 3)], {"groups": (GROUP,)}),
    ("belongs to", [], {"constants": ((2, 1),)}),
    ("holds TEXT, not INT", [], {"constants": ((10, 1),)}),
    ("beyond int64", [], {"constants": ((16, -(2**63)),)}),
    ("no constant", [], {"constants": ((16, math.nan),)}),
    ("70 is not in", [], {"constants": ((70, 1),)}),
    ("longer than a policy", [], {"constants": ((16, "x" * (5 << 20)),)}),
    ("surrogates", [], {"constants": ((18, "\ud800"),)}),
    ("registers: 40000", [], {"registers": 40_000}),
    ("is not in 0..12", [], {"registers": 13}),
    ("length of the program", [TRUE] * 60_001, {}),
    ("register 59 may not be filled", [], {"features": (FeaturePlan("f", 59, Kind.INT, Rep.INT),)}),
    ("holds INT, not FLOAT", [], {"features": (FeaturePlan("f", 2, Kind.INT, Rep.FLOAT),)}),
    ("final", [], {"final": 60}),
    ("belongs to", [], {"score": 14}),
    ("id: register 2", [], {"id": 2}),
    ("time: register 6", [], {"time": 6}),
    ("probe 0: list", [], {"probes": (Probe(2, 10, 41),)}),
    ("holds INT, not TEXT", [], {"probes": (Probe(0, 2, 41),)}),
    ("register 42 may not be filled", [], {"probes": (Probe(0, 42, 41),)}),
    ("register 20 may not be filled", [TRUE._replace(dst=21)], with_rule(RULE)),
    ("outcome + 1: 3", [TRUE], with_rule(replace(RULE, outcome=2))),
    ("point: 1", [TRUE], with_rule(replace(RULE, points=(1,)))),
    ("kind: 2", [TRUE], with_rule(replace(RULE, kinds=(2,)))),
    ("holds FLOAT, not INT", [TRUE], with_rule(replace(RULE, result=6))),
    ("may not be filled", [TRUE], with_rule(replace(RULE, reason=(ReasonPart("", 44, Kind.INT, Rep.INT),)))),
    ("may not be filled", [TRUE], with_rule(replace(RULE, trace=NODE._replace(reg=44)))),
    ("point 0: rule", [], {"points": (PointPlan("p", None, -1, (), Segment(0, 0), (0,)),)}),
    ("point 0: outcome", [], {"points": (PointPlan("p", None, -1, ((5, 2),), Segment(0, 0), ()),)}),
    ("after + 1", [], {"points": (PointPlan("p", None, 1, (), Segment(0, 0), ()),)}),
    ("marks_group", [], {"groups": (replace(GROUP, marks_group=0),)}),
    ("keys of group", [], {"groups": (replace(GROUP, keys=(40,)),)}),
    ("filter of group", [], {"groups": (replace(GROUP, where=50),)}),
    ("columns of group", [], {"groups": (replace(GROUP, columns=(GROUP.columns[0]._replace(reg=50),)),)}),
    ("holds FLOAT, not INT", [], {"groups": (replace(GROUP, columns=(GROUP.columns[0]._replace(reg=6),)),)}),
    ("column of a query: 1", [], with_query(QUERY._replace(column=1))),
    ("holds members", [], {"groups": (replace(GROUP, columns=(GROUP.columns[0]._replace(kind=ColumnKind.MEMBER),),
                                              lookups=(Lookup((10,), (QUERY._replace(agg=Agg.MAX),)),)),)}),
    ("zone: 9", [], with_query(QUERY._replace(zone=9))),
    ("belongs to", [], with_query(QUERY._replace(dst=14))),
    ("zone Z", [], {"zones": (*ZONES, Zone("Z", (0,), (0,)))}),
    ("zone Z", [], {"zones": (*ZONES, Zone("Z", (), ()))}),
    ("zone Z", [], {"zones": (*ZONES, Zone("Z", (-(2**62), 5, 5), (0, 0, 0)))}),
    ("zone Z", [], {"zones": (*ZONES, Zone("Z", (-(2**62),), (0, 0)))}),
    ("zone Z", [], {"zones": (*ZONES, Zone("Z", (-(2**62),), (2**40,)))}),
    ("damaged table", [], {"patterns": (AB._replace(accept_end=b"\0\1\0", table=AB.table[:18]),)}),
    ("damaged table", [], {"patterns": (AB._replace(table=AB.table[:-2]),)}),
    ("damaged table", [], {"patterns": (AB._replace(start=4),)}),
]  # fmt: skip


@pytest.mark.parametrize(("code", "changes"), SOUND)
def test_sound_plans_pass(code: list[Instr], changes: dict[str, Any]) -> None:
    assert len(verify(plan_of(code, **changes))) == 60


@pytest.mark.parametrize(("message", "code", "changes"), HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_plans_are_refused(message: str, code: list[Instr], changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        program_of(plan_of(code, **changes))


def test_every_number_of_an_instruction_is_checked() -> None:
    """Random numbers everywhere: refused, or run without a crash."""
    chance = random.Random(7)
    refused = 0
    for _ in range(3000):
        numbers = [chance.choice((*range(4), *range(20), 60, 2**16 - 1)) for _ in range(4)]
        code = [Instr(chance.randrange(92), chance.choice((20, 21, 60)), *numbers)]
        try:
            program = program_of(plan_of(code))
        except ValueError:
            refused += 1
            continue
        program.run(0, 1, [b"id", 5, 1, 2, 3, 4, 1.0, 2.0, 3.0, 4.0, b"a", b"b", b"", b"\0\0\0\0", *[None] * 46])
    assert 0 < refused < 3000


def test_an_address_has_4_or_16_bytes() -> None:
    program = program_of(plan_of([Instr(Op.IP_TEXT_S, 20, 13), Instr(Op.NETWORK_S, 21, 13, 24, 64)]))
    for ip in (b"", b"\x0a\0\0", b"short", bytes(17)):
        assert program.run(0, 2, [*[None] * 13, ip, *[None] * 46])[20:22] == [None, None]


def test_the_door_runs_segments_only() -> None:
    program = program_of(plan_of([TRUE, TRUE]))
    for start, end, size in ((0, 1, 60), (1, 2, 60), (0, 3, 60), (0, 2, 59)):
        with pytest.raises(ValueError, match="no segment"):
            program.run(start, end, [None] * size)


def test_a_list_is_missing() -> None:
    with pytest.raises(ValueError, match="2 lists, not 0"):
        Program(plan_of([]), Lists((), KEY), KEY)
