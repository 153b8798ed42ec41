"""What the benchmarks share: the reference stream, the policy with its lists filled, engines, the floor."""

from __future__ import annotations

import atexit
import re
import shutil
import tempfile
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

import frmcore
from bench.kernel import Floor, batch_ns
from bench.stream import R1, SMALL, Stream
from frmcore.policy import Policy, load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.people import Shape
    from frmcore.store.flusher import Flusher

HERE: Final = Path(__file__).parent
RESULTS: Final = HERE / "results"
POLICY: Final = HERE / "r1.yaml"
KEYS: Final[dict[str, Any]] = {"key": bytes(range(16)), "private_key": bytes(16)}
AGAIN: Final = 2  # times that a benchmark which seems to have slipped is measured anew
IDS_REMEMBERED: Final = 1_000_000  # `limits.ids_min`, which R1 leaves as it is


def flusher_of(engine: frmcore.Engine) -> Flusher:
    """Of an engine with a store."""
    assert engine._store is not None
    return engine._store.flusher


@dataclass(frozen=True, slots=True)
class Scale:
    """How much a benchmark does."""

    shape: Shape
    warm: int  # events before the first that is measured
    size: int  # operations of a round
    rounds: int
    slow_rounds: int  # of what takes a good part of a second
    entities: tuple[int, int, int]
    listed: int  # values of the list that is probed


FULL: Final = Scale(R1, 200_000, 1_000, 20, 3, (1_000, 100_000, 5_000_000), 1_000_000)
SMOKE: Final = Scale(SMALL, 400, 40, 2, 1, (20, 200, 2_000), 2_000)


@dataclass
class World:
    """One stream at one scale. What is slow to make is made once, when first asked for."""

    scale: Scale
    folders: list[Path] = field(default_factory=list)

    @cached_property
    def stream(self) -> Stream:
        scale = self.scale
        return Stream(scale.warm + (scale.rounds * (1 + AGAIN) + 1) * scale.size, shape=scale.shape)

    @cached_property
    def events(self) -> list[bytes]:
        """As JSON: the first `scale.warm` warm an engine, the others are measured."""
        return list(self.stream.json())

    @cached_property
    def policy(self) -> Policy:
        return load(self.policy_file)

    @cached_property
    def policy_file(self) -> Path:
        """R1 with its million listed values, as list files."""
        folder = self.folder()
        text = re.sub(r"(bl_\w+): \{of: (\w+)\}", r"\1: {of: \2, file: \1.txt}", POLICY.read_text())
        for name, values in self.stream.lists().items():
            (folder / f"{name}.txt").write_text("\n".join(dict.fromkeys(values)) + "\n")
        (folder / "r1.yaml").write_text(text)
        return folder / "r1.yaml"

    @cached_property
    def decode(self) -> Any:
        """JSON to the Struct: fresh texts, as a service gets them."""
        return msgspec.json.Decoder(self.policy.Event).decode

    @cached_property
    def floor(self) -> Floor:
        shape = self.scale.shape
        entities = (shape.accounts, shape.cards, shape.devices, shape.addresses, shape.merchants)
        floor = Floor(self.policy.Event, entities, shape.listed, IDS_REMEMBERED)
        for event in self.events[: self.scale.warm]:
            floor.decide(self.decode(event))
        return floor

    def folder(self) -> Path:
        """A new folder for a store, in the file system where temporary files are; gone when the process ends."""
        path = Path(tempfile.mkdtemp(prefix="frmcore-bench-"))
        atexit.register(shutil.rmtree, path, ignore_errors=True)
        return path

    def engine(self, policy: Any = None, *, stored: bool = False) -> frmcore.Engine:
        """An empty engine."""
        path = self.folder() / "store" if stored else None
        return frmcore.Engine(path, policy=policy or self.policy, clock=None, **KEYS)

    def warm(self, policy: Any = None, *, stored: bool = False) -> frmcore.Engine:
        """An engine (of R1) that has decided the first events."""
        engine = self.engine(policy, stored=stored)
        decode = msgspec.json.Decoder(engine.policy.Event).decode
        for event in self.events[: self.scale.warm]:
            engine.decide(decode(event))
        return engine

    def rounds(self, make: Any = None) -> Iterator[list[Any]]:
        """The events behind the warm ones, `scale.size` at a time, each made by `make` (the Struct)."""
        rest = islice(self.events, self.scale.warm, None)
        while batch := [(make or self.decode)(event) for event in islice(rest, self.scale.size)]:
            yield batch

    def floor_ns(self, number: int) -> float:
        """Mean time of the floor over one round of events, made just before."""
        start = self.scale.warm + number % self.scale.rounds * self.scale.size
        return batch_ns(
            self.floor.decide, [self.decode(event) for event in self.events[start : start + self.scale.size]]
        )
