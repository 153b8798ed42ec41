"""Random reloads between policies that differ in updates, labels, outcomes and points: what was told, against a plain
account of it that forgets nothing."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

import frmcore
from frmcore.errors import EventConflict, InvalidEvent, UnknownName

if TYPE_CHECKING:
    from pathlib import Path

NOON = 1_760_011_200_000
KEYS = {"key": bytes(16), "private_key": bytes(range(16))}
LABELS = ("pending", "approved", "declined")
OUTCOMES = ("ask", "review", "block")
POINTS = ("answered", "settled")


class Names(NamedTuple):
    """What one policy has names for."""

    labels: tuple[str, ...]  # of `status`; none: no such update
    remark: bool
    outcomes: tuple[str, ...]
    points: tuple[str, ...]

    @property
    def text(self) -> str:
        updates = (
            f"    status: {{type: enum, values: [{', '.join(self.labels)}], optional: true}}\n" if self.labels else ""
        )
        updates += "    remark: {type: string, optional: true}\n" if self.remark else ""
        later = "".join(f"  {name}: {{after: first}}\n" for name in self.points)
        return (
            f"policy: names\nversion: 1\noutcomes: [{', '.join(self.outcomes)}]\n"
            "event:\n  id: id\n  time: ts\n  fields:\n    id: string\n    ts: timestamp\n"
            "    account: {entity: account}\n"
            + (f"  updates:\n{updates}" if updates else "")
            + f"points:\n  first: {{}}\n{later}"
            + "features:\n  n: count(by=account)\n"
            + f"rules:\n  - {{id: r, when: n > 0, outcome: {self.outcomes[-1]}}}\n"
        )


def random_names(random: Random) -> Names:
    def some(of: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(random.sample(of, random.randint(0, len(of))))

    return Names(some(LABELS), random.random() < 0.6, ("allow", *(some(OUTCOMES) or ("block",))), some(POINTS))


class Account:
    """What was told of each event: (time, number of the operation, value), the latest by field."""

    def __init__(self) -> None:
        self.told: dict[tuple[str, str], tuple[int, int, Any]] = {}
        self.decided: set[tuple[str, str]] = set()

    def tell(self, ident: str, field: str, at: int, seq: int, value: Any) -> None:
        key = ident, field
        if key not in self.told or (at, seq) >= self.told[key][:2]:
            self.told[key] = at, seq, value

    def known(self, ident: str, names: Names) -> dict[str, Any]:
        found = {field: self.told.get((ident, field), (0, 0, None))[2] for field in ("status", "remark", "final")}
        found["status"] = found["status"] if found["status"] in names.labels else None
        found["final"] = found["final"] if found["final"] in names.outcomes else names.outcomes[0]
        wanted = [("status", bool(names.labels)), ("remark", names.remark), ("final", True)]
        return {field: found[field] for field, there in wanted if there}


@pytest.mark.parametrize("seed", range(12))
def test_what_was_told_under_any_policy_is_known_under_every_other(seed: int, tmp_path: Path) -> None:
    random, account = Random(seed), Account()
    names = random_names(random)
    engine = frmcore.Engine(tmp_path / "s", policy=names.text, clock=None, **KEYS)
    for number in range(150):
        step = random.choices(("decide", "tell", "again", "reload", "reopen"), (3, 5, 2, 2, 0.5))[0]
        ident, at = f"e{random.randrange(8)}", NOON + 1_000 + random.randrange(100)
        seq = engine.stats["seq"]
        if step == "decide":
            decision = engine.decide({"id": ident, "ts": NOON, "account": "a"})
            if not decision.duplicate:
                account.tell(ident, "final", NOON, seq + 1, decision.outcome)
        elif step == "reload":
            names = random_names(random)
            engine.reload(names.text)
        elif step == "reopen":
            before = engine.state_hash()
            engine.close()
            engine = frmcore.Engine(tmp_path / "s", policy=names.text, clock=None, **KEYS)
            assert engine.state_hash() == before
        elif (ident, "final") not in account.told:
            continue
        elif step == "tell":
            tell(engine, account, names, random, ident, at)
        elif names.points:
            again(engine, account, random.choice(names.points), ident, at)
        for known in sorted({ident for ident, _ in account.told}):
            now = engine._core.known_now(known)
            wanted = account.known(known, names)
            assert {field: now[field] for field in wanted} == wanted, f"operation {number}, {step}: {known}"
    engine.close()


def tell(engine: frmcore.Engine, account: Account, names: Names, random: Random, ident: str, at: int) -> None:
    tellings = [("status", label) for label in names.labels] + [("final", outcome) for outcome in names.outcomes]
    tellings += [("remark", "x" * random.randint(1, 40))] * names.remark
    field, value = random.choice(tellings)
    engine.update(ident, at=at, **{field: value})
    account.tell(ident, field, at, engine.stats["seq"], value)


def again(engine: frmcore.Engine, account: Account, point: str, ident: str, at: int) -> None:
    """A second decision at a point is that of the first time, whatever policies were in force meanwhile."""
    try:
        decision = engine.decide_again(ident, point, at=at)
    except (InvalidEvent, UnknownName, EventConflict):  # the point before it is of another name
        return
    assert decision.duplicate == ((ident, point) in account.decided)
    if not decision.duplicate:
        account.decided.add((ident, point))
        account.tell(ident, "final", at, decision.seq, decision.outcome)
