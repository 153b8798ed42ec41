"""Truth: `and or not`, comparisons and their chains, membership, conditional expressions."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final, Literal

from frmcore.limits import SET_VALUES_MAX
from frmcore.names import nearest
from frmcore.plan import Kind, Rep
from frmcore.policy.families import BOOL, ORDERED, common, comparable, describe, family
from frmcore.policy.literals import align, cited, mismatch
from frmcore.policy.tree import BoolOp, Compare, Const, Expr, If, InList, InSet, ListSpec, Not, Ref, Type
from frmcore.policy.words import quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from frmcore.policy.checker import Checker, Wrong

_SIGNS: Final[dict[type[ast.cmpop], Literal["==", "!=", "<", "<=", ">", ">="]]] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
}
_CHAINS: Final = (frozenset(["<", "<="]), frozenset([">", ">="]), frozenset(["=="]))


# -- logic


def logic(c: Checker, node: ast.BoolOp) -> Expr:
    op: Literal["and", "or"] = "and" if isinstance(node.op, ast.And) else "or"
    items = c.exprs(node.values)
    for item in items:
        _truth(c, item, f'"{op}"')
    return BoolOp(BOOL, *c.at(node), op, tuple(items))


def negation(c: Checker, node: ast.UnaryOp) -> Expr:
    item = c.expr(node.operand)
    _truth(c, item, '"not"')
    return Not(BOOL, *c.at(node), item)


def _truth(c: Checker, item: Expr, who: str) -> None:
    if item.type == BOOL:
        return
    hint = "compare it with something, or ask missing(...)"
    if isinstance(item, Const) and item.type.kind is Kind.STRING:
        hint = f'to compare with several texts, write: x in ("a", {item.text})'
    raise c.wrong(item, f"{who} wants a bool, and this is {describe(item.type)}", hint)


def conditional(c: Checker, node: ast.IfExp) -> Expr:
    test, *branches = c.exprs([node.test, node.body, node.orelse])
    _truth(c, test, '"if"')
    (then, other), of = together(c, node, branches)
    return If(of, *c.at(node), test, then, other)


def together(c: Checker, node: ast.expr, exprs: Sequence[Expr]) -> tuple[list[Expr], Type]:
    """Values of which one will be chosen: literals adapted, and the one type that holds them all."""
    aligned = align(c, exprs)
    first = aligned[0]
    for other in aligned[1:]:
        if not comparable(first.type, other.type):
            message = f"{cited(first)} is {describe(first.type)}, but {cited(other)} is {describe(other.type)}"
            raise c.wrong(node, message, mismatch(first, other) or "both must be of one type")
    return aligned, common([expr.type for expr in aligned])


# -- comparisons


def comparison(c: Checker, node: ast.Compare) -> Expr:
    if any(isinstance(op, ast.In | ast.NotIn) for op in node.ops):
        return _membership(c, node)
    signs = [_SIGNS.get(type(op)) for op in node.ops]
    if None in signs:
        raise c.wrong(node, '"is" is not part of the language', "write ==, or missing(x)")
    if len(signs) > 1 and not any(chain.issuperset(signs) for chain in _CHAINS):
        raise c.wrong(node, "this chain mixes comparisons", "write them one by one, joined by and: a < b and b > c")
    _refuse_missing(c, node)
    operands = c.exprs([node.left, *node.comparators], private=True)
    pairs = zip(signs, operands, operands[1:], strict=False)
    items = [_pair(c, node, sign or "==", left, right) for sign, left, right in pairs]
    return items[0] if len(items) == 1 else BoolOp(BOOL, *c.at(node), "and", tuple(items))


def _refuse_missing(c: Checker, node: ast.Compare) -> None:
    sides = [node.left, *node.comparators]
    for index, side in enumerate(sides):
        if isinstance(side, ast.Name) and side.id in ("missing", "null", "none", "absent"):
            other = c.source.text(sides[index - 1 if index else 1])
            raise c.wrong(side, "nothing is equal to an absent value, not even another one", f"write missing({other})")


def _pair(c: Checker, node: ast.Compare, sign: str, left: Expr, right: Expr) -> Expr:
    place, text = (left.place, f"{left.text} {sign} {right.text}") if len(node.ops) > 1 else c.at(node)
    left, right = align(c, [left, right])
    if not comparable(left.type, right.type):
        message = f"{describe(left.type)} can't be compared with {describe(right.type)}"
        raise c.wrong(node, message, mismatch(left, right))
    _refuse_exposure(c, left, right)
    if sign in ("==", "!="):
        return Compare(BOOL, place, text, "==" if sign == "==" else "!=", left, right)
    _refuse_unordered(c, node, sign, left)
    if sign.startswith(">"):
        left, right = right, left
    return Compare(BOOL, place, text, "<=" if sign.endswith("=") else "<", left, right)


def _refuse_unordered(c: Checker, node: ast.Compare, sign: str, left: Expr) -> None:
    if family(left.type) not in ORDERED:
        hint = "write it without the comparison, or with not" if left.type.kind is Kind.BOOL else "write == or in"
        raise c.wrong(node, f'"{sign}" does not compare {describe(left.type)}: it has no order', hint)
    if left.type.private and not c.clear:
        raise c.wrong(node, f'"{sign}" can\'t compare a private value', "only == and != can")


def _refuse_exposure(c: Checker, left: Expr, right: Expr) -> None:
    """Outside derived fields a private value is a hash: it equals literals, which are hashed too, and its like."""
    if left.type.private == right.type.private or c.clear or any(isinstance(side, Const) for side in (left, right)):
        return
    private, other = (left, right) if left.type.private else (right, left)
    hint = f"declare {quoted(other.text)} private too"
    raise c.wrong(other, f"the private {quoted(private.text)} is compared with a value in the clear", hint)


# -- membership


def _membership(c: Checker, node: ast.Compare) -> Expr:
    if len(node.ops) > 1:
        raise c.wrong(
            node, "this chain mixes comparisons", "put brackets around the part with in, or join the parts by and"
        )
    container = node.comparators[0]
    item = c.expr(node.left, private=True)
    if isinstance(container, ast.Tuple | ast.List | ast.Set):
        found: Expr = _in_set(c, node, item, container.elts)
    elif isinstance(container, ast.Name) and container.id in c.scope.lists:
        found = _in_list(c, node, item, container)
    else:
        raise _no_container(c, item, container)
    return found if isinstance(node.ops[0], ast.In) else Not(BOOL, *c.at(node), found)


def _in_set(c: Checker, node: ast.Compare, item: Expr, elements: Sequence[ast.expr]) -> InSet:
    if not elements:
        raise c.wrong(node.comparators[0], "nothing is in these brackets", "list the values: x in (1, 2, 3)")
    if len(elements) > SET_VALUES_MAX:
        raise c.wrong(node.comparators[0], f"more than {SET_VALUES_MAX} values", "declare a list with a file")
    values = []
    for element in c.exprs(elements):
        _, value = align(c, [item, element])
        if not isinstance(value, Const):
            raise c.wrong(value, "only literals can be listed in brackets", "compare with == and join by or")
        values.append(_set_value(c, item, value))
    return InSet(BOOL, *c.at(node), item, tuple(dict.fromkeys(values)))


def _set_value(c: Checker, item: Expr, value: Const) -> int | float | str:
    if not comparable(item.type, value.type):
        message = f"{cited(value)} is {describe(value.type)}, but {cited(item)} is {describe(item.type)}"
        raise c.wrong(value, message, mismatch(item, value))
    if item.type.rep is Rep.FLOAT:
        return _as_float(value)
    scale = item.type.scale - value.type.scale
    if value.type.kind is Kind.FLOAT or scale < 0:
        raise c.wrong(value, f"{quoted(item.text)} is {describe(item.type)}: it never equals {value.text[:40]}")
    return value.value if isinstance(value.value, str) else int(value.value) * 10**scale


def _in_list(c: Checker, node: ast.Compare, item: Expr, name: ast.Name) -> InList:
    spec = c.scope.lists[name.id]
    if "list" not in c.names:
        hint = "lists change over time: ask for it in the rule, of the event that is decided"
        raise c.wrong(name, "a list can't be read here", hint)
    _check_item(c, item, spec)
    return InList(BOOL, *c.at(node), item, spec.name)


def _check_item(c: Checker, item: Expr, spec: ListSpec) -> None:
    declared = c.scope.keys.get(item.name) if isinstance(item, Ref) else None
    entity = declared.entity if declared else ""
    if entity and spec.of in c.scope.entities and spec.of != entity:
        raise c.wrong(item, f'"{spec.name}" lists entities of type {spec.of}, and "{entity}" is another')
    wanted = Kind.IP if spec.network else spec.type.kind
    if item.type.kind is not wanted:
        raise c.wrong(
            item, f'"{spec.name}" lists values of type {wanted.name.lower()}, and this is {describe(item.type)}'
        )
    if item.type.private != spec.type.private:
        one, other = ("private", "clear") if item.type.private else ("clear", "private")
        raise c.wrong(
            item,
            f'{quoted(item.text)} is {one}, and "{spec.name}" lists {other} values',
            "declare the list of its entity",
        )


def _no_container(c: Checker, item: Expr, container: ast.expr) -> Wrong:
    if isinstance(container, ast.Constant) and isinstance(container.value, str):
        text = c.source.text(container)
        hint = f"write {item.text} == {text}, {item.text} in ({text},) or contains({item.text}, {text})"
        return c.wrong(container, '"in" wants a list or values in brackets', hint)
    if isinstance(container, ast.Name) and container.id not in c.scope.keys:
        hint = nearest(container.id, c.scope.lists) or "declare it under lists:"
        return c.wrong(container, f"{quoted(container.id)} is no list", hint)
    return c.wrong(container, '"in" wants a list or values in brackets', "write x in some_list, or x in (1, 2, 3)")


def _as_float(value: Const) -> float:
    number = value.value
    assert not isinstance(number, str)  # noqa: S101  it is comparable with a float
    return number / 10**value.type.scale if value.type.scale else float(number)
