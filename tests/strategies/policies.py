"""Random policies over one schema: features of every aggregate and argument, rules, points, limits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from strategies.expressions import Expressions

if TYPE_CHECKING:
    from random import Random

SCHEMA = """\
base: EUR
rates:
  USD: [{from: 2025-01-01, rate: "0.95"}, {from: 2025-10-10, rate: "0.9"}]
  JPY: [{from: 2025-01-01, rate: "0.0062"}]
  BHD: [{from: 2025-10-09, rate: "2.2849"}]
event:
  id: id
  time: ts
  kind: kind
  retry_may_change: [ip, note]
  fields:
    id: string
    ts: timestamp
    kind: {type: enum, values: [payment, login, payout]}
    account: {entity: account}
    payee: {entity: account, optional: true}
    card: {entity: card, optional: true, required_on: [payout]}
    device: {entity: device, optional: true}
    merchant: {entity: merchant, optional: true}
    ip: {type: ip, entity: ip, optional: true}
    note: {type: string, optional: true}
    country: string
    amount: {type: money, currency: EUR, optional: true, required_on: [payment]}
    n: {type: int, optional: true}
    d: {type: decimal, scale: 2, optional: true}
    f: {type: float, optional: true}
    b: {type: bool, optional: true}
    t: {type: timestamp, optional: true}
    pan: {entity: pan, optional: true, private: true}
    city: {type: string, optional: true, path: place.city}
    price: {type: money, currency: coin, optional: true, path: price.units}
    coin: {type: string, optional: true, path: price.coin}
  derived:
    band_of: {is: "names[n]", entity: band_of}
    subnet: {is: "network(ip, 24)", entity: subnet}
    area: {is: "country[:1]", entity: area}
    holder: {is: "lower(pan)", entity: holder, private: true}
    bin: {is: "pan[:1]", entity: bin}
  updates:
    status: {type: enum, values: [pending, approved, declined], default: pending}
    label: {type: enum, values: [fraud, legit], optional: true}
    refund: {type: money, currency: EUR, optional: true}
    tries: {type: int, default: 0}
    memo: {type: string, optional: true}
lookups:
  risk: {rows: {m1: 3, m2: -7}}
  band: {rows: {D: low, DE: high}, type: enum, values: [low, high]}
  names: {of: int, rows: {0: zero, 1: one, -3: minus}}
  homes: {of: ip, rows: {10.0.0.7: "5.00", "2001:db8::1": "0.01"}, type: money, currency: EUR}
  rates: {rows: {c1: 0.5, c2: 1e3}}
lists:
  cards: {of: card}
  accounts: {of: account}
  networks: {of: ip, match: network}
  fixed: {of: merchant, values: [m1]}
  pans: {of: pan}
  holders: {of: holder, values: [p1, q1]}
"""
KEYS = (
    "account", "account", "card", "card", "device", "payee", "ip", "subnet", "area", "pan", "holder", "bin", "band_of",
    "(card, merchant)", "(account, device)", "(pan, account)",
)  # fmt: skip
OVERS = ("1ms", "5s", "10s", "1m", "10m", "1h", "1d", "40d")
CALENDARS = ("today", "this week", "this month", "1 day", "3 days")
ZONES = ("UTC", "Europe/Berlin", "America/Santiago", "Asia/Kolkata")
CONDITIONS = (
    'status != "declined"',
    'status == "approved"',
    'label == "fraud"',
    "not missing(label)",
    'final != "block"',
    'final == "allow"',
    "score >= 10",
    'fired("r0")',
    'fired("r1") or b',
    'amount > money("5.00")',
    'country == "DE"',
    "n > 0",
    "tries > 1",
    "not b",
    "refund == amount",
    "memo == country",
    'pan == "P1"',
    'holder in ("p1", "p2")',
    'city == "Rome"',
    'price > money("5.00")',
    "original(price) > 500",
)
CHANGING = ('status != "declined"', 'final == "allow"', "missing(label)", 'fired("r0")', "tries < 2")
RESTING = (
    ("first(country, ", "string"),
    ("last(memo, ", "string"),
    ("last(tries, ", "int"),
    ("since_last(", "duration"),
    ("since_first(", "duration"),
)
SUMMED = ("amount", "n", "d", "refund", "tries", "n * 2", "amount - refund", "price", "original(price)")
ORDERED = ("amount", "n", "d", "f", "t", "refund", "f * 2", "price")
COUNTED = (
    "merchant", "n", "f", "country", "kind", "card", "amount", "b", "lower(country)", "d", "status", "t", "memo", "pan",
    "holder", "city",
)  # fmt: skip
SEEN = (
    "country", "amount", "f", "d", "b", "kind", "ip", "n", "refund", "t", "status", "merchant", "memo", "memo", "city",
    "price", "original(price)",
)  # fmt: skip
FAMILIES = {
    "amount": "money", "refund": "money", "amount - refund": "money", "n": "int", "n * 2": "int", "tries": "int",
    "d": "decimal", "f": "float", "f * 2": "float", "t": "timestamp", "country": "string", "merchant": "string",
    "ip": "ip", "b": "bool", "memo": "string", "city": "string", "price": "money", "original(price)": "int",
}  # fmt: skip


@dataclass
class Draft:
    """A policy in the making; `names` of its features by family, for rules to read."""

    features: dict[str, str] = field(default_factory=dict)
    names: dict[str, list[str]] = field(default_factory=dict)

    def add(self, text: str, family: str) -> None:
        name = f"x{len(self.features)}"
        self.features[name] = text
        self.names.setdefault(family, []).append(name)


@dataclass(frozen=True)
class RandomPolicy:
    """Parts of a policy's text. A reload keeps some features and changes others."""

    limits: str
    points: str
    features: dict[str, str]
    rules: tuple[str, ...]
    steering: str = ""
    version: int = 1

    @property
    def text(self) -> str:
        features = "\n".join(f"  {name}: '{text}'" for name, text in self.features.items())
        rules = "\n".join(self.rules)
        head = f"policy: random\nversion: {self.version}\nlimits: {self.limits}\n"
        return f"{head}{SCHEMA}{self.points}{self.steering}features:\n{features}\nrules:\n{rules}\n"


def random_policy(random: Random, features: int, rules: int, hot: bool = False) -> RandomPolicy:
    """`hot`: for a stream with so few keys that rings grow large and meet `ring_events_max`."""
    draft = Draft()
    chosen = limits(random, hot)
    for _ in range(features):
        draft.add(*aggregate(random))
    points = "" if random.random() < 0.4 else POINTS
    texts = rule_texts(random, draft, rules, bool(points))
    return RandomPolicy(chosen, points, draft.features, texts, steering(random, texts))


def changed(random: Random, policy: RandomPolicy) -> RandomPolicy:
    """The same policy with some features replaced, dropped or added, and other rules."""
    draft = Draft()
    same = random.random() < 0.3  # then some rules stay as they are, and so what was switched of them
    for text in policy.features.values():
        draft.add(*(aggregate(random) if not same and random.random() < 0.3 else (text, "any")))
    if random.random() < 0.5:
        draft.add(*aggregate(random))
    rules = rule_texts(random, draft, len(policy.rules), bool(policy.points))
    if same:
        rules = tuple(random.choice(pair) for pair in zip(policy.rules, rules, strict=True))
    return RandomPolicy(
        policy.limits, policy.points, draft.features, rules, steering(random, rules), policy.version + 1
    )


POINTS = """\
points:
  checkout: {on: payment, score: {review: 10, block: 30}}
  answered: {after: checkout}
  payout: {on: payout, score: {review: 5}}
  other: {score: {review: 40}}
"""


def limits(random: Random, hot: bool) -> str:
    horizon = random.choice(("10s", "1m", "10m", "1h", "3000d"))
    ids_min = random.choice((1, 5, 20, 1_000_000))
    ids_max = max(random.choice((10, 25, 20_000_000)), ids_min)
    ring = random.choice((1, 3, 10, 40, 60)) if random.random() < (0.6 if hot else 0.1) else 1_000_000
    return f"{{horizon: {horizon}, ids_min: {ids_min}, ids_max: {ids_max}, ring_events_max: {ring}, max_ahead: 1m}}"


# -- features ------------------------------------------------------------------------------------------------------
def aggregate(random: Random) -> tuple[str, str]:
    """The text of a feature and the family of its result."""
    if random.random() < 0.15:
        return lasting(random)
    function, value, family = of_what(random)
    arguments = [value] if value else []
    span = window(random, function)
    arguments += whose(random) + which(random)
    if function == "std" and random.random() < 0.4:
        arguments.append("ddof=1")
    return f"{function}({', '.join(arguments + span)})", family


def lasting(random: Random) -> tuple[str, str]:
    """A feature that rests on one event, which may be retracted long after a limit folded it."""
    key, condition = random.choice(("account", "card")), random.choice(CHANGING)
    if random.random() < 0.3:
        over = ', over="1m"' if random.random() < 0.3 else ""
        return f"count(by={key}, since={condition}{over})", "int"
    start, family = random.choice(RESTING)
    return f"{start}by={key}, where={condition})", family


def of_what(random: Random) -> tuple[str, str, str]:
    function = random.choice(FUNCTIONS)
    if function in ("count", "since_last", "since_first"):
        return function, "", "int" if function == "count" else "duration"
    if function == "share":
        return function, random.choice(CONDITIONS), "float"
    value = random.choice(
        SUMMED if function in ("sum", "mean", "std")
        else ORDERED if function in ("min", "max")
        else COUNTED if function == "count_distinct"
        else SEEN
    )  # fmt: skip
    family = FAMILIES.get(value, "any")
    if function == "count_distinct":
        family = "int"
    elif function in ("mean", "std") and family != "money":
        family = "float"
    return function, value, family


FUNCTIONS = (
    "count", "sum", "mean", "std", "min", "max", "count_distinct", "share", "first", "last", "since_last",
    "since_first",
)  # fmt: skip


def whose(random: Random) -> list[str]:
    key = random.choice(KEYS)
    if key in ("account", "payee") and random.random() < 0.4:
        return [f"by={key}", f"lookup={'payee' if key == 'account' else 'account'}"]
    return [f"by={key}"]


def which(random: Random) -> list[str]:
    found = []
    if random.random() < 0.3:
        found.append(f"on={random.choice(('payment', 'login', '(payment, payout)'))}")
    if random.random() < 0.5:
        found.append(f"where={random.choice(CONDITIONS)}")
    return found


def window(random: Random, function: str) -> list[str]:
    closed = [f'closed="{random.choice(("left", "right", "both", "neither"))}"'] if random.random() < 0.5 else []
    lasting = function not in ("min", "max", "count_distinct")
    kind = random.choice(("over", "over", "over", "calendar", "since", "cells", "life" if lasting else "over"))
    if kind == "life":
        return closed + delay(random, 0.2)
    if kind == "calendar":
        return [f'over="{random.choice(CALENDARS)}"', f'tz="{random.choice(ZONES)}"', *closed]
    if kind == "since":
        over = [f'over="{random.choice(OVERS)}"'] if random.random() < 0.4 else []
        return [f"since={random.choice(CONDITIONS)}", *over, *closed]
    if kind == "cells":
        every, over, late = random.choice((("10s", "1m", "20s"), ("1m", "1h", "2m"), ("1d", "3d", "1d")))
        past = [f'delay="{late}"'] if random.random() < 0.3 else []
        return [f'every="{every}"', f'over="{over}"', *closed, *past]
    return [f'over="{random.choice(OVERS)}"', *closed, *delay(random, 0.3)]


def delay(random: Random, chance: float) -> list[str]:
    return [f'delay="{random.choice(("1ms", "5s", "1m", "1h"))}"'] if random.random() < chance else []


# -- rules ---------------------------------------------------------------------------------------------------------
FACTS: dict[str, tuple[str, ...]] = {
    "money": ("amount", "refund", "price", "homes[ip]"),
    "int": ("n", "tries", "risk[merchant]"),
    "bool": ("b",),
    "string": ("country", "city", "memo", "band_of", "names[n]"),
    "timestamp": ("ts", "t"),
    "float": ("rates[card]",),
    "decimal": (),
}


def rule_texts(random: Random, draft: Draft, count: int, points: bool) -> tuple[str, ...]:
    names = {family: [*own, *draft.names.get(family, [])] for family, own in FACTS.items()}
    make = Expressions(random, names, ())
    features = list(draft.features)
    return tuple(rule_text(random, make, f"r{i}", features, points) for i in range(max(2, count)))


def rule_text(random: Random, make: Expressions, name: str, features: list[str], points: bool) -> str:
    parts = [f"id: {name}", f"when: '{condition(random, make, features)}'"]
    parts.append(f"score: {random.choice((-5, 1, 10, 20))}")
    parts += [f"outcome: {random.choice(('allow', 'review', 'block'))}"] * (random.random() < 0.6)
    group = int(name[1:]) % 4  # the fourth has none
    parts += [f"group: g{group}"] * (group < 3)
    parts += [f"exempts: [g{(group + 1) % 2 if group < 2 else random.randrange(2)}]"] * (random.random() < 0.25)
    parts += [f"actions: [a{random.randrange(3)}, a3]"] * (random.random() < 0.3)
    mode = random.choice(("shadow", "off", "live", "live", "live", "live"))
    parts += [f"mode: {mode}"] * (mode != "live")
    parts += [f"rollout: {random.choice((0, 30, 100))}% by account"] * (mode != "off" and random.random() < 0.2)
    parts += ["if_unknown: fires"] * (random.random() < 0.2)
    parts += controls(random) if random.random() < 0.4 else []
    parts += ["on: payment"] * (random.random() < 0.2)
    if points and random.random() < 0.3:
        parts.append(f"point: {random.choice(('checkout', 'answered', 'other', '[payout, checkout]'))}")
    if random.random() < 0.5:
        parts.append(f'reason: "{{{random.choice(features)}}} and {{country}}: {{amount}}"')
    return "  - {" + ", ".join(parts) + "}"


def controls(random: Random) -> list[str]:
    """Dates about the streams' starts, a breaker that trips soon, an alert."""
    found = []
    if random.random() < 0.3:
        first = random.choice(("2025-01-01", "2025-10-09T09:00:00Z", "2026-03-01T00:10:00Z"))
        found.append(f"from: {first}" if random.random() < 0.5 else f"until: {first}")
    if random.random() < 0.5:
        over = random.choice(("30ms", "1m", "10m", "1d"))
        found.append(
            f"breaker: {{share: {random.choice((0.01, 20, 50))}%, over: {over}, min: {random.choice((1, 3, 8))}}}"
        )
    if random.random() < 0.6:
        about = random.choice(("account", "card", "merchant", "pan", "ip", "subnet", "holder"))
        found.append(f"alert: {{about: {about}, once: {random.choice(('1ms', '10s', '10m', '40d'))}, typology: odd}}")
    return found


def steering(random: Random, rules: tuple[str, ...]) -> str:
    """`groups:` and `holdout:`."""
    groups = [f"g{number}" for number in range(3) if any(f"group: g{number}" in rule for rule in rules)]
    said = [
        f"{name}: {{enabled: {random.choice(('true', 'false'))}, score: {random.choice(('sum', 'max'))}}}"
        for name in groups
    ]
    chosen = [each for each in said if random.random() < 0.3]
    text = f"groups: {{{', '.join(chosen)}}}\n" if chosen else ""
    if random.random() < 0.3:
        spared = f", except: [{groups[0]}]" if groups and random.random() < 0.5 else ""
        share, key = random.choice((1, 30, 100)), random.choice(("account", "merchant"))
        text += f"holdout: {{share: {share}%, by: {key}{spared}}}\n"
    return text


def condition(random: Random, make: Expressions, features: list[str]) -> str:
    lists = (
        "card in cards", "account in accounts", "ip in networks", "merchant in fixed", "payee in accounts",
        "pan in pans", "holder in holders", 'band[area] == "high"', "band[country] == band[area]",
    )  # fmt: skip
    simple = (f"missing({random.choice(features)})", random.choice(lists), make.truth(2).text, make.comparison(1).text)
    text = random.choice(simple)
    if random.random() < 0.3:
        text = f"{text} {random.choice(('and', 'or'))} {random.choice(lists)}"
    return text.replace("'", "''")
