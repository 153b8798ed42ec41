"""Who pays in the reference stream: names, addresses, countries, and what is listed. All made up, from a seed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import Final

CURRENCIES: Final = {
    "US": "USD", "GB": "GBP", "DE": "EUR", "FR": "EUR", "ES": "EUR", "IN": "INR", "BR": "BRL", "IT": "EUR", "CN": "CNY",
    "NL": "EUR", "PL": "PLN", "ID": "IDR", "UA": "UAH", "NG": "NGN", "RU": "RUB", "VN": "VND",
}  # fmt: skip
COUNTRIES: Final = (304, 113, 97, 73, 68, 63, 56, 50, 38, 36, 30, 23, 13, 13, 12, 11)  # weights, in that order
CHANNELS: Final = {
    "web-chrome": 250, "app-ios": 200, "app-android": 200, "pos-chip": 120, "pos-tap": 120, "web-firefox": 50,
    "moto": 40, "api": 20,
}  # fmt: skip
FIRST: Final = [
    "anna",
    "bela",
    "carl",
    "dora",
    "emil",
    "fred",
    "gina",
    "hugo",
    "ines",
    "jane",
    "kate",
    "lars",
    "mona",
    "nora",
    "otto",
    "paul",
    "rita",
    "sven",
    "tina",
    "vera",
]
LAST: Final = [
    "brown",
    "costa",
    "dupont",
    "garcia",
    "ito",
    "kim",
    "kowal",
    "larsen",
    "meyer",
    "nagy",
    "novak",
    "olsen",
    "rossi",
    "silva",
    "smith",
    "weber",
]
DOMAINS: Final = {
    "gmail.com": 396, "outlook.com": 213, "yahoo.com": 158, "proton.me": 41, "mailinator.com": 9, "yopmail.com": 8,
    **{f"company{number}.com": 10 for number in range(18)},
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Shape:
    """How many there are of each."""

    accounts: int = 200_000
    cards: int = 250_000
    devices: int = 150_000
    addresses: int = 100_000
    merchants: int = 5_000
    listed: tuple[int, ...] = (400_000, 200_000, 200_000, 200_000)  # cards, devices, addresses, e-mails
    live: int = 500  # of each that can occur in the stream


class People:
    """The names of all there is; the million listed values, a second or two, when they are first asked for."""

    def __init__(self, shape: Shape, seed: int) -> None:
        random = Random(seed + 1)
        self.accounts = [f"acc_{random.getrandbits(48):012x}" for _ in range(shape.accounts)]
        self.cards = [card(random) for _ in range(shape.cards)]
        self.devices = [device(random) for _ in range(shape.devices)]
        self.addresses = [address(random) for _ in range(shape.addresses)]
        self.countries = random.choices(list(CURRENCIES), COUNTRIES, k=shape.accounts)
        self.emails = [email(random, number) for number in range(shape.accounts)]
        self._shape, self._seed = shape, seed

    @cached_property
    def listed(self) -> list[list[str]]:
        """Of cards, devices, addresses, e-mails."""
        random, counts = Random(self._seed + 2), self._shape.listed
        made = [[make(random) for _ in range(n)] for make, n in zip((card, device, address), counts, strict=False)]
        return [*made, [email(random, random.getrandbits(20)) for _ in range(counts[3])]]


def card(random: Random) -> str:
    return f"tok_{random.getrandbits(48):012x}"


def device(random: Random) -> str:
    return f"dev_{random.getrandbits(64):016x}"


def address(random: Random) -> str:
    bits = random.getrandbits(32)
    return f"{1 + (bits >> 24) % 223}.{bits >> 16 & 255}.{bits >> 8 & 255}.{bits & 255}"


_DOMAIN_WEIGHTS: Final = [name for name, weight in DOMAINS.items() for _ in range(weight)]


def email(random: Random, number: int) -> str:
    """`paul.costa17@gmail.com`, one in eight without a family name."""
    bits = random.getrandbits(48)
    first, last = FIRST[bits % len(FIRST)], LAST[(bits >> 8) % len(LAST)]
    domain = _DOMAIN_WEIGHTS[(bits >> 20) % len(_DOMAIN_WEIGHTS)]
    return f"{first}{number}@{domain}" if bits >> 16 & 7 == 0 else f"{first}.{last}{number}@{domain}"
