"""Fraud with other people's cards and accounts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from frmcore.generate.events import login, password_change, payout, purchase
from frmcore.generate.numbers import between, pick
from frmcore.generate.scenario import MINUTE, SECOND, Range, Scenario, Step, hideout, mean

if TYPE_CHECKING:
    from collections.abc import Iterator

    from frmcore.generate.numbers import Draw
    from frmcore.generate.population import Population


@dataclass(frozen=True)
class CardTesting(Scenario):
    """A machine tries card numbers of two ranges with tiny amounts at one online merchant, from throwaway accounts of
    one mailbox. Every third run is patient: it waits minutes and changes its device and address every dozen cards."""

    name: ClassVar[str] = "card_testing"
    label_days: ClassVar[Range] = (2, 10)
    share: float = 0.008
    cards: Range = (40, 100)
    accounts: Range = (1, 3)
    cents: Range = (50, 300)
    gap_seconds: Range = (2, 9)
    patient_gap_seconds: Range = (60, 240)
    declined: float = 0.8

    def events_mean(self) -> float:
        return mean(self.cards)

    def span_ms(self, stream_ms: int) -> int:
        return self.cards[1] * self.patient_gap_seconds[1] * SECOND

    def episode(self, people: Population, draw: Draw, at: int, stream_ms: int) -> Iterator[Step]:
        testers = [people.stranger(draw) for _ in range(between(draw, *self.accounts))]
        mailbox, _, domain = testers[0].email.partition("@")
        for i, tester in enumerate(testers):
            tester.email = f"{mailbox}+{i}@{domain}"
        merchant = people.merchant_of(draw, ("charity", "digital", "games"))
        ranges = (between(draw, 10, 99), between(draw, 10, 99))
        seat = hideout(people, draw)
        patient = draw() < 1 / 3
        for i in range(between(draw, *self.cards)):
            if patient and i % 12 == 11:
                seat = hideout(people, draw)
            card = f"9990{pick(draw, ranges)}-{int(draw() * (1 << 32)):08x}"
            event = purchase(at, pick(draw, testers), seat, card, merchant, between(draw, *self.cents))
            yield Step(event, True, self.declined)
            gap = self.patient_gap_seconds if patient else self.gap_seconds
            at += between(draw, gap[0] * SECOND, gap[1] * SECOND)


@dataclass(frozen=True)
class Takeover(Scenario):
    """Somebody gets into an account from a new device, mostly changes the password, and within the hour drains its
    cards at shops whose goods sell on, or (`by_payout`) its balance to another account."""

    name: ClassVar[str] = "takeover"
    label_days: ClassVar[Range] = (3, 15)
    share: float = 0.004
    payments: Range = (3, 7)
    cents: Range = (9_000, 60_000)
    gap_minutes: Range = (2, 12)
    password_changed: float = 0.8
    by_payout: float = 0.3
    declined: float = 0.35

    def events_mean(self) -> float:
        return 1 + self.password_changed + mean(self.payments)

    def span_ms(self, stream_ms: int) -> int:
        return (self.payments[1] + 2) * self.gap_minutes[1] * MINUTE

    def episode(self, people: Population, draw: Draw, at: int, stream_ms: int) -> Iterator[Step]:
        victim = people.anybody(draw)
        seat = hideout(people, draw)
        yield Step(login(at, victim, seat), False, 0)
        at += between(draw, 30 * SECOND, 4 * MINUTE)
        if draw() < self.password_changed:
            yield Step(password_change(at, victim, seat), False, 0)
        thief = people.stranger(draw).account if draw() < self.by_payout else ""
        for _ in range(between(draw, *self.payments)):
            at += between(draw, self.gap_minutes[0] * MINUTE, self.gap_minutes[1] * MINUTE)
            cents = between(draw, *self.cents)
            if thief:
                yield Step(payout(at, victim, seat, cents, thief), True, 0)
            else:
                shop = people.merchant_of(draw, ("hardware", "gift_cards", "travel"))
                yield Step(purchase(at, victim, seat, pick(draw, victim.cards), shop, cents), True, self.declined)


@dataclass(frozen=True)
class StolenCard(Scenario):
    """A card's number is used from a thief's own fresh account: a probe or two of a few euros, then all it gives."""

    name: ClassVar[str] = "stolen_card"
    label_days: ClassVar[Range] = (10, 35)
    share: float = 0.004
    probes: Range = (1, 2)
    probe_cents: Range = (200, 900)
    payments: Range = (3, 8)
    cents: Range = (8_000, 40_000)
    gap_minutes: Range = (3, 25)
    declined: float = 0.4

    def events_mean(self) -> float:
        return mean(self.probes) + mean(self.payments)

    def span_ms(self, stream_ms: int) -> int:
        return (self.probes[1] + self.payments[1]) * self.gap_minutes[1] * MINUTE

    def episode(self, people: Population, draw: Draw, at: int, stream_ms: int) -> Iterator[Step]:
        card = pick(draw, people.anybody(draw).cards)
        thief = people.stranger(draw)
        seat = hideout(people, draw)
        probes = between(draw, *self.probes)
        for i in range(probes + between(draw, *self.payments)):
            goods = ("digital", "games") if i < probes else ("hardware", "fashion", "gift_cards", "travel")
            cents = between(draw, *(self.probe_cents if i < probes else self.cents))
            event = purchase(at, thief, seat, card, people.merchant_of(draw, goods), cents)
            yield Step(event, True, self.declined)
            at += between(draw, self.gap_minutes[0] * MINUTE, self.gap_minutes[1] * MINUTE)


@dataclass(frozen=True)
class BustOut(Scenario):
    """A made-up person builds a good name with small purchases for a third of the stream, then spends all the credit in
    a day and is gone. Only that last day is labelled."""

    name: ClassVar[str] = "bust_out"
    label_days: ClassVar[Range] = (30, 60)
    share: float = 0.006
    purchases: Range = (10, 16)
    purchase_cents: Range = (1_200, 4_500)
    bust: Range = (10, 15)
    bust_cents: Range = (25_000, 90_000)
    bust_gap_minutes: Range = (10, 110)
    declined: float = 0.15

    def events_mean(self) -> float:
        return mean(self.purchases) + mean(self.bust)

    def span_ms(self, stream_ms: int) -> int:
        return stream_ms // 3 + self.bust[1] * self.bust_gap_minutes[1] * MINUTE

    def episode(self, people: Population, draw: Draw, at: int, stream_ms: int) -> Iterator[Step]:
        person = people.stranger(draw)
        seat = (person.devices[0], person.home_ip, person.country.code, "app")
        purchases = between(draw, *self.purchases)
        for i in range(purchases):
            shop = people.merchant_of(draw, ("groceries", "restaurants", "fuel", "household"))
            when = at + int((i + draw()) / purchases * (stream_ms // 3))
            cents = between(draw, *self.purchase_cents)
            yield Step(purchase(when, person, seat, person.cards[0], shop, cents), False, 0.02)
        at += stream_ms // 3
        for _ in range(between(draw, *self.bust)):
            shop = people.merchant_of(draw, ("hardware", "gift_cards", "fashion", "travel"))
            event = purchase(at, person, seat, person.cards[0], shop, between(draw, *self.bust_cents))
            yield Step(event, True, self.declined)
            at += between(draw, self.bust_gap_minutes[0] * MINUTE, self.bust_gap_minutes[1] * MINUTE)
