"""A store as a history: what was recorded, in the order in which it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from frmcore._fast import record_content, record_event, record_head
from frmcore.errors import HistoryError
from frmcore.history.batches import Batch, Span
from frmcore.history.cells import nested
from frmcore.history.operations import Again, Change, Observe, Tell
from frmcore.history.truth import LABELS, label_update
from frmcore.store.archive import Archive
from frmcore.store.layout import RecordType

if TYPE_CHECKING:
    from collections.abc import Iterator

    from frmcore import Decision
    from frmcore.history.operations import Operation
    from frmcore.history.workspace import Workspace
    from frmcore.policy.tree import Policy
    from frmcore.store.view import StoreView

BATCH = 10_000
TOGETHER: Final = 1_024  # events that are decided without coming back in between


class _Decide(NamedTuple):
    """An event to decide as then, where `decision` was made."""

    place: str
    event: dict[str, Any]
    decision: Decision


class _Together:
    """Events of one point that follow one another."""

    def __init__(self) -> None:
        self._held: list[_Decide] = []

    def takes(self, event: _Decide) -> bool:
        held = self._held
        return not held or (held[0].decision.point == event.decision.point and len(held) < TOGETHER)

    def add(self, event: _Decide) -> None:
        self._held.append(event)

    def take(self) -> Iterator[Operation]:
        """What was held, as one."""
        held, self._held = self._held, []
        if held:
            decisions = [each.decision for each in held]
            batch = Batch(
                [each.event for each in held], [each.time for each in decisions], lambda row: held[row].place,
                recorded=decisions, point=decisions[0].point,
            )  # fmt: skip
            yield Span(batch, 0, len(held))


class Stored:
    """The operations of a store, and its labels. Private values are gone: only their hashes are kept, so a field that
    is private can be a key and be counted, but no longer be compared with a value or derived from."""

    def __init__(self, view: StoreView) -> None:
        self.view = view
        self.archive = Archive(view)
        self.count = view.seq

    @property
    def policy(self) -> Policy:
        """The one in force."""
        return self.archive.policy

    def check(self, policy: Policy) -> None:
        """Raises HistoryError where a policy needs private values in the clear."""
        private = {field.name for field in policy.fields if field.type.private}
        lists = [spec.name for spec in policy.lists if spec.type.private]
        if private and (policy.derived or lists):
            names = ", ".join([*(field.name for field in policy.derived), *lists])
            raise HistoryError(
                f"the store keeps hashes of {', '.join(sorted(private))} only, and the policy may need the "
                f"values: {names}; "
                "run the backtest on the files that the events came from"
            )

    def operations(self, until: int | None = None) -> Iterator[Operation]:
        """Up to the first decision about an event from `until` on. Decisions that follow one another are a batch."""
        events = _Together()
        for _, seq, record in self.view.records():
            for operation in self._operation(f"record {seq}", record):
                if isinstance(operation, _Decide):
                    if until is not None and operation.decision.time >= until:
                        yield from events.take()
                        return
                    if not events.takes(operation):
                        yield from events.take()
                    events.add(operation)
                else:
                    yield from events.take()
                    yield operation
        yield from events.take()

    def first_time(self) -> int:
        """Of the first event that was decided, epoch ms; 0 where none was."""
        return next((decision.time for decision in self.decisions()), 0)

    def decisions(self) -> Iterator[Decision]:
        """The log, without deciding anything."""
        for _, _, record in self.view.records():
            decision = self.archive.decision(record)
            if decision is not None:
                yield decision

    def labels(self, space: Workspace) -> None:
        """The tables `updates` and `labels`, of what was told."""
        name = label_update(self.policy)
        space.create("labels", LABELS)
        batch: list[tuple[str, str, int]] = []
        for _, _, record in self.view.records():
            if name is not None and (label := self._label(record, name)) is not None:
                batch.append(label)
            if len(batch) == BATCH:
                space.append("labels", LABELS, batch)
                batch.clear()
        space.append("labels", LABELS, batch)

    def _label(self, record: bytes, name: str) -> tuple[str, str, int] | None:
        _, type_, time, _ = record_head(record)
        if type_ == RecordType.UPDATE:
            content = record_content(record)
            ident, at, told = content["id"], time, content["fields"]
        elif type_ in {RecordType.OBSERVED, RecordType.AGAIN}:
            at, _, told = self.archive.entered(record)
            ident = record_event(record)
        else:
            return None
        return (ident, str(told[name]), at) if told.get(name) is not None else None

    def _operation(self, place: str, record: bytes) -> Iterator[Operation | _Decide]:
        _, type_, time, _ = record_head(record)
        match type_:
            case RecordType.LIST:
                yield from _changes(place, record_content(record))
            case RecordType.UPDATE:
                content = record_content(record)
                yield Tell(place, content["id"], time, content["fields"])
            case RecordType.DECISION | RecordType.OBSERVED | RecordType.AGAIN:
                yield self._event(place, record, type_)

    def _event(self, place: str, record: bytes, type_: int) -> Operation | _Decide:
        at, fields, told = self.archive.entered(record)
        decision = self.archive.decision(record)
        if decision is not None and type_ == RecordType.AGAIN:
            return Again(place, decision.event_id, decision.point, at, told, decision)
        event = self._nested(fields)
        if decision is None:
            return Observe(place, event | told)
        return _Decide(place, event, decision)

    def _nested(self, fields: dict[str, Any]) -> dict[str, Any]:
        paths = {field.name: field.path for field in self.policy.fields}
        return nested((paths.get(name, (name,)), value) for name, value in fields.items())


def _changes(place: str, content: dict[str, Any]) -> Iterator[Operation]:
    for entry in content["entries"]:
        yield Change(place, content["list"], content["action"], entry["value"], entry["expires"], entry["reason"])
