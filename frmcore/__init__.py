"""frmcore: the SQLite of fraud decisions."""

from frmcore._fast import Decision
from frmcore.client import connect
from frmcore.engine import Engine
from frmcore.errors import (
    EngineClosed,
    EngineForked,
    EventConflict,
    EventTooOld,
    FrmcoreError,
    InvalidEvent,
    OwnerUnavailable,
    PolicyError,
    ProtocolError,
    ReadOnlyList,
    StoreDamaged,
    StoreError,
    StoreFull,
    StoreLocked,
    StoreUnavailable,
    StoreVersion,
    UnknownEvent,
    UnknownName,
)
from frmcore.policy import Policy, load
from frmcore.store import StoreOptions
from frmcore.version import VERSION as __version__

__all__ = [
    "Decision",
    "Engine",
    "EngineClosed",
    "EngineForked",
    "EventConflict",
    "EventTooOld",
    "FrmcoreError",
    "InvalidEvent",
    "OwnerUnavailable",
    "Policy",
    "PolicyError",
    "ProtocolError",
    "ReadOnlyList",
    "StoreDamaged",
    "StoreError",
    "StoreFull",
    "StoreLocked",
    "StoreOptions",
    "StoreUnavailable",
    "StoreVersion",
    "UnknownEvent",
    "UnknownName",
    "__version__",
    "connect",
    "load",
]
