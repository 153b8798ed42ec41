"""The people, households, cards, devices and merchants of the stream.

Everything about account n follows from n, so nothing is stored: a hundred million events need hardly more memory than
a million. All of it is made up: e-mail domains are reserved for examples, addresses are private,
carrier-grade NAT, documentation or benchmark ranges, card tokens start with 9990, which no issuer uses.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from frmcore.generate.numbers import TABLE, Popularity, log_normal, mix, pick

if TYPE_CHECKING:
    from collections.abc import Callable

    from frmcore.generate.numbers import Draw
    from frmcore.generate.records import Event


class Country(NamedTuple):
    code: str
    currency: str
    share: int  # of the population, in 64ths


class Category(NamedTuple):
    name: str
    median_cents: int  # of a payment, in euro cents
    share: int  # of the merchants, in 64ths
    online: bool  # sells over the internet only


COUNTRIES: Final = (
    Country("DE", "EUR", 17), Country("FR", "EUR", 11), Country("ES", "EUR", 8), Country("NL", "EUR", 6),
    Country("GB", "GBP", 8), Country("PL", "PLN", 5), Country("SE", "SEK", 4), Country("CH", "CHF", 3),
    Country("US", "USD", 1), Country("JP", "JPY", 1),
)  # fmt: skip
PER_EURO_CENT: Final = {
    "EUR": 1.0, "GBP": 0.855, "PLN": 4.3, "SEK": 11.3, "CHF": 0.94, "USD": 1.08, "JPY": 1.62,
}  # fmt: skip
"""Minor units of each currency for one euro cent (the yen has none). The demo policy's rates are their inverse."""

CATEGORIES: Final = (
    Category("groceries", 2800, 14, False), Category("restaurants", 2400, 11, False), Category("fuel", 4500, 6, False),
    Category("fashion", 5500, 8, False), Category("household", 3800, 6, False), Category("hardware", 14000, 5, False),
    Category("digital", 900, 5, True), Category("subscriptions", 1200, 3, True), Category("travel", 21000, 3, True),
    Category("gift_cards", 5000, 1, True), Category("charity", 1500, 1, True), Category("games", 1900, 1, True),
)  # fmt: skip
FIRST_NAMES: Final = ("anna", "ben", "clara", "david", "elif", "felix", "greta", "hugo", "ines", "jonas", "kim", "lena",
                      "maria", "noah", "olga", "pavel")  # fmt: skip
LAST_NAMES: Final = ("berg", "costa", "dubois", "fischer", "garcia", "hansen", "ito", "jansen", "keller", "lopez",
                     "meyer", "nowak", "olsen", "peters", "rossi", "smith")  # fmt: skip
DISPOSABLE_DOMAINS: Final = ("tempbox.example", "throwaway.example", "tenminutes.example")
MAIL_DOMAINS: Final = ("example.com",) * 32 + ("example.org",) * 16 + ("example.net",) * 15 + DISPOSABLE_DOMAINS[:1]
HOUSEHOLD_OF: Final = (0, 0, 1, 2, 2, 2, 3, 3)  # of every eight accounts: homes of two, one, three and two

_COUNTRY_TABLE: Final = tuple(country for country in COUNTRIES for _ in range(country.share))
_CATEGORY_TABLE: Final = tuple(category for category in CATEGORIES for _ in range(category.share))


@dataclass(slots=True)
class Person:
    """One account and what belongs to it."""

    account: str
    country: Country
    email: str
    cards: tuple[str, ...]
    devices: tuple[str, ...]  # own phone, shared tablet of the household, maybe a computer
    home_ip: str
    mobile_ip: str
    scale: float  # how much this person spends, 1 is the median
    seller: bool  # sells to others and pays out


class Merchant(NamedTuple):
    id: str
    category: Category
    country: Country


def device(number: int) -> str:
    return f"d{mix(number ^ 0xDE71CE) >> 24:010x}"


def card(number: int) -> str:
    bits = mix(number ^ 0xCA2D)
    return f"9990{bits % 90 + 10}-{bits >> 32:08x}"


def home_ip(household: int) -> str:
    """A fifth of the homes has IPv6."""
    bits = mix(household ^ 0x10)
    if bits % 5 == 0:
        return f"2001:db8:{bits >> 8 & 0xFFFF | 1:x}:{bits >> 24 & 0xFFFF | 1:x}::{bits >> 40 & 0xFF | 1:x}"
    return f"10.{bits >> 8 & 0xFF}.{bits >> 16 & 0xFF}.{bits >> 24 & 0xFF}"


def hosting_ip(draw: Draw) -> str:
    """An address of a data centre: the benchmark range, for want of a reserved one."""
    return f"198.18.{int(draw() * 8)}.{int(draw() * 256)}"


class Population:
    """Accounts 0 .. accounts - 1 by falling activity, merchants likewise; later numbers are strangers of one use."""

    def __init__(self, accounts: int) -> None:
        self.accounts = accounts
        self.merchants = tuple(_merchant(n) for n in range(max(60, min(20_000, accounts // 20))))
        self._strangers = 0
        self._person: Callable[[int], Person] = lru_cache(maxsize=1 << 15)(self.person)
        self._noise = log_normal(0.6)
        self._person_rank = Popularity(accounts, 0.4).rank
        self._seller_rank = Popularity(max(1, accounts // 24), 0.4).rank
        self._merchant_rank = Popularity(len(self.merchants), 0.2).rank

    def anybody(self, draw: Draw) -> Person:
        """Someone, by activity."""
        return self._person(self._person_rank(draw()))

    def seller(self, draw: Draw) -> Person:
        """One of the accounts that sell to others: every 24th."""
        return self._person(self._seller_rank(draw()) * 24)

    def stranger(self, draw: Draw) -> Person:
        """An account nobody has seen before; a fraudster's has a disposable mailbox every other time."""
        self._strangers += 1
        person = self.person(self.accounts + self._strangers)
        if draw() < 0.5:
            person.email = f"{pick(draw, FIRST_NAMES)}{int(draw() * 10_000)}@{pick(draw, DISPOSABLE_DOMAINS)}"
        return person

    def new_device(self, draw: Draw) -> str:
        return device(1 << 40 | int(draw() * (1 << 40)))

    def merchant(self, draw: Draw) -> Merchant:
        """Some merchant, by popularity."""
        return self.merchants[self._merchant_rank(draw())]

    def merchant_of(self, draw: Draw, categories: tuple[str, ...]) -> Merchant:
        """Some merchant of these categories, all alike (the smallest population has every category)."""
        while True:
            merchant = pick(draw, self.merchants)
            if merchant.category.name in categories:
                return merchant

    def spend_cents(self, draw: Draw, person: Person, merchant: Merchant) -> int:
        """What this person pays there, in euro cents: log-normal around what is usual for both."""
        cents = int(merchant.category.median_cents * person.scale * self._noise[int(draw() * TABLE)])
        return cents if cents > 50 else 50

    def person(self, n: int) -> Person:
        bits = mix(n)
        household = n // 8 * 4 + HOUSEHOLD_OF[n % 8]
        first, last = FIRST_NAMES[bits & 15], LAST_NAMES[bits >> 4 & 15]
        cards = (card(2 * n), card(2 * n + 1)) if bits >> 8 & 3 == 0 else (card(2 * n),)
        computer = (device(2 * n + 1),) if bits >> 10 & 1 else ()
        return Person(
            account=f"a-{n}",
            country=_COUNTRY_TABLE[mix(household) & 63],
            email=f"{first}.{last}{n}@{MAIL_DOMAINS[bits >> 46 & 63]}",
            cards=cards,
            devices=(device(2 * n), device(household | 1 << 36), *computer),
            home_ip=home_ip(household),
            mobile_ip=f"100.{64 + (bits >> 13 & 3)}.{bits >> 15 & 15}.{bits >> 19 & 0xFF}",
            scale=log_normal(0.5)[bits >> 27 & TABLE - 1],
            seller=n % 24 == 0,
        )


def _merchant(n: int) -> Merchant:
    """The first twelve have one category each, so that every population has all of them."""
    bits = mix(n ^ 0x3E2C4A)
    category = CATEGORIES[n] if n < len(CATEGORIES) else _CATEGORY_TABLE[bits & 63]
    return Merchant(f"m-{n}", category, _COUNTRY_TABLE[bits >> 8 & 63])


def euro_cents(event: Event) -> int:
    """What the event's amount is worth in euro cents; 0 for events without one."""
    if "amount" not in event:
        return 0
    return int(event["amount"] / PER_EURO_CENT[event["currency"]] + 0.5)
