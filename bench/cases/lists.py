"""One probe of a list: the Bloom filter, and behind its "maybe" the exact table. No Python between probes."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Final

from bench.cases.case import Bench, case
from frmcore._fast import ListTable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.world import World

WIDTH: Final = 16
PROBES: Final = 10_000
FALSE_POSITIVES: Final = 64


def _value(random: Random) -> bytes:
    return b"tok_%012x" % random.getrandbits(48)


def _filled(world: World) -> tuple[ListTable, list[bytes]]:
    random, table = Random(3), ListTable(bytes(range(16)))
    values = [_value(random) for _ in range(world.scale.listed)]
    for value in values:
        table.add(value, None)
    return table, values


def _probes(table: ListTable, batches: Iterator[bytes]) -> Bench:
    return Bench(
        lambda packed: table.contains_packed(packed, WIDTH, 0), ([each] for each in batches), str, weight=PROBES
    )


def _forever(random: Random, values: list[bytes]) -> Iterator[bytes]:
    while True:
        yield b"".join(random.choice(values) for _ in range(PROBES))


@case("list_hit")
def list_hit(world: World) -> Bench:
    table, values = _filled(world)
    return _probes(table, _forever(Random(4), values))


@case("list_miss_cold")
def list_miss_cold(world: World) -> Bench:
    """Other values each time: every probe reads another line of the filter."""
    table, _ = _filled(world)
    random = Random(4)

    def batches() -> Iterator[bytes]:
        while True:
            yield b"".join(_value(random) for _ in range(PROBES))

    return _probes(table, batches())


@case("list_miss_hot")
def list_miss_hot(world: World) -> Bench:
    """A few values again and again: the lines are in the cache."""
    table, _ = _filled(world)
    random = Random(4)
    return _probes(table, _forever(random, [_value(random) for _ in range(100)]))


@case("list_false_positive")
def list_false_positive(world: World) -> Bench:
    """Values that are not listed, though the filter says "maybe": the exact table refuses them."""
    table, _ = _filled(world)
    random, found = Random(4), list[bytes]()
    while len(found) < FALSE_POSITIVES:
        value, before = _value(random), table.stats()["false_positives"]
        table.contains(value, 0)
        if table.stats()["false_positives"] > before:
            found.append(value)
    return _probes(table, _forever(random, found))
