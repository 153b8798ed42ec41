"""An engine in another process, as if it were in this one: `frmcore.connect`, and `frmcore.aio.connect`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from frmcore.client.client import Client

TIMEOUT_SECONDS = 5.0


def connect(path: str | Path, *, timeout: float = TIMEOUT_SECONDS) -> Client:
    """Reaches the engine that `frmcore serve` runs. The `Client` has `Engine`'s methods, and raises its errors.

    path: the store's folder, or the socket. timeout: seconds that a call may take, reconnecting included; then it
    raises OwnerUnavailable. The owner need not be there yet. Thread-safe; a forked child connects anew by itself.
    """
    from frmcore.client.client import Client  # noqa: PLC0415  brings sockets in

    return Client(path, timeout)
