"""/metrics, /health and /ready over HTTP, in a thread of its own; from the owner's start, before its store is open."""

from __future__ import annotations

import json
import logging
import sys
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET6, SHUT_RDWR
from threading import BoundedSemaphore, Thread
from typing import TYPE_CHECKING, Any, Final

from frmcore.errors import FrmcoreError
from frmcore.serve.chores import health
from frmcore.serve.numbers import owner_families
from frmcore.telemetry.exposition import CONTENT_TYPE, exposition
from frmcore.telemetry.families import family

if TYPE_CHECKING:
    from frmcore.serve.server import Server

REQUEST_SECONDS: Final = 5.0  # to send a request, or to take its answer
CONNECTIONS_MAX: Final = 32  # Prometheus, an orchestrator's probes, and people who look
ROOM_SECONDS: Final = 0.1  # for one of those that had their time to go
STALLED_SECONDS: Final = 10.0  # since the owner's loop went round: it does so every second


log = logging.getLogger("frmcore.serve")


class Watch:
    """What the HTTP answers are about: a server, once there is one."""

    def __init__(self) -> None:
        self.server: Server | None = None
        self.state = "opening the store"

    def recovering(self, done: int, all_of: int) -> None:
        self.state = f"recovering: {100 * done // max(all_of, 1)} %"

    def metrics(self) -> str:
        """Whether it is ready, always; the rest neither before the store is open nor while it is being closed."""
        ready = exposition([family("ready", "gauge", "1 while clients get decisions.", int(self.ready()[0]))])
        try:
            return ready + exposition(owner_families(self.server)) if self.server is not None else ready
        except FrmcoreError:
            return ready

    def alive(self) -> tuple[bool, dict[str, Any]]:
        """Should the process go on, or be restarted?"""
        server = self.server
        if server is None:
            return True, {"state": self.state}
        quiet = time.monotonic() - server.alive
        return quiet < STALLED_SECONDS, {"state": "serving", "seconds_since_last_round": round(quiet, 3)}

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Should clients be sent here?"""
        server = self.server
        if server is None:
            return False, {"ready": False, "state": self.state}
        try:
            told = health(server.engine)
        except FrmcoreError:  # it is being closed
            return False, {"ready": False, "state": "closed"}
        if server.stopping:
            return False, {"ready": False, "state": "ending"}
        if not server.reachable:
            return False, {"ready": False, "state": "the socket's file was taken away"}
        told.pop("failure")  # it may name files
        return bool(told["ready"]) and self.alive()[0], told


class _Handler(BaseHTTPRequestHandler):
    timeout = REQUEST_SECONDS
    server_version, sys_version = "frmcore", ""
    server: _Http

    def do_GET(self) -> None:
        watch, page = self.server.watch, self.path.partition("?")[0]
        if page == "/metrics":
            self._send(200, CONTENT_TYPE, watch.metrics())
        elif page in {"/health", "/ready"}:
            fine, told = watch.alive() if page == "/health" else watch.ready()
            self._send(200 if fine else 503, "application/json", json.dumps(told) + "\n")
        else:
            self._send(404, "text/plain", "there are /metrics, /health and /ready\n")

    do_HEAD = do_GET

    def _send(self, status: int, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Scrapes are no news."""


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 16

    def __init__(self, address: tuple[str, int], watch: Watch) -> None:
        self.watch = watch
        if ":" in address[0]:
            self.address_family = AF_INET6
        super().__init__(address, _Handler)
        self._room = BoundedSemaphore(CONNECTIONS_MAX)
        self._begun: dict[Any, float] = {}  # when; by connection

    def verify_request(self, *_: object) -> bool:
        """Threads and descriptors are bounded: who comes when all are taken is sent off, but one that had its time, and
        sent a byte now and then, makes way first."""
        if self._room.acquire(blocking=False):
            return True
        for request, begun in list(self._begun.items()):
            if time.monotonic() - begun > REQUEST_SECONDS:
                with suppress(OSError):
                    request.shutdown(SHUT_RDWR)
        return self._room.acquire(timeout=ROOM_SECONDS)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        self._begun[request] = time.monotonic()
        try:
            super().process_request_thread(request, client_address)
        finally:
            del self._begun[request]
            self._room.release()

    def handle_error(self, *_: object) -> None:
        """One that went before its answer is no news, and a traceback no line of JSON."""
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, OSError):
            log.error("an HTTP request failed", extra={"error": type(error).__name__}, exc_info=error)


def serve_http(host: str, port: int, watch: Watch) -> int:
    """Starts it; the port, where 0 was asked for. Raises OSError."""
    try:
        http = _Http((host, port), watch)
    except OSError as error:
        raise OSError(error.errno, error.strerror, f"{host}:{port}") from None
    Thread(target=http.serve_forever, name="frmcore-http", daemon=True).start()
    return int(http.server_address[1])
