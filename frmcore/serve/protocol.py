"""What owner and clients say to each other: frames, requests, answers, errors. docs/protocol.md writes it down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Generic, TypeVar

import msgspec

from frmcore import errors
from frmcore.errors import EventConflict, FrmcoreError, InvalidEvent, PolicyError, ProtocolError
from frmcore.limits import FRAME_BYTES_MAX
from frmcore.policy.source import Problem  # noqa: TC001  msgspec reads the annotation

if TYPE_CHECKING:
    from collections.abc import Callable

VERSION: Final = 1
SOCKET_NAME: Final = "socket"  # in the store's folder, unless another path is named
HEAD_BYTES: Final = 4  # a frame's length, big-endian, without itself
PAGE_VALUES: Final = 10_000  # values of a list in one answer
PAGE_BYTES: Final = 1 << 20  # of alerts in one answer
CONNECTIONS_MAX: Final = 256
BATCHES: Final = frozenset({"decide_many", "observe_many"})  # wait for room in the journal, and so does what is behind
NOTHING: Final = msgspec.Raw(b"\xc0")

T = TypeVar("T")


class Request(msgspec.Struct, array_like=True, frozen=True):
    """One question. `subject`: an event, an event's id, a list's name ...; `options`: a map, by operation."""

    id: Annotated[int, msgspec.Meta(ge=1)]
    op: str
    subject: msgspec.Raw = NOTHING
    options: msgspec.Raw = NOTHING


class Failure(msgspec.Struct, frozen=True, omit_defaults=True):
    """An error as it travels: the class's name, its message, and what else the exception carries."""

    error: str
    message: str
    field: str | None = None
    decision: msgspec.Raw = NOTHING
    problems: tuple[Problem, ...] = ()


class Answer(msgspec.Struct, Generic[T], array_like=True, frozen=True):
    """What came of the request with that id: a result or a failure."""

    id: int
    result: T
    error: Failure | None = None


encode: Final = msgspec.msgpack.Encoder().encode
decode_request: Final[Callable[[bytes | memoryview], Request]] = msgspec.msgpack.Decoder(Request).decode


def framed(payload: bytes) -> bytes:
    """Raises ProtocolError for what no frame takes."""
    if len(payload) > FRAME_BYTES_MAX:
        told = f"{len(payload):,} bytes in one frame, at most {FRAME_BYTES_MAX:,} are taken: send less at once"
        raise ProtocolError(told)
    return len(payload).to_bytes(HEAD_BYTES, "big") + payload


def failure_of(error: Exception) -> Failure:
    """An exception, to be sent. What is not ours travels as its name."""
    name = type(error).__name__ if isinstance(error, FrmcoreError | ValueError) else "FrmcoreError"
    message = str(error) if isinstance(error, FrmcoreError | ValueError | OSError) else f"the owner failed: {error!r}"
    field = error.field if isinstance(error, InvalidEvent) else None
    known = error.decision if isinstance(error, EventConflict) else None
    decision = NOTHING if known is None else msgspec.Raw(known.packed())
    problems = error.problems if isinstance(error, PolicyError) else ()
    return Failure(name, message, field, decision, problems)


def error_of(failure: Failure, read_decision: Callable[[msgspec.Raw], Any]) -> Exception:
    """The exception that a failure was, ready to be raised."""
    if failure.error == "ValueError":
        return ValueError(failure.message)
    kind = getattr(errors, failure.error, FrmcoreError)
    if not (isinstance(kind, type) and issubclass(kind, FrmcoreError)):
        return FrmcoreError(failure.message)
    if issubclass(kind, InvalidEvent):
        return kind(failure.message, failure.field)
    if issubclass(kind, EventConflict):
        known = None if failure.decision == NOTHING else read_decision(failure.decision)
        return kind(failure.message, known)
    if issubclass(kind, PolicyError):
        return kind(failure.problems)
    return kind(failure.message)
