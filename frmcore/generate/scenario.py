"""The form of a scenario: episodes of events that somebody staged."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from frmcore.generate.numbers import between, pick
from frmcore.generate.population import COUNTRIES, home_ip, hosting_ip

if TYPE_CHECKING:
    from collections.abc import Iterator

    from frmcore.generate.events import Seat
    from frmcore.generate.numbers import Draw
    from frmcore.generate.population import Population
    from frmcore.generate.records import Event

SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

Range = tuple[int, int]
"""Least and greatest of a parameter; drawn evenly."""


class Step(NamedTuple):
    """One event of an episode."""

    event: Event
    told: bool  # it gets the scenario's label later, if it is a payment or payout
    declined: float  # how likely the issuer says no


@dataclass(frozen=True)
class Scenario(ABC):
    """A kind of episode. A subclass states its parameters as fields; `share` is that of all events of the stream."""

    name: ClassVar[str]
    label: ClassVar[str] = "fraud"
    label_days: ClassVar[Range]  # how much later the label arrives
    share: float

    @abstractmethod
    def events_mean(self) -> float:
        """Events of an episode, on average."""

    @abstractmethod
    def span_ms(self, stream_ms: int) -> int:
        """The longest that an episode may last."""

    @abstractmethod
    def episode(self, people: Population, draw: Draw, at: int, stream_ms: int) -> Iterator[Step]:
        """The events of one episode that starts at `at`."""

    def describe(self) -> str:
        """What happens in it, its parameters, and what it is labelled."""
        least, most = self.label_days
        parameters = [f"{f.name} {_plain(getattr(self, f.name))}" for f in fields(self) if f.name != "share"]
        labelled = f"labelled {self.label} after {least} to {most} days"
        return f"{' '.join(str(self.__doc__).split())}\n({', '.join(parameters)}; {labelled})"


def _plain(value: float | Range) -> str:
    return f"{value[0]} to {value[1]}" if isinstance(value, tuple) else str(value)


def mean(values: Range) -> float:
    return (values[0] + values[1]) / 2


def hideout(people: Population, draw: Draw) -> Seat:
    """Where a fraudster sits: a fresh device, behind a data centre or the hijacked router of some home, anywhere."""
    ip = hosting_ip(draw) if draw() < 0.6 else home_ip(between(draw, 0, people.accounts))
    return (people.new_device(draw), ip, pick(draw, COUNTRIES).code, "web")
