"""R1 in tuned pure Python: a log of events an entity, a place and a running total a window, one function of rules."""

from __future__ import annotations

from collections import deque
from math import sqrt
from typing import TYPE_CHECKING, Any, Final

from bench.peers.rules import fused

if TYPE_CHECKING:
    from collections.abc import Mapping

M1, M5, M10, H1, H24, D7 = 60_000, 300_000, 600_000, 3_600_000, 86_400_000, 604_800_000
TRIM: Final = 512  # passed events that a log may hold before they are cut off


class Account:
    """Sums and counts by places in one log; a maximum is the head of a deque of descending amounts."""

    __slots__ = (
        "amounts",
        "at_1h",
        "at_7d",
        "at_10m",
        "at_24h",
        "max_1h",
        "max_10m",
        "max_24h",
        "squares",
        "sums",
        "times",
    )

    def __init__(self) -> None:
        self.times: list[int] = []
        self.amounts: list[int] = []
        self.at_10m = self.at_1h = self.at_24h = self.at_7d = 0
        self.sums = [0, 0, 0, 0]
        self.squares = 0
        self.max_10m: deque[tuple[int, int]] = deque()
        self.max_1h: deque[tuple[int, int]] = deque()
        self.max_24h: deque[tuple[int, int]] = deque()

    def add(self, t: int, amount: int) -> tuple[Any, ...]:
        """Counts, sums and maxima of 10 m, 1 h, 24 h; mean and deviation of 7 d; the time since the event before."""
        times, amounts, sums = self.times, self.amounts, self.sums
        gap = t - times[-1] if times else -1
        times.append(t)
        amounts.append(amount)
        at, total = self.at_10m, sums[0] + amount
        while times[at] <= t - M10:
            total -= amounts[at]
            at += 1
        self.at_10m, sums[0] = at, total
        at, total = self.at_1h, sums[1] + amount
        while times[at] <= t - H1:
            total -= amounts[at]
            at += 1
        self.at_1h, sums[1] = at, total
        at, total = self.at_24h, sums[2] + amount
        while times[at] <= t - H24:
            total -= amounts[at]
            at += 1
        self.at_24h, sums[2] = at, total
        at, total, squares = self.at_7d, sums[3] + amount, self.squares + amount * amount
        while times[at] <= t - D7:
            gone = amounts[at]
            total -= gone
            squares -= gone * gone
            at += 1
        self.at_7d, sums[3], self.squares = at, total, squares
        n = len(times)
        n7 = n - at
        result = (
            n - self.at_10m, n - self.at_1h, n - self.at_24h, sums[0], sums[1], sums[2],
            greatest(self.max_10m, t, M10, amount), greatest(self.max_1h, t, H1, amount),
            greatest(self.max_24h, t, H24, amount),
            total / n7, sqrt(n7 * squares - total * total) / n7, gap,
        )  # fmt: skip
        if at > TRIM:
            self.trim()
        return result

    def trim(self) -> None:
        cut = self.at_7d
        del self.times[:cut]
        del self.amounts[:cut]
        self.at_10m -= cut
        self.at_1h -= cut
        self.at_24h -= cut
        self.at_7d = 0


def greatest(queue: deque[tuple[int, int]], t: int, over: int, amount: int) -> int:
    while queue and queue[-1][1] <= amount:
        queue.pop()
    queue.append((t, amount))
    while queue[0][0] <= t - over:
        queue.popleft()
    return queue[0][1]


class Card:
    __slots__ = ("amounts", "at_1h", "at_5m", "at_24h", "times", "total")

    def __init__(self) -> None:
        self.times: list[int] = []
        self.amounts: list[int] = []
        self.at_5m = self.at_1h = self.at_24h = self.total = 0

    def add(self, t: int, amount: int) -> tuple[int, int, int, int]:
        times, amounts = self.times, self.amounts
        times.append(t)
        amounts.append(amount)
        at = self.at_5m
        while times[at] <= t - M5:
            at += 1
        self.at_5m = at
        at = self.at_1h
        while times[at] <= t - H1:
            at += 1
        self.at_1h = at
        at, total = self.at_24h, self.total + amount
        while times[at] <= t - H24:
            total -= amounts[at]
            at += 1
        self.at_24h, self.total = at, total
        n = len(times)
        result = n - self.at_5m, n - self.at_1h, n - at, total
        if at > TRIM:
            del times[:at]
            del amounts[:at]
            self.at_5m -= at
            self.at_1h -= at
            self.at_24h = 0
        return result


class Seen:
    """A count over one window, and how many different values another window has."""

    __slots__ = ("counts", "latest", "queue")

    def __init__(self) -> None:
        self.queue: deque[int] = deque()
        self.latest: deque[tuple[int, str]] = deque()
        self.counts: dict[str, int] = {}

    def add(self, t: int, over: int, value: str, value_over: int) -> tuple[int, int]:
        queue, latest, counts = self.queue, self.latest, self.counts
        queue.append(t)
        while queue[0] <= t - over:
            queue.popleft()
        latest.append((t, value))
        counts[value] = counts.get(value, 0) + 1
        while latest[0][0] <= t - value_over:
            _, gone = latest.popleft()
            left = counts[gone] - 1
            if left:
                counts[gone] = left
            else:
                del counts[gone]
        return len(queue), len(counts)


class PythonEngine:
    """`decide(event)` -> (outcome, score, features, flags); a known id gives its answer again."""

    def __init__(self, lists: Mapping[str, list[str]]) -> None:
        self.cards_listed, self.devices_listed, self.ips_listed, self.emails_listed = (set(v) for v in lists.values())
        self.accounts: dict[str, Account] = {}
        self.cards: dict[str, Card] = {}
        self.devices: dict[str, Seen] = {}
        self.ips: dict[str, Seen] = {}
        self.merchants: dict[str, deque[int]] = {}
        self.ids: dict[str, tuple[Any, ...]] = {}

    def decide(self, e: dict[str, Any]) -> tuple[Any, ...]:
        known = self.ids.get(e["id"])
        if known is not None:
            return known
        t, amount, account, card, device, ip = (
            e["ts"],
            e["amount"],
            e["account_id"],
            e["card_id"],
            e["device_id"],
            e["ip"],
        )
        a = self.accounts.get(account)
        if a is None:
            a = self.accounts[account] = Account()
        k = self.cards.get(card)
        if k is None:
            k = self.cards[card] = Card()
        d = self.devices.get(device)
        if d is None:
            d = self.devices[device] = Seen()
        i = self.ips.get(ip)
        if i is None:
            i = self.ips[ip] = Seen()
        m = self.merchants.get(e["merchant_id"])
        if m is None:
            m = self.merchants[e["merchant_id"]] = deque()
        m.append(t)
        while m[0] <= t - M1:
            m.popleft()
        of_account = a.add(t, amount)
        features = (
            *of_account[:9],
            *k.add(t, amount),
            *d.add(t, H1, account, H24),
            *i.add(t, M10, card, H1),
            len(m),
            *of_account[9:],
        )
        flags = (
            card in self.cards_listed,
            device in self.devices_listed,
            ip in self.ips_listed,
            e["email"] in self.emails_listed,
        )
        outcome, score = fused(e, features, flags)
        answer = self.ids[e["id"]] = (outcome, score, features, flags)
        return answer

    def close(self) -> None:
        """Nothing outlives it."""
