"""R1's thirty rules alone, features given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from bench.cases.case import Bench, case
from frmcore._fast import Lists, ListTable, Program
from frmcore.plan import Rep
from frmcore.policy.lower import lower

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.world import World

TIMES: Final = 1_000


class Rules:
    """The program of R1's one point, and the registers that an event's decision leaves it."""

    def __init__(self, world: World) -> None:
        self.plan = lower(world.policy)
        key = bytes(16)
        lists = Lists([ListTable(key) for _ in self.plan.lists], key)
        self.program = Program(self.plan, lists, key)
        self.code = self.plan.points[0].code

    def registers(self, event: Any, decision: Any) -> list[Any]:
        values: list[Any] = [None] * self.plan.registers
        for reg, spec in enumerate(self.plan.fields):
            values[reg] = getattr(event, spec.name)
        for feature, value in zip(self.plan.features, decision.features.values(), strict=True):
            rep = self.program.reps[feature.reg]
            values[feature.reg] = float(value) if rep == Rep.FLOAT and value is not None else value
        names = [each.name for each in self.plan.lists]
        for probe in self.plan.probes:
            values[probe.dst] = int(names[probe.list] in decision.lists)
        values[self.plan.final] = values[self.plan.score] = 0
        return values

    def run(self, registers: list[Any], times: int = TIMES) -> list[Any]:
        return self.program.run(self.code.start, self.code.end, registers, times=times)

    def fired(self, registers: list[Any]) -> list[str]:
        return [rule.id for rule in self.plan.rules if registers[rule.result]]


@case("rules_alone")
def rules_alone(world: World) -> Bench:
    rules, engine = Rules(world), world.warm()

    def rounds() -> Iterator[list[Any]]:
        for batch in world.rounds():
            yield [rules.registers(event, engine.decide(event)) for event in batch[:10]]

    return Bench(rules.run, rounds(), lambda registers: repr(rules.fired(registers)), TIMES, close=engine.close)
