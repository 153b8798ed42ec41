"""Honest behaviour that looks like fraud: what costs a rule its precision. The customer was asked, hence `legit`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from frmcore.generate.events import login, password_change, payout, purchase, transfer
from frmcore.generate.fraud_accounts import at_home
from frmcore.generate.numbers import between
from frmcore.generate.scenario import DAY, HOUR, MINUTE, SECOND, Range, Scenario, Step, mean

if TYPE_CHECKING:
    from collections.abc import Iterator

    from frmcore.generate.numbers import Draw
    from frmcore.generate.population import Population


@dataclass(frozen=True)
class Lookalike(Scenario):
    """Something honest."""

    label: ClassVar[str] = "legit"
    label_days: ClassVar[Range] = (1, 4)


@dataclass(frozen=True)
class NewPhone(Lookalike):
    """Looks like a takeover: a new phone, the forgotten password changed, and soon a few purchases."""

    name: ClassVar[str] = "new_phone"
    share: float = 0.003
    payments: Range = (1, 4)
    gap_minutes: Range = (5, 240)

    def events_mean(self) -> float:
        return 2 + mean(self.payments)

    def span_ms(self, stream_ms: int) -> int:
        return (self.payments[1] + 1) * self.gap_minutes[1] * MINUTE

    def episode(self, people: Population, draw: Draw, at: int, stream_ms: int) -> Iterator[Step]:
        person = people.anybody(draw)
        seat = (people.new_device(draw), person.home_ip, person.country.code, "app")
        yield Step(login(at, person, seat), False, 0)
        yield Step(password_change(at + between(draw, 30 * SECOND, 5 * MINUTE), person, seat), False, 0)
        for _ in range(between(draw, *self.payments)):
            at += between(draw, self.gap_minutes[0] * MINUTE, self.gap_minutes[1] * MINUTE)
            shop = people.merchant(draw)
            cents = people.spend_cents(draw, person, shop)
            yield Step(purchase(at, person, seat, person.cards[0], shop, cents), True, 0.03)


@dataclass(frozen=True)
class HolidayPot(Lookalike):
    """Looks like a mule: friends pay one of them, who pays the holiday from it."""

    name: ClassVar[str] = "holiday_pot"
    share: float = 0.002
    friends: Range = (3, 7)
    cents: Range = (10_000, 40_000)
    collect_hours: int = 30

    def events_mean(self) -> float:
        return mean(self.friends) + 1

    def span_ms(self, stream_ms: int) -> int:
        return (self.collect_hours + 12) * HOUR

    def episode(self, people: Population, draw: Draw, at: int, stream_ms: int) -> Iterator[Step]:
        treasurer = people.anybody(draw)
        friends, cents = between(draw, *self.friends), between(draw, *self.cents)
        for i in range(friends):
            friend = people.anybody(draw)
            when = at + int((i + draw()) / friends * self.collect_hours * HOUR)
            yield Step(transfer(when, friend, at_home(friend), friend.cards[0], treasurer.account, cents), True, 0.02)
        when = at + self.collect_hours * HOUR + between(draw, HOUR, 12 * HOUR)
        yield Step(payout(when, treasurer, at_home(treasurer), cents * friends), True, 0)


@dataclass(frozen=True)
class GiftSpree(Lookalike):
    """Looks like a bust-out: all the presents of the year in one day."""

    name: ClassVar[str] = "gift_spree"
    share: float = 0.003
    payments: Range = (6, 11)
    cents: Range = (3_000, 20_000)

    def events_mean(self) -> float:
        return mean(self.payments)

    def span_ms(self, stream_ms: int) -> int:
        return DAY

    def episode(self, people: Population, draw: Draw, at: int, stream_ms: int) -> Iterator[Step]:
        person = people.anybody(draw)
        seat = at_home(person)
        for _ in range(between(draw, *self.payments)):
            shop = people.merchant_of(draw, ("fashion", "hardware", "household", "games", "gift_cards"))
            yield Step(purchase(at, person, seat, person.cards[0], shop, between(draw, *self.cents)), True, 0.04)
            at += between(draw, 3 * MINUTE, 2 * HOUR)


@dataclass(frozen=True)
class DunningMerchant(Lookalike):
    """Looks like card testing: a subscription's merchant tries a declined card again and again."""

    name: ClassVar[str] = "dunning"
    share: float = 0.002
    attempts: Range = (3, 6)
    gap_minutes: Range = (1, 4)

    def events_mean(self) -> float:
        return mean(self.attempts)

    def span_ms(self, stream_ms: int) -> int:
        return self.attempts[1] * self.gap_minutes[1] * MINUTE

    def episode(self, people: Population, draw: Draw, at: int, stream_ms: int) -> Iterator[Step]:
        person = people.anybody(draw)
        shop = people.merchant_of(draw, ("subscriptions",))
        cents = people.spend_cents(draw, person, shop)
        for _ in range(between(draw, *self.attempts)):
            yield Step(purchase(at, person, at_home(person), person.cards[0], shop, cents), True, 0.9)
            at += between(draw, self.gap_minutes[0] * MINUTE, self.gap_minutes[1] * MINUTE)
