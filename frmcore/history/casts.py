"""Cells of files as columns of the types that the engine reads by itself. A cell that spells no such value is left to
be read as Python reads it, so that the engine says what is wrong with it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from frmcore.currency import exponent, parse_money
from frmcore.errors import HistoryError
from frmcore.history.cells import typed
from frmcore.history.files import instant
from frmcore.history.workspace import quoted
from frmcore.plan import Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from frmcore.history.files import Source
    from frmcore.policy.tree import Field

Change: TypeAlias = "Callable[[Any], Any]"

_TEXTS: Final = (Kind.STRING, Kind.ENUM, Kind.IP)
_NUMBERS: Final = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")
_SCALARS: Final = (*_NUMBERS, "HUGEINT", "FLOAT", "DOUBLE", "BOOLEAN", "VARCHAR")
_AS_TEXT: Final = ("DECIMAL", "ENUM", "UUID", "DATE")
_WHOLE: Final = "-?[0-9]{1,18}"
_FLOAT: Final = r"-?[0-9]{1,15}(\.[0-9]{1,15})?"
_CLOCK: Final = "([01][0-9]|2[0-3]):[0-5][0-9]"
_INSTANT: Final = rf"[1-9][0-9]{{3}}-[0-9]{{2}}-[0-9]{{2}}T{_CLOCK}:[0-5][0-9](\.[0-9]{{1,6}})?(Z|[+-]{_CLOCK})"


class Cast(NamedTuple):
    """SQL of a column as the engine takes it. `text`: SQL of what stands there, where that may spell no such value
    (`sql` is NULL then), and `change` what Python makes of it."""

    sql: str
    text: str | None = None
    change: Change | None = None


def cast(source: Source, name: str, given: str, field: Field, *, major: bool) -> Cast:
    """Of the column `name` of the SQL type `given` for a field. major: amounts are in major units. Raises HistoryError
    for a column of a type that holds no values."""
    kind, text = field.type.kind, source.text(name)
    column = source.column(name) or quoted(name)
    if kind is Kind.MONEY and major:
        return _major(text, field)
    if source.is_text:
        return _spelled(text, kind)
    if given.startswith("TIMESTAMP"):
        return Cast(f"epoch_ms({instant(column, given)})")
    if kind is Kind.TIMESTAMP and given == "VARCHAR":
        return Cast(f"CASE WHEN {_is(text, _INSTANT)} THEN {_instant(text)} END", text, str)
    if given.startswith("DECIMAL") and given.endswith(",0)") and kind in (Kind.INT, Kind.MONEY):
        return Cast(f"TRY_CAST({column} AS BIGINT)", text, str)
    if given.startswith(_AS_TEXT) or (kind in _TEXTS and given in _SCALARS):
        return Cast(f"CAST({column} AS VARCHAR)")
    if given not in _SCALARS:
        raise HistoryError(
            f"{source.what}: column {name} is {given}, and the policy's field {field.name} is {kind.name.lower()}: "
            "give it as text, a number, true or false, or a timestamp"
        )
    return Cast(f"CAST({column} AS DOUBLE)" if kind is Kind.FLOAT and given in _NUMBERS else column)


def change_of(field: Field, *, major: bool) -> Change | None:
    """What Python makes of a value of JSON; None where it is the event's already."""
    return _minor(field) if major and field.type.kind is Kind.MONEY else None


def _spelled(text: str, kind: Kind) -> Cast:
    """A cell of CSV, which has no types."""
    change = partial(typed, kind=kind)
    if kind in (Kind.INT, Kind.MONEY):
        return Cast(f"CASE WHEN {_is(text, _WHOLE)} THEN CAST({text} AS BIGINT) END", text, change)
    if kind is Kind.FLOAT:
        return Cast(f"CASE WHEN {_is(text, _FLOAT)} THEN CAST({text} AS DOUBLE) END", text, change)
    if kind is Kind.BOOL:
        return Cast(f"CASE lower({text}) WHEN 'true' THEN true WHEN 'false' THEN false END", text, change)
    if kind is Kind.TIMESTAMP:
        whole = f"WHEN {_is(text, _WHOLE)} THEN CAST({text} AS BIGINT)"
        return Cast(f"CASE {whole} WHEN {_is(text, _INSTANT)} THEN {_instant(text)} END", text, change)
    return Cast(text)


def _major(text: str, field: Field) -> Cast:
    """129.9 -> 12990."""
    change = _minor(field)
    digits = exponent(field.type.currency) or 0
    minor = f"CAST(rpad(split_part({text}, '.', 2), {digits}, '0') AS BIGINT)" if digits else "0"
    pattern = rf"[0-9]{{1,12}}(\.[0-9]{{1,{digits}}})?" if digits else "[0-9]{1,12}"
    whole = f"CAST(split_part({text}, '.', 1) AS BIGINT) * {10**digits}"
    return Cast(f"CASE WHEN {_is(text, pattern)} THEN {whole} + {minor} END", text, change)


def _minor(field: Field) -> Change:
    if field.currency_field:
        raise HistoryError(
            f"amounts in major units: the currency of {field.name} differs from event to event; convert them before"
        )
    return partial(_minor_units, currency=field.type.currency)


def _minor_units(value: Any, currency: str) -> Any:
    """129.9 -> 12990. What is no number, or finer than the currency, stays as it is."""
    found = parse_money(str(value), currency)
    return value if found is None else found


def _is(text: str, pattern: str) -> str:
    return f"regexp_full_match({text}, '{pattern}')"


def _instant(text: str) -> str:
    return f"epoch_ms(TRY_CAST({text} AS TIMESTAMPTZ))"
