"""The register machine in plain Python, straight from the docstrings of plan.Op: the reference of the Cython one.

A register holds an int, a float, bytes (UTF-8, the 4 or 16 bytes of an ip, a private hash), or None: absent.
"""

from __future__ import annotations

import math
import operator
from bisect import bisect_right
from typing import TYPE_CHECKING

import re2

from frmcore import text
from frmcore.plan import Dfa, Op, PrivateText, Re2

if TYPE_CHECKING:
    from collections.abc import Callable

    from frmcore.plan import Instr, Plan, Segment, Zone

Value = int | float | bytes | None

DAY_MS, HOUR_MS = 86_400_000, 3_600_000
EARTH_KM = 6371.0088


class Machine:
    """`listed(list index, item)` answers IN_LIST; `private` is the keyed hash of private texts."""

    def __init__(
        self,
        plan: Plan,
        listed: Callable[[int, bytes], bool] = lambda _list, _item: False,
        private: Callable[[bytes], bytes] = lambda clear: clear,
    ) -> None:
        self.plan = plan
        self.listed = listed
        self.private = private
        self.registers: list[Value] = [None] * plan.registers
        self.sets = [frozenset(map(self.constant, values)) for values in plan.sets]
        for register, value in plan.constants:
            self.registers[register] = self.constant(value)
        self.overflows = 0
        self.steps = 0

    def constant(self, value: int | float | str | bytes | PrivateText) -> int | float | bytes:
        if isinstance(value, PrivateText):
            return self.private(encoded(value.text))
        return encoded(value) if isinstance(value, str) else value

    def run(self, segment: Segment, *, traced: bool = False) -> None:
        """Traced: jumps are ignored."""
        at = segment.start
        while at < segment.end:
            self.steps += 1
            instruction = self.plan.code[at]
            jumped = instruction.op in JUMPS and not traced and self.jumps(instruction)
            if instruction.op not in JUMPS:
                self.registers[instruction.dst] = self.compute(instruction)
            at = instruction.b if jumped else at + 1
        assert at == segment.end

    def jumps(self, instruction: Instr) -> bool:
        truth = self.registers[instruction.a]
        decisive = int(instruction.op == Op.JUMP_TRUE)
        if truth is None or bool(truth) != bool(decisive):
            return False
        self.registers[instruction.dst] = decisive
        return True

    def compute(self, instruction: Instr) -> Value:
        op, _, a, b, c, d = instruction
        registers = self.registers
        if op in LENIENT:
            return LENIENT[op](registers[a], registers[b], registers[c])
        if op in LITERAL:
            return None if registers[a] is None else LITERAL[op](self, registers[a], b, c)
        if op == Op.DAYS_BETWEEN_I:
            zone, times = self.plan.zones[c], (registers[a], registers[b])
            return None if None in times else local(zone, times[1])[0] - local(zone, times[0])[0]
        operands = [registers[each] for each in (a, b, c, d)[: ARITY.get(op, 2)]]
        if None in operands:
            return None
        return self.checked(op, STRICT[op](*operands))

    def checked(self, op: int, value: Value) -> Value:
        """-2**63 is no value: it could not be negated."""
        if isinstance(value, int) and abs(value) >= 2**63:
            self.overflows += 1
            return None
        return None if isinstance(value, float) and not math.isfinite(value) else value


def encoded(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value


# -- logic -------------------------------------------------------------------------------------------------------------
JUMPS = (Op.JUMP_FALSE, Op.JUMP_TRUE)


def kleene(decisive: int) -> Callable[[Value, Value, Value], Value]:
    def join(a: Value, b: Value, _: Value) -> Value:
        if any(side is not None and bool(side) == bool(decisive) for side in (a, b)):
            return decisive
        return None if a is None or b is None else 1 - decisive

    return join


def cut(whole: Value, start: Value, end: Value) -> Value:
    return None if whole is None else text.slice_text(whole.decode(), start, end).encode()


LENIENT: dict[int, Callable[[Value, Value, Value], Value]] = {  # absent operands mean something
    Op.MOV: lambda a, _b, _c: a,
    Op.AND: kleene(0),
    Op.OR: kleene(1),
    Op.MISSING: lambda a, _b, _c: int(a is None),
    Op.COALESCE: lambda a, b, _c: b if a is None else a,
    Op.SELECT: lambda a, b, c: None if a is None else b if a else c,
    Op.SLICE_S: cut,
}


# -- operands that are no registers ------------------------------------------------------------------------------------
def local(zone: Zone, time: int) -> tuple[int, int]:
    """Local days since 1970-01-01 and milliseconds since midnight."""
    return divmod(time + zone.offset_ms[bisect_right(zone.at_ms, time) - 1], DAY_MS)


def search(pattern: Dfa | Re2, subject: bytes) -> int:
    if isinstance(pattern, Re2):
        return int(re2.search(pattern.pattern, subject.decode()) is not None)
    table = memoryview(pattern.table).cast("H")
    state = pattern.start
    for byte in subject:
        state = table[state * pattern.classes + pattern.class_of[byte]]
    return int(state == 1 or pattern.accept_end[state])


def rounded(value: float, digits: int) -> float | None:
    power = float(10**digits)
    lifted = value * power
    return math.copysign(float(round(lifted)), lifted) / power if math.isfinite(lifted) else None


def looked_up(machine: Machine, key: Value, index: int, _: int) -> Value:
    table = machine.plan.lookups[index]
    rows = dict(zip(map(machine.constant, table.keys), map(machine.constant, table.values), strict=True))
    return rows.get(key)


LITERAL: dict[int, Callable[[Machine, Value, int, int], Value]] = {
    Op.LOOKUP: looked_up,
    Op.IN_SET_I: lambda machine, a, b, _: int(a in machine.sets[b]),
    Op.IN_SET_S: lambda machine, a, b, _: int(a in machine.sets[b]),
    Op.IN_LIST: lambda machine, a, b, _: int(machine.listed(b, a)),
    Op.MATCH_S: lambda machine, a, b, _: search(machine.plan.patterns[b], a),
    Op.NETWORK_S: lambda _, a, b, c: text.network(a, b, c).encode(),
    Op.ROUND_F: lambda _machine, a, b, _c: rounded(a, b),
    Op.HOUR_I: lambda machine, a, b, _: local(machine.plan.zones[b], a)[1] // HOUR_MS,
    Op.WEEKDAY_I: lambda machine, a, b, _: (local(machine.plan.zones[b], a)[0] + 3) % 7,
}


# -- absent where an operand is absent ---------------------------------------------------------------------------------
def divided(operation: Callable[[Value, Value], Value]) -> Callable[[Value, Value], Value]:
    return lambda a, b: None if b == 0 else operation(a, b)


def of_text(function: Callable[[str], str | None]) -> Callable[[bytes], bytes | None]:
    def run(subject: bytes) -> bytes | None:
        result = function(subject.decode())
        return None if result is None else result.encode()

    return run


def truth(operation: Callable[[Value, Value], bool]) -> Callable[[Value, Value], int]:
    return lambda a, b: int(operation(a, b))


def distance_km(lat1: float, lon1: float, lat2: float, lon2: float) -> float | None:
    """The haversine formula, to a few units of the last place."""
    if max(abs(lat1), abs(lat2)) > 90 or max(abs(lon1), abs(lon2)) > 180:
        return None
    south, north, east = math.radians(lat1), math.radians(lat2), math.radians(lon2 - lon1)
    h = math.sin((north - south) / 2) ** 2 + math.cos(south) * math.cos(north) * math.sin(east / 2) ** 2
    return 2 * EARTH_KM * math.asin(min(1.0, math.sqrt(h)))


STRICT: dict[int, Callable[..., Value]] = {
    Op.NOT: lambda a: int(not a),
    Op.FLOORDIV_I: divided(operator.floordiv),
    Op.MOD_I: divided(operator.mod),
    Op.DIV_F: divided(operator.truediv),
    Op.FLOORDIV_F: divided(operator.floordiv),
    Op.MOD_F: divided(operator.mod),
    Op.ROUND_I: round,
    Op.INT_TO_FLOAT: float,
    Op.STARTS_S: truth(bytes.startswith),
    Op.ENDS_S: truth(bytes.endswith),
    Op.CONTAINS_S: truth(operator.contains),
    Op.LEN_S: lambda a: len(a.decode()),
    Op.LOWER_S: of_text(text.lower),
    Op.UPPER_S: of_text(text.upper),
    Op.DOMAIN_S: of_text(text.domain),
    Op.EMAIL_S: of_text(text.canonical_email),
    Op.FOLD_S: of_text(text.fold),
    Op.IP_TEXT_S: lambda a: text.ip_text(a).encode(),
    Op.BUCKET_S: lambda a, b: text.bucket(a.decode(), b.decode()),
    Op.DISTANCE_F: distance_km,
    Op.LT_FI: truth(operator.lt),
    Op.LE_FI: truth(operator.le),
}
for name, operation in {"ADD": operator.add, "SUB": operator.sub, "MUL": operator.mul, "MIN": min, "MAX": max}.items():
    STRICT[Op[f"{name}_I"]] = STRICT[Op[f"{name}_F"]] = operation
for name, operation in {"NEG": operator.neg, "ABS": abs}.items():
    STRICT[Op[f"{name}_I"]] = STRICT[Op[f"{name}_F"]] = operation
for name in ("EQ", "NE", "LT", "LE"):  # Python compares int with float exactly
    for of in ("I", "F", "IF", "S"):
        if f"{name}_{of}" in Op.__members__:
            STRICT[Op[f"{name}_{of}"]] = truth(getattr(operator, name.lower()))

ARITY = {Op.DISTANCE_F: 4} | dict.fromkeys(
    [
        Op.NOT, Op.NEG_I, Op.NEG_F, Op.ABS_I, Op.ABS_F, Op.ROUND_I, Op.INT_TO_FLOAT, Op.LEN_S, Op.LOWER_S, Op.UPPER_S,
        Op.DOMAIN_S, Op.EMAIL_S, Op.FOLD_S, Op.IP_TEXT_S,
    ],
    1,
)  # fmt: skip
