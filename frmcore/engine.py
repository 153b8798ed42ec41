"""`Engine`: what a payment process holds."""

from __future__ import annotations

import os
from threading import RLock
from typing import TYPE_CHECKING, Any, Literal, Self, cast

import msgspec

from frmcore._fast import Core, system_clock
from frmcore.batches import spans
from frmcore.controls import Controls, reset, snoozed, switched, woken
from frmcore.erasure import Erased, Order, erase
from frmcore.errors import StoreUnavailable, UnknownEvent
from frmcore.explain import explain
from frmcore.holds import Holds
from frmcore.limits import JSON_BYTES_MAX, TIME_MS_MAX
from frmcore.lists import EntityLists, list_contents
from frmcore.policy import Policy, load
from frmcore.store import StoreOptions
from frmcore.subjects import check_entities, parse_subject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from frmcore._fast import ArrowRows, Book, Columns, Decision
    from frmcore.alerts import Alert
    from frmcore.batches import ArrowStream
    from frmcore.controls import State
    from frmcore.errors import StoreError
    from frmcore.explain import Explanation
    from frmcore.lists import Expiry
    from frmcore.plan import Group, Plan
    from frmcore.store.inbox import Command
    from frmcore.store.store import Opened, Store
    from frmcore.subjects import Subject
    from frmcore.values import Value

    Event = Mapping[str, Any] | msgspec.Struct
    Time = int | str | datetime

KEY_BYTES = 16


class Engine:
    """Decides events by a policy, over exact windows, in process.

    path: a folder for the state; None keeps it in memory. What the folder holds is taken up again: events, lists,
    decisions, and the policy, which gives way to `policy` where that is another one.
    policy: a path, a policy's text (with a line break), or a loaded `Policy`.
    clock: milliseconds since the epoch; None switches the guard against events from the future off, for history. It
    may not
        call the engine.
    max_ahead: how far ahead of the clock an event may be, in ms; None takes the policy's limit (5 minutes).
    key: 16 secret bytes that entity keys are hashed with; None draws them, and a store keeps them. No decision depends
    on them.
    private_key: 16 secret bytes for private fields. A store never keeps them: give the same ones each time. In memory
    None draws them.
    store: how a store is kept, see `StoreOptions`. progress: called with (done, all) while a store recovers.

    Raises PolicyError, StoreError. One engine may be used from several threads; a forked child must open its own.
    """

    def __init__(
        self,
        path: str | Path | None,
        *,
        policy: str | Path | Policy,
        clock: Callable[[], int] | None = system_clock,
        max_ahead: int | None = None,
        key: bytes | None = None,
        private_key: bytes | None = None,
        store: StoreOptions | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        if max_ahead is not None and not 0 <= max_ahead <= TIME_MS_MAX:
            raise ValueError(f"max_ahead: expected 0 to {TIME_MS_MAX} ms, got {max_ahead}")
        for name, secret in (("key", key), ("private_key", private_key)):
            if secret is not None and len(secret) != KEY_BYTES:
                raise ValueError(f"{name}: expected {KEY_BYTES} secret bytes, got {len(secret)}")
        wanted = policy if isinstance(policy, Policy) else load(policy)
        self._reloading = RLock()
        self._failure_hooks: list[Callable[[StoreError], object]] = []
        self._store: Store | None = None
        self._holds: Holds
        if path is None:
            plan = _plan(wanted)
            secrets = (key or os.urandom(KEY_BYTES), private_key or os.urandom(KEY_BYTES))
            self._core = Core(plan, wanted, list_contents(plan), *secrets, clock, max_ahead)
            self._take(wanted, EntityLists(self._core, plan))
        else:
            from frmcore.store.keys import Keys  # noqa: PLC0415
            from frmcore.store.store import Store  # noqa: PLC0415  brings LMDB in

            options = store or StoreOptions()
            opened = Store.open(
                path, options, wanted, Keys(key, private_key),
                clock=clock, max_ahead=max_ahead, progress=progress, on_failure=self._store_failed,
            )  # fmt: skip
            self._store, self._core = opened.store, opened.core
            try:
                self._take_up(opened, wanted)
            except BaseException:
                self._store.abandon()
                self._core.close()
                raise
        # The hot calls go straight to the extension, without a frame of Python between.
        self.decide = self._core.decide  # type: ignore[method-assign]
        self.evaluate = self._core.evaluate  # type: ignore[method-assign]
        self.waits = self._store is not None and self._store.waits  # must an owner `settle` before it answers?
        if self.waits:
            self.decide = self._decide_and_wait  # type: ignore[method-assign]

    def _take_up(self, opened: Opened, wanted: Policy) -> None:
        """What a store held; then the policy that is wanted, where that is another one."""
        from frmcore.store.sound import sensible  # noqa: PLC0415

        self._take(opened.policy, EntityLists(self._core, opened.plan, None, self._store_guard, self._settled))
        with sensible("the lists can't be read"):
            self._lists.restore(opened.lists)
            self._holds.restore(opened.operations)
        if wanted.hash != opened.policy.hash:
            self.reload(wanted)
        opened.store.attend(self.obey, self._reloading)

    def _take(self, policy: Policy, lists: EntityLists) -> None:
        self._policy, self._decoder, self._lists = policy, _decoder(policy), lists
        if not hasattr(self, "_holds"):
            self._holds = Holds(self._core, lambda: self._policy, self._store_guard, self._settled)

    @property
    def policy(self) -> Policy:
        """The policy in force; `policy.Event` is its event as a msgspec Struct, the fast way into `decide`."""
        return self._policy

    @property
    def lists(self) -> EntityLists:
        return self._lists

    @property
    def holds(self) -> Holds:
        """Legal holds: what `erase` must leave alone."""
        return self._holds

    if TYPE_CHECKING:

        def decide(self, event: Event, point: str | None = None, *, strict: bool = False) -> Decision:
            """Decides one event and records it. O(windows * log events); microseconds.

            event: a mapping, or a `policy.Event`; unknown keys are ignored unless `strict`. point: a decision point,
            where
            several take this kind. A remembered id returns its decision, marked `duplicate`. Raises InvalidEvent,
            EventTooOld, EventConflict, UnknownName, EngineClosed, EngineForked; nothing has changed then.
            """

        def evaluate(self, event: Event, point: str | None = None, *, strict: bool = False) -> Decision:
            """What `decide` would return, with `seq` 0; nothing is recorded."""

    def decide_json(self, data: bytes | str, point: str | None = None) -> Decision:
        """`decide` for an event as JSON, at most 1 MiB. Raises as `decide`."""
        return self.decide(self.decoded(data), point)

    def decide_many(self, events: Iterable[Event | bytes] | ArrowStream, point: str | None = None) -> list[Decision]:
        """`decide` for each, in order; bytes are JSON. An event that is refused raises: those before it stay
        decided. With a store it waits for room in the journal, and with durability "power" for one commit of all.

        events: of an iterable that is no list each event is taken when the one before is decided. Or an Arrow stream (a
        table or a reader of pyarrow or polars, a relation of duckdb): its columns are the fields, by name, and its rows
        are decided without a Python object for each; an error names the row, counted from 0. Raises ValueError for a
        stream that fails.
        """
        decisions: list[Decision] = []
        for part, first, last in spans(events, self.decoded):
            if self._store is not None:
                self._store.make_room()
            if isinstance(part, list):  # reading ahead made these slower: measured, and not yet explained
                decisions += [self._core.decide(event, point) for event in part]
            else:
                decisions += self._core.decide_many(part, first, last, point)
        if self._store is not None and decisions and not self._store.settled(self._core.seq):
            for decision in decisions:
                decision.lose()
        return decisions

    def decide_again(self, event_id: str, point: str, /, *, at: Time | None = None, **updates: Any) -> Decision:
        """Tells updates about a known event, then decides it at a later point, as of its own place with all that is
        known now.

        Raises UnknownEvent, UnknownName, InvalidEvent, and EventConflict when it was decided there with other updates.
        """
        self._store_guard()
        decision = self._core.decide_again(event_id, point, at, updates)
        return self._waited(decision)

    def update(
        self,
        event_id: str,
        /,
        *,
        at: Time | None = None,
        by: str | None = None,
        source: str | None = None,
        **fields: Any,
    ) -> None:
        """Tells later facts about an event: the policy's updates, or `final`. Absolute values; per field the greatest
        (at, order of telling) wins. at: when it became true, default now. by, source: who says so, for the record.
        Raises
        UnknownEvent, InvalidEvent."""
        self._store_guard()
        self._core.update(event_id, at, by, source, fields)
        self._settled()

    def observe(self, event: Event) -> None:
        """Records an event in the windows without deciding it: history, back-fill. It may carry its updates and
        `final`.

        Raises as `decide`."""
        self._store_guard()
        self._core.observe(event)
        self._settled()

    def observe_many(self, events: Iterable[Event | bytes] | ArrowStream) -> None:
        """`observe` for each, in order, of whatever `decide_many` takes."""
        for part, first, last in spans(events, self.decoded):
            if self._store is not None:
                self._store.make_room()
            self._core.observe_many(part, first, last)
        self._settled()

    def decide_columns(
        self, rows: ArrowRows | list[Event], first: int, last: int, columns: Columns, *, tag: int = 0,
        point: str | None = None,
    ) -> None:  # fmt: skip
        """`decide_many` of rows[first:last] into columns, without a Decision for each: the way of
        backtests. Row `first` is tagged `tag`, and so on. Of a row that is refused `columns.row` is the index; one may
        go on behind it."""
        if self._store is not None:
            self._store.make_room()
        self._core.decide_columns(rows, first, last, point, tag, columns)
        self._settled()

    def observe_columns(self, rows: ArrowRows | list[Event], first: int, last: int, columns: Columns) -> None:
        """`observe` for each; `columns` get the index alone of a row that is refused."""
        if self._store is not None:
            self._store.make_room()
        self._core.observe_columns(rows, first, last, columns)
        self._settled()

    @property
    def book(self) -> Book:
        """The policy in force as columns ask for it."""
        return self._core.book

    def explain(self, event_id: str, point: str | None = None) -> Explanation:
        """The decision as it was made: every rule with every value, every window's bounds, its events. Raises
        UnknownEvent,
        UnknownName."""
        try:
            decision = self._core.find(event_id, point)
        except UnknownEvent:
            if self._store is None:
                raise
            decision = self._store.find(self._core, event_id, point)
        return explain(self._core, decision)

    def decision_of(self, record: bytes) -> Decision:
        """The decision that a `Decision.record` of this engine holds, also where the event is forgotten."""
        found = self._core.decision_of(record)
        if found is None:
            raise UnknownEvent("the record is of an observed event: nothing was decided")
        return found

    def explain_record(self, record: bytes) -> Explanation:
        """`explain` of such a record. What windows held is shown as long as the event is remembered."""
        return explain(self._core, self.decision_of(record))

    def features(self, /, *, at: Time | None = None, **entities: str) -> dict[str, Value]:
        """What the engine knows about an entity: `features(account="a-17")`, `features(card="c-9", merchant="m-1")`.

        The aggregates whose key is given, as of `at` (default: now, or the last event where that is later)."""
        check_entities(self._policy, entities)
        now = max(self._core.now() or 0, self._core.watermark or 0) if at is None else self._core.told_time(at)
        return self._core.features(entities, now)

    def reload(self, policy: str | Path | Policy) -> None:
        """Puts another policy in force between two events. Unchanged windows stay warm; new ones are filled from the
        events still remembered, or from a store's journal, while the old policy decides. Raises PolicyError and
        StoreError; the old policy stays then."""
        policy = policy if isinstance(policy, Policy) else load(policy)
        with self._reloading:
            if self._store is not None:
                plan = self._store.reload(self._core, policy)
            else:
                from frmcore.policy.stored import digests  # noqa: PLC0415

                plan = _plan(policy, self._core.groups(), self._core.policies())
                self._core.reload(plan, policy, list_contents(plan), digests(policy))
            self._take(policy, EntityLists(self._core, plan, self._lists, self._store_guard, self._settled))
        self._settled()

    @property
    def controls(self) -> Controls:
        """What differs now from what the policy says: switches, snoozes, rules whose breaker tripped."""
        return Controls.of(self._core.control_state())

    def switch(
        self, kind: Literal["rule", "group"], name: str, state: State, *, reason: str = "", by: str = ""
    ) -> None:
        """Switches a rule or a group on, off or to shadow, from the next decision on, until it is switched again or a
        reload brings it in another form. Raises UnknownName, InvalidEvent."""
        self._control(switched(self._policy, kind, name, state, reason=reason, by=by))

    def snooze(self, rule: str, entity: str | None = None, *, until: Expiry, reason: str = "", by: str = "") -> None:
        """Puts a rule in shadow until a time: for one entity (`account:a-17`, a field and its value) or for all events.

        until: a duration from now or a time; it goes by the times of events. Raises UnknownName, InvalidEvent."""
        self._control(snoozed(self._core, self._policy, rule, entity, until=until, reason=reason, by=by))

    def unsnooze(self, rule: str, entity: str | None = None, *, reason: str = "", by: str = "") -> None:
        """Ends a snooze. Raises UnknownName."""
        self._control(woken(self._core, self._policy, rule, entity, reason=reason, by=by))

    def reset_breaker(self, rule: str, *, reason: str = "", by: str = "") -> None:
        """Makes a rule live again that its breaker put in shadow; counting starts anew. Raises UnknownName."""
        self._control(reset(self._core, self._policy, rule, reason=reason, by=by))

    def _control(self, content: dict[str, Any], token: str = "") -> None:
        self._store_guard()
        self._core.control({**content, "command": token} if token else content)
        self._settled()

    def alerts(self) -> Iterator[Alert]:
        """Every alert that was raised since the store was made, in recorded order. Raises StoreError."""
        store = self._stored("alerts")
        store.flusher.flush()
        return store.alerts()

    def erase(self, entity: str, value: str, /, *others: Subject, reason: str = "", source: str = "") -> Erased:
        """Erases a subject, `erase("account", "a-17")`, with others that are the same person's, such as
        `("card", "c-9")`: their own windows go, and texts and identifiers of every event that names one of them. Times
        and amounts go on counting in others' windows. Of a store `compact` then makes it complete. Deciding goes on
        meanwhile. O(journal). Raises UnderHold, UnknownName, InvalidEvent, StoreError."""
        return self._erase(Order(((entity, value), *others), reason, source))

    def _erase(self, order: Order) -> Erased:
        self._store_guard()
        with self._reloading:
            eraser = None if self._store is None else self._store.eraser
            erased = erase(order, self._core, self._policy, self._lists, self._holds, eraser)
        self._settled()
        return erased

    def obey(self, command: Command, token: str = "") -> int | Erased:
        """What another process asked for, in the inbox's thread. A policy that is in force already stays as it is: the
        command may come again after a crash."""
        match command.action:
            case "add" | "remove":
                return self._lists[command.list].obey(command, token)
            case "hold" | "release":
                return sum(self._hold(command, parse_subject(given), token) for given in command.values)
            case "erase":
                subjects = tuple(map(parse_subject, command.values))
                return self._erase(Order(subjects, command.reason, command.source, token))
            case "reload":
                return self._obey_reload(command)
        self._control(self._commanded(command), token)
        return 1

    def _obey_reload(self, command: Command) -> int:
        assert self._store is not None  # noqa: S101  commands come from a store
        policy = self._store.policy_of(command.files)
        if policy.hash == self._policy.hash:
            return 0
        self.reload(policy)
        return 1

    def _commanded(self, command: Command) -> dict[str, Any]:
        """The control that a command asks for."""
        core, policy, said = self._core, self._policy, {"reason": command.reason, "by": command.owner}
        match command.action:
            case "switch":
                return switched(policy, command.kind, command.name, command.state, **said)
            case "snooze":
                return snoozed(core, policy, command.name, command.entity, until=command.expires, **said)
            case "unsnooze":
                return woken(core, policy, command.name, command.entity, **said)
        return reset(core, policy, command.name, **said)

    def _hold(self, command: Command, subject: Subject, token: str) -> bool:
        if command.action == "release":
            return self._holds.remove(*subject, command=token)
        why = command.reason, command.source
        self._holds.add(*subject, reason=why[0], source=why[1], until=command.expires, command=token)
        return True

    def on_operation(self, hook: Callable[[bytes], object]) -> None:
        """Calls `hook(record)` after every recorded operation, in recorded order, before the call returns."""
        self._core.on_operation(hook)

    @property
    def stats(self) -> dict[str, Any]:
        """Counts (with a store: since it was made), and what memory holds, in bytes; `store` for a store."""
        stats = self._core.stats()
        return stats if self._store is None else {**stats, "store": self._store.stats()}

    @property
    def verdicts(self) -> tuple[dict[tuple[str, str], int], dict[str, int]]:
        """What was decided since the engine was opened: counts by (point, outcome), and by rule that counted."""
        return self._core.verdicts()

    def state_hash(self) -> str:
        """A hash of the logical state: rings, ids, updates, lists, order. Equal states of equal keys hash equally,
        however they came about. O(state)."""
        import hashlib  # noqa: PLC0415  brings OpenSSL in

        digest = hashlib.sha256(self._core.state_hash().encode())
        for name, entries in self._lists.items():
            digest.update(repr((name, sorted(entries.entries(), key=str))).encode())
        return digest.hexdigest()

    def close(self) -> None:
        """Gives the state back; every later call raises EngineClosed. A store is flushed and checkpointed first: raises
        StoreError when that fails, and is closed all the same."""
        if self._store is None or not self._core.is_open:
            self._core.close()
            return
        try:
            self._store.close()
        finally:
            self._core.close()

    def flush(self) -> None:
        """Returns once everything recorded so far survives a crash of the machine. Raises StoreError."""
        if self._store is not None:
            self._store.flusher.flush()

    def snapshot(self, file: str | Path, progress: Callable[[int, int], None] | None = None) -> None:
        """Writes what was recorded so far into one file (0600), from which `frmcore restore` makes a store elsewhere.
        Deciding goes on meanwhile: a child process reads the store. progress(done, all): rows. Raises StoreError."""
        self._stored("snapshot").snapshot(file, progress)

    def tail(self, after: int = 0) -> Iterator[tuple[int, int, bytes]]:
        """(epoch, sequence number, record) of everything recorded behind `after` so far, in order, for a follower.
        Each opening of the store has its own epoch. Raises StoreError."""
        store = self._stored("tail")
        store.flusher.flush()
        return store.tail(after)

    def _stored(self, what: str) -> Store:
        if self._store is None:
            raise StoreUnavailable(f"{what}: this engine keeps all in memory; open it with a folder")
        return self._store

    def on_store_failure(self, hook: Callable[[StoreError], object]) -> None:
        """Calls `hook(error)` when the store can no longer be written, once an outage; from another thread."""
        self._failure_hooks.append(hook)

    def _store_failed(self, error: StoreError) -> None:
        for hook in self._failure_hooks:
            hook(error)

    def _decide_and_wait(self, event: Event, point: str | None = None, *, strict: bool = False) -> Decision:
        self._store_guard()
        return self._waited(self._core.decide(event, point, strict=strict))

    def _store_guard(self) -> None:
        """Refuses to record while the store fails, where that was asked for."""
        if self._store is not None:
            self._store.guard()

    def _waited(self, decision: Decision) -> Decision:
        """The decision, once it survives what `durability` says."""
        if self._store is not None and not self._store.settled(decision.seq):
            decision.lose()
        return decision

    def _settled(self) -> None:
        if self._store is not None:
            self._store.settled(self._core.seq)

    def unsettled(self) -> Core:
        """For the owner of many callers: the calls that record, without waiting for the disk. `settle` waits once for
        all of them. Raises StoreError where the store fails and the options say to refuse then."""
        if self.waits:
            self._store_guard()
        return self._core

    def has_room(self) -> bool:
        """For the owner of many callers: can the journal take a batch, or would `decide_many` wait for the disk?"""
        return self._store is None or self._store.has_room()

    def settle(self, decisions: Iterable[Decision]) -> None:
        """Waits until what was recorded so far survives what `durability` says; decisions that do not are told so."""
        if self._store is not None and not self._store.settled(self._core.seq):
            for decision in decisions:
                decision.lose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Engine {self._policy.name} version {self._policy.version}, {self._core.seq} operations>"

    def decoded(self, data: bytes | str) -> Event:
        """An event from JSON. Raises InvalidEvent."""
        if len(data) > JSON_BYTES_MAX:
            raise self._core.unreadable(
                f"an event as JSON has at most {JSON_BYTES_MAX} bytes, this one has {len(data)}"
            )
        try:
            try:
                return cast("Event", self._decoder.decode(data))
            except msgspec.ValidationError:
                return cast("Event", _decode_any(data))  # of wrong types: `decide` says so as it does of mappings
        except UnicodeDecodeError:
            raise self._core.unreadable("not an event as JSON: a text in it is not valid UTF-8") from None
        except RecursionError:
            raise self._core.unreadable("not an event as JSON: it is nested too deeply") from None
        except (msgspec.DecodeError, ValueError) as error:
            raise self._core.unreadable(f"not an event as JSON: {error}") from None


def _plan(policy: Policy, keep: Sequence[Group] = (), earlier: Sequence[Policy] = ()) -> Plan:
    from frmcore.policy.lower import lower  # noqa: PLC0415  brings the compiler in

    return lower(policy, keep, earlier)


def _decoder(policy: Policy) -> msgspec.json.Decoder[Any]:
    """Flat events decode straight into the Struct; nested ones into plain mappings."""
    nested = any(len(field.path) > 1 for field in policy.fields)
    return msgspec.json.Decoder(dict) if nested else msgspec.json.Decoder(policy.Event)


_decode_any = msgspec.json.Decoder().decode
