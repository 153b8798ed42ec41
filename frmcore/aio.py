"""An engine in another process, for asyncio: `await frmcore.aio.connect(path)`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frmcore.client import TIMEOUT_SECONDS
from frmcore.client.aio import AsyncClient

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["AsyncClient", "connect"]


async def connect(path: str | Path, *, timeout: float = TIMEOUT_SECONDS) -> AsyncClient:
    """As `frmcore.connect`; an async context manager."""
    return AsyncClient(path, timeout)
