"""Fraud by those who hold the accounts, and the laundering of what it brings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from frmcore.generate.events import Seat, payout, purchase, transfer
from frmcore.generate.numbers import between, pick
from frmcore.generate.scenario import DAY, HOUR, MINUTE, Range, Scenario, Step, mean

if TYPE_CHECKING:
    from collections.abc import Iterator

    from frmcore.generate.numbers import Draw
    from frmcore.generate.population import Person, Population


def at_home(person: Person) -> Seat:
    return (person.devices[0], person.home_ip, person.country.code, "web")


@dataclass(frozen=True)
class Collusion(Scenario):
    """A small merchant sells nothing to a ring of accounts that share a few phones, for round amounts, day after day;
    the ring disputes the payments when the merchant has been paid and is gone."""

    name: ClassVar[str] = "collusion"
    label_days: ClassVar[Range] = (30, 50)
    share: float = 0.004
    ring: Range = (6, 12)
    devices: Range = (2, 3)
    payments: Range = (24, 48)
    round_euros: Range = (2, 12)  # times 50 euros
    days: int = 4
    declined: float = 0.05

    def events_mean(self) -> float:
        return mean(self.payments)

    def span_ms(self, stream_ms: int) -> int:
        return self.days * DAY

    def episode(self, people: Population, draw: Draw, at: int, stream_ms: int) -> Iterator[Step]:
        small = people.merchants[len(people.merchants) // 4 :]
        merchant = pick(draw, small)
        ring = [people.stranger(draw) for _ in range(between(draw, *self.ring))]
        seats = [
            (people.new_device(draw), ring[i].home_ip, ring[i].country.code, "app")
            for i in range(between(draw, *self.devices))
        ]
        payments = between(draw, *self.payments)
        for i in range(payments):
            buyer = pick(draw, ring)
            when = at + int((i + draw()) / payments * self.days * DAY)
            cents = between(draw, *self.round_euros) * 5_000
            event = purchase(when, buyer, pick(draw, seats), buyer.cards[0], merchant, cents)
            yield Step(event, True, self.declined)


@dataclass(frozen=True)
class MuleChain(Scenario):
    """Victims are talked into paying an account from their own devices. It pays nearly all of it out within the hour,
    to another account that does the same, and the last one to a bank. Payments and payouts are labelled."""

    name: ClassVar[str] = "mule_chain"
    label_days: ClassVar[Range] = (20, 40)
    share: float = 0.004
    victims: Range = (3, 6)
    cents: Range = (60_000, 180_000)
    collect_hours: int = 6
    hops: Range = (1, 3)
    hop_minutes: Range = (10, 60)
    parts: Range = (1, 2)
    kept_percent: Range = (3, 9)

    def events_mean(self) -> float:
        return mean(self.victims) + mean(self.hops) * mean(self.parts)

    def span_ms(self, stream_ms: int) -> int:
        return self.collect_hours * HOUR + self.hops[1] * self.parts[1] * self.hop_minutes[1] * MINUTE

    def episode(self, people: Population, draw: Draw, at: int, stream_ms: int) -> Iterator[Step]:
        mule = people.stranger(draw)
        victims = between(draw, *self.victims)
        moved = 0
        for i in range(victims):
            victim, cents = people.anybody(draw), between(draw, *self.cents)
            when = at + int((i + draw()) / victims * self.collect_hours * HOUR)
            moved += cents
            yield Step(transfer(when, victim, at_home(victim), victim.cards[0], mule.account, cents), True, 0)
        at += self.collect_hours * HOUR
        hops = between(draw, *self.hops)
        for hop in range(hops):
            target = people.stranger(draw)
            moved = moved * (100 - between(draw, *self.kept_percent)) // 100
            parts = between(draw, *self.parts)
            for _ in range(parts):
                at += between(draw, self.hop_minutes[0] * MINUTE, self.hop_minutes[1] * MINUTE)
                payee = target.account if hop < hops - 1 else ""
                yield Step(payout(at, mule, at_home(mule), moved // parts, payee), True, 0)
            mule = target


@dataclass(frozen=True)
class Structuring(Scenario):
    """Somebody moves a large sum as payouts that each stay just below a reporting line of 1,000 euros."""

    name: ClassVar[str] = "structuring"
    label_days: ClassVar[Range] = (30, 60)
    share: float = 0.003
    payouts: Range = (6, 12)
    cents: Range = (90_500, 99_900)
    gap_minutes: Range = (60, 420)

    def events_mean(self) -> float:
        return mean(self.payouts)

    def span_ms(self, stream_ms: int) -> int:
        return self.payouts[1] * self.gap_minutes[1] * MINUTE

    def episode(self, people: Population, draw: Draw, at: int, stream_ms: int) -> Iterator[Step]:
        person = people.anybody(draw)
        for _ in range(between(draw, *self.payouts)):
            yield Step(payout(at, person, at_home(person), between(draw, *self.cents)), True, 0)
            at += between(draw, self.gap_minutes[0] * MINUTE, self.gap_minutes[1] * MINUTE)
