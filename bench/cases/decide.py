"""R1, one event at a time in every form, and many at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from bench.cases.case import Bench, case, said

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.world import World


@case("decide_struct")
def decide_struct(world: World) -> Bench:
    engine = world.warm()
    return Bench(engine.decide, world.rounds(), said, close=engine.close)


@case("decide_mapping")
def decide_mapping(world: World) -> Bench:
    engine = world.warm()
    return Bench(engine.decide, world.rounds(msgspec.json.decode), said, close=engine.close)


@case("decide_json")
def decide_json(world: World) -> Bench:
    engine = world.warm()
    return Bench(engine.decide_json, world.rounds(bytes), said, close=engine.close)


@case("decide_many")
def decide_many(world: World) -> Bench:
    engine = world.warm()
    rounds = ([batch] for batch in world.rounds())
    return Bench(
        engine.decide_many,
        rounds,
        lambda decisions: "".join(map(said, decisions)),
        weight=world.scale.size,
        close=engine.close,
    )


@case("evaluate")
def evaluate(world: World) -> Bench:
    engine = world.warm()
    return Bench(engine.evaluate, world.rounds(), said, close=engine.close)


@case("observe")
def observe(world: World) -> Bench:
    engine = world.warm()
    return Bench(engine.observe, world.rounds(), str, close=engine.close)


@case("late")
def late(world: World) -> Bench:
    """Twelve hours late, into the middle of every ring."""
    engine = world.warm()

    def make(data: bytes) -> Any:
        event = world.decode(data)
        return msgspec.structs.replace(event, ts=event.ts - 43_200_000)

    return Bench(engine.decide, world.rounds(make), said, close=engine.close)


@case("duplicate")
def duplicate(world: World) -> Bench:
    """The events that were decided last, once more."""
    engine = world.warm()

    def rounds() -> Iterator[list[Any]]:
        while True:
            yield [world.decode(data) for data in world.events[world.scale.warm - world.scale.size : world.scale.warm]]

    return Bench(engine.decide, rounds(), lambda decision: f"{decision.duplicate}{said(decision)}", close=engine.close)
