"""Features to groups: what shares a ring, what a ring must hold, what a reload can keep."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from machine import Machine
from msgspec.structs import replace

from frmcore.plan import Agg, CalendarUnit, Column, ColumnKind, Group, Plan, Query, Span
from frmcore.policy import load
from frmcore.policy.lower import lower
from frmcore.verify import verify

if TYPE_CHECKING:
    from collections.abc import Sequence

    from machine import Value

HEAD = """\
policy: groups
version: 1
event:
  id: id
  time: ts
  kind: kind
  fields:
    id: string
    ts: timestamp
    kind: {type: enum, values: [payment, login, payout]}
    account: {entity: account}
    card: {entity: card, optional: true, private: true}
    payee: {entity: account, optional: true}
    channel: {type: enum, values: [app, web], optional: true}
    amount: {type: money, currency: EUR, optional: true, required_on: [payment]}
    weight: {type: decimal, scale: 3}
    ratio: {type: float, optional: true}
    city: string
  derived:
    bin: {is: "card[:6]", entity: bin}
  updates:
    status: {type: enum, values: [pending, declined], default: pending}
    label: {type: enum, values: [fraud, legit], optional: true}
"""
RULES = 'rules:\n  - {id: r, when: kind == "login", outcome: review}\n'
HOUR, DAY = 3_600_000, 86_400_000


def plan_of(features: Sequence[str], keep: Sequence[Group] = (), head: str = HEAD) -> Plan:
    """The features are called f0, f1, ..."""
    lines = "".join(f"  f{index}: '{text}'\n" for index, text in enumerate(features))
    plan = lower(load(f"{head}features:\n{lines}{RULES}"), keep)
    verify(plan)
    assert len({group.signature for group in plan.groups}) == len(plan.groups)
    return plan


def query_of(plan: Plan, feature: int) -> Query:
    register = plan.features[feature].reg
    group = plan.groups[plan.features[feature].group]
    (found,) = [q for lookup in group.lookups for q in lookup.queries if q.dst == register]
    return found


# -- sharing -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ('count(by=account, over="1h")', 'sum(weight, by=account, over="24h")'),
        # an amount is required there
        ('count(by=account, over="1h", on=payment)', 'sum(amount, by=account, over="24h", on=payment)'),
        ('sum(amount, by=account, over="1h")', 'max(amount, by=account, over="1h")'),
        ('count(by=account, over="1h")', "since_last(by=account)"),
        ('count(by=account, over="1h")', 'count(by=account, over="today", tz="Europe/Berlin")'),
        ('count(by=account, over="1h")', 'count(by=account, lookup=payee, over="1h")'),
        ('count(by=account, over="1h", where=amount > money("5"))',
         'count( by = account, over="2h",\n        where=((amount>money("5.00"))) )'),
        ('count(by=account, over="1h", on=(payment, login))', 'count(by=account, over="1h", on=(login, payment))'),
        ('share(label == "fraud", by=account, over="1h")', 'count(by=account, over="1h")'),
        ('sum(weight, by=card, since=status == "declined")', 'count(by=card, since=status == "declined")'),
    ],
)  # fmt: skip
def test_one_ring(first: str, second: str) -> None:
    plan = plan_of([first, second.replace("\n", " ")])
    assert plan.features[0].group == plan.features[1].group


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ('count(by=account, over="1h")', 'count(by=payee, over="1h")'),
        ('count(by=account, over="1h")', 'count(by=(account, card), over="1h")'),
        ('count(by=account, over="1h")', 'count(by=account, over="1h", on=payment)'),
        ('count(by=account, over="1h")', 'sum(amount, by=account, over="1h")'),  # amount may be absent
        ('count(by=account, over="1h")', 'count(by=account, over="1h", where=channel == "web")'),
        (
            'count(by=account, over="1h", where=channel == "app")',
            'count(by=account, over="1h", where=channel == "web")',
        ),
        ('count(by=account, over="1d")', 'count(by=account, over="1d", every="1h")'),
        ('count(by=account, over="1h")', 'count(by=account, since=status == "declined")'),
        ('count_distinct(card, by=account, over="1h")', 'count_distinct(payee, by=account, over="1h")'),
    ],
)
def test_two_rings(first: str, second: str) -> None:
    plan = plan_of([first, second])
    assert plan.features[0].group != plan.features[1].group


def test_lookups_by_distinct_keys() -> None:
    plan = plan_of([
        'count(by=payee, lookup=account, over="1h")',
        'sum(weight, by=payee, lookup=account, over="1h")',
        'count(by=payee, over="1h")',
    ])  # fmt: skip
    (group,) = plan.groups
    account, payee = 3, 5
    assert (group.keys, [lookup.keys for lookup in group.lookups]) == ((payee,), [(account,), (payee,)])
    assert [len(lookup.queries) for lookup in group.lookups] == [2, 1]
    assert plan.features[0].keys == (account,)


def test_the_same_aggregate_under_two_names_fills_two_registers() -> None:
    """So that each name has its note and its evidence; the engine reads the window once for both."""
    plan = plan_of(['count(by=account, over="1h")', 'count(by=account, over="1h")', 'count(by=account, over="2h")'])
    (lookup,) = plan.groups[0].lookups
    assert [query.dst for query in lookup.queries] == [feature.reg for feature in plan.features]


# -- queries -----------------------------------------------------------------------------------------------------------
def test_windows() -> None:
    plan = plan_of([
        'count(by=account, over="10m", delay="2m")',
        'count(by=account, over="3 days", tz="Europe/Berlin", closed="left")',
        'count(by=account, over="this month", tz="UTC")',
        "count(by=account)",
        'sum(weight, by=account, since=status == "declined")',
        'sum(weight, by=account, since=status == "declined", over="1h", closed="neither")',
    ])  # fmt: skip
    shown = [
        (q.agg, q.span, q.over_ms, q.delay_ms, q.left, q.right) for q in (query_of(plan, index) for index in range(6))
    ]
    assert shown == [
        (Agg.COUNT, Span.DURATION, 600_000, 120_000, False, True),
        (Agg.COUNT, Span.CALENDAR, 3, 0, True, False),
        (Agg.COUNT, Span.CALENDAR, 1, 0, True, True),
        (Agg.COUNT, Span.LIFE, 0, 0, False, True),
        (Agg.SUM, Span.SINCE, 0, 0, False, True),
        (Agg.SUM, Span.SINCE, HOUR, 0, False, False),
    ]
    month = query_of(plan, 2)
    assert (month.unit, plan.zones[month.zone].name) == (CalendarUnit.MONTH, "UTC")


def test_deviations_of_decimals_are_divided() -> None:
    plan = plan_of([
        'std(weight, by=account, over="1h", ddof=1)', 'mean(weight, by=account, over="1h")',
        'sum(weight, by=account, over="1h")', 'mean(amount, by=account, over="1h", on=payment)',
    ])  # fmt: skip
    assert [query_of(plan, index).divisor for index in range(4)] == [1000, 1000, 1, 1]
    assert query_of(plan, 0).ddof == 1


@pytest.mark.parametrize(
    ("features", "span", "life"),
    [
        (['count(by=account, over="1h")', 'count(by=account, over="2h", delay="1h")'], 3 * HOUR, False),
        (['count(by=account, over="today", tz="UTC")'], 25 * HOUR, False),
        (['count(by=account, over="3 days", tz="UTC")'], 73 * HOUR, False),
        (['count(by=account, over="this week", tz="UTC")'], 169 * HOUR, False),
        (['count(by=account, over="this month", tz="UTC")'], 745 * HOUR, False),
        (["count(by=account)"], 0, True),
        (["since_last(by=account)", 'count(by=account, over="1h")'], HOUR, True),
    ],
)
def test_spans(features: list[str], span: int, life: bool) -> None:
    (group,) = plan_of(features).groups
    assert (group.span_ms, group.life) == (span, life)


def test_marks_precede_what_they_start() -> None:
    plan = plan_of([
        'sum(amount, by=card, since=label == "fraud", on=payment)',
        'count(by=card, since=label == "fraud", over="1h")',
        'count(by=card, where=label == "fraud", over="1h")',
    ])  # fmt: skip
    marks, summed, counted = plan.groups
    assert (marks.kinds, marks.columns, marks.life, marks.marks_group) == (None, (), True, -1)
    assert (summed.marks_group, counted.marks_group) == (0, 0)
    assert (summed.span_ms, counted.span_ms, marks.span_ms) == (-1, HOUR, HOUR)
    assert plan.features[2].group == 0  # the marks are a group like any other
    assert summed.kinds == (0,)


# -- columns and filters -----------------------------------------------------------------------------------------------
def test_columns_hold_what_queries_need() -> None:
    plan = plan_of([
        f'{call}, by=account, over="1h", on=payment)'
        for call in ("sum(amount", "mean(amount", "std(amount", "max(amount", "count_distinct(amount", "last(amount",
                     'share(label == "fraud"', "first(city", "count_distinct(city")
    ])  # fmt: skip
    (group,) = plan.groups
    assert [(c.kind, c.sums, c.squares, c.extremes) for c in group.columns] == [
        (ColumnKind.INT, True, True, True),
        (ColumnKind.MEMBER, False, False, False),
        (ColumnKind.TRUTH, True, False, False),
        (ColumnKind.TEXT, False, False, False),
        (ColumnKind.MEMBER, False, False, False),
    ]
    assert [query_of(plan, index).column for index in range(9)] == [0, 0, 0, 0, 1, 0, 2, 3, 4]


def members(plan: Plan, group: Group, **values: Value) -> Machine:
    """The registers after the group's segment ran for an event of these values, the rest of it absent."""
    machine = Machine(plan)
    names = [field.name for field in (*plan.fields, *plan.derived, *plan.updates)]
    for name, value in values.items():
        machine.registers[plan.final if name == "final" else names.index(name)] = value
    machine.run(group.code)
    return machine


def test_events_without_the_value_are_left_out() -> None:
    plan = plan_of(['sum(amount, by=account, over="1h", where=channel == "web")'])
    (group,) = plan.groups

    def is_member(**values: Value) -> bool:
        return members(plan, group, **values).registers[group.where] == 1

    assert is_member(channel=1, amount=5)
    assert not is_member(channel=1)
    assert not is_member(channel=0, amount=5)
    assert not is_member(amount=5)


def test_what_can_be_absent_is_asked_for() -> None:
    def filtered(text: str) -> bool:
        return plan_of([text]).groups[0].where != -1

    assert not filtered('sum(weight, by=account, over="1h")')
    assert not filtered('max(coalesce(amount, money("0")), by=account, over="1h")')
    assert not filtered('last(status, by=account, over="1h")')
    assert not filtered('count(by=account, over="1h")')
    assert filtered('last(label, by=account, over="1h")')
    assert filtered('max(weight * 2, by=account, over="1h")')  # may overflow
    assert filtered('sum(amount, by=account, over="1h", on=(payment, login))')
    assert filtered('count_distinct(bin, by=account, over="1h")')


def test_unknown_is_not_true() -> None:
    plan = plan_of(['share(label == "fraud", by=account, over="1h")'])
    (group,) = plan.groups
    assert group.where == -1
    for label, truth in ((0, 1), (1, 0), (None, 0)):
        assert members(plan, group, label=label).registers[group.columns[0].reg] == truth


def test_what_groups_read() -> None:
    plan = plan_of([
        'count(by=account, over="1h")',
        'count(by=account, over="1h", where=status == "declined")',
        'share(label == "fraud", by=card, over="1h")',
        'count(by=account, over="1h", where=final == "block" and status == "pending")',
        'count(by=account, over="1h", where=score > 5)',
        'count(by=account, over="1h", where=fired("r"))',
    ])  # fmt: skip
    assert [(group.reads_updates, group.reads_decision) for group in plan.groups] == [
        (False, False), (True, False), (True, False), (True, True), (True, True), (True, True),
    ]  # fmt: skip
    assert plan.fired[0][0] == "r"
    blocked = members(plan, plan.groups[3], final=2, status=0)
    assert blocked.registers[plan.groups[3].where] == 1


def test_a_rule_that_is_off_may_have_fired_before() -> None:
    rules = 'rules:\n  - {id: r, when: kind == "login", outcome: review, mode: off}\n'
    features = 'features:\n  f: \'count(by=account, over="1h", where=not fired("r"))\'\n'
    plan = lower(load(HEAD + features + rules))
    assert (plan.rules, plan.fired[0][0]) == ((), "r")


# -- signatures --------------------------------------------------------------------------------------------------------
BASE = [
    'sum(amount, by=card, over="1h", where=status != "declined")',
    'count_distinct(channel, by=bin, over="1h")',
    'count(by=account, over="1h", where=channel == "web")',
]


def signatures(head: str) -> list[str]:
    return [group.signature for group in plan_of(BASE, head=head).groups]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    city: string\n", "    city: string\n    more: string\n"),
        ("    id: string\n", "    extra: {type: int, optional: true}\n    id: string\n"),
        ("values: [payment, login, payout]", "values: [refund, payout, payment, login]"),
        ("values: [pending, declined]", "values: [approved, declined, pending]"),
        ("version: 1", "version: 2"),
    ],
)
def test_a_signature_does_not_change_with(old: str, new: str) -> None:
    assert old in HEAD
    assert signatures(HEAD.replace(old, new)) == signatures(HEAD)


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("card[:6]", "card[:8]", [1]),
        ("currency: EUR", "currency: USD", [0]),
        ("default: pending", "default: declined", [0]),
        ("private: true", "private: false", [0, 1]),
        ("values: [app, web]", "values: [web, app]", []),  # only the column is stored by code
        ("optional: true, required_on: [payment]}", "optional: false}", [0]),
        ("card: {entity: card", "card: {entity: pan", [0]),
    ],
)
def test_a_signature_changes_with(old: str, new: str, changed: list[int]) -> None:
    assert old in HEAD
    before, after = signatures(HEAD), signatures(HEAD.replace(old, new))
    assert [index for index in range(3) if before[index] != after[index]] == changed


def test_a_column_is_stored_by_code() -> None:
    (before,) = plan_of([BASE[1]]).groups[0].columns
    (after,) = plan_of([BASE[1]], head=HEAD.replace("[app, web]", "[web, app]")).groups[0].columns
    assert before.text != after.text


# -- what a reload keeps -----------------------------------------------------------------------------------------------
SUMS = [
    'sum(weight, by=account, over="24h")',
    'max(weight, by=account, over="1h")',
    'share(city == "x", by=account, over="1h")',
]


def test_everything_is_kept_where_nothing_changes() -> None:
    features = [*SUMS, 'count(by=card, since=label == "fraud")', *BASE]
    first = plan_of(features)
    assert plan_of(features, first.groups) == first


def test_a_kept_ring_keeps_its_columns_and_span() -> None:
    first = plan_of(SUMS)
    second = plan_of(['count(by=account, over="10m")', SUMS[2]], first.groups)
    (group,) = second.groups
    old = first.groups[0]
    assert (group.signature, group.span_ms) == (old.signature, old.span_ms)
    assert [c._replace(reg=0, text="") for c in group.columns] == [c._replace(reg=0, text="") for c in old.columns]
    assert [column.text for column in group.columns] == ["", old.columns[1].text]
    assert query_of(second, 1).column == 1
    assert dict(second.constants)[group.columns[0].reg] == 0


def test_a_column_that_nobody_read_is_not_kept() -> None:
    """It was blank in the meantime."""
    first = plan_of(SUMS)
    second = plan_of(SUMS[2:], first.groups)
    third = plan_of(SUMS, second.groups)
    assert [group.signature for group in third.groups] == [first.groups[0].signature + " #2", first.groups[0].signature]
    assert [feature.group for feature in third.features] == [0, 0, 1]
    fourth = plan_of(SUMS, third.groups)
    assert [group.signature for group in fourth.groups] == [group.signature for group in third.groups]


@pytest.mark.parametrize(
    "feature",
    [
        'sum(weight, by=account, over="25h")',  # reaches further back
        'std(weight, by=account, over="1h")',  # squares
        'count_distinct(weight, by=account, over="1h")',  # another column
        "count(by=account)",  # life
    ],
)
def test_what_a_ring_can_not_serve_gets_its_own(feature: str) -> None:
    first = plan_of(SUMS)
    second = plan_of([*SUMS, feature], first.groups)
    assert [group.signature for group in second.groups] == [
        first.groups[0].signature,
        first.groups[0].signature + " #2",
    ]
    assert [column.text for column in second.groups[0].columns] == [column.text for column in first.groups[0].columns]
    assert [found.group for found in second.features] == [0, 0, 0, 1]


def test_marks_stay_in_the_group_that_has_them() -> None:
    """A wider group of the same events came later, and stands first: it lacks what was forgotten by then."""
    runs, fees = 'count(by=card, since=label == "fraud")', 'first(city, by=card, where=label == "fraud")'
    first = plan_of([runs])
    second = plan_of([fees, runs], first.groups)
    marks, windows = first.groups[0].signature, first.groups[1].signature
    found = {group.signature: group.marks_group for group in second.groups}
    assert second.groups[found[windows]].signature == marks
    assert plan_of([fees, runs], second.groups) == second


def test_an_unbounded_ring_serves_any_span() -> None:
    first = plan_of(['count(by=card, since=label == "fraud")'])
    second = plan_of(['count(by=card, since=label == "fraud", over="1h")'], first.groups)
    assert [group.signature for group in second.groups] == [group.signature for group in first.groups]
    assert second.groups[1].span_ms == -1


def test_a_new_group_never_takes_the_name_of_a_dropped_one() -> None:
    first = plan_of(SUMS)
    grown = 'sum(weight, by=account, over="48h")'
    second = plan_of([grown], first.groups)
    assert [group.signature for group in second.groups] == [first.groups[0].signature + " #2"]
    third = plan_of(['sum(weight, by=account, over="72h")'], second.groups)
    assert [group.signature for group in third.groups] == [first.groups[0].signature]


def test_a_field_that_is_gone_leaves_the_rest_of_its_ring() -> None:
    first = plan_of(SUMS)
    second = plan_of(SUMS[:1], first.groups, head=HEAD.replace("    city: string\n", ""))
    (group,) = second.groups
    assert group.signature == first.groups[0].signature
    assert group.columns[1].text == ""


def test_a_kept_column_must_have_all_that_is_wanted() -> None:
    first = plan_of(SUMS)
    old = first.groups[0]
    narrow = replace(
        old, columns=tuple(Column(*column[:4], extremes=False, text=column.text) for column in old.columns)
    )
    second = plan_of(SUMS, [narrow])
    assert [feature.group for feature in second.features] == [0, 1, 0]
