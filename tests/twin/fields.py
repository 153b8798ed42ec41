"""An event as it comes, checked against the schema: values in register form, or InvalidEvent."""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal as Number
from decimal import InvalidOperation
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

from frmcore import currency, limits
from frmcore.errors import InvalidEvent
from frmcore.plan import Kind
from twin.evaluate import evaluate

if TYPE_CHECKING:
    from collections.abc import Callable

    from frmcore.policy.tree import Field, Policy, Type
    from twin.values import Value

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Given(NamedTuple):
    """What an event brought: fields and derived fields, and money as it was before conversion."""

    values: dict[str, Value]
    originals: dict[str, Value]


def read_event(policy: Policy, event: Mapping[str, object]) -> Given:
    values = {field.name: read_field(field, event) for field in policy.fields}
    kind = values[policy.kind_field] if policy.kind_field else None
    for field in policy.fields:
        required = not field.optional or (kind is not None and policy.kinds[int(kind)] in field.required_on)
        if required and values[field.name] is None:
            raise InvalidEvent(f"{field.name} is missing", field.name)
    if not 1 <= len(str(values[policy.id_field]).encode()) <= limits.ID_BYTES_MAX:
        raise InvalidEvent("id", policy.id_field)
    originals: dict[str, Value] = {}
    for field in policy.fields:
        if field.type.kind is Kind.MONEY:
            originals[field.name] = values[field.name]
            if field.currency_field and values[field.name] is not None:
                values[field.name] = to_base(policy, field, values)
    for field in policy.derived:
        assert field.expression is not None
        values[field.name] = evaluate(field.expression, Clear(values, originals))
    return Given(values, originals)


class Clear:
    """What a derived field sees: the event's own fields, and the derived ones before it."""

    def __init__(self, values: Mapping[str, Value], originals: Mapping[str, Value]) -> None:
        self._values, self._originals = values, originals

    def value(self, name: str) -> Value:
        return self._values[name]

    def original(self, name: str) -> Value:
        return self._originals[name]

    def fired(self, rule: str) -> bool:
        raise AssertionError(f"derived fields do not ask whether {rule} fired")

    def listed(self, name: str, value: Value) -> bool:
        raise AssertionError(f"derived fields do not ask whether {value} is in {name}")


def read_field(field: Field, event: Mapping[str, object]) -> Value:
    found: object = event
    for part in field.path:
        found = found.get(part) if isinstance(found, Mapping) else None
    return read_value(field.name, field.type, found)


def read_value(name: str, kind: Type, value: object) -> Value:
    if value is None:
        return None
    try:
        found = READERS[kind.kind](kind, value)
    except (ValueError, OverflowError, InvalidOperation):
        found = None
    if found is None:
        raise InvalidEvent(f"{name}: not a {kind.kind.name.lower()}: {value!r}", name)
    return found


def read_string(_: Type, value: object) -> Value:
    return value if isinstance(value, str) and len(value.encode()) <= limits.STRING_BYTES_MAX else None


def read_int(_: Type, value: object) -> Value:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and -limits.INT_MAX <= value <= limits.INT_MAX else None  # type: ignore[operator,return-value]


def read_decimal(kind: Type, value: object) -> Value:
    if isinstance(value, bool) or not isinstance(value, int | float | str | Number):
        return None
    scaled = Number(repr(value) if isinstance(value, float) else value).scaleb(kind.scale)
    return read_int(kind, int(scaled)) if scaled == int(scaled) else None


def read_float(_: Type, value: object) -> Value:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def read_bool(_: Type, value: object) -> Value:
    return value if isinstance(value, bool) else None


def read_enum(kind: Type, value: object) -> Value:
    return kind.values.index(value) if isinstance(value, str) else None


def read_timestamp(kind: Type, value: object) -> Value:
    if isinstance(value, str):
        value = datetime.fromisoformat(value) if "T" in value.upper() else None
    if isinstance(value, datetime):
        value = (value - EPOCH) // timedelta(milliseconds=1) if value.utcoffset() is not None else None
    ms = read_int(kind, value)
    return ms if ms is not None and abs(int(ms)) <= limits.TIME_MS_MAX else None


def read_ip(_: Type, value: object) -> Value:
    if not isinstance(value, str):
        return None
    address = ipaddress.ip_address(value)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


READERS: dict[Kind, Callable[[Type, object], Value]] = {
    Kind.STRING: read_string,
    Kind.INT: read_int,
    Kind.DECIMAL: read_decimal,
    Kind.FLOAT: read_float,
    Kind.BOOL: read_bool,
    Kind.ENUM: read_enum,
    Kind.MONEY: read_int,
    Kind.TIMESTAMP: read_timestamp,
    Kind.IP: read_ip,
}


def to_base(policy: Policy, field: Field, values: Mapping[str, Value]) -> int:
    """Minor units of the base currency at the rate of the event's time, half to even."""
    code, time = str(values[field.currency_field]), int(values[policy.time_field] or 0)
    amount = int(values[field.name] or 0)
    if code == policy.base_currency:
        return amount
    rates = [rate for rate in policy.rates if rate.currency == code and rate.since_ms <= time]
    if not rates:
        raise InvalidEvent(f"{field.currency_field}: no rate for {code}", field.currency_field)
    rate = max(rates, key=lambda item: item.since_ms).rate
    digits, own_digits = currency.EXPONENTS[policy.base_currency], currency.EXPONENTS[code]
    shift = Fraction(10) ** (digits - own_digits)
    return checked(field.name, round(Fraction(amount * rate, 10**10) * shift))


def checked(name: str, amount: int) -> int:
    if abs(amount) > limits.INT_MAX:
        raise InvalidEvent(f"{name}: does not fit into 64 bits", name)
    return amount
