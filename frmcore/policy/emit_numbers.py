"""Arithmetic and comparisons between the representations of numbers.

A decimal, money, a duration is an integer of 10**-scale; a float and the fractional results of means and products are
doubles (of minor units, of milliseconds). Comparisons of integers are exact whatever their scales: nothing is
multiplied that could overflow. A decimal beside a double is the double nearest to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from frmcore.limits import INT_MAX
from frmcore.plan import Kind, Op, Rep
from frmcore.policy.tree import Arith, Compare, Const, Expr, Neg, Type

if TYPE_CHECKING:
    from frmcore.policy.emit import Emitter

_INT: Final = {"+": Op.ADD_I, "-": Op.SUB_I, "*": Op.MUL_I, "//": Op.FLOORDIV_I, "%": Op.MOD_I}
_FLOAT: Final = {"+": Op.ADD_F, "-": Op.SUB_F, "*": Op.MUL_F, "//": Op.FLOORDIV_F, "%": Op.MOD_F}
_COMPARE_INT: Final = {"==": Op.EQ_I, "!=": Op.NE_I, "<": Op.LT_I, "<=": Op.LE_I}
_COMPARE_FLOAT: Final = {"==": Op.EQ_F, "!=": Op.NE_F, "<": Op.LT_F, "<=": Op.LE_F}
_COMPARE_INT_FLOAT: Final = {"==": Op.EQ_IF, "!=": Op.NE_IF, "<": Op.LT_IF, "<=": Op.LE_IF}
_COMPARE_FLOAT_INT: Final = {"<": Op.LT_FI, "<=": Op.LE_FI}

_EXACT_IN_DOUBLES: Final = 2**53


# -- conversions -------------------------------------------------------------------------------------------------------
def as_float(emitter: Emitter, expr: Expr) -> int:
    """A double: of money its minor units, of a duration its milliseconds, of a decimal its value."""
    if expr.type.rep is Rep.FLOAT:
        return emitter.value(expr)
    if isinstance(expr, Const):
        return emitter.constant(float(expr.value) / float(10**expr.type.scale))
    text = emitter.text(expr)
    whole = emitter.step(f"double of {text}", Op.INT_TO_FLOAT, emitter.value(expr))
    if expr.type.scale == 0:
        return whole
    return emitter.step(f"value of {text}", Op.DIV_F, whole, emitter.constant(float(10**expr.type.scale)))


def as_scaled(emitter: Emitter, expr: Expr, scale: int) -> int:
    """An integer at a `scale` no less than its own."""
    factor = 10 ** (scale - expr.type.scale)
    if factor == 1:
        return emitter.value(expr)
    if isinstance(expr, Const) and abs(int(expr.value)) * factor <= INT_MAX:
        return emitter.constant(int(expr.value) * factor)
    text = f"{emitter.text(expr)} at scale {scale}"
    return emitter.step(text, Op.MUL_I, emitter.value(expr), emitter.constant(factor))


def converted(emitter: Emitter, expr: Expr, into: Type) -> int:
    """In the representation of `into`, a type of the same family."""
    if into.rep is Rep.TEXT:
        return emitter.value(expr)
    return as_float(emitter, expr) if into.rep is Rep.FLOAT else as_scaled(emitter, expr, into.scale)


# -- arithmetic --------------------------------------------------------------------------------------------------------
def arithmetic(emitter: Emitter, expr: Arith, dst: int) -> None:
    sides = (expr.left, expr.right)
    if expr.op == "/":
        emitter.put(Op.DIV_F, dst, *_quotient(emitter, expr))
    elif expr.type.rep is Rep.FLOAT:
        emitter.put(_FLOAT[expr.op], dst, *(as_float(emitter, side) for side in sides))
    elif expr.op == "*":
        emitter.put(Op.MUL_I, dst, *map(emitter.value, sides))
    else:
        scale = max(side.type.scale for side in sides)
        emitter.put(_INT[expr.op], dst, *(as_scaled(emitter, side, scale) for side in sides))


def _quotient(emitter: Emitter, expr: Arith) -> list[int]:
    """Both as doubles; two decimals at one scale, so that the division alone rounds."""
    sides = (expr.left, expr.right)
    scale = max(side.type.scale for side in sides)
    if scale == 0 or any(side.type.rep is Rep.FLOAT for side in sides) or expr.type.kind is not Kind.FLOAT:
        return [as_float(emitter, side) for side in sides]
    return [_scaled_float(emitter, side, scale) for side in sides]


def _scaled_float(emitter: Emitter, expr: Expr, scale: int) -> int:
    text = f"double of {emitter.text(expr)} at scale {scale}"
    return emitter.step(text, Op.INT_TO_FLOAT, as_scaled(emitter, expr, scale))


def negate(emitter: Emitter, expr: Neg, dst: int) -> None:
    emitter.put(Op.NEG_F if expr.type.rep is Rep.FLOAT else Op.NEG_I, dst, emitter.value(expr.item))


# -- comparisons -------------------------------------------------------------------------------------------------------
def compare(emitter: Emitter, expr: Compare, dst: int) -> None:
    left, right = expr.left.type, expr.right.type
    if left.rep is Rep.INT and right.rep is Rep.INT:
        _compare_ints(emitter, expr, dst)
    elif left.rep is right.rep or any(_is_double(side) for side in (expr.left, expr.right)):
        sides = (as_float(emitter, expr.left), as_float(emitter, expr.right))
        emitter.put(_COMPARE_FLOAT[expr.op], dst, *sides)
    else:
        _compare_mixed(emitter, expr, dst)


def _is_double(expr: Expr) -> bool:
    """A decimal is compared as a double; a small whole literal is one."""
    if expr.type.rep is Rep.FLOAT:
        return False
    return expr.type.scale > 0 or (isinstance(expr, Const) and abs(int(expr.value)) < _EXACT_IN_DOUBLES)


def _compare_mixed(emitter: Emitter, expr: Compare, dst: int) -> None:
    """An integer without a scale beside a double: compared exactly."""
    left, right = emitter.value(expr.left), emitter.value(expr.right)
    if expr.left.type.rep is Rep.INT:
        emitter.put(_COMPARE_INT_FLOAT[expr.op], dst, left, right)
    elif expr.op in _COMPARE_FLOAT_INT:
        emitter.put(_COMPARE_FLOAT_INT[expr.op], dst, left, right)
    else:
        emitter.put(_COMPARE_INT_FLOAT[expr.op], dst, right, left)


def _compare_ints(emitter: Emitter, expr: Compare, dst: int) -> None:
    left, right = expr.left, expr.right
    coarse, fine = (left, right) if left.type.scale < right.type.scale else (right, left)
    if left.type.scale == right.type.scale:
        emitter.put(_COMPARE_INT[expr.op], dst, emitter.value(left), emitter.value(right))
    elif isinstance(coarse, Const):
        _compare_with_coarse(emitter, expr, coarse, fine, dst)
    else:
        _compare_scales(emitter, expr, coarse, fine, dst)


def _compare_with_coarse(emitter: Emitter, expr: Compare, coarse: Const, fine: Expr, dst: int) -> None:
    """The constant at the finer scale; where it is beyond int64 the answer is the same for every value."""
    constant = int(coarse.value) * 10 ** (fine.type.scale - coarse.type.scale)
    value = emitter.value(fine)
    if abs(constant) > INT_MAX:
        below = (constant < 0) == (coarse is expr.left)  # left is below right
        _always(emitter, expr.op == "!=" or (expr.op != "==" and below), value, dst)
    else:
        sides = (emitter.constant(constant), value)
        emitter.put(_COMPARE_INT[expr.op], dst, *(sides if coarse is expr.left else reversed(sides)))


def _always(emitter: Emitter, truth: bool, value: int, dst: int) -> None:
    """`truth` where `value` is known."""
    emitter.put(Op.LE_I if truth else Op.LT_I, dst, value, value)


def _compare_scales(emitter: Emitter, expr: Compare, coarse: Expr, fine: Expr, dst: int) -> None:
    """a * m against b without the product: it lies below b when a is below b / m rounded up, and so on.

    a * m <  b: a < ceil(b / m)        b <  a * m: floor(b / m) < a
    a * m <= b: a <= floor(b / m)      b <= a * m: ceil(b / m) <= a        a * m == b: a equals both
    """
    down, up = _rounded(emitter, fine, 10 ** (fine.type.scale - coarse.type.scale))
    value = emitter.value(coarse)
    if expr.op in ("==", "!="):
        _compare_with_both(emitter, expr, value, (down, up), dst)
    elif coarse is expr.left:
        emitter.put(_COMPARE_INT[expr.op], dst, value, up if expr.op == "<" else down)
    else:
        emitter.put(_COMPARE_INT[expr.op], dst, down if expr.op == "<" else up, value)


def _compare_with_both(emitter: Emitter, expr: Compare, value: int, bounds: tuple[int, int], dst: int) -> None:
    op, text = _COMPARE_INT[expr.op], emitter.text(expr)
    sides = [
        emitter.step(f"{which} of {text}", op, value, bound)
        for which, bound in zip(("floor", "ceil"), bounds, strict=True)
    ]
    emitter.put(Op.AND if expr.op == "==" else Op.OR, dst, *sides)


def _rounded(emitter: Emitter, fine: Expr, factor: int) -> tuple[int, int]:
    """The registers of floor and ceil of `fine / factor`."""
    if isinstance(fine, Const):
        return emitter.constant(int(fine.value) // factor), emitter.constant(-(-int(fine.value) // factor))
    text, value, by = emitter.text(fine), emitter.value(fine), emitter.constant(factor)
    down = emitter.step(f"floor of {text} by {factor}", Op.FLOORDIV_I, value, by)
    rest = emitter.step(f"rest of {text} by {factor}", Op.MOD_I, value, by)
    more = emitter.step(f"any rest of {text} by {factor}", Op.LT_I, emitter.constant(0), rest)
    return down, emitter.step(f"ceil of {text} by {factor}", Op.ADD_I, down, more)


def whole(emitter: Emitter, expr: Expr, dst: int) -> None:
    """A decimal rounded half to even, exactly: q + (2r > m or 2r == m and q odd) with q, r = divmod(value, m)."""
    factor = 10**expr.type.scale
    text, value, by = emitter.text(expr), emitter.value(expr), emitter.constant(factor)
    down = emitter.step(f"floor of {text} by {factor}", Op.FLOORDIV_I, value, by)
    rest = emitter.step(f"rest of {text} by {factor}", Op.MOD_I, value, by)
    odd = emitter.step(f"odd {text} by {factor}", Op.MOD_I, down, emitter.constant(2))
    tilted = emitter.step(f"tilted {text} by {factor}", Op.ADD_I, rest, odd)  # r + odd > m / 2 in both cases
    up = emitter.step(f"up {text} by {factor}", Op.LT_I, emitter.constant(factor // 2), tilted)
    emitter.put(Op.ADD_I, dst, down, up)
