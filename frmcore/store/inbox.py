"""Commands that other processes leave in a store whose engine runs elsewhere: list changes, another policy, holds,
erasures.

A sender puts a command under a key that nobody else has (the time and eight random bytes) and waits for the result
under the same key. The owner applies commands in the order of their keys, in a thread of their own, through its
engine, so that they are journaled like its own; it flushes, and then one commit takes the commands out and puts the
results in.
The record of what was done names the command: after a crash between the two commits it is not applied again. An erasure
takes its time, in a thread of its own; later commands do not wait for it.
"""

from __future__ import annotations

import logging
import os
import time
import weakref
from itertools import islice, takewhile
from threading import Event, Lock, Thread, current_thread
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from frmcore import errors
from frmcore._fast import record_content
from frmcore.erasure import Erased  # noqa: TC001  msgspec reads the annotation
from frmcore.errors import FrmcoreError, StoreDamaged, StoreError, StoreUnavailable
from frmcore.store.database import Database, Put
from frmcore.store.layout import BLOBS, INBOX, OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from frmcore.store.database import Reader
    from frmcore.store.erase import Eraser
    from frmcore.store.flusher import Flusher

COMMANDS_AT_ONCE: Final = 64  # with one flush
TOKEN_BYTES: Final = 16
RESULT_SECONDS: Final = 3600  # a result that nobody fetched is kept as long
RESULTS_MAX: Final = 1000
POLL_SECONDS: Final = 0.02
WAIT_SECONDS: Final = 10.0
RETRY_SECONDS: Final = 1.0  # after results that could not be written
_COMMAND: Final = b"c"
_RESULT: Final = b"r"


log = logging.getLogger("frmcore.store")


class Command(msgspec.Struct, frozen=True):
    """What is to be done. `values`: at most LIST_CHANGE_VALUES, or subjects; `files`: of a policy, name -> SHA-256 in
    hex; `kind`, `name`, `state`, `entity`: of a rule or a group that is switched, snoozed or reset, by `owner`, until
    `expires`."""

    action: Literal["add", "remove", "reload", "switch", "snooze", "unsnooze", "reset", "hold", "release", "erase"]
    list: str = ""
    values: tuple[str, ...] = ()
    reason: str = ""
    source: str = ""
    owner: str = ""
    expires: int | str | None = None
    files: dict[str, str] = {}
    kind: str = ""
    name: str = ""
    state: str = ""
    entity: str = ""


class Result(msgspec.Struct, frozen=True):
    """What became of a command: how many values changed; or the error's class and message."""

    changed: int = 0
    error: str = ""
    message: str = ""
    erased: Erased | None = None

    def told(self) -> int:
        """How many values changed. Raises what the owner's engine raised."""
        if not self.error:
            return self.changed
        kind = getattr(errors, self.error, FrmcoreError)
        simple = isinstance(kind, type) and issubclass(kind, FrmcoreError) and kind is not errors.PolicyError
        raise (kind if simple else FrmcoreError)(self.message)


class Inbox:
    """The owner's side: a thread that looks for commands once in each flush's time."""

    def __init__(
        self, database: Database, flusher: Flusher, eraser: Eraser, apply: Callable[[Command, str], int | Erased]
    ) -> None:
        """apply: does what a command says, with the token to record; how many values changed, or what was erased."""
        self._database, self._flusher, self._eraser, self._apply = database, flusher, eraser, apply
        self._erasing: set[bytes] = set()  # commands that are under way
        self._processing, self._stopping = Lock(), Event()
        self._thread: Thread | None = None
        self._told = False  # of this outage
        self._results: dict[bytes, Result] = {}  # of commands that were applied, and are in the table still
        with database.reading() as reader:
            inherited = {key[1:].hex() for key in waiting_commands(reader)}
            done = _recorded(reader) & inherited if inherited else set()
        self._results = {bytes.fromhex(token): Result() for token in done}

    def start(self, seconds: float) -> None:
        """Looks into the table that often, in a thread of its own: what a command takes never delays a flush."""
        args = (weakref.ref(self), self._stopping, seconds)
        self._thread = Thread(target=_run, args=args, name="frmcore-inbox", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None and self._thread is not current_thread():
            self._thread.join()

    def attempt(self) -> None:
        """One turn of the thread."""
        try:
            self.process()
            self._told = False
        except StoreError as error:
            if not self._told:  # once an outage
                log.warning("commands of other processes wait: %s", error)
            self._told = True
            self._stopping.wait(RETRY_SECONDS)

    def process(self) -> None:
        """Applies what waits. Raises StoreError where the results can't be written; nothing is applied twice then."""
        with self._processing:
            self._process()

    def _process(self) -> None:
        with self._database.reading() as reader:
            if not reader.count(INBOX):
                return
            waiting = (key for key in waiting_commands(reader) if key[1:] not in self._erasing)
            commands = [(key[1:], _command(reader, key)) for key in islice(waiting, COMMANDS_AT_ONCE)]
            changes = _stale(reader) if commands else []
        for token, command in commands:
            if token in self._results:
                continue
            if command is not None and command.action == "erase":
                self._erasing.add(token)
                self._eraser.later(self._erase, command, token)
            else:
                self._results[token] = self._result(command, token.hex())
        done = [token for token, _ in commands if token in self._results]
        if not done:
            return
        self._flusher.flush()
        for token in done:
            changes.append(Put(INBOX, _COMMAND + token, None))
            changes.append(Put(INBOX, _RESULT + token, msgspec.msgpack.encode(self._results[token])))
        self._database.commit(changes)
        for token in done:
            del self._results[token]

    def _erase(self, command: Command, token: bytes) -> None:
        """In the eraser's thread. Cut off by the store's closing it is done again when it opens."""
        result = self._result(command, token.hex())
        if not self._eraser.stopped:
            self._results[token] = result
            self._erasing.discard(token)

    def _result(self, command: Command | None, token: str) -> Result:
        if command is None:
            return Result(0, "FrmcoreError", "the command can't be read: is the sender of another version of frmcore?")
        try:
            done = self._apply(command, token)
            return Result(done) if isinstance(done, int) else Result(done.events, erased=done)
        except (FrmcoreError, ValueError, OSError) as error:
            return Result(0, type(error).__name__, str(error))


def _run(mine: weakref.ref[Inbox], stopping: Event, seconds: float) -> None:
    """The thread; it does not keep an engine that everybody else has dropped."""
    while not stopping.wait(seconds) and (inbox := mine()) is not None:
        inbox.attempt()
        del inbox


def waiting_commands(reader: Reader) -> Iterator[bytes]:
    """The keys of commands, oldest first; results have greater ones."""
    return takewhile(lambda key: key.startswith(_COMMAND), reader.keys(INBOX))


def _command(reader: Reader, key: bytes) -> Command | None:
    try:
        return msgspec.msgpack.decode(reader.get(INBOX, key) or b"", type=Command)
    except (msgspec.MsgspecError, StoreDamaged):
        return None


def _recorded(reader: Reader) -> set[str]:
    """The tokens of all commands that the operations know."""
    contents = (record_content(record) for _, record in reader.items(OPERATIONS))
    return {content["command"] for content in contents if "command" in content}


def _stale(reader: Reader) -> list[Put]:
    """Results that nobody fetched are let go, the oldest first."""
    results = [key for key in reader.keys(INBOX) if key.startswith(_RESULT)]
    line = (time.time_ns() - RESULT_SECONDS * 10**9).to_bytes(8, "big")
    return [Put(INBOX, key, None) for i, key in enumerate(results) if key[1:9] < line or i < len(results) - RESULTS_MAX]


class Sender:
    """Another process's side: leaves commands in a store that is open elsewhere. Raises StoreError."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._database = Database(folder, guest=True)
        self._last = 0

    def send(self, command: Command, texts: dict[str, str] | None = None) -> bytes:
        """Leaves a command, with the texts of a policy's files (by SHA-256); the token to wait for its result with."""
        self._last = max(time.time_ns(), self._last + 1)
        token = self._last.to_bytes(8, "big") + os.urandom(TOKEN_BYTES - 8)
        blobs = [Put(BLOBS, bytes.fromhex(digest), text.encode()) for digest, text in (texts or {}).items()]
        self._database.commit([*blobs, Put(INBOX, _COMMAND + token, msgspec.msgpack.encode(command))])
        return token

    def wait(self, token: bytes, seconds: float = WAIT_SECONDS) -> int:
        """How many values changed, once the owner applied the command. Raises what it raised there, and
        StoreUnavailable when `seconds` pass first: the command stays, and will be applied."""
        return self.answer(token, seconds).told()

    def answer(self, token: bytes, seconds: float) -> Result:
        """What became of the command. Raises StoreUnavailable when `seconds` pass first."""
        until = time.monotonic() + seconds
        while True:
            found = self._database.get(INBOX, _RESULT + token)
            if found is not None:
                self._database.commit([Put(INBOX, _RESULT + token, None)])
                return msgspec.msgpack.decode(found, type=Result)
            if time.monotonic() > until:
                raise StoreUnavailable(
                    f"{self._folder}: its engine has not taken the command within {seconds:g} s. It stays in the "
                    "store's inbox, and takes effect as soon as an engine has the store open and flushes"
                )
            time.sleep(POLL_SECONDS)

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> Sender:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
