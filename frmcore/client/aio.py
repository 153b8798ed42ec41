"""`AsyncClient`: the client for asyncio. One connection, as many requests on their way as there are tasks that wait."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeVar

from frmcore._fast import system_clock
from frmcore.client import messages
from frmcore.client.fallback import Report, Reporter
from frmcore.client.line import Line
from frmcore.client.messages import RAISE, chunks, json_of
from frmcore.client.pool import FIRST_PAUSE, LONGEST_PAUSE, Pool
from frmcore.errors import EngineClosed, OwnerUnavailable, ProtocolError
from frmcore.holds import Hold
from frmcore.lists import Entry
from frmcore.policy import Policy, load
from frmcore.policy.stored import contents, load_contents
from frmcore.serve.protocol import BATCHES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
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

T = TypeVar("T")
FRAMES_AT_ONCE: Final = 4  # of decide_many


class AsyncClient:
    """`Client` with `await`; made by `frmcore.aio.connect`. Fallbacks are reported from a thread, as `Client` does."""

    def __init__(self, path: str | Path, timeout: float) -> None:
        self.timeout = messages.checked_timeout(timeout)
        self._pool = Pool(path)  # for the reporter's thread
        self._reporter = Reporter(self._pool)
        self._lines: dict[bool, Line] = {}  # batches have their own: what is behind them waits for room as they do
        self._connecting = asyncio.Lock()
        self._at: tuple[int, asyncio.AbstractEventLoop] | None = None  # whose those are: a process, a loop
        self._facts: messages.PolicyFacts | None = None
        self._policy: Policy | None = None
        self._closed = False

    async def decide(
        self,
        event: Event,
        point: str | None = None,
        *,
        strict: bool = False,
        within_ms: float | None = None,
        otherwise: str = RAISE,
    ) -> Decision:
        """As `Client.decide`."""
        seconds = await self._checked(otherwise, messages.seconds_of(within_ms, self.timeout))
        event = messages.plain_event(event)
        try:
            return messages.decision(await self._call(messages.asking("decide", event, point, strict), seconds))
        except (OwnerUnavailable, ProtocolError):
            if otherwise == RAISE:
                raise
            self._reporter.add(Report(messages.packed(event), point, otherwise, system_clock()))
            return messages.fallback(event, point, otherwise, self._facts)

    async def _checked(self, otherwise: str, seconds: float) -> float:
        """As `Client._checked`."""
        if messages.is_known(otherwise, self._facts):
            return seconds
        deadline = time.monotonic() + seconds
        with suppress(OSError, OwnerUnavailable, ProtocolError):  # a TimeoutError is an OSError
            async with asyncio.timeout(seconds):
                line, found = await self._opened()
            line.end(ConnectionResetError())
            messages.check_otherwise(otherwise, found)
        return max(0.0, deadline - time.monotonic())

    async def decide_json(
        self, data: bytes | str, point: str | None = None, *, within_ms: float | None = None, otherwise: str = RAISE
    ) -> Decision:
        """`decide` for an event as JSON."""
        return await self.decide(json_of(data), point, within_ms=within_ms, otherwise=otherwise)

    async def decide_many(self, events: Iterable[Event | bytes], point: str | None = None) -> list[Decision]:
        """As `Client.decide_many`."""
        decisions: list[Decision] = []
        async for answer in self._in_batches("decide_many", events, point):
            decisions += messages.decisions(answer)
        return decisions

    async def decide_again(self, event_id: str, point: str, /, *, at: Time | None = None, **updates: Any) -> Decision:
        """As `Client.decide_again`."""
        told = {"point": point, "at": at, "fields": updates}
        return messages.decision(await self._call(("decide_again", event_id, told)))

    async def evaluate(self, event: Event, point: str | None = None, *, strict: bool = False) -> Decision:
        """As `Client.evaluate`."""
        asked = messages.asking("evaluate", messages.plain_event(event), point, strict)
        return messages.decision(await self._call(asked))

    async def observe(self, event: Event) -> None:
        """As `Client.observe`."""
        await self._ask("observe", messages.plain_event(event))

    async def observe_many(self, events: Iterable[Event | bytes]) -> None:
        """As `Client.observe_many`."""
        async for answer in self._in_batches("observe_many", events, None):
            messages.plain(answer)

    async def _in_batches(self, op: str, events: Iterable[Event | bytes], point: str | None) -> AsyncIterator[bytes]:
        frames = chunks(map(messages.plain_event, events), messages.BATCH_EVENTS)
        for part in chunks(frames, FRAMES_AT_ONCE):
            asked = [self._call(messages.asking(op, each, point, strict=False)) for each in part]
            for answer in await asyncio.gather(*asked):
                yield answer

    async def update(
        self,
        event_id: str,
        /,
        *,
        at: Time | None = None,
        by: str | None = None,
        source: str | None = None,
        **fields: Any,
    ) -> None:
        """As `Client.update`."""
        asked, again = messages.updating(event_id, at, by, source, fields)
        messages.plain(await self._call(asked, again=again))

    async def explain(self, event_id: str, point: str | None = None) -> Explanation:
        """As `Client.explain`."""
        return messages.explanation(await self._call(("explain", event_id, {"point": point})))

    async def features(self, /, *, at: Time | None = None, **entities: str) -> dict[str, Value]:
        """As `Client.features`."""
        found: dict[str, Value] = await self._ask("features", entities, {"at": at})
        return found

    async def add_to_list(self, name: str, values: Iterable[str], **said: Any) -> int:
        """Adds values to a list; how many were new. said: reason, source, owner, expires, as of `EntityList.add`."""
        parts = chunks(values, messages.LIST_VALUES)
        return sum([await self._ask("list_add", name, messages.change(part, **said)) for part in parts])

    async def remove_from_list(self, name: str, values: Iterable[str], **said: Any) -> int:
        """Removes values from a list; how many were there. said: reason, source."""
        parts = chunks(values, messages.LIST_VALUES)
        return sum([await self._ask("list_remove", name, messages.change(part, **said)) for part in parts])

    async def in_list(self, name: str, value: str) -> bool:
        """Does a list hold the value now?"""
        return bool(await self._ask("list_contains", name, {"value": value}))

    async def lists(self) -> dict[str, bool]:
        """The lists of the policy in force: name -> is it read-only."""
        known: dict[str, bool] = await self._ask("lists")
        return known

    async def list_entry(self, name: str, value: str) -> Entry | None:
        """What is known of a value; None where it is not listed."""
        found = await self._ask("list_get", name, {"value": value})
        return None if found is None else Entry(**found)

    async def list_values(self, name: str) -> AsyncIterator[str]:
        """The values of a list, page by page: what changes meanwhile may be met twice, or not at all."""
        start = 0
        while values := (await self._ask("list_values", name, {"start": start}))["values"]:
            for value in values:
                yield value
            start += len(values)

    async def hold(self, entity: str, value: str, *, reason: str = "", source: str = "", until: Expiry = None) -> None:
        """Puts a subject under legal hold, as `Engine.holds.add`."""
        await self._ask("hold_add", (entity, value), messages.hold(reason, source, until))

    async def release(self, entity: str, value: str) -> bool:
        """Ends a legal hold; False where there was none."""
        return bool(await self._ask("hold_remove", (entity, value)))

    async def held(self, entity: str, value: str) -> Hold | None:
        """The legal hold of a subject that is in force."""
        found = await self._ask("hold_get", (entity, value))
        return None if found is None else Hold(**found)

    async def holds(self) -> AsyncIterator[Hold]:
        """All legal holds, page by page."""
        start = 0
        while page := (await self._ask("holds", None, {"start": start}))["holds"]:
            for each in page:
                yield Hold(**each)
            start += len(page)

    async def erase(
        self, entity: str, value: str, /, *others: Subject, reason: str = "", source: str = "", timeout: float = 3600.0
    ) -> Erased:
        """As `Client.erase`."""
        told = {"reason": reason, "source": source}
        return messages.erased(messages.plain(await self._call(("erase", [(entity, value), *others], told), timeout)))

    async def alerts(self, *, timeout: float = 60.0) -> AsyncIterator[Alert]:
        """As `Client.alerts`."""
        start = 0
        while page := messages.alerts(messages.plain(await self._call(("alerts", None, {"start": start}), timeout))):
            for each in page:
                yield each
            start += len(page)

    async def controls(self) -> Controls:
        """As `Client.controls`."""
        return messages.controls(await self._ask("controls"))

    async def switch(
        self, kind: Literal["rule", "group"], name: str, state: State, *, reason: str = "", by: str = ""
    ) -> None:
        """As `Client.switch`."""
        await self._ask("switch", name, messages.control(reason, by, kind=kind, state=state))

    async def snooze(
        self, rule: str, entity: str | None = None, *, until: Expiry, reason: str = "", by: str = ""
    ) -> None:
        """As `Client.snooze`."""
        told = messages.control(reason, by, entity=entity, until=messages.plain_expiry(until))
        await self._ask("snooze", rule, told)

    async def unsnooze(self, rule: str, entity: str | None = None, *, reason: str = "", by: str = "") -> None:
        """As `Client.unsnooze`."""
        await self._ask("unsnooze", rule, messages.control(reason, by, entity=entity))

    async def reset_breaker(self, rule: str, *, reason: str = "", by: str = "") -> None:
        """As `Client.reset_breaker`."""
        await self._ask("reset_breaker", rule, messages.control(reason, by))

    async def policy(self) -> Policy:
        """As `Client.policy`."""
        told = messages.hash_of(await self.health())
        if self._policy is None or self._policy.hash != told:
            self._policy = await asyncio.to_thread(load_contents, await self._ask("policy"))
        return self._policy

    async def reload(self, policy: str | Path | Policy, *, timeout: float = 600.0) -> None:
        """As `Client.reload`."""
        checked = policy if isinstance(policy, Policy) else await asyncio.to_thread(load, policy)
        messages.plain(await self._call(("reload", contents(checked)), timeout))

    async def stats(self) -> dict[str, Any]:
        """As `Client.stats`."""
        return {**await self._ask("stats"), "fallbacks": self._reporter.counts()}

    async def health(self) -> dict[str, Any]:
        """As `Client.health`."""
        told: dict[str, Any] = await self._ask("health")
        return told

    async def flush(self) -> None:
        """As `Client.flush`."""
        await self._ask("flush")

    async def state_hash(self) -> str:
        """As `Client.state_hash`."""
        return str(await self._ask("state_hash"))

    async def snapshot(self, file: str | Path, *, timeout: float = 3600.0) -> None:
        """As `Client.snapshot`."""
        messages.plain(await self._call(("snapshot", str(file)), timeout))

    async def close(self, seconds: float = 1.0) -> None:
        """As `Client.close`."""
        self._closed = True
        for line in self._ours().values():
            line.end(EngineClosed("the client is closed: connect anew"))
        await asyncio.to_thread(self._reporter.close, seconds)
        self._pool.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _ask(self, op: str, subject: Any = None, options: Any = None) -> Any:
        return messages.plain(await self._call((op, subject) if options is None else (op, subject, options)))

    async def _call(
        self, asked: tuple[Any, ...], seconds: float | None = None, again: tuple[Any, ...] | None = None
    ) -> bytes:
        """The answer, on another connection where one breaks, until the time is over. again: what is asked there."""
        seconds = self.timeout if seconds is None else seconds
        pause, reason = FIRST_PAUSE, "the owner did not answer in time"
        try:
            async with asyncio.timeout(seconds):
                while True:
                    try:
                        return await (await self._connected(asked[0] in BATCHES)).call(asked)
                    except (OSError, OwnerUnavailable) as error:
                        reason, asked = str(error), again or asked
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, LONGEST_PAUSE)
        except TimeoutError:
            raise self._pool.unavailable(reason, seconds) from None

    async def _opened(self) -> tuple[Line, messages.PolicyFacts]:
        _, line = await asyncio.get_running_loop().create_unix_connection(Line, self._pool.socket)
        try:
            found = messages.welcome(await line.call(messages.GREETING)).policy
        except BaseException as error:
            line.end(ConnectionResetError(str(error)))
            raise
        self._facts = found
        return line, found

    async def _connected(self, batch: bool) -> Line:
        if self._closed:
            raise EngineClosed("the client is closed: connect anew")
        lines = self._ours()
        async with self._connecting:
            line = lines.get(batch)
            if line is None or line.transport is None:
                line, _ = await self._opened()
                lines[batch] = line
            return line

    def _ours(self) -> dict[bool, Line]:
        """After a fork, or in another loop, what was connected is somebody else's, and so are those who wait for it."""
        at = os.getpid(), asyncio.get_running_loop()
        if self._at != at:
            self._at, self._lines, self._connecting = at, {}, asyncio.Lock()
        return self._lines
