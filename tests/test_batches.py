"""Many events in one call, as objects or as Arrow columns: decisions and errors of one call each, to the byte."""

from __future__ import annotations

import datetime as dt
import logging
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from engines import HOUR, KEYS, MINUTE, NOON, SCHEMA, policy_text
from hypothesis import given, settings
from hypothesis import strategies as st

import frmcore

if TYPE_CHECKING:
    from collections.abc import Callable

pa = pytest.importorskip("pyarrow")

FEATURES = """
    attempts: count(by=card, over="1h")
    spent: sum(amount, by=account, over="1d", where=status != "declined")
    heaviest: max(weight, by=account, over="10m")
    subnets: count_distinct(ip, by=account, over="1h")
    usual: mean(price, by=(account, card), over="2h", closed="left")
    before: last(note, by=account)
"""
RULES = """\
  - {id: big, when: spent > money("100"), score: 7, reason: "{spent} in a day"}
  - {id: heavy, when: weight > 0.5, outcome: review}
"""
POLICY = frmcore.load(policy_text(FEATURES, RULES))
EVENT = {
    "id": "e1", "ts": NOON, "kind": "payment", "account": "ä-1", "card": "c", "ip": "::ffff:10.0.0.1", "amount": 12_990,
    "price": 1.25, "weight": 0.5, "note": "\U0001f600 a text beyond the twelve bytes that a view holds",
}  # fmt: skip
WIDER = SCHEMA.replace("    account:", "    more: {type: string, optional: true}\n    account:")
SECOND = EVENT | {"id": "e2", "ts": NOON + MINUTE, "card": None, "weight": -1.0, "note": None, "amount": 1}


def engine() -> frmcore.Engine:
    return frmcore.Engine(None, policy=POLICY, clock=None, **KEYS)


Outcome = tuple[list[bytes], str | None, str]  # decisions' records, the error that ended it, the state


def alone(events: list[Any]) -> Outcome:
    """The events decided one by one."""
    world = engine()
    records: list[bytes] = []
    for event in events:
        try:
            records.append(world.decide(event).record)
        except frmcore.FrmcoreError as error:
            return records, str(error), world.state_hash()
    return records, None, world.state_hash()


def test_a_policy_that_is_loaded_from_within_a_batch_decides_what_follows() -> None:
    """A breaker that trips is logged, behind its decision: handlers are anybody's code."""
    limited = "  - {id: big, when: weight > 0.0, outcome: block, breaker: {share: 50%, over: 1h, min: 4}}\n"
    before, after = frmcore.load(policy_text(rules=limited)), frmcore.load(policy_text(FEATURES, RULES, schema=WIDER))
    world = frmcore.Engine(None, policy=before, clock=None, **KEYS)
    events = [{"id": f"e{i}", "ts": NOON + i, "kind": "payment", "account": "a", "weight": 1.0} for i in range(8)]

    class Reloading(logging.Handler):
        def emit(self, _: logging.LogRecord) -> None:
            world.reload(after)

    log, handler = logging.getLogger("frmcore.engine"), Reloading()
    log.addHandler(handler)
    try:
        decided = world.decide_many([before.Event(**each) for each in events])
    finally:
        log.removeHandler(handler)
    assert [each.policy for each in decided] == [before.hash] * 4 + [after.hash] * 4
    assert [each.event_id for each in decided] == [f"e{i}" for i in range(8)]


def together(events: Any) -> Outcome:
    """Decided in one call, which tells no records where it raises."""
    world = engine()
    try:
        records = [decision.record for decision in world.decide_many(events)]
    except frmcore.FrmcoreError as error:
        return [], str(error), world.state_hash()
    return records, None, world.state_hash()


def table(events: list[dict[str, Any]], **types: Any) -> Any:
    """The events as columns; `types` names the columns that get another type than pyarrow finds."""
    made = pa.Table.from_pylist(events)
    for name, type_ in types.items():
        at = made.column_names.index(name)
        made = made.set_column(at, name, type_(made[name]) if callable(type_) else made[name].cast(type_))
    return made


COLUMNS: dict[str, dict[str, Any]] = {
    "as pyarrow finds them": {},
    "large texts": {"id": pa.large_string(), "account": pa.large_string(), "kind": pa.large_string()},
    "views": {"id": pa.string_view(), "note": pa.string_view(), "ip": pa.string_view(), "kind": pa.string_view()},
    "dictionaries": {name: lambda column: column.dictionary_encode() for name in ("kind", "account", "note", "ip")},
    "dictionary of bytes": {"kind": pa.dictionary(pa.uint8(), pa.large_string())},
    "seconds": {"ts": lambda column: column.cast(pa.timestamp("ms", "UTC")).cast(pa.timestamp("s", "UTC"))},
    "milliseconds": {"ts": pa.timestamp("ms", "Europe/Berlin")},
    "microseconds": {"ts": lambda column: column.cast(pa.timestamp("ms", "UTC")).cast(pa.timestamp("us", "UTC"))},
    "nanoseconds": {"ts": lambda column: column.cast(pa.timestamp("ms", "UTC")).cast(pa.timestamp("ns", "UTC"))},
    "texts of times": {
        "ts": lambda ts: pa.array([dt.datetime.fromtimestamp(t / 1000, dt.UTC).isoformat() for t in ts.to_pylist()])
    },
    "small ints": {"amount": pa.int16()},
    "unsigned": {"amount": pa.uint64(), "ts": pa.uint64()},
    "uint32": {"amount": pa.uint32()},
    "whole decimals": {"amount": pa.decimal128(30, 0)},
    "decimals": {"price": lambda column: pa.array([Decimal("1.25")] * len(column), pa.decimal128(12, 4))},
    "small decimals": {"price": lambda column: pa.array([Decimal("1.25")] * len(column), pa.decimal128(5, 2))},
    "texts of decimals": {"price": pa.string()},
    "float32": {"weight": pa.float32(), "price": pa.float32()},
}  # fmt: skip


@pytest.mark.parametrize("columns", COLUMNS)
def test_columns_decide_as_mappings_do(columns: str) -> None:
    made = table([EVENT, SECOND], **COLUMNS[columns])
    assert together(made) == alone([EVENT, SECOND])
    assert together(pa.Table.from_batches(made.to_batches(max_chunksize=1))) == alone([EVENT, SECOND])
    assert together(made.slice(1)) == alone([SECOND])


def test_sources_of_streams() -> None:
    duckdb, polars = pytest.importorskip("duckdb"), pytest.importorskip("polars")
    made = table([EVENT, SECOND])
    expected = alone([EVENT, SECOND])
    assert together(made.to_reader()) == expected
    assert together(polars.from_arrow(made)) == expected
    assert together(duckdb.from_arrow(made)) == expected
    structs = pa.StructArray.from_arrays([made[name].combine_chunks() for name in made.column_names], made.column_names)
    assert together(pa.chunked_array([structs]).slice(1)) == alone([SECOND])


def test_nested_fields_are_columns_of_structs() -> None:
    text = policy_text().replace("country: {type: string,", "country: {path: place.country, type: string,")
    policy = frmcore.load(text)
    event = EVENT | {"place": {"country": "DE"}}
    world, other = (frmcore.Engine(None, policy=policy, clock=None, **KEYS) for _ in range(2))
    assert world.decide_many(table([event]))[0].record == other.decide(event).record
    assert world.decide_many(pa.Table.from_pylist([event | {"id": "e9"}]))[0].facts()["country"] == "DE"


BAD: dict[str, Callable[[], tuple[Any, str]]] = {
    "a missing column": lambda: (table([EVENT]).drop_columns("account"), "row 0: account is missing"),
    "a null": lambda: (table([EVENT, SECOND | {"account": None}]), "row 1: account is missing"),
    "no zone": lambda: (table([EVENT], ts=pa.timestamp("ms")), "got the naive datetime 2025-10-09 12:00:00"),
    "no such label": lambda: (table([EVENT, SECOND | {"kind": "gift"}]), "row 1: kind: expected one of payment, login"),
    "NaN": lambda: (table([EVENT | {"weight": float("nan")}]), "row 0: weight: expected a finite number, got nan"),
    "uint64": lambda: (table([EVENT], amount=lambda _: pa.array([2**63], pa.uint64())), "got 9223372036854775808"),
    "fractions": lambda: (
        table([EVENT], amount=lambda _: pa.array([Decimal("1.50")], pa.decimal128(9, 2))),
        "row 0: amount: expected an integer of minor",
    ),
    "bytes": lambda: (table([EVENT], note=pa.binary()), "note: the column has the Arrow type 'z'; cast it to text"),
    "invalid UTF-8": lambda: (
        table([EVENT], note=lambda _: pa.Array.from_buffers(
            pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0"), pa.py_buffer(b"\xff")])),
        r"row 0: note: expected text of at most 16384 bytes of valid UTF-8, got b'\xff'",
    ),
    "too long": lambda: (table([EVENT | {"note": "x" * 16385}]), "note: expected text of at most 16384 bytes"),
    "other content": lambda: (table([EVENT, EVENT | {"amount": 1}]), "row 1: event 'e1' is known, but amount differs"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_bad_row_raises_as_its_mapping_does_and_names_itself(case: str) -> None:
    made, message = BAD[case]()
    world = engine()
    with pytest.raises((frmcore.InvalidEvent, frmcore.EventConflict)) as caught:
        world.decide_many(made)
    assert message in str(caught.value)
    assert world.stats["decisions"] == int("row 1" in message)


def test_streams_that_are_none() -> None:
    world = engine()
    with pytest.raises(ValueError, match="has rows"):
        world.decide_many(pa.chunked_array([[1, 2]]))
    assert len(world.decide_many(table([EVENT]))) == 1

    def broken() -> Any:
        yield table([SECOND]).to_batches()[0]
        raise OSError("the disk is gone")

    failing = pa.RecordBatchReader.from_batches(table([SECOND]).schema, broken())
    with pytest.raises(ValueError, match="the disk is gone"):
        world.decide_many(failing)
    assert world.stats["decisions"] == 2  # what came before stays decided
    beyond = pa.DictionaryArray.from_arrays(pa.array([7], pa.int8()), pa.array(["payment"]), safe=False)
    with pytest.raises(ValueError, match="beyond its dictionary"):
        world.decide_many(table([EVENT | {"id": "e7"}], kind=lambda _: beyond))


def test_observing_many_tells_what_the_columns_tell() -> None:
    events = [EVENT | {"status": "declined", "final": "review"}, SECOND | {"status": None, "final": None}]
    one, many, rows = engine(), engine(), engine()
    for event in events:
        one.observe(event)
    many.observe_many(events)
    rows.observe_many(table(events))
    assert one.state_hash() == many.state_hash() == rows.state_hash()
    assert rows.stats["observed"] == 2
    with pytest.raises(frmcore.InvalidEvent, match=r"row 0: status: expected one of"):
        rows.observe_many(table([EVENT | {"id": "e8", "status": "gone"}]))


def test_a_generator_may_look_at_what_was_decided() -> None:
    world = engine()
    seen = []

    def events() -> Any:
        for number in range(3):
            seen.append(world.stats["decisions"])
            yield EVENT | {"id": f"g{number}"}

    world.decide_many(events())
    assert seen == [0, 1, 2]


def test_json_that_is_none_raises_after_the_events_before_it() -> None:
    world = engine()
    with pytest.raises(frmcore.InvalidEvent, match="not an event as JSON"):
        world.decide_many([EVENT, msgspec.json.encode(SECOND), b"{"])
    assert world.stats["decisions"] == 2


TEXTS = st.sampled_from(["a", "b", "ä", "", "twelve bytes", "more than twelve bytes"])
EVENTS = st.fixed_dictionaries(
    {
        "id": st.sampled_from([f"e{number}" for number in range(12)]),
        "ts": st.integers(-30 * HOUR // MINUTE, 10).map(lambda minutes: NOON + minutes * MINUTE),
        "kind": st.sampled_from(["payment", "login", "payment", "gift"]) | st.just("payment"),
        "account": TEXTS,
        "card": TEXTS | st.none(),
        "country": TEXTS | st.none(),
        "ip": st.sampled_from(["10.0.0.1", "::1", "10.0.0.2", None]),
        "note": TEXTS | st.none(),
        "amount": st.integers(-10, 20_000) | st.none(),
        "price": st.integers(0, 500).map(lambda cents: cents / 100) | st.none(),
        "weight": st.floats(-2, 2) | st.none(),
    }
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(EVENTS, min_size=1, max_size=12))
def test_any_events_in_any_form(events: list[dict[str, Any]]) -> None:
    records, error, state = alone(events)
    expected = (records if error is None else [], error, state)
    assert together(events) == expected
    assert together([POLICY.Event(**event) for event in events]) == expected
    numbered = None if error is None else f"row {len(records)}: {error}"
    assert together(table(events)) == (expected[0], numbered, state)


def test_reading_ahead_changes_nothing_where_an_event_is_refused() -> None:
    structs = [
        POLICY.Event(**EVENT),
        POLICY.Event(**SECOND),
        POLICY.Event(**EVENT | {"amount": 5}),
        POLICY.Event(**SECOND),
    ]
    one, many = engine(), engine()
    one.decide(structs[0])
    one.decide(structs[1])
    with pytest.raises(frmcore.EventConflict):
        one.decide(structs[2])
    with pytest.raises(frmcore.EventConflict):
        many.decide_many(structs)
    assert one.state_hash() == many.state_hash()
    assert one.stats == many.stats
