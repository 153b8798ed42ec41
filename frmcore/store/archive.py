"""What a store's records mean, without its engine: decisions under the policy of then, explanations, lists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from frmcore._fast import (
    Core,
    Recovered,
    fingerprint_of,
    ids_find,
    record_content,
    record_event,
    record_head,
    stretch_head,
    stretch_ids,
    system_clock,
)
from frmcore.alerts import Alert
from frmcore.errors import StoreDamaged, StoreUnavailable, UnknownEvent
from frmcore.explain import explain
from frmcore.holds import Holds
from frmcore.lists import EntityLists, list_contents
from frmcore.store.keys import check_private_key
from frmcore.store.layout import IDS, META, RecordType
from frmcore.store.lists import folded
from frmcore.store.records import framed
from frmcore.store.sound import sensible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from frmcore._fast import Decision
    from frmcore.explain import Explanation
    from frmcore.plan import Plan
    from frmcore.store.view import StoreView

_NO_KEY: Final = bytes(16)  # for reading alone: private values are never shown, only their hashes would differ


class Archive:
    """Reads a view's records. Raises StoreDamaged where they do not fit what the store says of itself."""

    def __init__(self, view: StoreView, private_key: bytes | None = None) -> None:
        """private_key: needed where private values are compared: explanations, and lists of private values."""
        self._view = view
        self._plans: dict[int, Plan] = {}
        last = len(view.policies) - 1
        self.policy, self.plan = view.policy(last)
        with sensible("the policy in force can't be read"):
            self._core = Core(
                self.plan, self.policy, list_contents(self.plan), view.settings["key"], private_key or _NO_KEY,
                system_clock, None, Recovered(last, None, 0, {}, {}),
            )  # fmt: skip
        self._has_key = private_key is not None
        if private_key is not None:
            check_private_key(view.folder, self._core, view.reader.get(META, b"private"))

    def need_key(self, what: str) -> None:
        """Raises StoreUnavailable where private values would have to be hashed, and there is no key to do it."""
        if self._view.reader.get(META, b"private") is not None and not self._has_key:
            raise StoreUnavailable(
                f"the store has private fields: {what} needs their private_key (at the command line: 32 hex digits in "
                "the environment variable FRMCORE_PRIVATE_KEY)"
            )

    def plan_of(self, book: int) -> Plan:
        """The plan of the policy that a record names by its index."""
        if book not in self._plans:
            if book >= len(self._view.policies):
                raise StoreDamaged(f"a record names policy {book}, which the store does not have; restore a snapshot")
            policy, plan = self._view.policy(book)
            with sensible(f"policy {book} can't be read"):
                if not self._core.has_book(book):
                    self._core.add_book(book, plan, policy)
            self._plans[book] = plan
        return self._plans[book]

    def decision(self, record: bytes) -> Decision | None:
        """The decision that a record holds, under the policy of then; None of other records."""
        head = record_head(record)
        if head[1] not in {RecordType.DECISION, RecordType.AGAIN}:
            return None
        self.plan_of(head[3])
        with sensible(f"record {head[0]:,} can't be read"):
            return self._core.decision_of(record)

    def decisions(self, since: int | None = None) -> Iterator[Decision]:
        """Every decision in recorded order; `since`: those about events of that time (epoch ms) and later."""
        for stretch in self._view.stretches():
            if since is not None and stretch_head(stretch)[4] < since:
                continue
            for _, record in framed(stretch):
                decision = self.decision(record)
                if decision is not None and (since is None or decision.time >= since):
                    yield decision

    def content(self, record: bytes) -> dict[str, Any]:
        """A record as plain data, for people and JSON; private values do not appear. Raises StoreDamaged."""
        seq, type_, _, book = record_head(record)
        with sensible(f"record {seq:,} can't be read"):
            if type_ not in {RecordType.DECISION, RecordType.AGAIN, RecordType.OBSERVED}:
                return _shown(type_, record_content(record))
            self.plan_of(book)
            decision = self._core.decision_of(record)
            found = {"event_id": record_event(record)} if decision is None else decision.to_dict()
            return {**found, "fields": self._core.facts_in(record)}

    def entered(self, record: bytes) -> tuple[int, dict[str, Any], dict[str, Any]]:
        """An event as it came in, by its record: when updates were told, its fields, the updates that came along."""
        self.plan_of(record_head(record)[3])
        return self._core.entered(record)

    def explain(self, event_id: str, point: str | None = None) -> Explanation:
        """A decision as it was made; what windows held is known to a running engine only. Raises UnknownEvent."""
        self.need_key("explaining")
        for seq in self._find(event_id):
            decision = self._decision_at(seq)
            if decision is not None and decision.event_id == event_id and point in {None, decision.point}:
                return explain(self._core, decision)
        raise UnknownEvent(f"event {event_id!r} was not decided here, or longer ago than keep_decisions")

    def recorded(self, record: bytes) -> Decision:
        """The decision of a record that is known to hold one."""
        found = self.decision(record)
        if found is None:
            raise UnknownEvent("the record holds no decision")
        return found

    def explain_record(self, record: bytes) -> Explanation:
        """`explain` of such a record."""
        self.need_key("explaining")
        return explain(self._core, self.recorded(record))

    def _find(self, event_id: str) -> list[int]:
        """Sequence numbers of what may be about the event, newest first."""
        fingerprint = fingerprint_of(event_id, self._view.settings["key"])
        reader, last = self._view.reader, 0
        found: list[int] = []
        with sensible("the fingerprints of events can't be read"):
            for key in reader.keys(IDS):
                found += reader.find_id(key, fingerprint)
                last = max(last, reader.last_of_run(key))
            for stretch in self._view.stretches(last):
                found += ids_find(stretch_ids(stretch), fingerprint)
        return sorted(found, reverse=True)

    def _decision_at(self, seq: int) -> Decision | None:
        return next((self.decision(record) for _, at, record in self._view.records(seq - 1) if at == seq), None)

    def alerts(self) -> Iterator[Alert]:
        """Every alert that was raised, in recorded order."""
        for record in self._view.operations():
            if record_head(record)[1] == RecordType.ALERT:
                yield from map(Alert.of, record_content(record)["alerts"])

    def controls(self) -> dict[str, Any]:
        """What is switched, snoozed and tripped now, as `Core.control_state` has it."""
        core, view = self._core, self._view
        state = view.reader.note(view.folder, b"state")
        core.restore_controls(state["controls"])
        for record in view.tail.records:
            seq, type_, time, _ = record_head(record)
            if type_ == RecordType.CONTROL:
                core.replay_operation(seq, time, record_content(record))
        return core.control_state()

    def lists(self) -> EntityLists:
        """The lists as they stand, to look at: a change would reach nobody."""
        lists = EntityLists(self._core, self.plan)
        with sensible("the lists can't be read"):
            lists.restore(folded(record_content(record) for record in self._view.operations()))
        return lists

    def holds(self) -> Holds:
        """The legal holds as they stand, to look at."""
        holds = Holds(self._core, lambda: self.policy, lambda: None, lambda: None)
        holds.restore(record_content(record) for record in self._view.operations())
        return holds


def _shown(type_: int, content: dict[str, Any]) -> dict[str, Any]:
    if type_ == RecordType.POLICY:
        return {"policy": content["hash"], "files": content["files"]}
    if type_ == RecordType.ALERT:
        return {**content, "alerts": [Alert.of(said).to_dict() for said in content["alerts"]]}
    return {name: value for name, value in content.items() if name not in {"raw", "keys", "places"}}
