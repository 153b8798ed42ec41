"""Lists: a dict as model, false positives that never decide, growing and shrinking, networks against ipaddress."""

from __future__ import annotations

import random
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from frmcore._fast import Lists, ListTable, NetworkTable
from frmcore.limits import TIME_MS_MAX

if TYPE_CHECKING:
    from collections.abc import Iterable

KEY = b"0123456789abcdef"
VALUES = st.integers(0, 60).map(lambda n: b"v%d" % n)
TIMES = st.integers(-5, 5) | st.sampled_from([-TIME_MS_MAX, TIME_MS_MAX])


def values(count: int, prefix: bytes = b"tok_") -> list[bytes]:
    return [prefix + b"%010d" % number for number in range(count)]


def filled(content: Iterable[bytes], expires: int | None = None) -> ListTable:
    table = ListTable(KEY)
    for value in content:
        table.add(value, expires)
    return table


class AgainstDict(RuleBasedStateMachine):
    """Few values, so that they meet; `bulk` and its removal take the table through splits, merges and new filters."""

    def __init__(self) -> None:
        super().__init__()
        self.table = ListTable(KEY)
        self.model: dict[bytes, int | None] = {}

    @rule(value=VALUES, expires=st.none() | TIMES)
    def add(self, value: bytes, expires: int | None) -> None:
        assert self.table.add(value, expires) is (value not in self.model)
        self.model[value] = expires

    @rule(value=VALUES)
    def remove(self, value: bytes) -> None:
        assert self.table.remove(value) is (self.model.pop(value, None) is not None)

    @rule(start=st.integers(0, 3), expires=st.none() | TIMES)
    def bulk(self, start: int, expires: int | None) -> None:
        for number in range(1500):
            value = b"bulk%d" % (start * 1000 + number)
            self.table.add(value, expires)
            self.model[value] = expires

    @rule(start=st.integers(0, 3))
    def bulk_remove(self, start: int) -> None:
        for number in range(1500):
            value = b"bulk%d" % (start * 1000 + number)
            assert self.table.remove(value) is (self.model.pop(value, None) is not None)

    @rule(time=TIMES)
    def expire(self, time: int) -> None:
        """Merges change the buckets under the sweep, so it goes round until nothing is found."""
        gone = {value for value, expires in self.model.items() if expires is not None and expires <= time}
        removed = 0
        while removed < len(gone):
            found = sum(self.table.expire(time) for _ in range(self.table.buckets))
            assert found > 0
            removed += found
        assert sum(self.table.expire(time) for _ in range(self.table.buckets)) == 0
        for value in gone:
            del self.model[value]

    @rule(value=VALUES, time=TIMES)
    def probe(self, value: bytes, time: int) -> None:
        expires = self.model.get(value, -TIME_MS_MAX)
        assert self.table.contains(value, time) is (expires is None or time < expires)
        assert value not in self.model or self.table.expiry(value) == expires

    @invariant()
    def holds(self) -> None:
        self.table.check()
        assert len(self.table) == len(self.model)

    def teardown(self) -> None:
        assert {value: self.table.expiry(value) for value in self.model} == self.model


TestAgainstDict = AgainstDict.TestCase
TestAgainstDict.settings = settings(max_examples=25, stateful_step_count=25, derandomize=True, deadline=None)


# -- the filter --------------------------------------------------------------------------------------------------------
def test_a_false_positive_never_decides() -> None:
    """At the filter's fullest about one foreign value in a thousand passes it; the table refuses each."""
    table = filled(values(2040))
    assert not any(table.contains(value, 0) for value in values(100_000, b"foreign"))
    stats = table.stats()
    assert 10 < stats["false_positives"] < 1000
    assert stats["probes"] == 100_000


def test_removed_values_pass_the_filter_and_not_the_table() -> None:
    table = filled(values(1000))
    for value in values(1000)[1:]:
        table.remove(value)
    assert [value for value in values(1000) if table.contains(value, 0)] == values(1)
    assert table.stats()["false_positives"] == 999


def test_the_filter_follows_the_list() -> None:
    """It grows with the values, is built anew when removed ones clog it, and shrinks: its fill stays below a half."""
    table, content = ListTable(KEY), values(60_000)
    sizes = []
    for count, value in enumerate(content, 1):
        table.add(value, None)
        if count % 5000 == 0:
            table.check()
            sizes.append(table.stats()["filter_bytes"])
            assert table.stats()["fill"] < 0.45
    assert sizes == sorted(sizes) and sizes[-1] >= 60_000 * 2
    for value in content[100:]:
        table.remove(value)
        assert table.stats()["fill"] < 0.45
    table.check()
    assert table.stats()["filter_bytes"] < sizes[-1] / 20
    assert all(table.contains(value, 0) for value in content[:100])


def test_churn_does_not_clog_the_filter() -> None:
    table = filled(values(3000))
    for turn in range(30_000):
        table.add(b"churn%d" % turn, None)
        table.remove(b"churn%d" % (turn - 100))
        if turn % 1000 == 0:
            table.check()
            assert table.stats()["fill"] < 0.5
    assert len(table) == 3100


# -- memory ------------------------------------------------------------------------------------------------------------
def test_bytes_a_value() -> None:
    """Exact table below 19 bytes a value, filter between 2 and 3, whatever the size."""
    table, content = ListTable(KEY), values(200_000)
    for count, value in enumerate(content, 1):
        table.add(value, None)
        if count in (50_000, 77_778, 131_072, 200_000):
            assert table.bytes < count * 22
            exact = table.bytes - table.stats()["filter_bytes"]
            assert exact < count * 19
    settled = table.stats()
    assert settled["bytes"] == table.bytes


def test_an_emptied_list_gives_its_memory_back() -> None:
    fresh = ListTable(KEY).bytes
    table = filled(values(20_000))
    for value in values(20_000):
        table.remove(value)
    for _ in range(200):  # what is under way takes a step with each change
        table.add(b"x", None)
        table.remove(b"x")
    assert (len(table), table.buckets) == (0, 1)
    assert table.bytes <= fresh + 500


# -- each parameter changes behaviour ----------------------------------------------------------------------------------
def test_the_key_changes_the_hashes() -> None:
    """Other keys let other foreign values pass the filter."""

    def passing(key: bytes) -> list[int]:
        table, found = ListTable(key), []
        for value in values(2040):
            table.add(value, None)
        for number in range(20_000):
            before = table.stats()["false_positives"]
            table.contains(b"foreign%d" % number, 0)
            if table.stats()["false_positives"] > before:
                found.append(number)
        return found

    assert passing(KEY) != passing(KEY[::-1])
    assert passing(KEY) == passing(KEY)


def test_expires_and_time() -> None:
    table = ListTable(KEY)
    assert table.add(b"a", 10)
    assert [table.contains(b"a", time) for time in (-TIME_MS_MAX, 9, 10, TIME_MS_MAX)] == [True, True, False, False]
    assert table.expiry(b"a") == 10
    assert not table.add(b"a", None)
    assert table.expiry(b"a") is None
    assert table.contains(b"a", TIME_MS_MAX)
    assert table.expire(TIME_MS_MAX) == 0
    for expires in (-TIME_MS_MAX, TIME_MS_MAX, 0, -1):
        table.add(b"a", expires)
        assert table.expiry(b"a") == expires


def test_expire_takes_what_its_time_says() -> None:
    table = ListTable(KEY)
    table.add(b"a", 10)
    table.add(b"b", 20)
    table.add(b"c", None)
    assert [table.expire(time) for time in (9, 10, 19, 20, 10**15)] == [0, 1, 0, 1, 0]
    assert (table.expiry(b"c"), len(table)) == (None, 1)
    with pytest.raises(KeyError):
        table.expiry(b"a")


def test_packed_values() -> None:
    table = filled([b"aa", b"bb"], 5)
    assert [table.contains_packed(b"aabbcca", 2, time) for time in (4, 5)] == [2, 0]
    assert table.contains_packed(b"aabbcca", 7, 4) == 0


@pytest.mark.parametrize(
    "call",
    [
        lambda: ListTable(b"short"),
        lambda: Lists((), b"short"),
        lambda: ListTable(KEY).add(b"a", TIME_MS_MAX + 1),
        lambda: ListTable(KEY).add(b"a", -TIME_MS_MAX - 1),
        lambda: ListTable(KEY).add(b"a", 2**63 - 1),
        lambda: ListTable(KEY).contains_packed(b"aa", 0, 0),
        lambda: Lists((ListTable(KEY[::-1]),), KEY),
    ],
)
def test_what_lists_refuse(call: Any) -> None:
    with pytest.raises(ValueError, match=r"bytes|range|another key|at least one byte"):
        call()


# -- networks ----------------------------------------------------------------------------------------------------------
def ranges(networks: Iterable[tuple[str, int | None]]) -> list[tuple[bytes, bytes, int | None]]:
    parsed = ((ip_network(text), expires) for text, expires in networks)
    return [(network[0].packed, network[-1].packed, expires) for network, expires in parsed]


def holds(networks: Iterable[tuple[str, int | None]], address: bytes, time: int) -> bool:
    ip = ip_address(address)
    return any(ip in ip_network(text) and (expires is None or time < expires) for text, expires in networks)


@st.composite
def networks_of(draw: st.DrawFn) -> list[tuple[str, int | None]]:
    """Networks of a narrow space, so that they nest, touch and repeat; both ends of the address space among them."""
    v4 = st.builds(
        lambda base, bits: str(ip_network((base << 28, bits), strict=False)), st.integers(0, 15), st.integers(0, 6)
    )
    small = st.builds(
        lambda base, bits: str(ip_network((base, bits), strict=False)),
        st.integers(2**32 - 16, 2**32 - 1),
        st.integers(28, 32),
    )
    v6 = st.builds(
        lambda base, bits: str(ip_network((base, bits), strict=False)),
        st.integers(2**128 - 9, 2**128 - 1),
        st.integers(124, 128),
    )
    low = st.builds(
        lambda base, bits: str(ip_network((base << 64, bits), strict=False)), st.integers(0, 4), st.integers(60, 66)
    )
    texts = st.one_of(v4, small, v6, low, st.sampled_from(["::/0", "0.0.0.0/0", "8000::/1"]))
    return draw(st.lists(st.tuples(texts, st.none() | st.integers(0, 3)), max_size=12))


@settings(max_examples=300, derandomize=True, deadline=None)
@given(networks_of(), st.integers(0, 3))
def test_networks_agree_with_ipaddress(networks: list[tuple[str, int | None]], time: int) -> None:
    table = NetworkTable()
    table.load(ranges(networks))
    probes = {b"\0" * 4, b"\xff" * 4, b"\0" * 16, b"\xff" * 16}
    for first, last, _ in ranges(networks):
        for edge in (first, last):
            number, size = int.from_bytes(edge, "big"), len(edge)
            probes |= {((number + step) % 256**size).to_bytes(size, "big") for step in (-1, 0, 1)}
    for address in probes:
        assert table.contains(address, time) is holds(networks, address, time), (networks, address)


def test_neighbours_with_one_expiry_are_one_span() -> None:
    table = NetworkTable()
    table.load(ranges([("10.0.0.0/25", 5), ("10.0.0.128/25", 5), ("10.0.1.0/24", 6), ("10.0.0.0/30", 4)]))
    assert len(table) == 2 and table.bytes == 2 * 40
    table.load([])
    assert len(table) == 0 and not table.contains(b"\x0a\0\0\0", 0)


def test_networks_that_are_none() -> None:
    table = NetworkTable()
    table.load(ranges([("10.0.0.0/8", None)]))
    for wrong in (
        [(b"\0" * 4, b"\0" * 16, None)],
        [(b"\0" * 5, b"\0" * 5, None)],
        [(b"\0\0\0\2", b"\0\0\0\1", None)],
        [(b"\0\0\0\0", b"\0\0\0\5", None), (b"\0\0\0\3", b"\0\0\0\7", None)],
    ):
        with pytest.raises(ValueError, match="range"):
            table.load(wrong)
    assert table.contains(b"\x0a\0\0\0", 0)
    assert not any(table.contains(address, 0) for address in (b"", b"\x0a", b"\x0a\0\0\0\0", b"\x0a" * 17))


def test_many_networks_at_random() -> None:
    chance = random.Random(5)
    networks = [
        (str(ip_network((chance.getrandbits(32), chance.randint(12, 32)), strict=False)), None) for _ in range(3000)
    ]
    table = NetworkTable()
    table.load(ranges(networks))
    covered = sorted((int(ip_network(text)[0]), int(ip_network(text)[-1])) for text, _ in networks)
    for _ in range(2000):
        address = chance.getrandbits(32)
        inside = any(first <= address <= last for first, last in covered)
        assert table.contains(address.to_bytes(4, "big"), 0) is inside


# -- one door ----------------------------------------------------------------------------------------------------------
def test_lists_by_index() -> None:
    table, networks = filled([b"a"], 5), NetworkTable()
    networks.load(ranges([("10.0.0.0/8", None)]))
    lists = Lists((table, networks, table), KEY)
    assert [lists.contains(index, b"a", 4) for index in range(3)] == [True, False, True]
    assert not lists.contains(0, b"a", 5)
    assert lists.contains(1, b"\x0a\0\0\1", 0)
    table.remove(b"a")
    assert not lists.contains(2, b"a", 4)
    with pytest.raises(IndexError, match="no list 3"):
        lists.contains(3, b"a", 0)
    with pytest.raises(TypeError):
        Lists((object(),), KEY)
