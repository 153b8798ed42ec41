"""Bytes that somebody else may have written, their checksums right: what they bring about is an error of the store."""

from __future__ import annotations

import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import msgspec

from frmcore.errors import PolicyError, StoreDamaged

if TYPE_CHECKING:
    from collections.abc import Iterator

NONSENSE: Final = (
    ArithmeticError, AttributeError, LookupError, TypeError, ValueError, struct.error, msgspec.MsgspecError,
    PolicyError,
)  # fmt: skip


@contextmanager
def sensible(what: str) -> Iterator[None]:
    """What reading nonsense raises, as StoreDamaged. `what`: subject and verb, such as "its lists can't be read"."""
    try:
        yield
    except NONSENSE as error:
        raise StoreDamaged(f"{what}: {error or type(error).__name__}; restore a snapshot") from error
