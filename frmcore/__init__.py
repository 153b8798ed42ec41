"""frmcore: the SQLite of fraud decisions."""

from frmcore._fast import Decision
from frmcore.engine import Engine
from frmcore.errors import (
    EngineClosed,
    EngineForked,
    EventConflict,
    EventTooOld,
    FrmcoreError,
    InvalidEvent,
    PolicyError,
    ReadOnlyList,
    UnknownEvent,
    UnknownName,
)
from frmcore.policy import Policy, load

__all__ = [
    "Decision",
    "Engine",
    "EngineClosed",
    "EngineForked",
    "EventConflict",
    "EventTooOld",
    "FrmcoreError",
    "InvalidEvent",
    "Policy",
    "PolicyError",
    "ReadOnlyList",
    "UnknownEvent",
    "UnknownName",
    "load",
]
