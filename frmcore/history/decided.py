"""The table `decided`: one row a decision of a run, filled from columns."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from frmcore._fast import DECISION_HOLDOUT, DECISION_LATE, Columns
from frmcore.history.verdicts import Verdicts
from frmcore.plan import Kind
from frmcore.policy.tree import Type
from frmcore.values import feature_value

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from frmcore._fast import Book
    from frmcore.plan import FieldPlan, Plan
    from frmcore.policy.tree import Policy

COLUMNS: Final = {
    "n": "BIGINT",  # place in the run, from 1; what was no decision leaves a gap
    "id": "VARCHAR",
    "t": "BIGINT",  # the event's time, epoch ms
    "point": "VARCHAR",
    "outcome": "VARCHAR",
    "intended": "VARCHAR",  # of the holdout: what the rules asked for; NULL where nothing was let through
    "score": "BIGINT",
    "fired": "VARCHAR[]",  # enforced
    "shadow": "VARCHAR[]",
    "exempted": "VARCHAR[]",  # rules that fired and did not count
    "silenced": "VARCHAR[]",  # groups that fired rules exempt; NULL where no rule of the policy does
    "late": "BOOLEAN",
    "weight": "DOUBLE",  # of how many events its truth speaks: see `Lots`
    "amount": "BIGINT",  # minor units of the base currency
    "customer": "VARCHAR",  # of a private field: its hash
    "live": "VARCHAR",  # the outcome that took effect then, where that is known
    "base_outcome": "VARCHAR",  # of the policy it is compared with
    "base_fired": "VARCHAR[]",
    "same": "BOOLEAN",  # is the decision, bit for bit, the one that the store has
    "record": "BIGINT",  # where it stands, and its size: see Workspace.kept
    "record_size": "BIGINT",
}


class Facts:
    """What is measured of an event beside its decision. amount: a money field, customer: who is insulted when a good
    event is stopped; each by name, or None."""

    def __init__(self, policy: Policy, amount: str | None, customer: str | None) -> None:
        self._wanted = {"amount": amount, "customer": customer}
        self._exempts = {rule.id: rule.exempts for rule in policy.rules if rule.exempts}

    def columns(self, book: Book) -> Columns:
        """Empty ones of a policy, with those of the fields that it has."""
        return Columns(book, list(self._of(book.plan).values()))

    def _of(self, plan: Plan) -> dict[str, str]:
        known = {field.name for field in plan.fields}
        return {column: name for column, name in self._wanted.items() if name is not None and name in known}

    def table(self, columns: Columns) -> Any:
        """The decisions as a pyarrow table, and the columns anew."""
        import pyarrow as pa  # noqa: PLC0415

        plan = columns.book.plan
        taken, facts = columns.take()
        flags = _numbers(pa, pa.uint8(), taken["flags"])
        found = {
            "n": _numbers(pa, pa.int64(), taken["tag"]),
            "id": _texts(pa, pa.large_string(), taken["id"], taken["id_ends"]),
            "t": _numbers(pa, pa.int64(), taken["time"]),
            "point": _named(pa, [point.name for point in plan.points], taken["point"]),
            "outcome": _named(pa, plan.outcomes, taken["outcome"]),
            "score": _numbers(pa, pa.int64(), taken["score"]),
            "fired": _rules(pa, plan, taken, "fired"),
            "shadow": _rules(pa, plan, taken, "shadow"),
            "exempted": _rules(pa, plan, taken, "exempted"),
            "late": pa.array([bool(flag & DECISION_LATE) for flag in range(256)]).take(flags),
            "record": _texts(pa, pa.large_binary(), taken["record"], taken["record_ends"]),
        }
        if plan.holdout is not None:
            found["intended"] = _intended(pa, plan, taken)
        if self._exempts:
            found["silenced"] = self._silenced(pa, plan, taken)
        fields = {field.name: field for field in plan.fields}
        for (column, name), parts in zip(self._of(plan).items(), facts, strict=True):
            found[column] = _field(pa, fields[name], parts, len(flags), as_text=column == "customer")
        return pa.table(found)

    def _silenced(self, pa: Any, plan: Plan, taken: dict[str, bytes]) -> Any:
        ids = [rule.id for rule in plan.rules]
        fired, exempted = (_lists(ids, taken[part], taken[f"{part}_ends"]) for part in ("fired", "exempted"))
        return pa.array([self._groups(*each) for each in zip(fired, exempted, strict=True)], pa.list_(pa.string()))

    def _groups(self, fired: list[str], exempted: list[str]) -> list[str]:
        if not fired and not exempted:
            return []
        return sorted({group for rule in (*fired, *exempted) for group in self._exempts.get(rule, ())})


def _intended(pa: Any, plan: Plan, taken: dict[str, bytes]) -> Any:
    """What the rules asked for, of the events that the holdout let through."""
    verdicts, points = Verdicts(plan), [point.name for point in plan.points]
    fired = _lists([rule.id for rule in plan.rules], taken["fired"], taken["fired_ends"])
    rows = zip(taken["flags"], taken["point"], fired, strict=True)
    asked = [verdicts.outcome(points[at], ids) if flags & DECISION_HOLDOUT else None for flags, at, ids in rows]
    return pa.array([None if place is None else plan.outcomes[place] for place in asked], pa.string())


def _numbers(pa: Any, kind: Any, data: bytes) -> Any:
    return pa.Array.from_buffers(kind, len(data) * 8 // kind.bit_width, [None, pa.py_buffer(data)])


def _texts(pa: Any, kind: Any, data: bytes, ends: bytes, there: Any = None) -> Any:
    return pa.Array.from_buffers(kind, len(ends) // 8 - 1, [there, pa.py_buffer(ends), pa.py_buffer(data)])


def _named(pa: Any, names: Sequence[str], data: bytes) -> Any:
    return pa.array(list(names), pa.string()).take(_numbers(pa, pa.uint8(), data))


def _rules(pa: Any, plan: Plan, taken: dict[str, bytes], part: str) -> Any:
    names = pa.array([rule.id for rule in plan.rules], pa.string()).take(_numbers(pa, pa.uint32(), taken[part]))
    return pa.LargeListArray.from_arrays(_numbers(pa, pa.int64(), taken[f"{part}_ends"]), names)


def _lists(names: Sequence[str], numbers: bytes, ends: bytes) -> Iterator[list[str]]:
    """The same as Python has it."""
    found, at = memoryview(numbers).cast("I"), memoryview(ends).cast("q")
    for first, last in pairwise(at):
        yield [names[number] for number in found[first:last]] if first < last else []


def _field(pa: Any, field: FieldPlan, parts: tuple[bytes, bytes, bytes], count: int, *, as_text: bool) -> Any:
    """A field's values; as texts: as people read them, and of a private one the hash."""
    values, ends, there = parts[0], parts[1], pa.py_buffer(parts[2])
    spec = Type(field.kind, field.scale, values=field.values)
    if field.kind is Kind.STRING and not field.private:
        return _texts(pa, pa.large_string(), values, ends, there)
    if len(ends) > 8:
        raw = _texts(pa, pa.large_binary(), values, ends, there)
    else:
        kind = pa.float64() if field.kind is Kind.FLOAT else pa.int64()
        raw = pa.Array.from_buffers(kind, count, [there, pa.py_buffer(values)])
    if not as_text:
        return raw
    shown = [None if v is None else _shown(spec, v, private=field.private) for v in raw.to_pylist()]
    return pa.array(shown, pa.string())


def _shown(spec: Type, raw: Any, *, private: bool) -> str:
    return raw.hex() if private and isinstance(raw, bytes) else str(feature_value(spec, raw))
