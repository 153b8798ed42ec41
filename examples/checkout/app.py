"""A web checkout that decides each order: in its own process, or through the owner that all workers share.

    POST /checkout         an order: 200 approved, 202 in review, 403 refused
    POST /issuer/{order}   the issuer's answer, signed: may the order be shipped
    GET  /health

Embedded: ISSUER_SECRET=... uvicorn app:create --factory
Served:   FRMCORE_STORE=var/checkout ISSUER_SECRET=... gunicorn --workers 4 --worker-class asgi 'app:create()'
"""

from __future__ import annotations

import hmac
import logging
import os
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

import frmcore
import frmcore.aio
from frmcore.errors import EventConflict, InvalidEvent, OwnerUnavailable, UnknownEvent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

    from frmcore.client.decision import Decision

    Event = dict[str, object]

POLICY = Path(__file__).with_name("policy.yaml")
WITHIN_MS = float(os.environ.get("WITHIN_MS", "50"))  # an order waits no longer for the owner
BODY_BYTES_MAX = 16_384  # an order is a few hundred bytes
STATUS = {"allow": (200, "approved"), "review": (202, "in review"), "block": (403, "refused")}
T = TypeVar("T")
log = logging.getLogger("checkout")

Text = Annotated[str, Meta(min_length=1, max_length=200)]


class Order(msgspec.Struct, forbid_unknown_fields=True):
    """What a customer's browser sends; `amount` in cents. Time and address are ours to say."""

    order: Text
    account: Text
    card: Text
    country: Annotated[str, Meta(pattern="^[A-Z]{2}$")]
    email: Text
    amount: Annotated[int, Meta(gt=0, le=10_000_000)]
    device: Text | None = None


class Answer(msgspec.Struct, forbid_unknown_fields=True):
    """What the issuer said."""

    status: Literal["approved", "declined"]


class Refused(Exception):
    """A request that ends with this HTTP status."""

    def __init__(self, status: int, error: str) -> None:
        self.status = status
        self.error = error


class Embedded:
    """The engine in this process: microseconds, no await. One worker process, because state belongs to it."""

    def __init__(self, engine: frmcore.Engine) -> None:
        self.engine = engine

    async def order(self, event: Event) -> frmcore.Decision:
        return self.engine.decide(event)

    async def answered(self, order: str, status: str) -> tuple[str, frmcore.Decision]:
        """What the checkout decided (a real shop has it beside the order), and what is decided now."""
        first = self.engine.explain(order, "checkout").decision
        return first.outcome, self.engine.decide_again(order, "answered", status=status)

    async def policy(self) -> Event:
        policy = self.engine.policy
        return {"policy": policy.name, "version": policy.version, "hash": policy.hash}


class Served:
    """The owner that `frmcore serve` runs: one state for all workers. When it is away, a person looks at the order."""

    def __init__(self, client: frmcore.aio.AsyncClient) -> None:
        self.client = client

    async def order(self, event: Event) -> Decision:
        return await self.client.decide(event, within_ms=WITHIN_MS, otherwise="review")

    async def answered(self, order: str, status: str) -> tuple[str, Decision]:
        first = (await self.client.explain(order, "checkout")).decision
        return first.outcome, await self.client.decide_again(order, "answered", status=status)

    async def policy(self) -> Event:
        told = (await self.client.health())["policy"]
        return {"policy": told["name"], "version": told["version"], "hash": told["hash"]}


def create(policy: Path = POLICY, secret: str | None = None, store: str | None = None) -> Starlette:
    """The application. `secret`: shared with the issuer, by default the environment's ISSUER_SECRET. `store`: of an
    owner, by default FRMCORE_STORE; without one the engine is embedded, and `policy` is its."""
    key = (secret or os.environ["ISSUER_SECRET"]).encode()
    served = store or os.environ.get("FRMCORE_STORE")

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.issuer_key = key
        if served:
            async with await frmcore.aio.connect(served, timeout=1) as client:
                app.state.risk = Served(client)
                yield
        else:
            with frmcore.Engine(None, policy=policy) as engine:  # opened in the worker process, never before a fork
                app.state.risk = Embedded(engine)
                yield

    routes = [
        Route("/checkout", checkout, methods=["POST"]),
        Route("/issuer/{order}", issuer, methods=["POST"]),
        Route("/health", health),
    ]
    return Starlette(routes=routes, lifespan=lifespan, exception_handlers={Refused: refuse})


async def checkout(request: Request) -> JSONResponse:
    """Decides an order. The customer learns the outcome, never the reasons: they would teach a fraudster."""
    order = parsed(await body(request), Order)
    event = msgspec.structs.asdict(order) | {"ts": time.time_ns() // 1_000_000, "ip": client_ip(request)}
    try:
        decision = await request.app.state.risk.order(event)
    except InvalidEvent as error:
        raise Refused(422, f"invalid {error.field or 'order'}") from error
    except EventConflict as error:
        raise Refused(409, "an order with this number and other content exists") from error
    log.info("%s %s %s %s", decision.event_id, decision.point, decision.outcome, list(decision.reasons))
    status, word = STATUS[decision.outcome]
    return JSONResponse({"order": order.order, "status": word}, status)


async def issuer(request: Request) -> JSONResponse:
    """Tells the engine what the issuer said, and decides whether the order may be shipped."""
    content = await body(request)
    signature = hmac.new(request.app.state.issuer_key, request.url.path.encode() + content, "sha256").hexdigest()
    if not hmac.compare_digest(signature.encode(), request.headers.get("x-signature", "").encode()):
        raise Refused(401, "the signature is wrong")
    answer = parsed(content, Answer)
    order = request.path_params["order"]
    try:
        first, decision = await request.app.state.risk.answered(order, answer.status)
    except UnknownEvent as error:
        raise Refused(404, "no such order") from error
    except EventConflict as error:
        raise Refused(409, "the issuer gave another answer before") from error
    except OwnerUnavailable as error:
        raise Refused(503, "try again") from error
    log.info("%s %s %s %s", order, decision.point, decision.outcome, list(decision.reasons))
    ship = answer.status == "approved" and first == decision.outcome == "allow"
    return JSONResponse({"order": order, "ship": ship})


async def health(request: Request) -> JSONResponse:
    try:
        return JSONResponse({"status": "ok", **await request.app.state.risk.policy()})
    except OwnerUnavailable as error:
        raise Refused(503, "the owner is away") from error


async def refuse(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refused)  # noqa: S101  it is registered for nothing else
    return JSONResponse({"error": error.error}, error.status)


async def body(request: Request) -> bytes:
    """The body, read no further than it may be long."""
    content = b""
    async for chunk in request.stream():
        content += chunk
        if len(content) > BODY_BYTES_MAX:
            raise Refused(413, f"more than {BODY_BYTES_MAX} bytes")
    return content


def parsed(content: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused(422, str(error)) from error


def client_ip(request: Request) -> str:
    """The peer's address. Behind a proxy run uvicorn with --proxy-headers and --forwarded-allow-ips."""
    if request.client is None:
        raise Refused(400, "no peer address")
    return request.client.host
