"""The quick operations: what a request asks of the engine, between two reads of the socket.

Each takes a request and returns its result: a Decision, several of them, or plain data. None waits for the disk: the
owner does that once for all requests that came in together.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec

from frmcore._fast import shorten
from frmcore.errors import FrmcoreError, InvalidEvent, ProtocolError
from frmcore.limits import BATCH_EVENTS_MAX
from frmcore.serve.protocol import BATCHES, NOTHING, VERSION
from frmcore.version import VERSION as RELEASE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from frmcore import Decision, Engine
    from frmcore.policy import Policy
    from frmcore.serve.protocol import Request

_plain: Final = msgspec.msgpack.Decoder().decode


class Deciding(msgspec.Struct, frozen=True):
    """Options of decide, evaluate, decide_many. What the engine has words for it refuses itself."""

    point: Any = None
    strict: bool = False


class Telling(msgspec.Struct, frozen=True):
    """Options of update, decide_again and report. `at`: epoch ms, RFC 3339 or a timestamp; None is now. `again`: of an
    update that is sent again, when it was sent first."""

    point: Any = None
    at: Any = None
    again: Any = None
    by: Any = None
    source: Any = None
    fields: dict[str, Any] = {}
    final: Any = None


class Batch(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of several events: the decisions up to the first that was refused, and why it was."""

    decisions: list[Decision]
    error: FrmcoreError | None = None


_deciding: Final = msgspec.msgpack.Decoder(Deciding | None)
_telling: Final = msgspec.msgpack.Decoder(Telling | None)
_AT_MOST: Final = msgspec.Meta(max_length=BATCH_EVENTS_MAX)
_events: Final = msgspec.msgpack.Decoder(Annotated[list[msgspec.Raw], _AT_MOST])
_greeting: Final = msgspec.msgpack.Decoder(dict[str, Any])
RECORDING: Final = BATCHES | {"decide", "decide_again", "observe", "update", "report"}  # answers that wait for the disk
REPORTS_KNOWN: Final = 10_000  # one that is sent again comes soon
NO_OPTIONS: Final = Deciding()
NOTHING_TOLD: Final = Telling()


class Calls:
    """The quick operations on one engine, by name."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._policy: Policy | None = None
        self._event: Callable[[msgspec.Raw], Any] = _plain
        self._batch: Callable[[msgspec.Raw], list[Any]] | None = None
        self._reported: dict[tuple[str, str, str], None] = {}  # the last reports: id, time, final
        self.fallbacks: Counter[str] = Counter()  # events that clients settled by themselves, by outcome
        self.by_name: dict[str, Callable[[Request], Any]] = {
            "decide": self.decide, "decide_many": self.decide_many, "evaluate": self.evaluate, "observe": self.observe,
            "observe_many": self.observe_many, "update": self.update, "decide_again": self.decide_again,
            "report": self.report, "features": self.features, "ping": lambda _: None,
        }  # fmt: skip

    def hello(self, request: Request) -> dict[str, Any]:
        """Who we are, for a client that speaks our version. Raises ProtocolError."""
        spoken = _greeting.decode(request.subject).get("protocol") if request.op == "hello" else None
        if spoken != VERSION:
            told = (
                f"this owner speaks protocol {VERSION}, and a connection's first request says so: got {shorten(spoken)}"
            )
            raise ProtocolError(told)
        policy = self._engine.policy
        ident = next(field.path for field in policy.fields if field.name == policy.id_field)
        facts = {
            "name": policy.name, "version": policy.version, "hash": policy.hash,
            "id": ident, "outcomes": policy.outcomes,
        }  # fmt: skip
        return {"protocol": VERSION, "frmcore": RELEASE, "batch": BATCH_EVENTS_MAX, "policy": facts}

    def decide(self, request: Request) -> Decision:
        options = self._options(request)
        event = self._read(request.subject, options.strict)
        return self._engine.unsettled().decide(event, options.point, strict=options.strict)

    def evaluate(self, request: Request) -> Decision:
        options = self._options(request)
        return self._engine.evaluate(self._read(request.subject, options.strict), options.point, strict=options.strict)

    def decide_many(self, request: Request) -> Batch:
        options = self._options(request)
        point, strict = options.point, options.strict
        decide, decisions = self._engine.unsettled().decide, []
        try:
            for event in self._read_many(request.subject, strict):
                decisions.append(decide(event, point, strict=strict))
        except FrmcoreError as error:
            return Batch(decisions, error)
        return Batch(decisions)

    def observe(self, request: Request) -> None:
        self._engine.unsettled().observe(self._read(request.subject, strict=False))

    def observe_many(self, request: Request) -> None:
        observe = self._engine.unsettled().observe
        for event in self._read_many(request.subject, strict=False):
            observe(event)

    def update(self, request: Request) -> None:
        """Sent again, because the answer got lost, it is nothing new where it was told since."""
        told, ident, core = self._told(request), _plain(request.subject), self._engine.unsettled()
        at = told.again if told.at is None else told.at
        if told.again is None or not told.fields or not core.is_told(ident, at, told.fields, later=told.at is None):
            core.update(ident, at, told.by, told.source, told.fields)

    def decide_again(self, request: Request) -> Decision:
        told = self._told(request)
        point = "" if told.point is None else told.point
        return self._engine.unsettled().decide_again(_plain(request.subject), point, told.at, told.fields)

    def report(self, request: Request) -> Decision:
        """An event that a client had to settle by itself: it is decided now, and its `final` is what took effect. Sent
        again, because the answer got lost, it is nothing new: an owner that was started since sees that by what is
        known of the event, and one that runs still even when another `final` was told meanwhile."""
        told, outcomes = self._told(request), self._engine.policy.outcomes
        if told.final not in outcomes:  # refused before the event counts
            raise InvalidEvent(f"final: expected one of {', '.join(outcomes)}, got {shorten(told.final)}", "final")
        core = self._engine.unsettled()
        decision = core.decide(self._read(request.subject, strict=False), told.point)
        report = decision.event_id, str(told.at), told.final
        fields = {"final": told.final}
        if report in self._reported or core.is_told(decision.event_id, told.at, fields, later=False):
            return decision
        core.update(decision.event_id, told.at, None, "fallback", fields)
        self.fallbacks[told.final] += 1
        self._reported[report] = None
        if len(self._reported) > REPORTS_KNOWN:
            del self._reported[next(iter(self._reported))]
        return decision

    def features(self, request: Request) -> dict[str, Any]:
        entities = _plain(request.subject)
        if not isinstance(entities, dict) or not all(isinstance(name, str) and name != "at" for name in entities):
            raise ProtocolError("features: expected a map of entities; a time goes into the options, as at")
        return self._engine.features(at=self._told(request).at, **entities)

    def _options(self, request: Request) -> Deciding:
        return NO_OPTIONS if request.options is NOTHING else _deciding.decode(request.options) or NO_OPTIONS

    def _told(self, request: Request) -> Telling:
        return _telling.decode(request.options) or NOTHING_TOLD

    def _read(self, subject: msgspec.Raw, strict: bool) -> Any:
        """An event for the engine: the policy's Struct where it fits, a mapping where the engine is to say why not.
        Binary data is an event as JSON."""
        self._follow()
        try:
            try:
                return self._loosely(subject) if strict else self._event(subject)
            except msgspec.ValidationError:
                return self._loosely(subject)
        except InvalidEvent:
            raise
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
            raise self._unreadable(error) from None

    def _read_many(self, subject: msgspec.Raw, strict: bool) -> Iterable[Any]:
        """Events at once where all of them fit the Struct; else one by one, after those in front were decided."""
        self._follow()
        if self._batch is not None and not strict:
            with suppress(msgspec.ValidationError, UnicodeDecodeError):
                return self._batch(subject)
        return (self._read(event, strict) for event in _events.decode(subject))

    def _loosely(self, subject: msgspec.Raw) -> Any:
        event = _plain(subject)
        return self._engine.decoded(event) if isinstance(event, bytes) else event

    def _unreadable(self, error: Exception) -> InvalidEvent:
        return self._engine.unsettled().unreadable(f"not an event as MessagePack: {error}")

    def _follow(self) -> None:
        """Reads events as the policy in force has them."""
        policy = self._engine.policy
        if policy is self._policy:
            return
        self._policy = policy
        if any(len(field.path) > 1 for field in policy.fields):
            self._event, self._batch = _flat_or_nested(policy.Event), None
        else:
            self._event = msgspec.msgpack.Decoder(policy.Event).decode
            self._batch = msgspec.msgpack.Decoder(Annotated[list[policy.Event], _AT_MOST]).decode  # type: ignore[name-defined]


def _flat_or_nested(event: type[msgspec.Struct]) -> Callable[[msgspec.Raw], Any]:
    """Where the schema has nested paths: a `policy.Event` comes flat, with all of its fields; a mapping is nested."""
    flat = msgspec.defstruct("Flat", [], bases=(event,), forbid_unknown_fields=True)
    decode = msgspec.msgpack.Decoder(flat).decode

    def read(subject: msgspec.Raw) -> Any:
        try:
            return event(**msgspec.structs.asdict(decode(subject)))
        except msgspec.ValidationError:
            return _plain(subject)

    return read
