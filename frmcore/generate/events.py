"""Events as dicts, in the order of `records.FIELDS`. The stream gives them their ids."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from frmcore.generate.population import PER_EURO_CENT

if TYPE_CHECKING:
    from frmcore.generate.population import Merchant, Person
    from frmcore.generate.records import Event


Seat: TypeAlias = tuple[str, str, str, str]
"""Where somebody sits while they pay or log in: device, ip, country, channel."""


def login(at: int, person: Person, seat: Seat) -> Event:
    return _online("login", at, person, seat)


def password_change(at: int, person: Person, seat: Seat) -> Event:
    return _online("password_change", at, person, seat)


def payout(at: int, person: Person, seat: Seat, cents: int, payee: str = "") -> Event:
    """Money leaves the account: to another account, or (no payee) to a bank."""
    event = _online("payout", at, person, seat)
    if payee:
        event["payee"] = payee
    return _money(event, cents, person.country.currency)


def transfer(at: int, person: Person, seat: Seat, card: str, payee: str, cents: int) -> Event:
    """A payment by card to another account."""
    event = _online("payment", at, person, seat)
    event["card"] = card
    event["payee"] = payee
    return _money(event, cents, person.country.currency)


def purchase(at: int, person: Person, seat: Seat, card: str, merchant: Merchant, cents: int) -> Event:
    """A payment to a merchant over the internet, in the merchant's currency."""
    event = _online("payment", at, person, seat)
    event["card"] = card
    event["merchant"] = merchant.id
    event["category"] = merchant.category.name
    return _money(event, cents, merchant.country.currency)


def purchase_in_shop(at: int, person: Person, country: str, card: str, merchant: Merchant, cents: int) -> Event:
    """A payment at a terminal: no device, address or e-mail."""
    event: Event = {
        "txn_id": "", "ts": at, "kind": "payment", "account": person.account, "country": country, "channel": "pos",
        "card": card, "merchant": merchant.id, "category": merchant.category.name,
    }  # fmt: skip
    return _money(event, cents, merchant.country.currency)


def _online(kind: str, at: int, person: Person, seat: Seat) -> Event:
    device, ip, country, channel = seat
    return {
        "txn_id": "", "ts": at, "kind": kind, "account": person.account, "country": country,
        "channel": channel, "email": person.email, "device": device, "ip": ip,
    }  # fmt: skip


def _money(event: Event, cents: int, currency: str) -> Event:
    event["amount"] = int(cents * PER_EURO_CENT[currency]) or 1
    event["currency"] = currency
    return event
