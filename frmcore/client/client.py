"""`Client`: an engine that another process owns."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Literal, Self

from frmcore._fast import system_clock
from frmcore.client import messages
from frmcore.client.fallback import Report, Reporter
from frmcore.client.holds import RemoteHolds
from frmcore.client.lists import RemoteLists
from frmcore.client.messages import RAISE
from frmcore.client.pool import Pool
from frmcore.errors import OwnerUnavailable, ProtocolError
from frmcore.policy import Policy, load
from frmcore.policy.stored import contents, load_contents

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from frmcore.alerts import Alert
    from frmcore.client.decision import Decision
    from frmcore.controls import Controls, State
    from frmcore.engine import Event, Time
    from frmcore.erasure import Erased
    from frmcore.explain import Explanation
    from frmcore.lists import Expiry
    from frmcore.subjects import Subject
    from frmcore.values import Value

FRAMES_AT_ONCE = 64  # of decide_many, between two looks at the time that is left


class Client:
    """`Engine`'s methods over a socket; made by `frmcore.connect`. It raises the engine's errors, and OwnerUnavailable.

    One client may be used from several threads: each call that is under way has a connection of its own. A call whose
    connection breaks is made again on a new one while its time lasts; the owner recognises an event by its id.
    """

    def __init__(self, path: str | Path, timeout: float) -> None:
        self.timeout = messages.checked_timeout(timeout)
        self._pool = Pool(path)
        self._reporter = Reporter(self._pool)
        self._policy: Policy | None = None

    # ---- deciding -----------------------------------------------------------------------------------------------

    def decide(
        self,
        event: Event,
        point: str | None = None,
        *,
        strict: bool = False,
        within_ms: float | None = None,
        otherwise: str = RAISE,
    ) -> Decision:
        """Decides one event. Some tens of microseconds.

        within_ms: the time that the whole call may take, by default the client's `timeout`. otherwise: an outcome to
        take when the owner is away or slow; the decision then has `fallback`, and the owner hears of it afterwards:
        the event counts in its windows, with that outcome as its `final`. "raise" raises OwnerUnavailable instead.
        """
        seconds = self._checked(otherwise, messages.seconds_of(within_ms, self.timeout))
        event = messages.plain_event(event)
        try:
            return messages.decision(self._pool.call(messages.asking("decide", event, point, strict), seconds))
        except (OwnerUnavailable, ProtocolError):
            if otherwise == RAISE:
                raise
            self._reporter.add(Report(messages.packed(event), point, otherwise, system_clock()))
            return messages.fallback(event, point, otherwise, self._pool.policy)

    def _checked(self, otherwise: str, seconds: float) -> float:
        """What is left of the time. Raises ValueError where the policy in force does not have the outcome; where nobody
        says which that is none is refused."""
        if messages.is_known(otherwise, self._pool.policy):
            return seconds
        deadline = time.monotonic() + seconds
        found = self._pool.greeted(deadline)
        if found is not None:
            messages.check_otherwise(otherwise, found)
        return max(0.0, deadline - time.monotonic())

    def decide_json(
        self, data: bytes | str, point: str | None = None, *, within_ms: float | None = None, otherwise: str = RAISE
    ) -> Decision:
        """`decide` for an event as JSON, at most 1 MiB."""
        return self.decide(messages.json_of(data), point, within_ms=within_ms, otherwise=otherwise)

    def decide_many(self, events: Iterable[Event | bytes], point: str | None = None) -> list[Decision]:
        """`decide` for each, in order, with many on their way at once; bytes are JSON. An event that is refused raises:
        those before it stay decided, and some behind it may be. `timeout` is for each 4,096 events."""
        decisions: list[Decision] = []
        for answer in self._in_batches("decide_many", events, point):
            decisions += messages.decisions(answer)
        return decisions

    def decide_again(self, event_id: str, point: str, /, *, at: Time | None = None, **updates: Any) -> Decision:
        """Tells updates about a known event, then decides it at a later point, as `Engine.decide_again`."""
        told = {"point": point, "at": at, "fields": updates}
        return messages.decision(self._call("decide_again", event_id, told))

    def evaluate(self, event: Event, point: str | None = None, *, strict: bool = False) -> Decision:
        """What `decide` would return, with `seq` 0; nothing is recorded."""
        asked = messages.asking("evaluate", messages.plain_event(event), point, strict)
        return messages.decision(self._pool.call(asked, self.timeout))

    def observe(self, event: Event) -> None:
        """Records an event in the windows without deciding it, as `Engine.observe`."""
        self._ask("observe", messages.plain_event(event))

    def observe_many(self, events: Iterable[Event | bytes]) -> None:
        """`observe` for each, in order, as `decide_many` decides; bytes are JSON."""
        for answer in self._in_batches("observe_many", events, None):
            messages.plain(answer)

    def _in_batches(self, op: str, events: Iterable[Event | bytes], point: str | None) -> Iterator[bytes]:
        """The answers to frames of many events, several frames on their way at once."""
        frames = messages.chunks(map(messages.plain_event, events), messages.BATCH_EVENTS)
        for part in messages.chunks(frames, FRAMES_AT_ONCE):
            asked = [messages.asking(op, each, point, strict=False) for each in part]
            yield from self._pool.call_many(asked, self.timeout)

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
        """Tells later facts about an event, as `Engine.update`."""
        asked, again = messages.updating(event_id, at, by, source, fields)
        messages.plain(self._pool.call(asked, self.timeout, again))

    # ---- looking ------------------------------------------------------------------------------------------------

    def explain(self, event_id: str, point: str | None = None) -> Explanation:
        """The decision as it was made, as `Engine.explain`."""
        return messages.explanation(self._call("explain", event_id, {"point": point}))

    def features(self, /, *, at: Time | None = None, **entities: str) -> dict[str, Value]:
        """What the engine knows about an entity, as `Engine.features`."""
        found: dict[str, Value] = self._ask("features", entities, {"at": at})
        return found

    @property
    def lists(self) -> RemoteLists:
        """The lists of the policy in force."""
        return RemoteLists(self._ask)

    @property
    def holds(self) -> RemoteHolds:
        """Legal holds: what `erase` must leave alone."""
        return RemoteHolds(self._ask)

    @property
    def controls(self) -> Controls:
        """What differs now from what the policy says, as `Engine.controls`."""
        return messages.controls(self._ask("controls"))

    def alerts(self, *, timeout: float = 60.0) -> Iterator[Alert]:
        """Every alert that was raised since the store was made, as `Engine.alerts`. timeout: seconds for each 1 MiB of
        them: the owner reads its operations again each time."""
        start = 0
        while page := messages.alerts(messages.plain(self._pool.call(("alerts", None, {"start": start}), timeout))):
            yield from page
            start += len(page)

    @property
    def policy(self) -> Policy:
        """The policy in force at the owner, loaded here from its texts, which takes milliseconds once for each policy;
        `policy.Event` is its event as a msgspec Struct."""
        told = messages.hash_of(self._ask("health"))
        if self._policy is None or self._policy.hash != told:
            self._policy = load_contents(self._ask("policy"))
        return self._policy

    @property
    def stats(self) -> dict[str, Any]:
        """The engine's counts, as `Engine.stats`, and of this client `fallbacks`: how many were given, of these
        reported, refused by the owner, dropped because too many waited, and waiting."""
        return {**self._ask("stats"), "fallbacks": self._reporter.counts()}

    def health(self) -> dict[str, Any]:
        """Is the owner ready, is its store degraded, which policy is in force."""
        told: dict[str, Any] = self._ask("health")
        return told

    def state_hash(self) -> str:
        """As `Engine.state_hash`. O(state)."""
        return str(self._ask("state_hash"))

    # ---- steering -----------------------------------------------------------------------------------------------

    def reload(self, policy: str | Path | Policy, *, timeout: float = 600.0) -> None:
        """Puts another policy in force, as `Engine.reload`; it is checked here first. timeout: seconds; windows that
        are filled from a long journal take some."""
        checked = policy if isinstance(policy, Policy) else load(policy)
        messages.plain(self._pool.call(("reload", contents(checked)), timeout))

    def switch(
        self, kind: Literal["rule", "group"], name: str, state: State, *, reason: str = "", by: str = ""
    ) -> None:
        """Switches a rule or a group, as `Engine.switch`."""
        self._ask("switch", name, messages.control(reason, by, kind=kind, state=state))

    def snooze(self, rule: str, entity: str | None = None, *, until: Expiry, reason: str = "", by: str = "") -> None:
        """Puts a rule in shadow until a time, as `Engine.snooze`."""
        self._ask("snooze", rule, messages.control(reason, by, entity=entity, until=messages.plain_expiry(until)))

    def unsnooze(self, rule: str, entity: str | None = None, *, reason: str = "", by: str = "") -> None:
        """Ends a snooze, as `Engine.unsnooze`."""
        self._ask("unsnooze", rule, messages.control(reason, by, entity=entity))

    def reset_breaker(self, rule: str, *, reason: str = "", by: str = "") -> None:
        """Makes a rule live again, as `Engine.reset_breaker`."""
        self._ask("reset_breaker", rule, messages.control(reason, by))

    def erase(
        self, entity: str, value: str, /, *others: Subject, reason: str = "", source: str = "", timeout: float = 3600.0
    ) -> Erased:
        """Erases a subject, as `Engine.erase`. timeout: seconds; the owner reads its whole journal. Where they are over
        it goes on all the same; erasing again is harmless."""
        told = {"reason": reason, "source": source}
        return messages.erased(messages.plain(self._pool.call(("erase", [(entity, value), *others], told), timeout)))

    def flush(self) -> None:
        """Returns once everything recorded so far survives a crash of the machine."""
        self._ask("flush")

    def snapshot(self, file: str | Path, *, timeout: float = 3600.0) -> None:
        """The owner writes everything into one file, as `Engine.snapshot`. file: a whole path."""
        messages.plain(self._pool.call(("snapshot", str(file)), timeout))

    def close(self, seconds: float = 1.0) -> None:
        """Closes the connections; events that the owner has not heard of yet get so many seconds to be told."""
        self._reporter.close(seconds)
        self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Client {self._pool.path}>"

    def _call(self, op: str, subject: Any = None, options: Any = None) -> bytes:
        return self._pool.call((op, subject) if options is None else (op, subject, options), self.timeout)

    def _ask(self, op: str, subject: Any = None, options: Any = None) -> Any:
        return messages.plain(self._call(op, subject, options))
