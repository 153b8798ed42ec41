"""Random operation streams: events in order and late, duplicates, conflicts, updates in any order, list changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from strategies import values
from strategies.policies import changed, random_policy

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from twin.pair import Pair

    from strategies.policies import RandomPolicy

STARTS = (1_760_000_000_000, 1_761_429_600_000, 1_743_292_800_000, 1_772_323_200_000)  # 2nd, 3rd: clocks change
STEPS = (0, 0, 0, 1, 999, 1_000, 5_000, 10_000, 30_000, 60_000)
LEAPS = (600_000, 3_600_000, 86_400_000)
LATE = (1, 1_000, 5_000, 10_000, 60_000, 600_000, 3_600_000, 90_000_000)

PANS = ("P1", "p1", "P2", "q1")
COINS = ("EUR", "USD", "JPY", "BHD", "GBP", "", None)
ENTITIES = (
    ("account", "a1"),
    ("account", "a4"),
    ("card", "c1"),
    ("device", "d1"),
    ("merchant", "m1"),
    ("ip", "10.0.0.7"),
    ("subnet", "10.0.0.0/24"),
    ("area", "D"),
    ("pan", "P1"),
    ("holder", "p1"),
    ("bin", "P"),
    ("nobody", "x"),
)
CONTENTS = (
    ("cards", ("c1", "c2")),
    ("accounts", ("a1", "a4")),
    ("networks", ("10.0.0.0/8", "10.0.0.7/32", "::/0")),
    ("pans", PANS),
)


class Stream:
    """Drives a pair by one seed. The ids and times it uses do not depend on what the pair answers."""

    def __init__(self, random: Random, policy: RandomPolicy, pair: Pair, hot: bool = False) -> None:
        self.random = random
        self.hot = hot
        self.policy = policy
        self.pair = pair
        self.time = pair.now
        self.sent: list[dict[str, Any]] = []
        self.operations: tuple[tuple[int, Callable[[], None]], ...] = (
            (55, self.decide),
            (6, self.repeat),
            (3, self.conflict),
            (8, self.decide_again),
            (4, self.evaluate),
            (8, self.observe),
            (16, self.update),
            (6, self.change_list),
            (2, self.reload),
            (3, self.invalid),
            (6, self.look),
            (4, self.explain),
            (5, self.steer),
            (self.random.choice((0, 1, 4)), self.evict),
        )

    def step(self) -> None:
        self.advance()
        weights, operations = zip(*self.operations, strict=True)
        self.random.choices(operations, weights)[0]()

    def advance(self) -> None:
        self.time += self.random.choice(LEAPS) if self.random.random() < 0.03 else self.random.choice(STEPS)
        self.pair.now = self.time

    # -- events --------------------------------------------------------------------------------------------------
    def event(self) -> dict[str, Any]:
        random = self.random
        late = random.choice(LATE) if random.random() < 0.2 else 0
        event = {
            "id": f"e{len(self.sent)}",
            "ts": self.time - late,
            "kind": random.choice(("payment", "payment", "login", "payout")),
            "account": random.choice(("a1", "a2", "a3")),
            "country": random.choice(("DE", "FR", "D", "")),
            "card": random.choice(("c1", "c2")),
            "amount": random.choice((1, 499, 500, 501, 12_990, 2**62, values.an_int(random))),
        }
        optional: dict[str, object] = {
            "payee": random.choice(("a1", "a2", "a4")),
            "device": random.choice(("d1", "d2")),
            "merchant": random.choice(("m1", "m2", "m3")),
            "ip": random.choice(values.IPS),
            "note": random.choice(values.WORDS),
            "n": random.choice((0, 1, 2, 3)) if random.random() < 0.8 else values.an_int(random),
            "d": values.a_decimal(random, 2),
            "f": values.a_float(random),
            "b": random.random() < 0.5,
            "t": self.time - random.choice((0, 1_000, 86_400_000)),
            "pan": random.choice(PANS),
            "place": random.choice(({"city": "Rome"}, {"city": "Oslo"}, {}, "Rome")),
            "price": self.price(),
        }
        event |= {name: value for name, value in optional.items() if random.random() < 0.7}
        if self.hot:
            event |= {"account": "a1", "card": "c1", "country": "DE"}
        self.sent.append(event)
        return event

    def price(self) -> dict[str, object]:
        """Nested; now and then in a currency that has no rate, or not yet."""
        random = self.random
        units = random.choice((1, 499, 501, -7, 12_990, 12_990, values.an_int(random)))
        return {"units": units, "coin": random.choice(COINS) if random.random() < 0.1 else random.choice(COINS[:3])}

    def some_event(self) -> dict[str, Any]:
        """Mostly a recent one, at times one of the first."""
        if not self.sent:
            return self.event()
        return self.random.choice(self.random.choices((self.sent[-12:], self.sent, self.sent[:3]), (70, 20, 10))[0])

    # -- operations ----------------------------------------------------------------------------------------------
    def decide(self) -> None:
        event = self.event()
        point = self.a_point() if self.random.random() < 0.1 else None
        self.pair.both(lambda side: side.decide(event, point), ("decide", event, point))

    def repeat(self) -> None:
        """The same event again, or as an honest retry: fields that may change have changed."""
        event = self.some_event()
        if self.random.random() < 0.5:
            event = {**event, "note": "retry", "ip": "10.9.9.9"}
        point = self.a_point() if self.random.random() < 0.3 else None
        self.pair.both(lambda side: side.decide(event, point), ("repeat", event, point))

    def conflict(self) -> None:
        event = {**self.some_event(), "country": "XX"}
        self.pair.both(lambda side: side.decide(event), ("conflict", event))

    def evaluate(self) -> None:
        event = self.event() if self.random.random() < 0.7 else self.some_event()
        self.pair.both(lambda side: side.evaluate(event), ("evaluate", event))

    def observe(self) -> None:
        event = self.event() if self.random.random() < 0.8 else self.some_event()
        if self.random.random() < 0.5:
            event |= self.told()
        self.pair.both(lambda side: side.observe(event), ("observe", event))

    def decide_again(self) -> None:
        event, point = self.some_event(), self.a_point()
        told = self.told() if self.random.random() < 0.7 else {}
        at = self.at()
        what = ("decide_again", event["id"], point, at, told)
        self.pair.both(lambda side: side.decide_again(event["id"], point, at=at, **told), what)

    def update(self) -> None:
        ident = self.some_event()["id"] if self.random.random() < 0.97 else "nobody"
        told, at = self.told(), self.at()
        self.pair.both(lambda side: side.update(ident, at=at, **told), ("update", ident, at, told))

    def told(self) -> dict[str, Any]:
        """One or two updates; now and then one that is refused."""
        random = self.random
        choices: tuple[tuple[str, object], ...] = (
            ("status", random.choice(("pending", "approved", "declined", "declined"))),
            ("status", random.choice(("approved", "declined"))),
            ("memo", random.choice(("DE", "F", "", None))),
            ("label", random.choice(("fraud", "fraud", "legit", None))),
            ("refund", random.choice((0, 500, 501, 12_990, None))),
            ("tries", random.choice((0, 1, 2, 3))),
            ("final", random.choice(("allow", "review", "block"))),
            ("tries", random.choice((None, "x", 2**63))) if random.random() < 0.1 else ("final", "allow"),
        )
        return dict(random.sample(choices, random.choice((1, 1, 2))))

    def at(self) -> int | None:
        """Now, before, or at one of a few instants that meet; rarely too far ahead."""
        if self.random.random() < 0.4:
            return None
        return self.time - self.random.choice((0, 0, 1_000, 60_000, 86_400_000, -1_000, -90_000))

    def a_point(self) -> str:
        names = ("checkout", "answered", "payout", "other") if self.policy.points else ("default",)
        return self.random.choice(names) if self.random.random() < 0.97 else "nowhere"

    def change_list(self) -> None:
        random = self.random
        name, content = random.choice(CONTENTS)
        value = random.choice(content)
        if random.random() < 0.4:
            self.pair.both(lambda side: side.lists[name].remove(value), ("remove", name, value))
            return
        expires = random.choice((None, self.time + 1, self.time + 60_000, self.time - 1_000))
        self.pair.both(lambda side: side.lists[name].add(value, expires=expires), ("add", name, value, expires))

    def look(self) -> None:
        """What is known of an entity now, or was at some time."""
        entities: dict[str, str] = dict(self.random.sample(ENTITIES, self.random.choice((1, 2, 2))))
        at = self.at()
        self.pair.both(lambda side: side.features(at=at, **entities), ("features", at, entities))

    def explain(self) -> None:
        self.pair.explain(self.some_event()["id"], self.a_point() if self.random.random() < 0.3 else None)

    def steer(self) -> None:
        """Switches, snoozes, breakers made whole; of rules and groups that may be off, or not there."""
        random = self.random
        rule = f"r{random.randrange(len(self.policy.rules) + 1)}"
        if random.random() < 0.4:
            kind, name = random.choice((("rule", rule), ("group", f"g{random.randrange(4)}")))
            state = random.choice(("on", "on", "shadow", "off"))
            self.pair.both(lambda side: side.switch(kind, name, state), ("switch", kind, name, state))
        elif random.random() < 0.3:
            self.pair.both(lambda side: side.reset_breaker(rule), ("reset", rule))
        else:
            self.snooze(rule)

    def snooze(self, rule: str) -> None:
        random = self.random
        entity = random.choice(
            (None, "account:a1", "account:a2", "card:c1", "pan:P1", "ip:10.0.0.7", "ip:odd", "note:x")
        )
        until = self.time + random.choice((-1_000, 1, 10_000, 600_000, 86_400_000))
        if random.random() < 0.3:
            self.pair.both(lambda side: side.unsnooze(rule, entity), ("unsnooze", rule, entity))
        else:
            self.pair.both(lambda side: side.snooze(rule, entity, until=until), ("snooze", rule, entity, until))

    def evict(self) -> None:
        """What an engine does by itself when its memory is full."""
        random, names = self.random, self.pair.aggregates()
        chosen = random.sample(names, random.randint(0, min(3, len(names))))
        windows = {name: self.time - random.choice((0, 1, *LATE, *LEAPS)) for name in chosen}
        self.pair.evict(windows, random.choice((None, None, 1, 5, 100)))

    def reload(self) -> None:
        self.policy = changed(self.random, self.policy)
        self.pair.reload(self.policy.text)

    def invalid(self) -> None:
        event = {**self.event(), "id": "never"}
        wrong = {"account": None, "kind": "gift", "ts": self.time + 61_000, "amount": 1.5, "n": True, "ip": "1.2.3"}
        name, value = self.random.choice(list(wrong.items()))
        event[name] = value
        self.pair.both(lambda side: side.decide(event), ("invalid", event))


def first_policy(random: Random, hot: bool) -> RandomPolicy:
    features = random.randint(2, 4) if hot else random.randint(3, 9)
    return random_policy(random, features, rules=random.randint(2, 6), hot=hot)
