"""Random programs: policies of expressions alone, and events that feed them absent and extreme values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from strategies import values
from strategies.expressions import Expressions

if TYPE_CHECKING:
    from random import Random

NAMES = {
    "int": ["i", "j"],
    "decimal": ["d", "q"],
    "float": ["f", "g"],
    "money": ["m", "n"],
    "timestamp": ["ts", "t"],
    "string": ["s", "u"],
    "enum": ["e"],
    "ip": ["p"],
    "bool": ["b", "c"],
}
LABELS = ("red", "green", "blue")
HEAD = """\
policy: programs
version: 1
event:
  id: id
  time: ts
  fields:
    id: string
    ts: timestamp
    i: {type: int, optional: true}
    j: {type: int, optional: true}
    d: {type: decimal, scale: 2, optional: true}
    q: {type: decimal, scale: 4, optional: true}
    f: {type: float, optional: true}
    g: {type: float, optional: true}
    m: {type: money, currency: EUR, optional: true}
    n: {type: money, currency: EUR, optional: true}
    t: {type: timestamp, optional: true}
    s: {type: string, optional: true}
    u: {type: string, optional: true}
    e: {type: enum, values: [red, green, blue], optional: true}
    p: {type: ip, optional: true}
    b: {type: bool, optional: true}
    c: {type: bool, optional: true}
features:
"""


def program(random: Random, count: int) -> str:
    """A policy of `count` expressions: most are features, every fourth is a rule."""
    make = Expressions(random, NAMES, LABELS)
    kinds = (make.number, make.money, make.duration, make.timestamp, make.string, make.truth)
    features = [f"  x{i}: '{quoted(random.choice(kinds)(random.randint(1, 4)).text)}'" for i in range(count * 3 // 4)]
    rules = [
        f"  - {{id: r{i}, when: '{quoted(make.truth(random.randint(1, 4)).text)}', score: {random.randint(0, 9)}}}"
        for i in range(count - len(features))
    ]
    return HEAD + "\n".join(features) + "\nrules:\n" + "\n".join(rules) + "\n"


def quoted(text: str) -> str:
    return text.replace("'", "''")


def event(random: Random, number: int) -> dict[str, object]:
    """One event; each optional value is absent one time in six."""
    given: dict[str, object] = {
        "i": values.an_int(random),
        "j": values.an_int(random),
        "d": values.a_decimal(random, 2),
        "q": values.a_decimal(random, 4),
        "f": values.a_float(random),
        "g": values.a_float(random),
        "m": values.an_int(random),
        "n": values.an_int(random),
        "t": values.a_time(random),
        "s": random.choice(values.WORDS),
        "u": random.choice(values.WORDS),
        "e": random.choice(LABELS),
        "p": random.choice(values.IPS),
        "b": random.random() < 0.5,
        "c": random.random() < 0.5,
    }
    kept = {name: value for name, value in given.items() if random.random() < 5 / 6}
    return {"id": f"e{number}", "ts": values.a_time(random), **kept}
