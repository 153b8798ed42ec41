"""Wrong events as data: files of cases below cases/events, each an operation and the error that it must raise.

A case is a YAML mapping: `case` says what is wrong; one key names the operation (OPERATIONS) with its arguments;
`error`, `field` and `message` say what must come. An event is given as what it changes in a good one; `without` names
keys to leave out. Values that YAML can't write have tags: `!int ["9", 5000]` repeats, `!text [x, 20000]` too,
`!decimal "1.5"`, `!of tuple` is an object of a type that no field takes.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

import frmcore

if TYPE_CHECKING:
    from collections.abc import Callable

FOLDER = Path(__file__).parent / "cases" / "events"
POLICY = frmcore.load(FOLDER / "policy.yaml")
NOW = 1_800_000_000_000  # 2027-01-15T08:00:00Z
MINUTE = 60_000
GOOD: dict[str, Any] = {
    "id": "good",
    "ts": NOW,
    "kind": "payment",
    "account": "a-1",
    "card": "c-1",
    "amount": 12_990,
    "currency": "USD",
    "client": {"country": "DE"},
}
OBJECTS: dict[str, Callable[[], Any]] = {
    "object": object,
    "tuple": lambda: (1, 2),
    "set": lambda: {1, 2},
    "bytes": lambda: b"abc",
    "complex": lambda: 1j,
    "timedelta": lambda: timedelta.max,
}


class Loader(yaml.SafeLoader):
    """YAML's own types, and the tags of the cases."""


Loader.add_constructor("!decimal", lambda loader, node: Decimal(loader.construct_scalar(node)))
Loader.add_constructor("!text", lambda loader, node: _repeated(*loader.construct_sequence(node)))
Loader.add_constructor("!int", lambda loader, node: int(_repeated(*loader.construct_sequence(node))))
Loader.add_constructor("!of", lambda loader, node: OBJECTS[loader.construct_scalar(node)]())


def _repeated(text: str, times: int) -> str:
    return text * times


def all_cases() -> list[dict[str, Any]]:
    found = []
    for path in sorted(FOLDER.glob("*_cases.yaml")):
        found += yaml.load(path.read_text("utf-8"), Loader)  # noqa: S506  a SafeLoader with four tags
    return found


def prepared() -> frmcore.Engine:
    """An engine at NOW that knows events and has forgotten some: `old-0`... are forgotten, `new-6` and `login` not."""
    engine = frmcore.Engine(None, policy=POLICY, clock=lambda: NOW, key=bytes(16), private_key=bytes(16))
    for number in range(12):
        engine.decide(GOOD | {"id": f"{'old' if number < 6 else 'new'}-{number}", "ts": NOW - (20 - number) * MINUTE})
    engine.decide(GOOD | {"id": "login", "ts": NOW - MINUTE, "kind": "login"})
    engine.observe(GOOD | {"id": "seen", "ts": NOW - MINUTE, "status": "approved"})
    engine.decide_again("new-11", "answered", status="approved")
    engine.lists["friends"].add("a-9")
    return engine


def event_of(change: dict[str, Any]) -> dict[str, Any]:
    left_out = change.pop("without", [])
    return {key: value for key, value in {**GOOD, **change}.items() if key not in left_out}


def _add(engine: frmcore.Engine, given: dict[str, Any]) -> object:
    return engine.lists[given.pop("list")].add(given.pop("value"), **given)


OPERATIONS: dict[str, Callable[[frmcore.Engine, Any], object]] = {
    "decide": lambda engine, given: engine.decide(event_of(given)),
    "raw": lambda engine, given: engine.decide(given),
    "strict": lambda engine, given: engine.decide(event_of(given), strict=True),
    "evaluate": lambda engine, given: engine.evaluate(event_of(given)),
    "observe": lambda engine, given: engine.observe(event_of(given)),
    "json": lambda engine, given: engine.decide_json(given),
    "many": lambda engine, given: engine.decide_many(
        [event if isinstance(event, bytes) else event_of(event) for event in given]
    ),
    "at_point": lambda engine, given: engine.decide(GOOD, given),
    "update": lambda engine, given: engine.update(given.pop("id", "new-11"), **given),
    "again": lambda engine, given: engine.decide_again(
        given.pop("id", "new-10"), given.pop("point", "answered"), **given
    ),
    "explain": lambda engine, given: engine.explain(*given),
    "features": lambda engine, given: engine.features(**given),
    "list": lambda engine, given: engine.lists[given],
    "add": _add,
    "remove": lambda engine, given: engine.lists[given["list"]].remove(given["value"]),
    "get": lambda engine, given: engine.lists[given["list"]].get(given["value"]),
}


def run(engine: frmcore.Engine, case: dict[str, Any]) -> object:
    operation = next(key for key in case if key in OPERATIONS)
    return OPERATIONS[operation](engine, case[operation])
