"""`frmcore serve`: one process owns a store and decides for all others on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from frmcore.cli.arguments import StorePath, private_key
from frmcore.policy import load
from frmcore.serve.logs import log_json
from frmcore.serve.owner import Service, run
from frmcore.store import StoreOptions

Socket = Annotated[Path | None, typer.Option(help="The socket; by default `socket` in the store's folder.")]
Metrics = Annotated[str | None, typer.Option(help="HOST:PORT for /metrics, /health and /ready: 127.0.0.1:9464.")]
Durability = Annotated[
    Literal["process", "power", "none"], typer.Option(help="What an answered decision survives: see docs/store.md.")
]
Failing = Annotated[
    Literal["degrade", "raise"], typer.Option(help="While the disk fails: decide on in memory, or refuse.")
]


def serve(
    store: StorePath,
    policy: Annotated[Path, typer.Option(help="The policy's main file.")],
    socket: Socket = None,
    metrics: Metrics = None,
    durability: Durability = "process",
    on_store_failure: Failing = "degrade",
) -> None:
    """Own a store and decide for other processes, which reach it with `frmcore.connect(STORE)`."""
    options = StoreOptions(durability=durability, on_store_failure=on_store_failure)
    service = Service(store, load(policy), options, socket, _address(metrics), private_key())
    log_json()
    run(service)


def _address(text: str | None) -> tuple[str, int] | None:
    if text is None:
        return None
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or int(port) > 65_535:
        raise typer.BadParameter("--metrics: expected HOST:PORT, such as 127.0.0.1:9464")
    return host.strip("[]") or "127.0.0.1", int(port)
