"""Every exception that frmcore raises, and what to do about it.

All of them derive from `FrmcoreError`. A message says what is wrong, where, and what to do; the attributes carry
the same facts for programs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from frmcore._fast import Decision
    from frmcore.policy.source import Problem


class FrmcoreError(Exception):
    """The base of every error that frmcore raises on purpose."""


class PolicyError(FrmcoreError):
    """A policy is wrong. `problems` holds every mistake that was found, in file order; `str()` shows them all."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


class HistoryError(FrmcoreError):
    """A history, or what goes with it (updates, labels, lists), can't be read, or does not say what was asked of it."""


class WrongOption(HistoryError):
    """An option of a backtest or a sweep names nothing that there is, or spells no value."""


class InvalidEvent(FrmcoreError, ValueError):
    """An event or an update does not fit the schema, or lies ahead of the clock. Nothing was changed.

    `field` names the culprit (None where no single field is to blame); the message says what was expected and what to
    do.
    """

    def __init__(self, message: str, field: str | None = None) -> None:
        self.field = field
        super().__init__(message)


class EventTooOld(InvalidEvent):
    """The event is older than the ids that the engine still remembers, so it can't be told from a duplicate.

    Send history through `observe` in time order, or raise `limits.horizon` / `limits.ids_max`.
    """


class EventConflict(FrmcoreError):
    """An event id came again with other content. `decision` is the original decision, which still stands."""

    def __init__(self, message: str, decision: Decision | None) -> None:
        self.decision = decision
        super().__init__(message)


class UnknownEvent(FrmcoreError, KeyError):
    """An update, a later decision or an explanation names an event that the engine does not (or no longer) know."""

    def __str__(self) -> str:
        return str(self.args[0])


class EventErased(UnknownEvent):
    """The event belonged to a subject that was erased: it takes no further updates or decisions."""


class UnderHold(FrmcoreError):
    """The subject is under a legal hold: it can't be erased before that was removed, or its time is past."""


class UnknownName(FrmcoreError, KeyError):
    """A list, point, entity, rule or update field is not in the policy; the message suggests the nearest one."""

    def __str__(self) -> str:
        return str(self.args[0])


class ReadOnlyList(FrmcoreError):
    """The list comes from a file or from the policy's text: change that, and reload the policy."""


class EngineClosed(FrmcoreError):
    """The engine was closed. Open a new one."""


class EngineForked(FrmcoreError):
    """The engine was opened before this process was forked: both would change one state.

    Open the engine in the child (gunicorn: in `post_fork`, without `--preload`).
    """


class StoreError(FrmcoreError):
    """The base of every error of a store. The message says which file, what is wrong, and what to do."""


class StoreUnavailable(StoreError):
    """The store can't be opened or written: no such folder, no permission, a failing disk."""


class StoreLocked(StoreError):
    """Another engine has the store open, in this process or another one. A store has one owner at a time."""


class StoreDamaged(StoreError):
    """What the store holds is not what was written. Nothing was decided from it; restore a snapshot."""


class StoreFull(StoreError):
    """The disk, or the store's map, has no room."""


class StoreVersion(StoreError):
    """The store or snapshot was written by a newer frmcore."""


class OwnerUnavailable(FrmcoreError):
    """The process that owns the store did not answer in time, or is not there. What was asked may have been done: an
    event that is sent again counts once."""


class ProtocolError(FrmcoreError):
    """Owner and client do not understand each other: another version, or bytes that are no frame."""
