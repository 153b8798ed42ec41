"""Decisions as OpenTelemetry spans, under the caller's own."""

from __future__ import annotations

from contextlib import contextmanager
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentelemetry.trace import Span, Tracer

DECIDING: Final = ("decide", "decide_json", "decide_again", "evaluate", "decide_many")
E = TypeVar("E")


def traced(engine: E, tracer: Tracer | None = None) -> E:
    """The same engine or client, whose deciding calls are spans of the caller's trace.

    tracer: by default the one that OpenTelemetry has for "frmcore". A span says point, outcome, score, and which rules
    fired; never an id or a value of an event. Outside of a recorded trace nothing is made. Needs `opentelemetry-api`.
    """
    from opentelemetry import trace  # noqa: PLC0415  an optional extra

    return cast("E", _Traced(engine, tracer or trace.get_tracer("frmcore")))


class _Traced:
    """Looks like what it wraps."""

    def __init__(self, engine: object, tracer: Tracer) -> None:
        self._engine = engine
        for name in DECIDING:
            if hasattr(engine, name):
                setattr(self, name, _spanned(getattr(engine, name), f"frmcore.{name}", tracer))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def __enter__(self) -> Any:
        self._engine.__enter__()  # type: ignore[attr-defined]
        return self

    def __exit__(self, *error: object) -> None:
        self._engine.__exit__(*error)  # type: ignore[attr-defined]

    async def __aenter__(self) -> Any:
        await self._engine.__aenter__()  # type: ignore[attr-defined]
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._engine.__aexit__(*error)  # type: ignore[attr-defined]


def _spanned(call: Callable[..., Any], name: str, tracer: Tracer) -> Callable[..., Any]:
    from opentelemetry import trace  # noqa: PLC0415

    def decide(*given: Any, **named: Any) -> Any:
        if not trace.get_current_span().is_recording():
            return call(*given, **named)
        with _span(name, tracer) as span:
            decided = call(*given, **named)
            _describe(span, decided)
            return decided

    async def decide_later(*given: Any, **named: Any) -> Any:
        if not trace.get_current_span().is_recording():
            return await call(*given, **named)
        with _span(name, tracer) as span:
            decided = await call(*given, **named)
            _describe(span, decided)
            return decided

    return decide_later if iscoroutinefunction(call) else decide


@contextmanager
def _span(name: str, tracer: Tracer) -> Iterator[Span]:
    """Of an error it has the class, and not the message, which may show a value."""
    from opentelemetry import trace  # noqa: PLC0415

    with tracer.start_as_current_span(name, record_exception=False, set_status_on_exception=False) as span:
        try:
            yield span
        except Exception as error:
            span.set_status(trace.StatusCode.ERROR, type(error).__name__)
            raise


def _describe(span: Span, decided: Any) -> None:
    if isinstance(decided, list):
        span.set_attribute("frmcore.decisions", len(decided))
        return
    for name in ("point", "outcome", "score", "fired", "duplicate"):
        span.set_attribute(f"frmcore.{name}", getattr(decided, name))
    span.set_attribute("frmcore.fallback", getattr(decided, "fallback", False))
