"""The slow operations, in threads of their own: what takes the disk, a policy's compiler, a long list.

Two threads, each of which does one by one: what may take minutes keeps nobody from blocking a card.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from itertools import islice
from pathlib import Path
from queue import Full, Queue
from threading import Thread
from time import perf_counter_ns
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec

from frmcore.errors import OwnerUnavailable, StoreError
from frmcore.policy.stored import contents, load_contents
from frmcore.serve.people import People
from frmcore.serve.protocol import PAGE_VALUES

if TYPE_CHECKING:
    from collections.abc import Callable

    from frmcore import Engine
    from frmcore.lists import EntityList, Entry
    from frmcore.serve.connection import Connection
    from frmcore.serve.protocol import Request

WAITING_MAX: Final = 64  # requests of all clients together for each thread; more are refused, not kept
LONG: Final = frozenset({"reload", "erase", "alerts", "snapshot", "state_hash", "flush"})


class Change(msgspec.Struct, frozen=True):
    """Of a list. `values`: at most PAGE_VALUES."""

    values: list[Any]
    reason: Any = ""
    source: Any = ""
    owner: Any = ""
    expires: Any = None


class Which(msgspec.Struct, frozen=True):
    """A decision's point; a value of a list, or a page of them; a file."""

    point: Any = None
    value: Any = ""
    start: Annotated[int, msgspec.Meta(ge=0)] = 0


class Control(msgspec.Struct, frozen=True):
    """What steers a rule or a group while it is in force."""

    kind: Any = "rule"
    state: Any = None
    entity: Any = None
    until: Any = None
    reason: Any = ""
    by: Any = ""


class Done(msgspec.Struct, frozen=True):
    """A chore's result, or the exception it ended with, on its way back to the loop."""

    connection: Any
    request: Any
    result: Any
    asked_ns: int  # when, by perf_counter_ns


_change: Final = msgspec.msgpack.Decoder(Change)
_which: Final = msgspec.msgpack.Decoder(Which | None)
_control: Final = msgspec.msgpack.Decoder(Control | None)
_plain: Final = msgspec.msgpack.Decoder()
_text: Final = msgspec.msgpack.Decoder(str)
_files: Final = msgspec.msgpack.Decoder(dict[str, str])


class Lane:
    """A thread, and what waits for it."""

    def __init__(self, work: Callable[[Connection, Request, int], None]) -> None:
        self._work = work
        self._ended = False
        self.waiting: Queue[tuple[Connection, Request, int] | None] = Queue(WAITING_MAX)
        self._thread = Thread(target=self._run, name="frmcore-chores", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not (self._ended and self.waiting.empty()) and (item := self.waiting.get()) is not None:
            self._work(*item)

    def end(self) -> None:
        """The thread ends once what waits is done."""
        self._ended = True
        with suppress(Full):  # then it has something to do, and looks afterwards
            self.waiting.put_nowait(None)

    @property
    def at_work(self) -> bool:
        return self._thread.is_alive()


class Chores:
    """Takes requests in order; `finished` gives what was done, after `wake` was called from a thread."""

    def __init__(self, engine: Engine, wake: Callable[[], None]) -> None:
        self._engine, self._wake = engine, wake
        self._done: deque[Done] = deque()
        self.by_name: dict[str, Callable[[Request], Any]] = {
            "explain": self._explain, "policy": self._policy, "reload": self._reload,
            "stats": lambda _: self._stats(),
            "health": lambda _: health(engine), "lists": self._lists,
            "list_add": self._add, "list_remove": self._remove,
            "list_get": self._get, "list_contains": self._contains, "list_values": self._values,
            "controls": lambda _: engine.controls, "switch": self._switch,
            "snooze": self._snooze, "unsnooze": self._unsnooze, "reset_breaker": self._reset_breaker,
            "flush": lambda _: engine.flush(), "snapshot": self._snapshot,
            "state_hash": lambda _: engine.state_hash(),
            **People(engine).by_name,
        }  # fmt: skip
        self._short, self._long = Lane(self._do), Lane(self._do)

    def put(self, connection: Connection, request: Request) -> None:
        """Raises OwnerUnavailable where too many wait already."""
        lane = self._long if request.op in LONG else self._short
        try:
            lane.waiting.put_nowait((connection, request, perf_counter_ns()))
        except Full:
            raise OwnerUnavailable(f"{WAITING_MAX} slow requests wait already: try again later") from None
        connection.chores += 1

    def finished(self) -> deque[Done]:
        return self._done

    def end(self) -> None:
        """Nothing more is put; the threads end once what they have is done."""
        self._short.end()
        self._long.end()

    @property
    def at_work(self) -> bool:
        return self._short.at_work or self._long.at_work

    def _do(self, connection: Connection, request: Request, asked_ns: int) -> None:
        try:
            result: Any = self.by_name[request.op](request)
        except Exception as error:
            result = error
        self._done.append(Done(connection, request, result, asked_ns))
        self._wake()

    def _explain(self, request: Request) -> dict[str, Any]:
        explained = self._engine.explain(_plain.decode(request.subject), self._which(request).point)
        return {
            "decision": explained.decision, "fields": dict(explained.fields), "final": explained.final,
            "features": explained.features, "rules": explained.rules, "lists": explained.lists,
            "changes": explained.changes,
        }  # fmt: skip

    def _stats(self) -> dict[str, Any]:
        """`Engine.stats`, with `verdicts`, whose keys are pairs, as a list."""
        decided, fired = self._engine.verdicts
        rows = [(point, outcome, count) for (point, outcome), count in decided.items()]
        return {**self._engine.stats, "verdicts": rows, "rules": fired}

    def _policy(self, _: Request) -> dict[str, str]:
        return contents(self._engine.policy)

    def _reload(self, request: Request) -> bool:
        policy = load_contents(_files.decode(request.subject))
        changed = policy.hash != self._engine.policy.hash
        if changed:
            self._engine.reload(policy)
        return changed

    def _steered(self, request: Request) -> tuple[str, Control, dict[str, str]]:
        """A rule's or group's name, what is to become of it, who says so."""
        told = _control.decode(request.options) or Control()
        return _plain.decode(request.subject), told, {"reason": told.reason, "by": told.by}

    def _switch(self, request: Request) -> None:
        name, told, said = self._steered(request)
        self._engine.switch(told.kind, name, told.state, **said)

    def _snooze(self, request: Request) -> None:
        rule, told, said = self._steered(request)
        self._engine.snooze(rule, told.entity, until=told.until, **said)

    def _unsnooze(self, request: Request) -> None:
        rule, told, said = self._steered(request)
        self._engine.unsnooze(rule, told.entity, **said)

    def _reset_breaker(self, request: Request) -> None:
        rule, _, said = self._steered(request)
        self._engine.reset_breaker(rule, **said)

    def _snapshot(self, request: Request) -> None:
        file = _text.decode(request.subject)
        if not Path(file).is_absolute():
            raise ValueError(f"snapshot: the owner has a working directory of its own: name a whole path, not {file!r}")
        self._engine.snapshot(file)

    def _which(self, request: Request) -> Which:
        return _which.decode(request.options) or Which()

    def _list(self, request: Request) -> EntityList:
        return self._engine.lists[_text.decode(request.subject)]

    def _lists(self, _: Request) -> dict[str, bool]:
        return {name: each.read_only for name, each in self._engine.lists.items()}

    def _add(self, request: Request) -> int:
        told = _change.decode(request.options)
        said = {"reason": told.reason, "source": told.source, "owner": told.owner, "expires": told.expires}
        return self._list(request).add_many(told.values, **said)

    def _remove(self, request: Request) -> int:
        told = _change.decode(request.options)
        return sum(self._list(request).remove(value, reason=told.reason, source=told.source) for value in told.values)

    def _get(self, request: Request) -> Entry | None:
        return self._list(request).get(self._which(request).value)

    def _contains(self, request: Request) -> bool:
        return self._which(request).value in self._list(request)

    def _values(self, request: Request) -> dict[str, Any]:
        found, start = self._list(request), self._which(request).start
        return {"size": len(found), "values": list(islice(iter(found), start, start + PAGE_VALUES))}


def health(engine: Engine) -> dict[str, Any]:
    """Does it decide, and does what it decides survive?"""
    store, policy = engine.stats.get("store", {}), engine.policy
    try:
        engine.unsettled()
        ready = True
    except StoreError:  # it was told to refuse while the store fails
        ready = False
    return {
        "ready": ready, "degraded": bool(store.get("degraded")), "failure": store.get("failure"),
        "policy": {"name": policy.name, "version": policy.version, "hash": policy.hash},
    }  # fmt: skip
