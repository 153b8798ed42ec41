"""The small words of the language: durations, instants, zones, money, near names."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frmcore.currency import EXPONENTS, exponent, format_money, parse_money
from frmcore.durations import UNITS, format_duration, parse_duration, parse_timestamp
from frmcore.limits import INT_MAX, TIME_MS_MAX
from frmcore.names import nearest
from frmcore.policy.words import quoted
from frmcore.policy.zones import load_zone, zone_names

QUICK = settings(max_examples=200, derandomize=True, deadline=None)

# -- durations and instants


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1ms", 1),
        ("90s", 90_000),
        ("10m", 600_000),
        ("1.5h", 5_400_000),
        ("7d", 604_800_000),
        ("2w", 1_209_600_000),
        ("0s", 0),
        ("0.001s", 1),
        ("0.50m", 30_000),
        ("100000000d", TIME_MS_MAX),
    ],
)
def test_durations(text: str, ms: int) -> None:
    assert parse_duration(text) == ms


WRONG_DURATIONS = [
    "",
    "10",
    "m",
    "10 m",
    "-1s",
    "+1s",
    "1.s",
    ".5s",
    "1e3s",
    "10M",
    "1h30m",
    "0.5ms",
    "0.0001s",
    "100000001d",
]


@pytest.mark.parametrize("text", [*WRONG_DURATIONS, "１s", "1s\n", "9" * 17 + "s", "1_0s", "3 days"])
def test_no_durations(text: str) -> None:
    assert parse_duration(text) is None


@QUICK
@given(st.integers(0, 10_000), st.sampled_from(sorted(UNITS)))
def test_a_duration_is_its_number_of_units(number: int, unit: str) -> None:
    assert parse_duration(f"{number}{unit}") == number * UNITS[unit]


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "0 ms"),
        (999, "999 ms"),
        (1_500, "1.5 s"),
        (59_999, "59.999 s"),
        (60_000, "1 min"),
        (180_000, "3 min"),
        (90_000, "1 min 30 s"),
        (7_500_000, "2 h 5 min"),
        (86_400_000, "1 day"),
        (4 * 86_400_000, "4 days"),
        (4 * 86_400_000 + 3 * 3_600_000 + 59_000, "4 days 3 h"),
        (-90_000, "-1 min 30 s"),
        (10_000, "10 s"),
    ],
)
def test_durations_are_readable(ms: int, text: str) -> None:
    assert format_duration(ms) == text


@QUICK
@given(st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)), st.integers(-1439, 1439))
def test_instants(local: datetime, minutes: int) -> None:
    local = local.replace(microsecond=local.microsecond // 1_000 * 1_000)
    sign = "-" if minutes < 0 else "+"
    text = f"{local.isoformat(timespec='milliseconds')}{sign}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"
    expected = local - timedelta(minutes=minutes) - datetime(1970, 1, 1)
    assert parse_timestamp(text) == expected // timedelta(milliseconds=1)


@pytest.mark.parametrize("text", ["2026-01-01T00:00:00Z", "2026-01-01t00:00:00z", "2026-01-01 01:00:00.000000+01:00"])
def test_forms_of_an_instant(text: str) -> None:
    assert parse_timestamp(text) == 1_767_225_600_000


WRONG_INSTANTS = [
    "2026-01-01",
    "2026-01-01T00:00:00",
    "2026-02-30T00:00:00Z",
    "2026-01-01T24:00:00Z",
    "2026-01-01T00:00:00.0001Z",
]


@pytest.mark.parametrize(
    "text", [*WRONG_INSTANTS, "1767225600000", "", "2026-01-01T00:00:00+0100", "2026-W01-1T00:00:00Z"]
)
def test_no_instants(text: str) -> None:
    assert parse_timestamp(text) is None


# -- zones

SOME_ZONES = [
    "UTC", "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "Africa/Casablanca", "Asia/Kathmandu",
    "Asia/Tehran", "Asia/Gaza", "America/Recife", "Australia/Lord_Howe", "Pacific/Apia",
    "Antarctica/Troll", "America/Argentina/Buenos_Aires",
]  # fmt: skip


@pytest.mark.parametrize("name", SOME_ZONES)
def test_zones_agree_with_zoneinfo(name: str) -> None:
    """At the edges of every transition, and in between."""
    zone, oracle = load_zone(name), packaged(name)
    assert zone is not None and zone.at_ms[0] == -(2**62) and len(zone.at_ms) == len(zone.offset_ms)
    assert list(zone.at_ms) == sorted(set(zone.at_ms))
    edges = [(at, offset) for at, offset in zip(zone.at_ms, zone.offset_ms, strict=True) if at > 0] or [(0, 0)]
    for (at, offset), (until, _) in zip(edges, [*edges[1:], (4_102_444_800_000, 0)], strict=True):
        for ms in (at, (at + until) // 2, until - 1_000):
            assert offset_ms(oracle, ms) == offset, (name, ms)
        assert offset_ms(oracle, at - 1_000) != offset or at == 0


def packaged(name: str) -> ZoneInfo:
    """Of the tzdata package; the machine's own tables may be of another year."""
    paths = zoneinfo.TZPATH
    zoneinfo.reset_tzpath([])
    try:
        return ZoneInfo.no_cache(name)
    finally:
        zoneinfo.reset_tzpath(paths)


def offset_ms(zone: ZoneInfo, ms: int) -> int:
    offset = datetime.fromtimestamp(ms // 1_000, UTC).astimezone(zone).utcoffset()
    assert offset is not None
    return offset // timedelta(milliseconds=1)


@pytest.mark.parametrize(
    "name", ["", "Mars/Base", "../UTC", "/etc/localtime", "europe/berlin", "UTC\0", "Europe", "posixrules"]
)
def test_only_known_zones_are_opened(name: str) -> None:
    assert name not in zone_names() and load_zone(name) is None


# -- money


@pytest.mark.parametrize(
    ("code", "digits"), [("EUR", 2), ("JPY", 0), ("BHD", 3), ("CLF", 4), ("BTC", None), ("eur", None)]
)
def test_exponents(code: str, digits: int | None) -> None:
    assert exponent(code) == digits


def test_the_table_is_complete() -> None:
    assert len(EXPONENTS) == 171 and all(len(code) == 3 and code.isupper() for code in EXPONENTS)
    by_digits = [list(EXPONENTS.values()).count(digits) for digits in (0, 2, 3, 4)]
    assert by_digits == [17, 145, 7, 2]


@QUICK
@given(st.integers(-INT_MAX, INT_MAX), st.sampled_from(sorted(EXPONENTS)))
def test_money_is_read_as_it_is_written(minor: int, code: str) -> None:
    text, written = format_money(minor, code).split(" ")
    assert written == code and parse_money(text, code) == minor


@pytest.mark.parametrize(
    ("text", "code", "minor"),
    [
        ("5", "EUR", 500),
        ("5.1", "EUR", 510),
        ("-0.05", "EUR", -5),
        ("007", "JPY", 7),
        ("1.234", "BHD", 1234),
        ("5.001", "EUR", None),
        ("5.0", "JPY", None),
        ("5,00", "EUR", None),
        ("+5", "EUR", None),
        ("", "EUR", None),
        ("5.", "EUR", None),
        (".5", "EUR", None),
        ("1e3", "EUR", None),
        ("92233720368547758.08", "EUR", None),
        ("5", "XYZ", None),
        ("٥", "EUR", None),
        ("5\n", "EUR", None),
        ("9" * 5_000, "EUR", None),
    ],
)
def test_amounts(text: str, code: str, minor: int | None) -> None:
    assert parse_money(text, code) == minor


# -- names


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("amuont", 'did you mean "amount"?'),
        ("AMOUNT", 'did you mean "amount"?'),
        ("mount", 'did you mean "amount"?'),
        ("zzz", ""),
        ("", ""),
        ("a" * 10_000, ""),
        ("sped_24h", 'did you mean "spend_24h"?'),
    ],
)
def test_near_names(name: str, hint: str) -> None:
    assert nearest(name, ["amount", "spend_24h", "account", "x" * 10_000]) == hint


def test_quoted_texts_are_short_and_printable() -> None:
    assert quoted("a\x1b[31m\u202e") == '"a\\x1b[31m\\u202e"'
    assert len(quoted("x" * 1_000)) == 62 and quoted("é") == '"é"'
