"""Expressions to instructions: which values are at hand, logic, jumps. Numbers and calls have their own files.

One canonical text has one register (single assignment), and a straight run, with jumps ignored, fills every register
that `explain` shows. What is computed in a stretch that a jump may skip counts as unknown after it.
"""

from __future__ import annotations

import ipaddress
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from frmcore.limits import PROGRAM_LENGTH_MAX
from frmcore.plan import Instr, Kind, Op, PrivateText, Rep, Segment
from frmcore.policy import emit_calls as calls
from frmcore.policy import emit_numbers as numbers
from frmcore.policy.cost import cheapest_first, cost
from frmcore.policy.registers import Registers, Tables, too_large
from frmcore.policy.tree import (
    Arith,
    BoolOp,
    Call,
    Compare,
    Const,
    Expr,
    Fired,
    If,
    InList,
    InSet,
    LookUp,
    Neg,
    Not,
    Ref,
)
from frmcore.policy.walk import children, in_dependency_order, walk

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from frmcore.policy.canonical import Texts
    from frmcore.policy.registers import Constant, Values
    from frmcore.policy.tree import Policy, Type

_LEAVES: Final = (Const, Ref, Fired)
_WORTH_A_JUMP: Final = 3  # units of cost.py that a jump must save: it costs one itself


class Program:
    """What all emitters share: the policy, its registers and tables, the instructions so far."""

    def __init__(self, policy: Policy, texts: Texts, registers: Registers) -> None:
        self.policy = policy
        self.texts = texts
        self.registers = registers
        self.tables = Tables()
        self.code: list[Instr] = []
        self.lookups = {table.name: index for index, table in enumerate(policy.lookups)}
        self.lists = {spec.name: index for index, spec in enumerate(policy.lists)}


class Emitter:
    """One world of values. Derived fields, groups and decisions have one each, because the same text reads other facts
    there: an event as it was told later, private fields before they are hashed (`clear`)."""

    def __init__(self, program: Program, *, clear: bool = False) -> None:
        self.program = program
        self.registers = program.registers
        self.tables = program.tables
        self.text = program.texts.of
        self._clear = clear
        self._homes: dict[str, int] = {}
        self._at_hand: list[set[int]] = [set()]

    # -- instructions ------------------------------------------------------------------------------------------------
    def put(self, op: Op, dst: int, *operands: int) -> None:
        if len(self.program.code) == PROGRAM_LENGTH_MAX:
            raise too_large(self.program.policy, "instructions", PROGRAM_LENGTH_MAX)
        self.program.code.append(Instr(op, dst, *operands))

    def step(self, text: str, op: Op, *operands: int) -> int:
        """The register of a value that no node of the source stands for, such as a conversion."""
        home = self._home(text)
        if not self._is_known(home):
            self.put(op, home, *operands)
            self._at_hand[-1].add(home)
        return home

    @contextmanager
    def apart(self) -> Iterator[None]:
        """What is computed within is not at hand afterwards."""
        self._at_hand.append(set())
        yield
        self._at_hand.pop()

    def segment(self, roots: Sequence[Expr]) -> Segment:
        """Computes every root. What is needed twice is computed once, before the first root that needs it."""
        start = len(self.program.code)
        shared = self._repeated(roots)
        for root in roots:
            self._root(root, shared)
        return Segment(start, len(self.program.code))

    def definitions(self, expressions: Mapping[str, Expr], registers: Mapping[str, int]) -> Segment:
        """Computes each expression into the register of its name, after those that it refers to."""
        start = len(self.program.code)
        shared = self._repeated(list(expressions.values()))
        for name, expr in expressions.items():
            if not is_leaf(expr):
                self._homes.setdefault(self.text(expr), registers[name])
        for name in in_dependency_order(expressions):
            value = self._root(expressions[name], shared)
            if value != registers[name]:  # it is another name's value too
                self.put(Op.MOV, registers[name], value)
        return Segment(start, len(self.program.code))

    def _root(self, root: Expr, shared: set[str]) -> int:
        for node in walk(root):
            if not is_leaf(node) and self.text(node) in shared:
                self.value(node)
        return self.value(root)

    def _repeated(self, roots: Sequence[Expr]) -> set[str]:
        """Texts that occur more than once; within a repeated node only what occurs elsewhere too."""
        seen: set[str] = set()
        repeated: set[str] = set()

        def visit(node: Expr) -> None:
            text = self.text(node)
            if text in seen:
                repeated.add(text)
                return
            seen.add(text)
            for child in children(node):
                visit(child)

        for root in roots:
            visit(root)
        return repeated

    # -- values ------------------------------------------------------------------------------------------------------
    def value(self, expr: Expr) -> int:
        """The register that holds `expr` from here on."""
        home = self.home(expr)
        if not self.is_at_hand(expr):
            self._lower(expr, home)
            self._at_hand[-1].add(home)
        return home

    def home(self, expr: Expr) -> int:
        """The register that `expr` has wherever it is computed."""
        return self._leaf(expr) if is_leaf(expr) else self._home(self.text(expr))

    def given(self, expr: Expr, register: int) -> None:
        """Others compute `expr` into `register` before any code of this emitter needs it."""
        self._homes[self.text(expr)] = register
        self._at_hand[0].add(register)

    def is_at_hand(self, expr: Expr) -> bool:
        return is_leaf(expr) or self._is_known(self._homes.get(self.text(expr), -1))

    def constant(self, value: Constant) -> int:
        return self.registers.constant(value)

    def _home(self, text: str) -> int:
        if text not in self._homes:
            self._homes[text] = self.registers.new()
        return self._homes[text]

    def _is_known(self, home: int) -> bool:
        return any(home in known for known in self._at_hand)

    def _leaf(self, expr: Expr) -> int:
        registers = self.registers
        match expr:
            case Const():
                return self.constant(register_form(expr))
            case Ref(source="feature", name=name):
                return registers.features[name]
            case Ref(source="final"):
                return registers.final
            case Ref(source="score"):
                return registers.score
            case Ref(name=name):
                return registers.names[name]
            case Fired(rule=rule):
                return registers.fired[rule]
            case Call(function="original", args=(Ref(name=name),)):
                money = registers.currencies.get(name)
                return registers.names[name] if money is None else money.original
        raise AssertionError(expr)

    def _lower(self, expr: Expr, dst: int) -> None:
        match expr:
            case Not(item=item):
                self.put(Op.NOT, dst, self.value(item))
            case BoolOp():
                self._logic(expr, dst)
            case Compare(left=left) if left.type.rep is Rep.TEXT:
                self._same_text(expr, dst)
            case Compare():
                numbers.compare(self, expr, dst)
            case InSet():
                self._in_set(expr, dst)
            case InList(item=item, list=name):
                self.put(Op.IN_LIST, dst, self.value(item), self.program.lists[name])
            case LookUp(item=item, table=table):
                self.put(Op.LOOKUP, dst, self.value(item), self.program.lookups[table.name])
            case Arith():
                numbers.arithmetic(self, expr, dst)
            case Neg():
                numbers.negate(self, expr, dst)
            case If(test=test, then=then, other=other):
                branches = (numbers.converted(self, branch, expr.type) for branch in (then, other))
                self.put(Op.SELECT, dst, self.value(test), *branches)
            case Call():
                calls.call(self, expr, dst)

    # -- logic -------------------------------------------------------------------------------------------------------
    def _logic(self, expr: BoolOp, dst: int) -> None:
        """Items in the order that settles it soonest, a jump where it saves enough; then all of them joined, which
        gives what the jump wrote when jumps are ignored."""
        items = cheapest_first(expr, self.is_at_hand)
        costs = [cost(item, self.is_at_hand) + 1 for item in items]
        jump, join = (Op.JUMP_FALSE, Op.AND) if expr.op == "and" else (Op.JUMP_TRUE, Op.OR)
        jumps: list[int] = []
        values: list[int] = []
        with self.apart():
            for index, item in enumerate(items):
                values.append(self.value(item))
                if sum(costs[index + 1 :]) >= _WORTH_A_JUMP:
                    jumps.append(len(self.program.code))
                    self.put(jump, dst, values[-1])
            self._join(join, dst, values, self.text(expr))
        for at in jumps:
            self.program.code[at] = self.program.code[at]._replace(b=len(self.program.code))

    def _join(self, op: Op, dst: int, values: list[int], text: str) -> None:
        joined = values[0]
        for index, value in enumerate(values[1:-1]):
            into = self._home(f"{index} of {text}")
            self.put(op, into, joined, value)
            joined = into
        self.put(op, dst, joined, values[-1])

    # -- texts and sets ----------------------------------------------------------------------------------------------
    def _same_text(self, expr: Compare, dst: int) -> None:
        hashed = self._is_hashed(expr.left.type) or self._is_hashed(expr.right.type)
        sides = (self._comparable(side, hashed) for side in (expr.left, expr.right))
        self.put(Op.EQ_S if expr.op == "==" else Op.NE_S, dst, *sides)

    def _is_hashed(self, kind: Type) -> bool:
        return kind.private and not self._clear

    def _comparable(self, expr: Expr, hashed: bool) -> int:
        if hashed and isinstance(expr, Const):
            return self.constant(PrivateText(text_form(expr.value, expr.type.kind)))
        return self.value(expr)

    def _in_set(self, expr: InSet, dst: int) -> None:
        kind = expr.item.type
        values: Values
        if kind.rep is Rep.FLOAT:
            self._in_floats(expr, dst)
        elif kind.rep is Rep.INT:
            values = tuple(sorted({int(value) for value in expr.values}))
            self._in(dst, expr.item, values, Op.EQ_I, Op.IN_SET_I)
        else:
            texts = tuple(text_form(value, kind.kind) for value in sorted(set(expr.values), key=str))
            values = tuple(map(PrivateText, texts)) if self._is_hashed(kind) else texts
            self._in(dst, expr.item, values, Op.EQ_S, Op.IN_SET_S)

    def _in(self, dst: int, item: Expr, values: Values, equal: Op, member: Op) -> None:
        if len(values) == 1:
            self.put(equal, dst, self.value(item), self.constant(values[0]))
        else:
            self.put(member, dst, self.value(item), self.tables.set_of(values))

    def _in_floats(self, expr: InSet, dst: int) -> None:
        """There is no set of doubles: they are compared one by one."""
        item = self.value(expr.item)
        first, *others = sorted({float(value) for value in expr.values})
        if not others:
            self.put(Op.EQ_F, dst, item, self.constant(first))
            return
        text = self.text(expr)
        equal = [self.step(f"{value!r} of {text}", Op.EQ_F, item, self.constant(value)) for value in (first, *others)]
        self._join(Op.OR, dst, equal, text)


def is_leaf(expr: Expr) -> bool:
    """A register of the event's own, or a constant: nothing to compute."""
    return isinstance(expr, _LEAVES) or (isinstance(expr, Call) and expr.function == "original")


def register_form(const: Const) -> int | float | str | bytes:
    if const.type.rep is Rep.TEXT:
        return text_form(const.value, const.type.kind)
    return float(const.value) if const.type.rep is Rep.FLOAT else int(const.value)


def text_form(value: float | str, kind: Kind) -> str | bytes:
    """A string as it is; an ip as its 4 or 16 bytes."""
    if kind is not Kind.IP:
        return str(value)
    address = ipaddress.ip_address(str(value))
    return (getattr(address, "ipv4_mapped", None) or address).packed
