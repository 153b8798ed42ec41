"""The owner process from its start to its end: opens the store, serves it, closes it."""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from frmcore.engine import Engine
from frmcore.serve.http import Watch, serve_http
from frmcore.serve.protocol import SOCKET_NAME
from frmcore.serve.server import Server

if TYPE_CHECKING:
    from pathlib import Path

    from frmcore.policy import Policy
    from frmcore.store import StoreOptions

log = logging.getLogger("frmcore.serve")


@dataclass(frozen=True, slots=True)
class Service:
    """What is to be served, where."""

    store: Path
    policy: Policy
    options: StoreOptions
    socket: Path | None = None  # None: in the store's folder
    metrics: tuple[str, int] | None = None
    private_key: bytes | None = None


def run(service: Service) -> None:
    """Until SIGTERM or SIGINT. Raises StoreError, OSError where it can't begin."""
    watch = Watch()
    if service.metrics is not None:
        host, port = service.metrics
        log.info("metrics are served", extra={"metrics": f"http://{host}:{serve_http(host, port, watch)}/metrics"})
    with closing(_opened(service, watch)) as engine:
        server = Server(engine, service.socket or service.store / SOCKET_NAME)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: server.stop())
        _say_ready(server)
        watch.server = server
        tell_systemd("READY=1")
        gc.freeze()  # what is here stays: a collection that walked it would be a pause for every client
        server.run()
        watch.server, watch.state = None, "closing the store"
        tell_systemd("STOPPING=1")
        log.info("stopping: all that was accepted is answered", extra={"operations": engine.stats["seq"]})


def _opened(service: Service, watch: Watch) -> Engine:
    engine = Engine(
        service.store, policy=service.policy, private_key=service.private_key, store=service.options,
        progress=watch.recovering,
    )  # fmt: skip
    engine.on_store_failure(lambda error: log.error("the store fails", extra={"error": type(error).__name__}))
    recovered = engine.stats["store"]["recovered"]
    log.info(
        "the store is open",
        extra={"operations": recovered["operations"], "seconds": round(recovered["seconds"], 3)},
    )
    return engine


def _say_ready(server: Server) -> None:
    policy = server.engine.policy
    said = {"socket": str(server.path), "policy": policy.name, "version": policy.version, "hash": policy.hash}
    log.info("serving", extra=said)


def tell_systemd(state: str) -> None:
    """The readiness protocol of sd_notify(3), where a service manager wants to hear of it."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)
