"""Bytes for the same content in frmcore and in Redis: idle entities, held events, listed values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from bench.cases.payments import Payments, policy_of
from bench.peers.redis_engine import RedisServer
from frmcore._fast import ListTable

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.world import World

BUSY: Final = 200  # entities of which each holds many events
EACH: Final = 1_000
LIMITS: Final = "limits: {horizon: 1s, ids_min: 1}\n"
COUNT: Final = {"n": 'count(by=account, over="365d")'}
SUM: Final = {"spent": 'sum(amount, by=account, over="365d")'}


def frmcore_bytes(world: World, entities: int, listed: int) -> dict[str, float]:
    """By the engine's own accounting, slack included."""
    count = _rings(world, COUNT, BUSY, EACH) / (BUSY * EACH)
    table = ListTable(bytes(16))
    for number in range(listed):
        table.add(b"tok_%012x" % number, None)
    return {
        "entity with one event": _rings(world, SUM, entities, 1) / entities,
        "held event, counted": count,
        "held event, summed": _rings(world, SUM, BUSY, EACH) / (BUSY * EACH),
        "listed value": table.bytes / listed,
    }


def _rings(world: World, features: dict[str, str], entities: int, each: int) -> int:
    payments = Payments(world, policy_of(features) + LIMITS, entities)
    for _ in range(each):
        for account in range(entities):
            payments.engine.observe(payments.event(account))
    used: int = payments.engine.stats["memory"]["rings"]
    payments.engine.close()
    return used


def redis_bytes(entities: int, listed: int) -> dict[str, float]:
    """As R1's script keeps it: a sorted set an entity, `number:amount` by time; and its totals in a hash."""

    def of(fill: Callable[[RedisServer], Any]) -> int:
        server = RedisServer()
        before = server.used()
        fill(server)
        used = server.used() - before
        server.close()
        return used

    def one_event(server: RedisServer) -> None:
        server.put(("ZADD", f"a:a{n}", 1_760_000_000_000 + n, f"{n}:{n % 90_000}") for n in range(entities))
        server.put(("HSET", f"t:a{n}", "n", 1, "s", n % 90_000, "l", 1_760_000_000_000 + n) for n in range(entities))

    def many_events(server: RedisServer) -> None:
        server.put(("ZADD", f"a:a{n % BUSY}", 1_760_000_000_000 + n, f"{n}:{n % 90_000}") for n in range(BUSY * EACH))

    def values(server: RedisServer) -> None:
        server.put(("SADD", "listed", f"tok_{n:012x}") for n in range(listed))

    event = of(many_events) / (BUSY * EACH)
    return {
        "entity with one event": of(one_event) / entities,
        "held event, counted": event,
        "held event, summed": event,
        "listed value": of(values) / listed,
    }
