"""What durability costs a decision, and how long a store takes to come back."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import frmcore
from bench.cases.case import Bench, case, said
from bench.cases.growth import SHORT_IDS, TWO
from bench.cases.payments import Payments, policy_of
from bench.world import KEYS, flusher_of
from frmcore.store import StoreOptions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bench.world import World


@case("journal_off")
def journal_off(world: World) -> Bench:
    engine = world.warm()
    return Bench(engine.decide, world.rounds(), said, close=engine.close)


@case("journal_on")
def journal_on(world: World) -> Bench:
    """The record is copied into the mapped ring; nobody empties it."""
    engine = world.warm(stored=True)
    engine.flush()
    held = ExitStack()
    held.callback(engine.close)
    held.enter_context(flusher_of(engine).paused())  # ends before the engine is closed: closing waits for it
    return Bench(engine.decide, world.rounds(), said, close=held.close)


@case("flusher_running")
def flusher_running(world: World) -> Bench:
    """As it is used: a flusher and its checkpoints beside the decisions."""
    engine = world.warm(stored=True)
    return Bench(engine.decide, world.rounds(), said, close=engine.close)


@case("snapshot")
def snapshot(world: World) -> Bench:
    """A whole store into one file, by a child process; per event."""
    engine = world.warm(stored=True)
    folder = world.folder()

    def rounds() -> Iterator[list[Path]]:
        number = 0
        while True:
            number += 1
            yield [folder / f"{number}.snap"]

    def write(file: Path) -> Path:
        engine.snapshot(file)
        return file

    def size_class(file: Path) -> str:
        return str(file.stat().st_size > 10_000)

    return Bench(write, rounds(), size_class, world.scale.warm, slow=True, close=engine.close)


def _recovery(world: World, *, replayed: bool) -> Bench:
    """Opens what a crash left: a whole checkpoint, or nothing but the journal."""
    count = world.scale.warm // 2
    options = StoreOptions(flush_ms=60_000 if replayed else 100)
    text = policy_of(TWO) + SHORT_IDS
    payments = Payments(world, text, accounts=count)
    payments.engine.close()
    home = world.folder()
    engine = frmcore.Engine(home / "store", policy=payments.policy, clock=None, store=options, **KEYS)
    for account in range(count):
        engine.decide(payments.event(account))
    if not replayed:
        flusher_of(engine).flush(whole=True)
    with flusher_of(engine).paused():
        shutil.copytree(home / "store", home / "crashed")
    engine.close()
    opened: list[frmcore.Engine] = []

    def close() -> None:
        while opened:
            opened.pop().close()

    def rounds() -> Iterator[list[Path]]:
        while True:
            close()
            folder = world.folder() / "store"
            shutil.copytree(home / "crashed", folder)
            yield [folder]

    def recover(folder: Path) -> Any:
        opened.append(frmcore.Engine(folder, policy=payments.policy, clock=None, **KEYS))
        return opened[-1]

    def known(engine: Any) -> str:
        return repr([engine.features(account=f"a{account}") for account in range(0, count, max(1, count // 50))])

    return Bench(recover, rounds(), known, count, slow=True, close=close)


@case("recovery_checkpoint")
def recovery_checkpoint(world: World) -> Bench:
    return _recovery(world, replayed=False)


@case("recovery_journal")
def recovery_journal(world: World) -> Bench:
    return _recovery(world, replayed=True)
