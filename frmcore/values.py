"""Values as people and Python see them. A register holds an int, a float or bytes; a kind says what that means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from frmcore import text
from frmcore.currency import format_money
from frmcore.durations import format_duration, format_timestamp
from frmcore.plan import Kind, Rep

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from frmcore.plan import ReasonPart

Raw = int | float | bytes | str | None
Value = int | float | str | bool | None
ERASED: Final = "<erased>"  # what is shown of a value that an erasure took


class Spec(Protocol):
    """What is known of a register: FeaturePlan, ReasonPart and TraceNode all have these."""

    @property
    def kind(self) -> Kind: ...
    @property
    def rep(self) -> Rep: ...
    @property
    def scale(self) -> int: ...
    @property
    def values(self) -> tuple[str, ...]: ...
    @property
    def currency(self) -> str: ...


def feature_value(spec: Spec, raw: Raw) -> Value:
    """The register's content as a Python value: enums as their label, decimals as floats, ips and strings as str."""
    if raw is None or isinstance(raw, str):
        return raw
    if isinstance(raw, bytes):
        return text.ip_text(raw) if spec.kind is Kind.IP else raw.decode()
    if spec.rep is Rep.FLOAT:
        return float(raw)
    if spec.kind is Kind.ENUM:
        return spec.values[int(raw)]
    if spec.kind is Kind.BOOL:
        return bool(raw)
    if spec.kind is Kind.DECIMAL:
        return float(int(raw) / 10**spec.scale)
    return raw


def show(spec: Spec, raw: Raw) -> str:
    """The register's content as a person reads it: money with decimals and currency, durations in words, RFC 3339."""
    value = feature_value(spec, raw)
    if spec.kind is Kind.DECIMAL and isinstance(raw, int):
        return f"{value:.{spec.scale}f}"
    return show_value(spec.kind, value, spec.currency)


def show_value(kind: Kind, value: Value, currency: str = "") -> str:
    """A Python value as a person reads it; `currency` of money."""
    if value is None:
        return "unknown"
    if isinstance(value, str):
        return value
    if kind is Kind.MONEY:
        return format_money(round(value), currency)
    if kind is Kind.DURATION:
        return format_duration(round(value))
    if kind is Kind.TIMESTAMP:
        return format_timestamp(round(value))
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def render_reason(parts: Sequence[ReasonPart], values: Mapping[int, Raw]) -> str:
    """A reason's text with the values of the decision in it."""
    return "".join(part.text if part.reg < 0 else show(part, values.get(part.reg)) for part in parts)
