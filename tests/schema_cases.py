"""Random policies of one small world, whose schemas differ, and what they say of events: by brute force over all that
was recorded, with what is known of it now."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

S, MINUTE = 1_000, 60_000
KINDS = ("pay", "login", "refund", "card")
COUNTRIES = ("DE", "FR", "IT")
LABELS = ("pending", "approved", "declined")
OUTCOMES = ("ask", "review", "block")
AMOUNTS = {
    "optional": "{type: int, optional: true}",
    "required": "int",
    "required on": "{type: int, optional: true, required_on: [KIND]}",
    "decimal": "{type: decimal, scale: 2}",
}
Truth = bool | None


class Facts(NamedTuple):
    """An event as a policy knows it."""

    time: int
    seq: int
    kind: str | None
    values: dict[str, Any]  # fields, derived fields, updates, final

    @property
    def place(self) -> tuple[int, int]:
        return self.time, self.seq

    def of(self, name: str) -> Any:
        return self.kind if name == "kind" else self.values.get(name)


class Condition(NamedTuple):
    """A filter as a policy writes it, the labels that this policy must have for it, and what it means."""

    text: str
    wants: tuple[tuple[str, str], ...]
    says: Callable[[Facts], Truth]


def equals(name: str, label: str) -> Condition:
    def says(facts: Facts) -> Truth:
        return None if facts.of(name) is None else facts.of(name) == label

    return Condition(f'{name} == "{label}"', ((name, label),), says)


def differs(name: str, label: str) -> Condition:
    def says(facts: Facts) -> Truth:
        return None if facts.of(name) is None else facts.of(name) != label

    return Condition(f'{name} != "{label}"', ((name, label),), says)


def both(one: Condition, other: Condition) -> Condition:
    def says(facts: Facts) -> Truth:
        found = one.says(facts), other.says(facts)
        return False if False in found else None if None in found else True

    return Condition(f"({one.text}) and ({other.text})", (*one.wants, *other.wants), says)


ENUMS = {"kind": KINDS, "country": COUNTRIES, "status": LABELS, "final": ("allow", *OUTCOMES)}
CONDITIONS = [
    *(make(name, label) for name, labels in ENUMS.items() for label in labels for make in (equals, differs)),
    Condition(
        "amount > 5", (("amount", ""),), lambda facts: None if facts.of("amount") is None else facts.of("amount") > 5
    ),
    Condition("missing(country)", (("country", ""),), lambda facts: facts.of("country") is None),
    Condition("score >= 1", (), lambda facts: facts.of("score") >= 1),
    Condition('fired("r")', (("r", ""),), lambda facts: facts.of("fired")),
]


@dataclass(frozen=True)
class Feature:
    function: str
    value: str | Condition  # a field, of `share` a condition
    by: str
    on: tuple[str, ...]
    where: Condition | None
    over: int
    every: int
    since: Condition | None

    @property
    def wants(self) -> set[tuple[str, str]]:
        """What a policy must have names for."""
        parts = [part for part in (self.where, self.since, self.value) if isinstance(part, Condition)]
        fields = {(self.by, ""), *(("kind", kind) for kind in self.on)}
        fields |= {(self.value, "")} if isinstance(self.value, str) and self.value else set()
        return fields.union(*(part.wants for part in parts))

    @property
    def text(self) -> str:
        value = self.value.text if isinstance(self.value, Condition) else self.value
        parts = [value] * bool(value) + [f"by={self.by}"]
        parts += [f"on=({', '.join(self.on)},)" if len(self.on) > 1 else f"on={''.join(self.on)}"] * bool(self.on)
        parts += [f"where={self.where.text}"] if self.where else []
        parts += [f'over="{self.over}ms"'] * bool(self.over) + [f'every="{self.every}ms"'] * bool(self.every)
        parts += [f"since={self.since.text}"] if self.since else []
        return f"{self.function}({', '.join(parts)})"

    def read(self, key: str, at: int, events: list[Facts]) -> Any:
        """For an event at `at` behind all that is recorded."""
        mine = sorted((facts for facts in events if facts.of(self.by) == key), key=lambda facts: facts.place)
        end = self.floored(at)
        start = self.start(end, [facts for facts in mine if facts.time <= at])
        fit = [each for each in mine if (self.floored(each.time), each.seq) > start and self.floored(each.time) <= end]
        value = (lambda facts: facts.of(self.value)) if isinstance(self.value, str) else self.value.says
        members = [(self.floored(facts.time), value(facts)) for facts in fit if self.has(facts)]
        if self.function in ("count", "share", "since_last", "since_first"):
            return self.of_all(end, members)
        return self.of_values([found for _, found in members if found is not None])

    def start(self, end: int, before: list[Facts]) -> tuple[int, float]:
        """The place behind which the window lies."""
        starts: list[tuple[int, float]] = [(end - self.over, float("inf"))] if self.over else [(0, 0)]
        if self.since is not None:
            starts += [facts.place for facts in before if self.since.says(facts)]
        return max(starts)

    def has(self, facts: Facts) -> bool:
        return (not self.on or facts.kind in self.on) and (self.where is None or self.where.says(facts) is True)

    def floored(self, time: int) -> int:
        return time - time % self.every if self.every else time

    def of_all(self, end: int, members: list[tuple[int, Any]]) -> Any:
        if self.function == "count":
            return len(members)
        if not members:
            return None
        if self.function == "share":
            return sum(truth is True for _, truth in members) / len(members)
        return end - members[-1 if self.function == "since_last" else 0][0]

    def of_values(self, values: list[Any]) -> Any:
        match self.function:
            case "sum":
                return sum(values)
            case "count_distinct":
                return len(set(values))
            case "mean":
                return sum(values) / len(values) if values else None
            case "min" | "max":
                return (min if self.function == "min" else max)(values, default=None)
        return values[-1 if self.function == "last" else 0] if values else None


@dataclass(frozen=True)
class Schema:
    """A policy: what it has names for."""

    kinds: tuple[str, ...]
    countries: tuple[str, ...]  # none: no such field
    amount: str  # of AMOUNTS; "": no such field
    device: bool
    group: str  # the expression of a derived field; "": no such field
    labels: tuple[str, ...]  # of the update `status`; none: no such update
    told_as: str  # its type; a string takes every label
    default: bool
    outcomes: tuple[str, ...]
    rule: bool
    listed: bool
    limits: str
    features: dict[str, Feature] = field(default_factory=dict)

    def has(self, name: str, label: str) -> bool:
        found = {
            "kind": self.kinds, "country": self.countries, "status": self.statuses, "final": self.outcomes,
            "amount": [self.amount] * bool(self.amount), "device": [""] * self.device, "account": [""], "note": [""],
            "group_": [self.group] * bool(self.group), "r": [""] * self.rule,
        }[name]  # fmt: skip
        return label in found if label else bool(found)

    @property
    def statuses(self) -> tuple[str, ...]:
        return LABELS if self.labels and self.told_as == "string" else self.labels

    @property
    def status(self) -> str:
        if not self.labels:
            return ""
        default = f"default: {self.labels[0]}" if self.default else "optional: true"
        values = f"values: [{', '.join(self.labels)}], " if self.told_as == "enum" else ""
        return f"  updates:\n    status: {{type: {self.told_as}, {values}{default}}}\n"

    @property
    def text(self) -> str:
        fields = {
            "kind": f"{{type: enum, values: [{', '.join(self.kinds)}]}}",
            "country": f"{{type: enum, values: [{', '.join(self.countries)}], optional: true}}" * bool(self.countries),
            "amount": AMOUNTS.get(self.amount, "").replace("KIND", self.kinds[0]),
            "device": "{entity: device, optional: true}" if self.device else "",
        }  # fmt: skip
        rules = [f"{{id: r, when: note == 'x', outcome: {self.outcomes[-1]}}}".replace("'", '"')] * self.rule
        rules += ["{id: w, when: account in watched, score: 1}"] * self.listed
        return (
            f"policy: schemas\nversion: 1\noutcomes: [{', '.join(self.outcomes)}]\n{self.limits}"
            "event:\n  id: id\n  time: ts\n  kind: kind\n  fields:\n    id: string\n    ts: timestamp\n"
            "    account: {entity: account}\n    note: {type: string, optional: true}\n"
            + "".join(f"    {name}: {text}\n" for name, text in fields.items() if text)
            + (f"  derived:\n    group_: {{is: '{self.group}', entity: group}}\n" if self.group else "")
            + self.status
            + "points:\n  first: {}\n  again: {after: first}\n"
            + ("lists:\n  watched: {of: account}\n" if self.listed else "")
            + "features:\n  n: count(by=account)\n"
            + "".join(f"  {name}: {feature.text}\n" for name, feature in self.features.items())
            + "rules:\n  - {id: never, when: missing(id), score: 1}\n"
            + "".join(f"  - {rule}\n" for rule in rules)
        )


def some(random: Random, of: tuple[str, ...], least: int = 0) -> tuple[str, ...]:
    return tuple(random.sample(of, random.randint(least, len(of))))


def random_schema(random: Random, limits: str, before: Schema | None) -> Schema:
    """Features of the one before stay in most cases, with what they need; some of their windows change."""
    schema = Schema(
        kinds=some(random, KINDS, 1),
        countries=some(random, COUNTRIES),
        amount=random.choice(("", *AMOUNTS)),
        device=random.random() < 0.8,
        group=random.choice(("", "lower(note)", "upper(note)")),
        labels=some(random, LABELS),
        told_as=random.choice(("enum", "enum", "string")),
        default=random.random() < 0.5,
        outcomes=("allow", *(some(random, OUTCOMES) or ("block",))),
        rule=random.random() < 0.7,
        listed=random.random() < 0.6,
        limits=limits,
    )
    if before is not None and random.random() < 0.7:  # what changes is little, as it is in life
        names = random.sample([name for name in vars(schema) if name not in ("limits", "features")], 2)
        schema = Schema(**{**vars(before), **{name: vars(schema)[name] for name in names}})
    old = {} if before is None else before.features
    for number in range(8):
        name = f"f{number}"
        feature = old[name] if name in old and random.random() < 0.8 else random_feature(random)
        if random.random() < 0.2 and feature.over:
            feature = Feature(**{**vars(feature), "over": random.choice((10, 30, 90)) * MINUTE})
        schema.features[name] = feature
    lacking = [name for name, each in schema.features.items() if not all(schema.has(*want) for want in each.wants)]
    for name in lacking:
        del schema.features[name]
    return schema


def random_feature(random: Random) -> Feature:
    function = random.choice(
        ("count", "count", "sum", "mean", "min", "max", "count_distinct", "share", "last", "since_last", "since_first")
    )
    values = {"count_distinct": ("country", "amount", "device", "note"), "last": ("country", "amount", "note")}
    value: str | Condition = random.choice(values.get(function, ("amount",)))
    if function in ("count", "since_last", "since_first"):
        value = ""
    elif function == "share":
        value = random.choice(CONDITIONS)
    where = random.choice((None, random.choice(CONDITIONS), both(*random.sample(CONDITIONS, 2))))
    window = random.choice(("over", "over", "every", "since", "life"))
    if window == "life" and function in ("min", "max", "count_distinct", "last"):
        window = "over"
    if window == "every" and function not in ("count", "sum", "mean", "share"):
        window = "over"
    return Feature(
        function=function,
        value=value,
        by=random.choice(("account", "account", "device", "group_")),
        on=random.choice(((), (), some(random, KINDS, 1))),
        where=where,
        over=random.choice((10, 30, 90)) * MINUTE if window in ("over", "every") else 0,
        every=10 * MINUTE if window == "every" else 0,
        since=random.choice(CONDITIONS) if window == "since" else None,
    )
