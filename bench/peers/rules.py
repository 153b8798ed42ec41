"""R1's thirty rules in the forms that others take: one function, thirty lambdas, expressions of other languages.

Names that begin with `f_` are the same numbers as floats: some languages do not mix the two.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

FEATURES: Final = (
    "acc_cnt_10m", "acc_cnt_1h", "acc_cnt_24h", "acc_sum_10m", "acc_sum_1h", "acc_sum_24h", "acc_max_10m", "acc_max_1h",
    "acc_max_24h", "card_cnt_5m", "card_cnt_1h", "card_cnt_24h", "card_sum_24h", "dev_cnt_1h", "dev_acc_24h",
    "ip_cnt_10m", "ip_card_1h", "mer_cnt_1m", "acc_avg_7d", "acc_std_7d", "acc_gap_ms",
)  # fmt: skip
FLAGS: Final = ("bl_card", "bl_device", "bl_ip", "bl_email")
OUTCOMES: Final = ("allow", "review", "block")

# id, condition (in a common subset; `search` and `begins` stand for the language's own), outcome, score
RULES: Final = (
    ("R01", "bl_card", 2, 100),
    ("R02", "bl_device", 2, 90),
    ("R03", "bl_ip", 1, 50),
    ("R04", "bl_email", 2, 80),
    ("R05", "amount > 500000", 1, 20),
    ("R06", "f_amount > 5.0 * acc_avg_7d and acc_cnt_24h > 3", 1, 30),
    ("R07", "acc_cnt_10m > 10", 1, 25),
    ("R08", "acc_cnt_1h > 50", 2, 40),
    ("R09", "acc_sum_1h > 1000000", 1, 20),
    ("R10", "acc_sum_24h > 5000000", 2, 40),
    ("R11", "acc_cnt_24h > 20 and f_sum_10m > 0.8 * f_sum_24h", 1, 15),
    ("R12", "card_cnt_5m >= 5", 1, 30),
    ("R13", "card_cnt_1h >= 20", 2, 50),
    ("R14", "card_cnt_24h > 100 or card_sum_24h > 3000000", 1, 20),
    ("R15", "dev_acc_24h > 20", 1, 35),
    ("R16", "dev_cnt_1h > 60", 2, 45),
    ("R17", "ip_cnt_10m > 40", 1, 20),
    ("R18", "ip_card_1h >= 30", 2, 60),
    ("R19", "mer_cnt_1m > 60", 1, 5),
    ("R20", "country in ['NG', 'RU', 'UA', 'VN', 'ID', 'KP', 'IR', 'SY'] and amount > 50000", 1, 15),
    ("R21", "country in ['DE', 'FR', 'ES', 'IT', 'NL'] and not (currency in ['EUR', 'GBP'])", 1, 10),
    ("R22", "currency in ['BTC', 'USDT', 'XMR']", 1, 25),
    ("R23", "channel == 'moto' and amount > 100000", 1, 20),
    ("R24", "begins(card_id, 'tok_99') and channel != 'pos-chip'", 0, 5),
    ("R25", "begins(ip, '10.') or begins(ip, '192.168.')", 1, 10),
    ("R26", "search(email, '^[a-z]+[0-9]{4,}@')", 0, 10),
    ("R27", "search(email, '@(mailinator|tempmail|guerrillamail|yopmail)[.]')", 1, 30),
    (
        "R28",
        "acc_gap_ms >= 0 and acc_gap_ms < 2000 and search(channel, '^(app|web)-(ios|android|chrome)$')",
        1,
        10,
    ),
    ("R29", "acc_std_7d > 0.0 and (f_amount - acc_avg_7d) / acc_std_7d > 4.0", 1, 30),
    ("R30", "acc_gap_ms >= 0 and acc_gap_ms < 60000 and amount == acc_max_10m and f_amount > 3.0 * acc_avg_7d", 1, 15),
)

_RISKY: Final = frozenset(("NG", "RU", "UA", "VN", "ID", "KP", "IR", "SY"))
_EURO: Final = frozenset(("DE", "FR", "ES", "IT", "NL"))
_AT_HOME: Final = frozenset(("EUR", "GBP"))
_COINS: Final = frozenset(("BTC", "USDT", "XMR"))
_numbered: Final = re.compile("^[a-z]+[0-9]{4,}@").search
_disposable: Final = re.compile(r"@(mailinator|tempmail|guerrillamail|yopmail)\.").search
_by_app: Final = re.compile("^(app|web)-(ios|android|chrome)$").search


def fused(e: dict[str, Any], f: Sequence[Any], bl: Sequence[bool]) -> tuple[int, int]:  # noqa: PLR0915
    """(outcome, score) of an event, its features and list flags: as a code generator writes thirty rules, in one go."""
    c10, c1h, c24, s10, s1h, s24, m10, _, _, k5, k1, k24, ks24, d1, da24, i10, ic1, m1, avg, std, gap = f
    amount, country, channel = e["amount"], e["country"], e["channel"]
    currency, email, ip = e["currency"], e["email"], e["ip"]
    outcome = score = 0
    if bl[0]:
        outcome, score = 2, 100
    if bl[1]:
        outcome, score = 2, score + 90
    if bl[2]:
        outcome, score = outcome or 1, score + 50
    if bl[3]:
        outcome, score = 2, score + 80
    if amount > 500000:
        outcome, score = outcome or 1, score + 20
    if c24 > 3 and amount > 5 * avg:
        outcome, score = outcome or 1, score + 30
    if c10 > 10:
        outcome, score = outcome or 1, score + 25
    if c1h > 50:
        outcome, score = 2, score + 40
    if s1h > 1000000:
        outcome, score = outcome or 1, score + 20
    if s24 > 5000000:
        outcome, score = 2, score + 40
    if c24 > 20 and s10 > 0.8 * s24:
        outcome, score = outcome or 1, score + 15
    if k5 >= 5:
        outcome, score = outcome or 1, score + 30
    if k1 >= 20:
        outcome, score = 2, score + 50
    if k24 > 100 or ks24 > 3000000:
        outcome, score = outcome or 1, score + 20
    if da24 > 20:
        outcome, score = outcome or 1, score + 35
    if d1 > 60:
        outcome, score = 2, score + 45
    if i10 > 40:
        outcome, score = outcome or 1, score + 20
    if ic1 >= 30:
        outcome, score = 2, score + 60
    if m1 > 60:
        outcome, score = outcome or 1, score + 5
    if amount > 50000 and country in _RISKY:
        outcome, score = outcome or 1, score + 15
    if country in _EURO and currency not in _AT_HOME:
        outcome, score = outcome or 1, score + 10
    if currency in _COINS:
        outcome, score = outcome or 1, score + 25
    if amount > 100000 and channel == "moto":
        outcome, score = outcome or 1, score + 20
    if channel != "pos-chip" and e["card_id"].startswith("tok_99"):
        score += 5
    if ip.startswith(("10.", "192.168.")):
        outcome, score = outcome or 1, score + 10
    if _numbered(email):
        score += 10
    if _disposable(email):
        outcome, score = outcome or 1, score + 30
    if 0 <= gap < 2000 and _by_app(channel):
        outcome, score = outcome or 1, score + 10
    if std > 0 and (amount - avg) / std > 4:
        outcome, score = outcome or 1, score + 30
    if 0 <= gap < 60000 and amount == m10 and amount > 3 * avg:
        outcome, score = outcome or 1, score + 15
    return outcome, score


def context(event: dict[str, Any], features: Sequence[Any], flags: Sequence[bool]) -> dict[str, Any]:
    """What an expression reads."""
    named = dict(zip(FEATURES, features, strict=True))
    floats = {"f_amount": event["amount"], "f_sum_10m": named["acc_sum_10m"], "f_sum_24h": named["acc_sum_24h"]}
    return {**event, **named, **dict(zip(FLAGS, flags, strict=True)), **{name: float(v) for name, v in floats.items()}}


def judged(fired: Sequence[bool]) -> tuple[int, int]:
    """(outcome, score) where each rule says whether it fired."""
    outcome = score = 0
    for fires, (_, _, strength, points) in zip(fired, RULES, strict=True):
        if fires:
            outcome, score = max(outcome, strength), score + points
    return outcome, score


def translated(
    change: Sequence[tuple[str, str]], begins: str = r"begins(\1, '\2')", search: str = r"search(\1, '\2')"
) -> list[str]:
    """The conditions in another language: words changed, then the two functions written as it writes them."""
    found = []
    for _, condition, _, _ in RULES:
        text = condition
        for old, new in change:
            text = re.sub(old, new, text)
        text = re.sub(r"begins\((\w+), '([^']*)'\)", begins, text)
        found.append(re.sub(r"search\((\w+), '([^']*)'\)", search, text))
    return found


def lambdas() -> list[Callable[[dict[str, Any]], Any]]:
    """Thirty functions over the context, as rule engines in Python keep them."""
    return [
        lambda c: c["bl_card"], lambda c: c["bl_device"], lambda c: c["bl_ip"], lambda c: c["bl_email"],
        lambda c: c["amount"] > 500000,
        lambda c: c["amount"] > 5 * c["acc_avg_7d"] and c["acc_cnt_24h"] > 3,
        lambda c: c["acc_cnt_10m"] > 10, lambda c: c["acc_cnt_1h"] > 50, lambda c: c["acc_sum_1h"] > 1000000,
        lambda c: c["acc_sum_24h"] > 5000000,
        lambda c: c["acc_cnt_24h"] > 20 and c["acc_sum_10m"] > 0.8 * c["acc_sum_24h"],
        lambda c: c["card_cnt_5m"] >= 5, lambda c: c["card_cnt_1h"] >= 20,
        lambda c: c["card_cnt_24h"] > 100 or c["card_sum_24h"] > 3000000,
        lambda c: c["dev_acc_24h"] > 20, lambda c: c["dev_cnt_1h"] > 60, lambda c: c["ip_cnt_10m"] > 40,
        lambda c: c["ip_card_1h"] >= 30, lambda c: c["mer_cnt_1m"] > 60,
        lambda c: c["country"] in _RISKY and c["amount"] > 50000,
        lambda c: c["country"] in _EURO and c["currency"] not in _AT_HOME,
        lambda c: c["currency"] in _COINS, lambda c: c["channel"] == "moto" and c["amount"] > 100000,
        lambda c: c["card_id"].startswith("tok_99") and c["channel"] != "pos-chip",
        lambda c: c["ip"].startswith(("10.", "192.168.")),
        lambda c: _numbered(c["email"]), lambda c: _disposable(c["email"]),
        lambda c: 0 <= c["acc_gap_ms"] < 2000 and _by_app(c["channel"]),
        lambda c: c["acc_std_7d"] > 0 and (c["amount"] - c["acc_avg_7d"]) / c["acc_std_7d"] > 4,
        lambda c: 0 <= c["acc_gap_ms"] < 60000 and c["amount"] == c["acc_max_10m"]
        and c["amount"] > 3 * c["acc_avg_7d"],
    ]  # fmt: skip
