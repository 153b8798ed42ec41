"""Events of `decide_many` and `observe_many` in spans: short enough that no other thread waits long for its turn."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

from frmcore._fast import ArrowRows
from frmcore.errors import InvalidEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

SPAN = 256  # events: half a millisecond


class ArrowStream(Protocol):
    """Whatever gives an Arrow C stream."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...


def spans(events: Iterable[Any] | ArrowStream, decode: Callable[[bytes], Any]) -> Iterator[tuple[Any, int, int]]:
    """(events, first, last) of each span, as the hot path takes them. An event that can't be decoded raises after the
    span of those before it."""
    if hasattr(events, "__arrow_c_stream__"):
        yield from _row_spans(ArrowRows(events))
        return
    size = SPAN if isinstance(events, (list, tuple)) else 1  # others may look at what was decided before they give one
    source = iter(events)
    while part := list(islice(source, size)):
        error = _decode_all(part, decode)
        if part:
            yield part, 0, len(part)
        if error is not None:
            raise error


def _row_spans(rows: ArrowRows) -> Iterator[tuple[ArrowRows, int, int]]:
    while (count := rows.next_batch()) >= 0:
        for first in range(0, count, SPAN):
            yield rows, first, min(first + SPAN, count)


def _decode_all(part: list[Any], decode: Callable[[bytes], Any]) -> InvalidEvent | None:
    """Decodes the events that are JSON, up to one that is none: that and those behind it are taken off."""
    for index, event in enumerate(part):
        if isinstance(event, bytes):
            try:
                part[index] = decode(event)
            except InvalidEvent as error:
                del part[index:]
                return error
    return None
