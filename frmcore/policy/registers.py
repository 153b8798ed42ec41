"""Who lives in which register, and the tables that instructions index: sets, patterns, zones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frmcore.errors import PolicyError
from frmcore.limits import REGISTERS_MAX
from frmcore.plan import CurrencyPlan, PrivateText
from frmcore.policy.source import Place, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from frmcore.policy.tree import Policy

    Constant = int | float | str | bytes | PrivateText
    Values = tuple[int, ...] | tuple[str | bytes, ...] | tuple[PrivateText, ...]


def too_large(policy: Policy, what: str, most: int) -> PolicyError:
    """The policy fits no machine. No single place is to blame, so its first line stands for all."""
    file, text = next(iter(policy.files.items()), (policy.name, ""))
    hint = "split the policy, or let rules share features"
    return PolicyError(
        (Problem(Place(file, 1, 1), f"the policy needs more than {most} {what}", hint, text.split("\n")[0]),)
    )


class Registers:
    """Numbers registers in the order that plan.py states. `constants` are those that the draft found: they come before
    features, though only lowering tells which are needed."""

    def __init__(self, policy: Policy, fired: Sequence[str], constants: Iterable[Constant]) -> None:
        self._policy = policy
        self.count = 0
        self.names = {field.name: self.new() for field in (*policy.fields, *policy.derived, *policy.updates)}
        self.currencies = {  # facts too: they stand with the fields, before what is no fact
            field.name: CurrencyPlan(self.names[field.name], self.names[field.currency_field], self.new(), self.new())
            for field in policy.fields
            if field.currency_field
        }
        self.final = self.new()
        self.score = self.new()
        self.fired = {rule: self.new() for rule in fired}
        self._constants: dict[str, tuple[int, Constant]] = {}
        for value in constants:
            self.constant(value)
        self.features = {feature.name: self.new() for feature in policy.features}

    def new(self) -> int:
        if self.count == REGISTERS_MAX:
            raise too_large(self._policy, "values at a time", REGISTERS_MAX)
        self.count += 1
        return self.count - 1

    def constant(self, value: Constant) -> int:
        key = f"{type(value).__name__} {value!r}"  # 0, 0.0 and -0.0 are three constants
        if key not in self._constants:
            self._constants[key] = (self.new(), value)
        return self._constants[key][0]

    @property
    def constants(self) -> tuple[tuple[int, Constant], ...]:
        return tuple(self._constants.values())


class Tables:
    """What instructions refer to by index; equal entries are one."""

    def __init__(self) -> None:
        self.sets: dict[Values, int] = {}
        self.patterns: dict[str, int] = {}
        self.zones: dict[str, int] = {}

    def set_of(self, values: Values) -> int:
        return self.sets.setdefault(values, len(self.sets))

    def pattern(self, pattern: str) -> int:
        return self.patterns.setdefault(pattern, len(self.patterns))

    def zone(self, name: str) -> int:
        return self.zones.setdefault(name, len(self.zones))
