"""A store as a history: what was recorded, in the order in which it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from frmcore._fast import record_content, record_event, record_head
from frmcore.errors import HistoryError
from frmcore.history.cells import nested
from frmcore.history.operations import Again, Change, Decide, Observe, Operation, Tell
from frmcore.history.truth import LABELS, label_update
from frmcore.store.archive import Archive
from frmcore.store.layout import RecordType

if TYPE_CHECKING:
    from collections.abc import Iterator

    from frmcore import Decision
    from frmcore.history.workspace import Workspace
    from frmcore.policy.tree import Policy
    from frmcore.store.view import StoreView

BATCH = 10_000


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

    def operations(self) -> Iterator[Operation]:
        for _, seq, record in self.view.records():
            yield from self._operation(f"record {seq}", record)

    def decisions(self) -> Iterator[tuple[Decision, dict[str, Any]]]:
        """Every decision with the fields of its event: the log, without deciding anything."""
        for _, _, record in self.view.records():
            decision = self.archive.decision(record)
            if decision is not None:
                yield decision, self.archive.entered(record)[1]

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

    def _operation(self, place: str, record: bytes) -> Iterator[Operation]:
        _, type_, time, _ = record_head(record)
        match type_:
            case RecordType.LIST:
                yield from _changes(place, record_content(record))
            case RecordType.UPDATE:
                content = record_content(record)
                yield Tell(place, content["id"], time, content["fields"])
            case RecordType.DECISION | RecordType.OBSERVED | RecordType.AGAIN:
                yield self._event(place, record, type_, time)

    def _event(self, place: str, record: bytes, type_: int, time: int) -> Operation:
        at, fields, told = self.archive.entered(record)
        decision = self.archive.decision(record)
        if decision is not None and type_ == RecordType.AGAIN:
            return Again(place, decision.event_id, decision.point, at, told, decision)
        event = self._nested(fields)
        if decision is None:
            return Observe(place, event | told)
        return Decide(place, time, event, decision.outcome, decision, decision.point)

    def _nested(self, fields: dict[str, Any]) -> dict[str, Any]:
        paths = {field.name: field.path for field in self.policy.fields}
        return nested((paths.get(name, (name,)), value) for name, value in fields.items())


def _changes(place: str, content: dict[str, Any]) -> Iterator[Operation]:
    for entry in content["entries"]:
        yield Change(place, content["list"], content["action"], entry["value"], entry["expires"], entry["reason"])
