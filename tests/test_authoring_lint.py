"""Lint: what it says, that it is never wrong (against the engine, by brute force), memory against the engine's own."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import product
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Final

import pytest

import frmcore
from frmcore.authoring.lint import lint
from frmcore.authoring.needs import memory, work
from frmcore.authoring.table_notes import logic_of, notes_of
from frmcore.policy import load

if TYPE_CHECKING:
    from frmcore.policy.tree import Expr

ROOT: Final = Path(__file__).parents[1]
BASE: Final = (Path(__file__).parent / "cases" / "tables" / "policy.yaml").read_text("utf-8")
HEAD, RULES = BASE.split("rules:\n")


def said(rules: str, head: str = HEAD) -> list[str]:
    """The messages about the policy with these rules, but for the lists and features that the base has."""
    policy = load(head + "rules:\n" + "".join(f"  - {{{rule}}}\n" for rule in rules.split("\n") if rule))
    return [
        f"{each.message} ({each.hint})" for each in lint(policy, None) if not each.message.startswith("no rule asks")
    ]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (
            "id: a, when: 'items > 5 and items < 3', outcome: block",
            'rule "a" can never fire (items > 5 contradicts items < 3)',
        ),
        (
            "id: a, when: 'items > 5 and items < 6', outcome: block",
            'rule "a" can never fire (items > 5 contradicts items < 6)',
        ),
        (
            "id: a, when: 'items / 0 > 5', outcome: block",
            "items / 0 is always absent (a division by zero has no result)",
        ),
        ("id: a, when: 'tries < 0', outcome: block", 'rule "a" can never fire (tries < 0 is never true)'),
        ("id: a, when: 'refused_1d > 1', outcome: block", 'rule "a" can never fire (refused_1d > 1 is never true)'),
        ("id: a, when: 'missing(account)', outcome: block", 'rule "a" can never fire (missing(account) is never true)'),
        (
            "id: a, when: 'missing(items) and items > 1', outcome: block",
            'rule "a" can never fire (missing(items) contradicts items > 1)',
        ),
        (
            'id: a, when: \'note == "x" and note in ("y", "z")\', outcome: block',
            'rule "a" can never fire (note == "x" contradicts note in ("y", "z"))',
        ),
        (
            'id: a, when: \'kind != "payment" and kind != "login"\', outcome: block',
            'rule "a" can never fire (kind != "payment" contradicts kind != "login")',
        ),
        (
            'id: a, when: \'since < "5m" and since > "1h"\', outcome: block',
            'rule "a" can never fire (since < "5m" contradicts since > "1h")',
        ),
        (
            'id: a, when: \'kind == "payment" or kind == "login"\', outcome: block',
            'rule "a" fires for every event (say true if that is meant)',
        ),
        (
            "id: a, when: 'missing(items) or items <= 5 or items > 5', outcome: block",
            'rule "a" fires for every event (say true if that is meant)',
        ),
        (
            "id: a, when: 'items > 5 and vip and items > 3', outcome: block",
            'in rule "a" this condition makes no difference (items > 5 says more)',
        ),
        (
            "id: a, when: 'items > 5 or vip or items > 3', outcome: block",
            'in rule "a" this condition makes no difference (items > 3 says it already)',
        ),
        (
            "id: a, when: 'items > 5', outcome: block\nid: b, when: 'items > 7 and vip', outcome: review",
            'rule "b" adds nothing to rule "a", which fires whenever it does ("a" stands in line 47: keep one)',
        ),
        (
            "id: a, when: 'items > 5', outcome: block, on: login, point: checkout",
            'rule "a" is never looked at: checkout decides no login (name another point, or other kinds)',
        ),
        (
            "id: a, when: 'items > 5', score: 49, point: checkout",
            'no score at "checkout" reaches 50: review is never decided by it (all live rules there together add 49)',
        ),
    ],
)
def test_what_is_odd_is_said(rules: str, expected: str) -> None:
    more = "" if "score" in rules else "\nid: enough, when: vip, score: 100"
    assert said(rules + more) == [expected]


@pytest.mark.parametrize(
    "rules",
    [
        "id: a, when: 'items > 5 or items < 3', outcome: block",
        "id: a, when: 'items <= 5 or items > 5', outcome: block",  # unknown where items is absent
        'id: a, when: \'usual > money("5") and usual < money("5.01")\', outcome: block',  # a mean has fractions
        "id: a, when: 'refused_1d > 0.5 and refused_1d < 0.6', outcome: block",
        "id: a, when: 'missing(fee)', outcome: block",
        "id: a, when: 'items > 5', outcome: review\nid: b, when: 'items > 7', outcome: block",
        "id: a, when: 'items > 5', outcome: block, mode: shadow\nid: b, when: 'items > 7', outcome: review",
        "id: a, when: 'items > 5', outcome: block, group: g\nid: b, when: 'items > 7', outcome: review",
        "id: a, when: 'items > 5', outcome: block, point: answered\nid: b, when: 'items > 7', outcome: review",
        "id: a, when: 'items > 5', outcome: block\nid: b, when: 'items > 7', outcome: block, actions: [call]",
        "id: a, when: 'items > 5', outcome: block\nid: b, when: 'items > 7', outcome: block, if_unknown: fires",
        "id: a, when: 'items > 5 and items < 3', outcome: block, mode: 'off'",
        "id: a, when: 'true', outcome: review",
        "id: a, when: 'rate > 0.1 and rate < 0.3', outcome: review",
    ],
)
def test_what_is_not_certain_is_not_said(rules: str) -> None:
    assert [each for each in said(rules + "\nid: enough, when: vip, score: 100") if "enough" not in each] == []


def test_windows_and_lists() -> None:
    head = HEAD.replace(
        "features:\n",
        'features:\n  long: count(by=card, over="2000d")\n  ever: count(by=card, where=status == "declined")\n',
    )
    policy = load(head + "rules:\n  - {id: a, when: long > 1 and ever > 1, score: 100}\n")
    found = {each.message for each in lint(policy, None)}
    assert 'feature "long" looks back 2000 days, further than the journal reaches' in found
    assert 'feature "ever" keeps the facts of every event, up to ids_max' in found
    assert 'no rule asks for list "blocked"' in found
    assert len(found) == 4


def test_rows_that_never_hit(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        'when items,when vip,then score\n> 5,-,100\n> 7,true,2\nabsent,,3\n<= 5,,4\n"> 3, absent",,5\n'
    )
    (tmp_path / "p.yaml").write_text(BASE + "tables:\n  t: {file: t.csv, hit: first}\n")
    policy = load(tmp_path / "p.yaml")
    notes = notes_of(policy, policy.tables[0])
    assert notes.notes == ("row 3 can never hit: row 2 fits whenever it does",)
    assert notes.complete
    (found,) = [str(each) for each in lint(policy, tmp_path / "p.yaml") if "row" in each.message]
    assert found.startswith(
        f"{tmp_path}/t.csv, cell A3: this row can never hit: row 2 fits whenever it does\n    > 7 | true | 2"
    )


# -- never a false alarm -----------------------------------------------------------------------------------------------
ATOMS: Final = (
    "items > 5",
    "items >= 5",
    "items < 5",
    "items == 5",
    "items != 5",
    "5 <= items <= 9",
    "items in (4, 9)",
    "items not in (5, 6)",
    "missing(items)",
    "vip",
    "vip == false",
    "missing(vip)",
    'note == "a"',
    'note != "a"',
    'note in ("a", "b")',
    "missing(note)",
    'kind == "payment"',
    'kind in ("payment", "login")',
    'fee > money("5")',
    'fee <= money("5.00")',
    'fee != money("10")',
    "missing(fee)",
    "weight < 0.5",
    "weight >= 0.5",
    "rate > 0.1",
    "rate == 0.25",
    'fee > money("1") * 5',
    "items > weight",
    "card in blocked",
    'coalesce(note, "b") == "b"',
    "len(note) > 0",
    "abs(items) < 0",
)
VALUES: Final[dict[str, tuple[Any, ...]]] = {
    "items": (None, 4, 5, 6, 9),
    "vip": (None, True, False),
    "note": (None, "a", "c"),
    "kind": ("payment", "login"),
    "fee": (None, 500, 1000),
    "weight": (None, 0.5),
    "rate": (None, "0.10", "0.25"),
}


def expressions(random: Random, count: int) -> list[str]:
    def one(depth: int) -> str:
        if depth == 0 or random.random() < 0.2:
            return random.choice(ATOMS)
        if random.random() < 0.2:
            return f"not ({one(depth - 1)})"
        op = random.choice((" and ", " or "))
        return op.join(f"({one(depth - 1)})" for _ in range(random.randint(2, 3)))

    return [one(random.randint(0, 2)) for _ in range(count)]


@pytest.mark.parametrize("seed", range(2))
def test_what_is_certain_is_so(seed: int) -> None:
    """Every answer of the logic holds for every event of a grid, as the engine decides them."""
    random = Random(seed)
    texts = expressions(random, 80)
    head = HEAD.replace("features:\n", "features:\n" + "".join(f"  e{n}: '{text}'\n" for n, text in enumerate(texts)))
    policy = load(head + "rules:\n  - {id: a, when: vip, score: 100}\n")
    trees: list[Expr] = [feature.expression for feature in policy.features if feature.expression is not None][:80]
    logic = logic_of(policy)
    seen: list[set[Any]] = [set() for _ in texts]
    pairs = [(random.randrange(80), random.randrange(80)) for _ in range(2_000)]
    claimed = [(a, b) for a, b in pairs if logic.implies(trees[a], trees[b])]
    apart = [(a, b) for a, b in pairs if logic.never(trees[a], trees[b])]
    with frmcore.Engine(None, policy=policy, clock=None) as engine:
        grid = list(product(*VALUES.values()))
        for index, values in enumerate(random.sample(grid, 400)):
            event = {"id": str(index), "ts": 1, "account": "a", **dict(zip(VALUES, values, strict=True))}
            features = engine.evaluate(event).features
            found = [features[f"e{n}"] for n in range(80)]
            for n, value in enumerate(found):
                seen[n].add(value)
            assert not [(texts[a], texts[b], event) for a, b in claimed if found[a] is True and found[b] is not True]
            assert not [(texts[a], texts[b], event) for a, b in apart if found[a] is True and found[b] is True]
    never = [n for n, tree in enumerate(trees) if logic.never(tree)]
    always = [n for n, tree in enumerate(trees) if logic.always(tree)]
    assert not [texts[n] for n in never if True in seen[n]]
    assert not [texts[n] for n in always if seen[n] != {True}]
    assert never and len(claimed) > 30 and len(apart) > 30, "the test claims nothing"


# -- what it will need -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("feature", "events"),
    [
        ('count(by=account, over="10d")', 1),
        ('count(by=account, over="10d")', 8),
        ('sum(fee, by=account, over="10d")', 8),
        ("count(by=account)", 2),
        ("sum(fee, by=account)", 2),
        ("sum(fee, by=account)", 8),
    ],
)
def test_memory_is_an_upper_bound_and_no_wild_one(feature: str, events: int) -> None:
    head = HEAD.partition("features:\n")[0] + f"features:\n  f: {feature}\n"
    policy = load(head + "rules:\n  - {id: a, when: vip, score: 100}\n")
    keys, days = 2_000, 11
    (group,) = memory(policy, {"account": keys}, events / days)
    with frmcore.Engine(None, policy=policy, clock=None) as engine:
        for number in range(events):
            for key in range(keys):
                engine.observe(
                    {"id": f"{number}-{key}", "ts": number, "kind": "payment", "account": str(key), "fee": 1}
                )
        measured = engine.stats["memory"]["rings"]
    if group.events >= events:
        assert measured <= 1.1 * group.bytes + 65_536
    assert group.bytes <= 5 * measured


def test_work() -> None:
    found = work(load(BASE))
    assert (found.windows, found.rings, found.lists) == (5, 4, 1)
    assert found.instructions > 10


# -- the command -------------------------------------------------------------------------------------------------------
def check(*arguments: object) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-c", "from frmcore.cli import main; main()", "check", *map(str, arguments)]
    return subprocess.run(line, cwd=ROOT, check=False, capture_output=True, text=True)


def test_the_command(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(HEAD + "rules:\n  - {id: a, when: 'items > 5 and items < 3', outcome: block}\n")
    told = check(path, "--entities", "account=50_000_000", "--per-day", "3")
    assert told.returncode == 0
    assert f'warning: {path}:47:20: rule "a" can never fire\n' in told.stderr
    assert "hint: items > 5 contradicts items < 3" in told.stderr
    assert "that is more than max_memory" in told.stderr
    assert check(path, "--strict").returncode == 1
    found = json.loads(check(path, "--json", "--entities", "account=1000").stdout)
    assert 47 in [each["line"] for each in found["lint"]]
    assert {each["entity"] for each in found["memory"]} == {"account", "card"}
    assert found["work"]["windows"] == 5
    assert check(path, "--entities", "account").returncode == 2


@pytest.mark.parametrize("policy", ["cli/starter/policy.yaml", "generate/card_payments.yaml"])
def test_our_own_policies_are_clean(policy: str) -> None:
    path = ROOT / "frmcore" / policy
    assert lint(load(path), path) == ()
