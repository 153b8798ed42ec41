"""Bounds of the machine: reaching one works, one more is a mistake with a place, and no plan goes beyond it."""

from __future__ import annotations

import pytest
from engines import SCHEMA, World, policy_text
from msgspec.structs import replace

import frmcore
from frmcore import limits
from frmcore.policy import load
from frmcore.policy.lower import lower
from frmcore.verify import verify


def problem(text: str) -> tuple[str, str]:
    """What stands at the place of the one problem, and what it says."""
    with pytest.raises(frmcore.PolicyError) as caught:
        load(text)
    (found,) = caught.value.problems
    line = text.split("\n")[found.place.line - 1]
    return line[found.place.column - 1 :][: found.place.length], found.message


def kinds(count: int) -> str:
    names = ", ".join(["payment", "login", *(f"k{number}" for number in range(count - 2))])
    return policy_text(schema=SCHEMA.replace("[payment, login]", f"[{names}]"))


def groups(count: int) -> str:
    return policy_text(
        rules="".join(f"  - {{id: r{n}, group: g{n}, when: missing(id), score: 1}}\n" for n in range(count))
    )


def key(count: int) -> str:
    fields = "".join(f"    f{number}: {{entity: f{number}}}\n" for number in range(count))
    names = ", ".join(f"f{number}" for number in range(count))
    return policy_text(f'n: count(by=({names}), over="1h")', schema=SCHEMA.replace("  updates:", f"{fields}  updates:"))


def columns(count: int, reload: bool = False) -> str:
    features = "\n".join(
        f's{number}: share(n > {number}, by=account, over="{number + 1}h")' for number in range(reload, count)
    )
    return policy_text(features, schema=SCHEMA.replace("  updates:", "    n: int\n  updates:"))


@pytest.mark.parametrize(
    ("text", "most", "where", "message"),
    [
        (kinds, limits.KINDS_MAX, "kind", "more than 63 kinds of events"),
        (groups, limits.RULE_GROUPS_MAX, "group", "more than 64 groups of rules"),
        (key, limits.KEY_PARTS_MAX, "(f0, f1, f2, f3, f4, f5, f6, f7, f8)", "a key has at most 8 parts, not 9"),
    ],
)
def test_the_most_works_and_one_more_is_a_problem_with_a_place(text, most, where, message) -> None:  # type: ignore[no-untyped-def]
    frmcore.Engine(None, policy=text(most))
    assert problem(text(most + 1)) == (where, message)


def test_the_last_kind_and_the_last_group_count() -> None:
    kind = f"k{limits.KINDS_MAX - 3}"
    world = World()
    with frmcore.Engine(None, policy=kinds(limits.KINDS_MAX), clock=None) as engine:
        assert engine.decide(world.event(kind=kind)).fired == ()
    rules = groups(limits.RULE_GROUPS_MAX).replace("id: r0, group: g0,", "id: r0, group: g0, exempts: [g63],")
    with frmcore.Engine(None, policy=rules.replace("missing(id)", 'account == "a"'), clock=None) as engine:
        decision = engine.decide(world.event())
        assert (decision.score, decision.exempted) == (limits.RULE_GROUPS_MAX - 1, ("r63",))


def test_many_values_of_one_key_are_kept_in_several_rings() -> None:
    """What one ring can't hold is no limit of the language."""
    count = 2 * limits.GROUP_COLUMNS_MAX + 3
    policy = load(columns(count))
    assert [len(group.columns) for group in lower(policy).groups] == [16, 16, 3]
    with frmcore.Engine(None, policy=policy, clock=None) as engine:
        world = World()
        for at in range(3):
            engine.decide(world.event(at, n=0))
        decision = engine.decide(world.event(3, n=20))
        assert dict(decision.features) == {f"s{number}": 0.25 if number < 20 else 0.0 for number in range(count)}
        signatures = [group["signature"] for group in engine.stats["groups"]]
        assert len(set(signatures)) == 3
        engine.reload(columns(count, reload=True))
        assert [group["signature"] for group in engine.stats["groups"]] == signatures
        decision = engine.decide(world.event(4, n=0))
        assert dict(decision.features) == {f"s{number}": 0.2 if number < 20 else 0.0 for number in range(1, count)}


def test_no_plan_goes_beyond_them() -> None:
    plan = lower(load(policy_text('n: count(by=account, over="1h")')))
    (group,) = plan.groups
    (lookup,) = group.lookups
    rules = tuple(replace(plan.rules[0], group=f"g{number}") for number in range(limits.RULE_GROUPS_MAX + 1))
    wrong = {
        "columns": replace(plan, groups=(replace(group, columns=lower(load(columns(1))).groups[0].columns * 17),)),
        "kinds": replace(plan, kinds=tuple(map(str, range(limits.KINDS_MAX + 1)))),
        "groups of rules": replace(plan, rules=rules),
        "parts of a key": replace(plan, groups=(replace(group, keys=group.keys * 9),)),
        "parts of a key less one": replace(plan, groups=(replace(group, lookups=(lookup._replace(keys=()),)),)),
    }
    for message, each in wrong.items():
        with pytest.raises(ValueError, match=message):
            verify(each)
