"""Function calls to instructions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from frmcore.limits import INT_MAX
from frmcore.plan import Kind, Op, Rep
from frmcore.policy import emit_numbers as numbers
from frmcore.policy.tree import Const

if TYPE_CHECKING:
    from collections.abc import Callable

    from frmcore.policy.emit import Emitter
    from frmcore.policy.tree import Call, Expr

_OF_TEXTS: Final = {
    "lower": Op.LOWER_S, "upper": Op.UPPER_S, "len": Op.LEN_S, "domain": Op.DOMAIN_S, "canonical_email": Op.EMAIL_S,
    "fold": Op.FOLD_S, "startswith": Op.STARTS_S, "endswith": Op.ENDS_S, "contains": Op.CONTAINS_S,
    "bucket": Op.BUCKET_S,
}  # fmt: skip
_FOLDED: Final = {
    ("min", Rep.INT): Op.MIN_I, ("max", Rep.INT): Op.MAX_I, ("min", Rep.FLOAT): Op.MIN_F, ("max", Rep.FLOAT): Op.MAX_F,
}  # fmt: skip
_ZONED: Final = {"hour": Op.HOUR_I, "weekday": Op.WEEKDAY_I, "days_between": Op.DAYS_BETWEEN_I}


def call(emitter: Emitter, expr: Call, dst: int) -> None:
    function = expr.function
    if function in _OF_TEXTS:
        emitter.put(_OF_TEXTS[function], dst, *(_text(emitter, arg) for arg in expr.args))
    else:
        _OTHERS[function](emitter, expr, dst)


def _arg(expr: Call, index: int) -> Expr:
    arg = expr.args[index]
    assert arg is not None  # noqa: S101  only a slice's ends may be left out
    return arg


def _literal(expr: Call, index: int) -> int | float | str:
    arg = expr.args[index]
    assert isinstance(arg, Const)  # noqa: S101  the checker wants a literal there
    return arg.value


def _text(emitter: Emitter, expr: Expr | None) -> int:
    """Functions of text read an ip as its canonical text."""
    assert expr is not None  # noqa: S101
    value = emitter.value(expr)
    if expr.type.kind is not Kind.IP:
        return value
    return emitter.step(f"text of {emitter.text(expr)}", Op.IP_TEXT_S, value)


def _missing(emitter: Emitter, expr: Call, dst: int) -> None:
    emitter.put(Op.MISSING, dst, emitter.value(_arg(expr, 0)))


def _absolute(emitter: Emitter, expr: Call, dst: int) -> None:
    emitter.put(Op.ABS_F if expr.type.rep is Rep.FLOAT else Op.ABS_I, dst, emitter.value(_arg(expr, 0)))


def _folded(emitter: Emitter, expr: Call, dst: int) -> None:
    """coalesce, min and max of any number of values, two at a time."""
    op = _FOLDED.get((expr.function, expr.type.rep), Op.COALESCE)
    values = [numbers.converted(emitter, arg, expr.type) for arg in expr.args if arg is not None]
    so_far = values[0]
    for index, value in enumerate(values[1:-1]):
        so_far = emitter.step(f"{index} of {emitter.text(expr)}", op, so_far, value)
    emitter.put(op, dst, so_far, values[-1])


def _round(emitter: Emitter, expr: Call, dst: int) -> None:
    arg = _arg(expr, 0)
    if expr.type.rep is Rep.FLOAT:
        digits = int(_literal(expr, 1)) if len(expr.args) > 1 else 0
        emitter.put(Op.ROUND_F, dst, numbers.as_float(emitter, arg), digits)
    elif arg.type.rep is Rep.FLOAT:
        emitter.put(Op.ROUND_I, dst, emitter.value(arg))
    elif arg.type.scale > expr.type.scale:
        numbers.whole(emitter, arg, dst)
    else:
        emitter.put(Op.MOV, dst, emitter.value(arg))


def _slice(emitter: Emitter, expr: Call, dst: int) -> None:
    """An open end is the first or the last place that a text could have."""
    text, start, end = expr.args
    first = emitter.constant(0) if start is None else emitter.value(start)
    last = emitter.constant(INT_MAX) if end is None else emitter.value(end)
    emitter.put(Op.SLICE_S, dst, _text(emitter, text), first, last)


def _network(emitter: Emitter, expr: Call, dst: int) -> None:
    bits = (int(_literal(expr, 1)), int(_literal(expr, 2)))
    emitter.put(Op.NETWORK_S, dst, emitter.value(_arg(expr, 0)), *bits)


def _matches(emitter: Emitter, expr: Call, dst: int) -> None:
    emitter.put(Op.MATCH_S, dst, _text(emitter, expr.args[0]), emitter.tables.pattern(str(_literal(expr, 1))))


def _zoned(emitter: Emitter, expr: Call, dst: int) -> None:
    """The zone's name is the last argument."""
    zone = emitter.tables.zone(str(_literal(expr, -1)))
    times = (emitter.value(_arg(expr, index)) for index in range(len(expr.args) - 1))
    emitter.put(_ZONED[expr.function], dst, *times, zone)


def _distance(emitter: Emitter, expr: Call, dst: int) -> None:
    emitter.put(Op.DISTANCE_F, dst, *(numbers.as_float(emitter, _arg(expr, index)) for index in range(4)))


_OTHERS: Final[dict[str, Callable[[Emitter, Call, int], None]]] = {
    "missing": _missing, "coalesce": _folded, "min": _folded, "max": _folded, "abs": _absolute, "round": _round,
    "slice": _slice, "network": _network, "matches": _matches, "hour": _zoned, "weekday": _zoned,
    "days_between": _zoned, "distance_km": _distance,
}  # fmt: skip
