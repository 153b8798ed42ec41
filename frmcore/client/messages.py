"""Requests as bytes, answers as what a call returns or raises."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from itertools import islice
from math import isnan
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar, cast

import msgspec

from frmcore._fast import packed_items, packed_result, shorten, system_clock
from frmcore.changes import Change
from frmcore.client.decision import Decision, alert
from frmcore.controls import Controls
from frmcore.erasure import Erased
from frmcore.errors import InvalidEvent, ProtocolError
from frmcore.explain import Explanation, FeatureTrace, Node, RuleTrace
from frmcore.limits import BATCH_EVENTS_MAX, FRAME_BYTES_MAX, LIST_CHANGE_VALUES
from frmcore.serve.protocol import VERSION, Answer, encode, error_of
from frmcore.version import VERSION as RELEASE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from frmcore.alerts import Alert
    from frmcore.engine import Time
    from frmcore.lists import Expiry

T = TypeVar("T")
RAISE: Final = "raise"
LIST_VALUES: Final = LIST_CHANGE_VALUES  # in one change of a list
BATCH_EVENTS: Final = 64  # in one frame: decided in well under a millisecond, so that others wait no longer


class PolicyFacts(msgspec.Struct, frozen=True):
    """What a client must know of the policy in force."""

    name: str
    version: str
    hash: str
    id: tuple[str, ...]  # where an event has its id
    outcomes: tuple[str, ...]


class Welcome(msgspec.Struct, frozen=True):
    """The answer to hello."""

    protocol: int
    policy: PolicyFacts
    batch: int = BATCH_EVENTS_MAX


class _Explained(msgspec.Struct, frozen=True):
    decision: msgspec.Raw
    fields: dict[str, Any]
    final: str
    features: list[dict[str, Any]]
    rules: list[dict[str, Any]]
    lists: tuple[str, ...]
    changes: list[dict[str, Any]]


_plain: Final = msgspec.msgpack.Decoder(Answer[Any]).decode
_welcome: Final = msgspec.msgpack.Decoder(Answer[Welcome | None]).decode
_explained: Final = msgspec.msgpack.Decoder(Answer[_Explained | None]).decode


# ---- time --------------------------------------------------------------------------------------------------------
def checked_timeout(seconds: float) -> float:
    """Of a client's calls. Raises ValueError."""
    if not seconds > 0:  # also for what is no number: it would never be over
        raise ValueError(f"timeout: expected seconds above 0, got {seconds}")
    return seconds


def seconds_of(within_ms: float | None, timeout: float) -> float:
    """Of one call. Raises ValueError."""
    if within_ms is None:
        return timeout
    if isnan(within_ms):
        raise ValueError(f"within_ms: expected milliseconds, got {within_ms}")
    return within_ms / 1000


# ---- requests ----------------------------------------------------------------------------------------------------
GREETING: Final = ("hello", {"protocol": VERSION, "client": f"python {RELEASE}"})


def asking(op: str, event: Any, point: str | None, strict: bool) -> tuple[Any, ...]:
    """What decide, evaluate and decide_many ask, but for the number in front."""
    if point is None and not strict:
        return op, event
    return op, event, {"point": point, "strict": strict}


def updating(
    event_id: str, at: Time | None, by: str | None, source: str | None, fields: Mapping[str, Any]
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """How an update is asked, and how again, where nobody knows whether it was told."""
    told = {"at": at, "by": by, "source": source, "fields": fields}
    return ("update", event_id, told), ("update", event_id, {**told, "again": system_clock()})


def json_of(data: bytes | str) -> Any:
    """As the protocol has JSON: binary data. A text with a lone surrogate becomes bytes that the engine refuses."""
    return data.encode(errors="surrogatepass") if isinstance(data, str) else bytes(memoryview(data))


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    left = iter(items)
    while part := list(islice(left, size)):
        yield part


def plain_event(event: Any) -> Any:
    """An event as MessagePack takes it: a dict or a Struct."""
    return dict(event) if isinstance(event, Mapping) and type(event) is not dict else event


def numbered(number: int, asked: tuple[Any, ...]) -> bytes:
    """A request's bytes. Raises InvalidEvent for values that no engine takes either, ProtocolError for a policy that
    no frame takes."""
    try:
        data = encode((number, *asked))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise _unfit(asked, error) from None
    if len(data) > FRAME_BYTES_MAX:
        told = f"{asked[0]}: {len(data):,} bytes, and a request has at most {FRAME_BYTES_MAX:,}"
        raise ProtocolError(f"{told}: use `frmcore reload`") if asked[0] == "reload" else InvalidEvent(told)
    return data


def _unfit(asked: tuple[Any, ...], error: Exception) -> InvalidEvent:
    subject, options = asked[1], asked[2] if len(asked) > 2 else {}
    for values in (subject, options.get("fields"), options):
        for name, value in values.items() if isinstance(values, dict) else ():
            try:
                encode(value)
            except (TypeError, ValueError, OverflowError, RecursionError):
                return InvalidEvent(f"{name}: got {shorten(value)}, which can't be sent: {error}", str(name))
    return InvalidEvent(f"it can't be sent: {error}")


def packed(event: Any) -> msgspec.Raw:
    """An event as it is now. Raises InvalidEvent."""
    try:
        return msgspec.Raw(encode(event))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise _unfit(("report", event), error) from None


def change(
    values: list[str], *, reason: str = "", source: str = "", owner: str = "", expires: Expiry = None
) -> dict[str, Any]:
    """What is told of values that a list gets or loses."""
    said = {"reason": reason, "source": source, "owner": owner}
    return {"values": values, **said, "expires": plain_expiry(expires)}


def hold(reason: str, source: str, until: Expiry) -> dict[str, Any]:
    """What is told of a legal hold."""
    return {"reason": reason, "source": source, "until": plain_expiry(until)}


def control(reason: str, by: str, **said: Any) -> dict[str, Any]:
    """What is told where a rule or a group is steered."""
    return {**said, "reason": reason, "by": by}


def plain_expiry(expires: Expiry) -> Any:
    """A duration or a time as it travels."""
    return f"{expires // timedelta(milliseconds=1)}ms" if isinstance(expires, timedelta) else expires


# ---- answers -----------------------------------------------------------------------------------------------------
def welcome(answer: bytes) -> Welcome:
    """Raises ProtocolError for an owner of another kind."""
    try:
        told = _welcome(answer)
    except msgspec.MsgspecError as error:
        raise ProtocolError(f"that is no answer of an frmcore owner of protocol {VERSION}: {error}") from None
    return result_of(told)


def decision(answer: bytes) -> Decision:
    found = packed_result(answer)
    return Decision(_refused(answer) if found is None else found)


def decisions(answer: bytes) -> list[Decision]:
    """Of one frame. Raises what the first refused event was refused with."""
    found = packed_items(answer, b"decisions")
    return [Decision(each) for each in (_refused(answer) if found is None else found)]


def _refused(answer: bytes) -> NoReturn:
    plain(answer)
    raise ProtocolError("that is no answer of an frmcore owner")


def plain(answer: bytes) -> Any:
    """Raises what the owner answered instead, ProtocolError for what is no answer."""
    try:
        told = _plain(answer)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ProtocolError(f"that is no answer of an frmcore owner: {error}") from None
    return result_of(told)


def result_of(told: Answer[T | None]) -> T:
    """Raises what the owner answered instead."""
    if told.error is not None:
        raise error_of(told.error, _of_raw)
    return cast("T", told.result)


def _of_raw(packed: msgspec.Raw) -> Decision:
    return Decision(bytes(packed))


def explanation(answer: bytes) -> Explanation:
    """As `Engine.explain` returns it; its decision is of this package's class."""
    found = result_of(_explained(answer))
    features = tuple(FeatureTrace(**{**each, "evidence": tuple(each["evidence"])}) for each in found.features)
    return Explanation(
        cast("Any", _of_raw(found.decision)), found.fields, found.final, features, tuple(map(_rule, found.rules)),
        found.lists, _changes(found.changes),
    )  # fmt: skip


def controls(told: Any) -> Controls:
    """As `Engine.controls` has them."""
    return msgspec.convert(told, Controls)


def erased(told: Any) -> Erased:
    """As `Engine.erase` returns it."""
    return msgspec.convert(told, Erased)


def alerts(told: Iterable[Mapping[str, Any]]) -> list[Alert]:
    """One page of them."""
    return [alert(each) for each in told]


def _rule(told: Mapping[str, Any]) -> RuleTrace:
    made = {"tree": _node(told["tree"]), "failed": tuple(told["failed"]), "changes": _changes(told["changes"])}
    return RuleTrace(**{**told, **made})


def _changes(told: Iterable[Mapping[str, Any]]) -> tuple[Change, ...]:
    return tuple(Change(**each) for each in told)


def _node(told: Mapping[str, Any]) -> Node:
    return Node(told["text"], told["value"], told["shown"], tuple(_node(child) for child in told["children"]))


# ---- what a client decides by itself --------------------------------------------------------------------------------
def is_known(otherwise: str, known: PolicyFacts | None) -> bool:
    """Is it an outcome, as far as is known here? Where not, another policy may be in force since."""
    return otherwise == RAISE or known is None or otherwise in known.outcomes


def check_otherwise(otherwise: str, known: PolicyFacts) -> None:
    """Raises ValueError for an outcome that the policy in force does not have."""
    if otherwise not in known.outcomes:
        raise ValueError(f"otherwise: expected raise or one of {', '.join(known.outcomes)}, got {otherwise!r}")


def fallback(event: Any, point: str | None, outcome: str, known: PolicyFacts | None) -> Decision:
    """The caller's declared choice, as a decision."""
    ident = id_in(event, known.id) if known is not None else ""
    return Decision.of(id=ident, point=point or "", outcome=outcome, fallback=True)


def hash_of(health: Mapping[str, Any]) -> str:
    """Of the policy in force."""
    return str(health["policy"]["hash"])


def id_in(event: Any, path: tuple[str, ...]) -> str:
    """The id of an event that was never decided; "" where there is none to be found."""
    if isinstance(event, bytes):
        try:
            event = msgspec.json.decode(event)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return ""
    plain = msgspec.to_builtins(event) if isinstance(event, msgspec.Struct) else event
    for name in path:
        plain = plain.get(name) if isinstance(plain, Mapping) else None
    return plain if isinstance(plain, str) else ""
