"""Wrong events and calls: each gives the documented error, names the field, and changes nothing."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from event_cases import GOOD, NOW, POLICY, all_cases, prepared, run
from hypothesis import given, settings
from hypothesis import strategies as st

import frmcore

if TYPE_CHECKING:
    from collections.abc import Callable

CASES = all_cases()
CASES_MIN = 80


def decides_normally(engine: frmcore.Engine) -> None:
    """The next good event is decided, and counted where it belongs."""
    before = engine.evaluate(GOOD | {"id": "probe"}).features["attempts"]
    decision = engine.decide(GOOD | {"id": "the next one"})
    assert (decision.outcome, decision.duplicate, decision.features["attempts"]) == ("allow", False, before)
    assert engine.evaluate(GOOD | {"id": "probe"}).features["attempts"] == before + 1


# -- the table -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_wrong(case: dict[str, Any]) -> None:
    with prepared() as engine:
        state = engine.state_hash()
        with pytest.raises(frmcore.FrmcoreError) as caught:
            run(engine, case)
        found = type(caught.value).__name__, getattr(caught.value, "field", None), str(caught.value)
        assert found == (case["error"], case.get("field"), case["message"])
        assert engine.state_hash() == state
        decides_normally(engine)


def test_the_table_is_large_and_names_each_case_once() -> None:
    names = [case["case"] for case in CASES]
    assert len(names) >= CASES_MIN
    assert len(set(names)) == len(names)


def test_wrong_events_are_counted_by_field_and_other_names_fill_no_memory() -> None:
    with prepared() as engine:
        for number in range(100):
            with pytest.raises(frmcore.InvalidEvent):
                engine.decide({**GOOD, f"unknown-{number}": 1}, strict=True)
        for data in (b"{", b"[]", b'{"id": 1}'):
            with pytest.raises(frmcore.InvalidEvent):
                engine.decide_json(data)
        assert engine.stats["invalid"] == {None: 102, "id": 1}


# -- values that fit, in all their forms ---------------------------------------------------------------------------
class Text(str):
    __slots__ = ()


class Number(int):
    pass


class Channel(str, enum.Enum):  # noqa: UP042  as older code has them
    APP = "app"


@pytest.mark.parametrize(
    ("field", "forms"),
    [
        ("account", ["a-1", Text("a-1")]),
        ("amount", [12_990, Number(12_990)]),
        ("channel", ["app", Channel.APP, Text("app")]),
        ("channel", ["café", Text("café")]),
        ("price", [1.5, "1.50", Decimal("1.5"), "15e-1", "+1.500000"]),
        ("price", [7, 7.0, "7", Decimal("7.00"), Number(7)]),
        ("price", [0, -0.0, "0e9", "-0"]),
        ("weight", [3.0, 3, Number(3)]),
        ("born", [0, datetime(1970, 1, 1, tzinfo=UTC), "1970-01-01T00:00:00Z", "1970-01-01T01:00:00+01:00"]),
        (
            "born",
            [
                1_769_860_800_250,
                "2026-01-31t12:00:00.25z",
                "2026-01-31T12:00:00.2509999999999Z",
                "2026-01-31T11:30:00.25-00:30",
            ],
        ),
        ("born", [-62_135_596_800_000, "0001-01-01T00:00:00Z", "0001-01-01T23:59:00+23:59"]),
        ("born", [-1, "1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.9999Z"]),
        ("ip", ["10.0.0.7", "::ffff:10.0.0.7", "::FFFF:a00:7", Text("10.0.0.7")]),
        ("ip", ["2001:db8::1", "2001:0DB8:0:0:0:0:0:1"]),
        ("note", [None, msgspec.UNSET]),
    ],
)
def test_forms_of_one_value(field: str, forms: list[Any]) -> None:
    """They are one content: whoever comes second is a duplicate of the first."""
    with prepared() as engine:
        decisions = [engine.decide({**GOOD, field: form}) for form in forms]
        assert [decision.duplicate for decision in decisions] == [False] + [True] * (len(forms) - 1)
        assert len({decision.seq for decision in decisions}) == 1


@pytest.mark.parametrize(
    ("field", "value", "shown"),
    [
        ("account", "x" * 16_384, "x" * 16_384),
        ("note", "€" * 5_461, "€" * 5_461),
        ("note", "\x00\n\x7f\u202e\U0001f600", "\x00\n\x7f\u202e\U0001f600"),
        ("items", 2**63 - 1, 2**63 - 1),
        ("items", -(2**63) + 1, -(2**63) + 1),
        ("price", "92233720368547758.07", 92233720368547758.07),
        ("weight", 1.7976931348623157e308, 1.7976931348623157e308),
        ("weight", 5e-324, 5e-324),
        ("born", 8_640_000_000_000_000, 8_640_000_000_000_000),
        ("born", -8_640_000_000_000_000, -8_640_000_000_000_000),
        ("id", "é" * 256, "é" * 256),
    ],
)
def test_the_ends_of_what_fits(field: str, value: Any, shown: Any) -> None:
    with prepared() as engine:
        decision = engine.decide({**GOOD, field: value})
        assert engine.explain(decision.event_id).fields[field] == shown


# -- any object, any bytes -----------------------------------------------------------------------------------------
class Hostile(Mapping[str, Any]):
    """A mapping whose every getter does something first."""

    def __init__(self, content: dict[str, Any], act: Callable[[], object]) -> None:
        self._content, self._act = content, act

    def __getitem__(self, key: str) -> Any:
        self._act()
        return self._content[key]

    def __iter__(self) -> Iterator[str]:
        self._act()
        return iter(self._content)

    def __len__(self) -> int:
        return len(self._content)


class Zone(tzinfo):
    """A time zone that does something when a datetime is read."""

    def __init__(self, act: Callable[[], object]) -> None:
        self._act = act

    def utcoffset(self, moment: datetime | None) -> Any:
        del moment
        self._act()
        return UTC.utcoffset(None)


class Loud(str):
    """A text that must not be asked anything."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        raise Unwanted

    def __hash__(self) -> int:
        return str.__hash__(self)

    def __str__(self) -> str:
        raise Unwanted

    __repr__ = encode = upper = lower = __getitem__ = __len__ = __iter__ = __str__  # type: ignore[assignment]


class Unwanted(Exception):
    pass


class OfTheCaller(Exception):
    pass


def raises() -> None:
    raise OfTheCaller


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([2**63, -(2**63), 10**400, -1, NOW, NOW + 10**7, 10**18]),
    st.floats(),
    st.text(max_size=20),
    st.text(st.characters(), max_size=5),
    st.sampled_from(
        ["\ud800", "x" * 20_000, "10.0.0.1", "::1", "app", "web", "2027-01-15T08:00:00Z", "1e9999", "USD", ""]
    ),
    st.binary(max_size=5),
    st.decimals(),
    st.datetimes(),
    st.datetimes(timezones=st.just(UTC)),
    st.just(object()),
    st.builds(Loud, st.just("app")),  # built late: hypothesis shows what it was given
    st.just(msgspec.UNSET),
    st.complex_numbers(),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3),
    max_leaves=5,
)
NAMES = [field.name for field in POLICY.fields] + ["client", "status", "final", "label"]
CHANGES = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4)
FIXED = settings(max_examples=300, deadline=None, derandomize=True)


class Unchanged:
    """One engine for all examples of a test; whatever was refused must have left its state as it was."""

    def __init__(self) -> None:
        self.engine = prepared()
        self.state = self.engine.state_hash()

    def check(self, call: Callable[[frmcore.Engine], object]) -> None:
        try:
            call(self.engine)
        except frmcore.FrmcoreError as error:
            assert str(error)
            str(error).encode()
            assert self.engine.state_hash() == self.state
        self.state = self.engine.state_hash()


def test_any_values_in_an_event() -> None:
    world = Unchanged()

    @FIXED
    @given(CHANGES, st.booleans())
    def check(changes: dict[str, Any], strict: bool) -> None:
        event = {**GOOD, "client": {"country": "DE", "address": changes.get("address")}, **changes}
        world.check(lambda engine: engine.decide(event, strict=strict))
        world.check(lambda engine: engine.evaluate(event))
        world.check(lambda engine: engine.observe(event))

    check()
    decides_normally(world.engine)


def test_any_object_as_event() -> None:
    world = Unchanged()

    @FIXED
    @given(VALUES)
    def check(event: object) -> None:
        world.check(lambda engine: engine.decide(event))  # type: ignore[arg-type]
        world.check(lambda engine: engine.observe(event))  # type: ignore[arg-type]

    check()


def test_any_values_in_an_update() -> None:
    world = Unchanged()
    names = st.sampled_from(["status", "label", "refund", "surcharge", "settled", "final", "amount", "nothing"])

    @FIXED
    @given(st.dictionaries(names, VALUES, max_size=3), VALUES, VALUES, VALUES)
    def check(fields: dict[str, Any], at: Any, by: Any, ident: Any) -> None:
        world.check(lambda engine: engine.update("new-11", **fields))
        world.check(lambda engine: engine.update("new-11", at=at, by=by, source=by, **fields))
        world.check(lambda engine: engine.update(ident, status="approved"))
        world.check(lambda engine: engine.decide_again("new-10", ident, at=at, **fields))
        world.check(lambda engine: engine.decide_again("new-9", "answered", **fields))

    check()


def test_any_values_in_a_list() -> None:
    world = Unchanged()

    @FIXED
    @given(st.sampled_from(list(POLICY.lists)), VALUES, VALUES, VALUES)
    def check(spec: Any, value: Any, expires: Any, note: Any) -> None:
        world.check(lambda engine: engine.lists[spec.name].add(value, expires=expires))
        world.check(lambda engine: engine.lists[spec.name].add(value, reason=note, owner=note))
        world.check(lambda engine: value in engine.lists[spec.name])
        world.check(lambda engine: engine.lists[spec.name].remove(value))

    check()


def test_any_bytes_as_json() -> None:
    world = Unchanged()
    good = msgspec.json.encode(GOOD)
    places, sizes = st.integers(0, len(good)), st.integers(0, 8)
    torn = st.builds(lambda data, at, size: good[:at] + data + good[at + size :], st.binary(max_size=8), places, sizes)

    @FIXED
    @given(st.binary(max_size=64) | torn | st.sampled_from([good * 2, b"[" * 10_000, b'{"id":' * 5_000, b"9" * 10_000]))
    def check(data: bytes) -> None:
        world.check(lambda engine: engine.decide_json(data))
        world.check(lambda engine: engine.decide_json(data.decode("utf-8", "replace")))
        world.check(lambda engine: engine.decide_many([data]))

    check()


def test_strict_refuses_whatever_key_it_does_not_know() -> None:
    """It ended the process once."""
    world = Unchanged()
    keys = st.text(max_size=5) | st.integers() | st.none() | st.binary(max_size=3) | st.tuples(st.integers())

    @FIXED
    @given(st.dictionaries(keys, VALUES, max_size=3), st.dictionaries(keys, VALUES, max_size=2))
    def check(unknown: dict[Any, Any], nested: dict[Any, Any]) -> None:
        event = {**unknown, **GOOD, "client": {**nested, "country": "DE"}}
        world.check(lambda engine: engine.decide(event, strict=True))
        world.check(lambda engine: engine.evaluate(Hostile(event, lambda: None), strict=True))
        world.check(lambda engine: engine.decide(unknown, strict=True))

    check()
    with pytest.raises(frmcore.InvalidEvent, match="acount: the policy has no such field"):
        world.engine.decide({**GOOD, "acount": 1}, strict=True)
    decides_normally(world.engine)
    event = POLICY.Event(id="struct", ts=NOW, kind="login", account="a", country="DE")
    assert world.engine.decide(event, strict=True).outcome == "allow"


# -- the caller's own code, run while an event is read -------------------------------------------------------------
SECOND = next(iter(POLICY.files.values())).replace("version: 1", "version: 2")


def nested(world: Callable[[], object]) -> list[Any]:
    """Events that run `world` while they are read."""
    return [
        Hostile(GOOD | {"id": "mapping"}, world),
        {**GOOD, "id": "nested", "client": Hostile({"country": "DE"}, world)},
        {**GOOD, "id": "zone", "born": datetime(2000, 1, 1, tzinfo=Zone(world))},
    ]


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("call", ["decide", "evaluate", "observe"])
def test_what_a_getter_raises_comes_through(number: int, call: str) -> None:
    with prepared() as engine:
        state = engine.state_hash()
        with pytest.raises(OfTheCaller):
            getattr(engine, call)(nested(raises)[number])
        assert engine.state_hash() == state
        decides_normally(engine)


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("call", ["decide", "evaluate", "observe"])
def test_a_getter_that_decides(number: int, call: str) -> None:
    """What it decides comes first; both count."""
    with prepared() as engine:
        inner: list[frmcore.Decision] = []

        def act() -> None:
            if len(inner) < 2:
                inner.append(engine.decide(GOOD | {"id": f"inner-{len(inner)}"}))

        before = engine.evaluate(GOOD).features["attempts"]
        decision = getattr(engine, call)(nested(act)[number])
        assert inner
        assert [each.features["attempts"] for each in inner] == list(range(before, before + len(inner)))
        if call == "decide":
            assert decision.seq == inner[-1].seq + 1
            assert decision.features["attempts"] == inner[-1].features["attempts"] + 1


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("call", ["decide", "evaluate", "observe"])
def test_a_getter_that_reloads(number: int, call: str) -> None:
    """The event is read again under the new policy."""
    with prepared() as engine:
        pending = [SECOND]
        decision = getattr(engine, call)(nested(lambda: engine.reload(pending.pop()) if pending else None)[number])
        assert engine.policy.version == "2"
        if call != "observe":
            assert decision.policy == engine.policy.hash
        assert engine.decide(GOOD | {"id": "after"}).outcome == "allow"


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("call", ["decide", "evaluate", "observe"])
def test_a_getter_that_closes(number: int, call: str) -> None:
    engine = prepared()
    with pytest.raises(frmcore.EngineClosed):
        getattr(engine, call)(nested(engine.close)[number])


@pytest.mark.parametrize("act", ["close", "reload"])
def test_an_update_that_closes_or_reloads(act: str) -> None:
    engine, pending = prepared(), [SECOND]

    def run_once() -> None:
        if act == "close":
            engine.close()
        elif pending:
            engine.reload(pending.pop())

    settled = datetime(2027, 1, 15, tzinfo=Zone(run_once))
    if act == "close":
        with pytest.raises(frmcore.EngineClosed):
            engine.update("new-11", settled=settled)
        return
    engine.update("new-11", settled=settled)
    assert engine.explain("new-11").fields["settled"] == 1_799_971_200_000


def test_texts_of_other_types_are_not_asked() -> None:
    with prepared() as engine:
        engine.decide(GOOD | {"id": "loud", "account": Loud("a-1"), "channel": Loud("app"), "ip": Loud("10.0.0.1")})
        assert engine.explain("loud").fields["channel"] == "app"
        with pytest.raises(frmcore.InvalidEvent, match=r"items: expected an integer .*, got a value of type Loud"):
            engine.decide(GOOD | {"items": Loud("1")})


def test_an_event_is_frozen() -> None:
    """The hot path reads its texts where they lie."""
    event = POLICY.Event(id="x", ts=NOW, kind="login", account="a", country="DE")
    with pytest.raises(AttributeError):
        event.account = "b"  # type: ignore[attr-defined]
