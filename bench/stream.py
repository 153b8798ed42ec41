"""R1, the reference stream: card payments of any number, the same for the same seed on any machine.

A day's rhythm, accounts that differ in how often they pay (Zipf 0.8), merchants too (Zipf 1.0), own cards, devices and
addresses; between them card-testing runs, bursts on one account, retries and payments that touch a listed value.
"""

from __future__ import annotations

import math
from bisect import bisect
from collections import deque
from heapq import merge
from itertools import accumulate, islice
from random import Random
from typing import TYPE_CHECKING, Any, Final

import msgspec

from bench.people import CHANNELS, CURRENCIES, People, Shape

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

START_MS: Final = 1_749_945_600_000  # 2025-06-15T00:00:00Z
DAYS: Final = 7
HOUR_MS: Final = 3_600_000
# By hour of the day.
RHYTHM: Final = (7, 8, 8, 8, 8, 9, 10, 11, 12, 15, 21, 28, 27, 20, 15, 13, 11, 9, 9, 8, 8, 7, 8, 8)  # fmt: skip
OWN_CARD, OWN_DEVICE, OWN_ADDRESS = 0.95, 0.90, 0.70
RUN_EVENTS, RUN_MS, RUN_SHARE = 100, 120_000, 0.005
BURST_EVENTS, BURST_MS, BURST_SHARE = 40, 600_000, 0.0025
RETRIES, RETRY_OF_LAST = 0.001, 50
LISTED = 0.001
ABROAD, IN_DOLLARS, OTHER_EMAIL = 0.05, 0.05, 0.01
AMOUNT_MEDIAN, AMOUNT_SIGMA = 3000, 1.2  # minor units, log-normal
LISTS: Final = {"bl_card": "card_id", "bl_device": "device_id", "bl_ip": "ip", "bl_email": "email"}

R1: Final = Shape()
SMALL: Final = Shape(2_000, 2_500, 1_500, 1_000, 500, (4_000, 2_000, 2_000, 2_000), 50)


class Zipf:
    """Ranks 0 to count - 1, the k-th with weight 1/k**exponent. A draw is O(log count)."""

    def __init__(self, count: int, exponent: float) -> None:
        self._sums = list(accumulate(1 / rank**exponent for rank in range(1, count + 1)))

    def draw(self, random: Random) -> int:
        return bisect(self._sums, random.random() * self._sums[-1], 0, len(self._sums) - 1)


class Stream:
    """One stream: `Stream(1_000_000).events()`. `count` events over seven event-days; making one costs 10 to 20 us."""

    def __init__(self, count: int, seed: int = 1, shape: Shape = R1) -> None:
        self.count, self.shape = count, shape
        self._random = Random(seed)
        self._people = People(shape, seed)
        self._zipf = Zipf(shape.accounts, 0.8)
        self._merchants = Zipf(shape.merchants, 1.0)
        self._channels = list(accumulate(CHANNELS.values()))
        self._channel_names = list(CHANNELS)
        self._fields = list(LISTS.values())

    def lists(self) -> dict[str, list[str]]:
        """The listed values; the first `shape.live` of each can occur in the stream."""
        return dict(zip(LISTS, self._people.listed, strict=True))

    def events(self) -> Iterator[dict[str, Any]]:
        """The events in order of time; a retry is the same event again, up to 50 events later."""
        random, recent = self._random, deque[dict[str, Any]](maxlen=RETRY_OF_LAST)
        return islice(self._with_retries(random, recent), self.count)

    def json(self) -> Iterator[bytes]:
        """The events as JSON, each to be decoded just before it is decided: so no hash of its texts is cached."""
        return map(msgspec.json.Encoder().encode, self.events())

    def _with_retries(self, random: Random, recent: deque[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for event in self._without_retries():
            while recent and random.random() < RETRIES:
                yield recent[int(random.random() * len(recent))]
            recent.append(event)
            yield event

    def _without_retries(self) -> Iterator[dict[str, Any]]:
        runs = [self._run() for _ in range(round(self.count * RUN_SHARE / RUN_EVENTS))]
        bursts = [self._burst() for _ in range(round(self.count * BURST_SHARE / BURST_EVENTS))]
        special = sorted((each for part in (runs, bursts) for one in part for each in one), key=_time)
        ordinary: Iterator[tuple[int, dict[str, Any]]] = ((time, {}) for time in self._times(self.count - len(special)))
        for time, fixed in merge(ordinary, special, key=_time):
            yield self._touch_a_list(self._event(time, fixed))

    def _times(self, count: int) -> Iterator[int]:
        """`count` times in order, by the rhythm of the day."""
        sums = list(accumulate(RHYTHM * DAYS))
        done = 0
        for hour, total in enumerate(sums):
            until = count * total // sums[-1]
            start = START_MS + hour * HOUR_MS
            yield from sorted(start + int(self._random.random() * HOUR_MS) for _ in range(until - done))
            done = until

    def _some_time(self) -> int:
        hour = bisect(list(accumulate(RHYTHM)), self._random.random() * sum(RHYTHM))
        day = int(self._random.random() * DAYS)
        return START_MS + (day * 24 + hour) * HOUR_MS + int(self._random.random() * HOUR_MS)

    def _run(self) -> list[tuple[int, dict[str, Any]]]:
        """Card testing: one device and one address try the cards of many accounts, small amounts."""
        random, people, start = self._random, self._people, self._some_time()
        device, address = random.choice(people.devices), random.choice(people.addresses)
        return [
            (
                start + int(random.random() * RUN_MS),
                {
                    "account": int(random.random() * self.shape.accounts),
                    "device_id": device,
                    "ip": address,
                    "amount": 100 + int(random.random() * 800),
                },
            )
            for _ in range(RUN_EVENTS)
        ]

    def _burst(self) -> list[tuple[int, dict[str, Any]]]:
        random, start = self._random, self._some_time()
        account = int(random.random() * self.shape.accounts)
        fixed = {"account": account, "card_id": self._people.cards[account]}
        return [(start + int(random.random() * BURST_MS), fixed) for _ in range(BURST_EVENTS)]

    def _event(self, time: int, fixed: dict[str, Any]) -> dict[str, Any]:
        random, people = self._random, self._people
        account = fixed.get("account", -1)
        if account < 0:
            account = self._zipf.draw(random)
        country = people.countries[account if random.random() >= ABROAD else self._zipf.draw(random)]
        return {
            "id": f"{random.getrandbits(128):032x}",
            "ts": time,
            "account_id": people.accounts[account],
            "card_id": fixed.get("card_id") or self._card(account),
            "device_id": fixed.get("device_id") or self._own(people.devices, account, OWN_DEVICE),
            "ip": fixed.get("ip") or self._own(people.addresses, account, OWN_ADDRESS),
            "merchant_id": f"mer_{self._merchants.draw(random):05}",
            "country": country,
            "currency": "USD" if random.random() < IN_DOLLARS else CURRENCIES[country],
            "amount": fixed.get("amount") or self._amount(),
            "email": self._own(people.emails, account, 1 - OTHER_EMAIL),
            "channel": self._channel_names[bisect(self._channels, random.random() * self._channels[-1])],
        }

    def _card(self, account: int) -> str:
        """The first quarter of the accounts has a second card."""
        second = self.shape.accounts + account
        if second < self.shape.cards and self._random.random() < 0.4:
            account = second
        return self._own(self._people.cards, account, OWN_CARD)

    def _own(self, values: Sequence[str], owner: int, part: float) -> str:
        """The owner's value in that part of the cases, some other account's in the rest."""
        if self._random.random() >= part:
            owner = self._zipf.draw(self._random)
        return values[owner % len(values)]

    def _amount(self) -> int:
        return max(1, int(AMOUNT_MEDIAN * math.exp(AMOUNT_SIGMA * self._random.gauss(0, 1))))

    def _touch_a_list(self, event: dict[str, Any]) -> dict[str, Any]:
        if self._random.random() < LISTED:
            which = int(self._random.random() * len(LISTS))
            live = int(self._random.random() * self.shape.live)
            event[self._fields[which]] = self._people.listed[which][live]
        return event


def _time(planned: tuple[int, Any]) -> int:
    return planned[0]
