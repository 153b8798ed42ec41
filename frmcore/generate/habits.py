"""What honest people do: the ordinary events of the stream, one at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from frmcore.generate.events import Seat, login, password_change, payout, purchase, purchase_in_shop, transfer
from frmcore.generate.numbers import TABLE, log_normal, pick
from frmcore.generate.population import COUNTRIES, hosting_ip

if TYPE_CHECKING:
    from frmcore.generate.numbers import Draw
    from frmcore.generate.population import Person, Population
    from frmcore.generate.records import Event


@dataclass(frozen=True)
class Habits:
    """Ordinary events: shares of kinds, and how often people leave their beaten track.

    The rest of the events are purchases. Of these `in_shop` happen at a terminal (unless the merchant sells online
    only). People use their own phone mostly, a tablet the household shares, sometimes a new device; they sit at home,
    behind a carrier's address that others use too, or behind a VPN in a data centre. Abroad they pay in the merchant's
    currency, as everywhere.
    """

    logins: float = 0.145
    transfers: float = 0.03
    payouts: float = 0.022
    password_changes: float = 0.003
    in_shop: float = 0.45
    abroad: float = 0.015
    new_device: float = 0.004
    mobile: float = 0.4
    own_phone: float = 0.75
    vpn: float = 0.01

    def event(self, people: Population, draw: Draw, at: int) -> Event:
        what = draw()
        person = people.anybody(draw)
        if what >= self.logins + self.transfers + self.payouts + self.password_changes:
            return self.buy(people, draw, at, person)
        if what < self.logins:
            return login(at, person, self.seat(people, draw, person))
        what -= self.logins
        if what < self.transfers:
            seller = people.seller(draw)
            cents = 2500 * log_normal(0.8)[int(draw() * TABLE)]
            return transfer(at, person, self.seat(people, draw, person), person.cards[0], seller.account, int(cents))
        if what < self.transfers + self.payouts:
            seller = people.seller(draw)
            cents = 15_000 * log_normal(0.7)[int(draw() * TABLE)]
            return payout(at, seller, self.seat(people, draw, seller), int(cents))
        return password_change(at, person, self.seat(people, draw, person))

    def buy(self, people: Population, draw: Draw, at: int, person: Person) -> Event:
        merchant = people.merchant(draw)
        cents = people.spend_cents(draw, person, merchant)
        card = person.cards[0] if draw() < 0.8 else person.cards[-1]
        if not merchant.category.online and draw() < self.in_shop:
            country = pick(draw, COUNTRIES).code if draw() < self.abroad else person.country.code
            return purchase_in_shop(at, person, country, card, merchant, cents)
        return purchase(at, person, self.seat(people, draw, person), card, merchant, cents)

    def seat(self, people: Population, draw: Draw, person: Person) -> Seat:
        u = draw()
        if u < self.new_device:
            device = people.new_device(draw)
        else:
            device = person.devices[0] if u < self.own_phone else pick(draw, person.devices)
        country = person.country.code if draw() >= self.abroad else pick(draw, COUNTRIES).code
        way = draw()
        if way < self.mobile:
            return (device, person.mobile_ip, country, "app")
        if way >= 1 - self.vpn:
            return (device, hosting_ip(draw), country, "web")
        return (device, person.home_ip, country, "web")
