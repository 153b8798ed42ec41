"""Text functions: what they mean (the Python of frmcore.text) and that the C of the hot path does the same."""

from __future__ import annotations

import ipaddress
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frmcore import _fast, text

ALL_CHARS = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
# All that folding could touch, and samples of what it can't: ideographs, private and unassigned code points.
FOLDED_CHARS = [
    char
    for char in ALL_CHARS
    if ord(char) % 61 == 0
    or unicodedata.category(char) not in ("Lo", "Cn", "Co")
    or (not 0xAC00 <= ord(char) <= 0xD7A3 and unicodedata.normalize("NFKD", char) != char)
]
chars = st.characters(exclude_categories=["Cs"])
texts = st.text(chars, max_size=40) | st.text("aAbz09 .-_@+\t\n\x00\x7fßİıſKΣσéЖе中😀\u200b\u0301\u00a0", max_size=40)
emails = st.text("aAbz.+-@@ \tgKİ\x00", max_size=12) | st.builds(
    "{}{}@{}{}".format,
    st.sampled_from(["", " ", "\t"]),
    st.text("aB.+-é", max_size=8),
    st.sampled_from(["gmail.com", "GMail.com.", "googlemail.com", "yahoo.com", "ymail.com", "x.org", "x..org", ".org"]),
    st.sampled_from(["", " ", "\n", "."]),
)
repeatable = settings(derandomize=True, deadline=None, max_examples=300)


def fast(name: str, given_text: str, *args: object) -> str | None:
    result = _fast._text(name, given_text.encode(), *args)
    return None if result is None else result.decode()


# -- the meaning -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("email", "expected"),
    [
        ("ann@example.com", "example.com"),
        (" Ann@Mail.EXAMPLE.com.\n", "mail.example.com"),
        ("a@b@c", "c"),
        ("ann", None),
        ("ann@", None),
        ("ann@.", None),
        ("", None),
        ("@x", "x"),
        ("ann@MÜNCHEN.de", "mÜnchen.de"),
    ],
)
def test_domain(email: str, expected: str | None) -> None:
    assert text.domain(email) == fast("domain", email) == expected


@pytest.mark.parametrize(
    ("email", "expected"),
    [
        ("Ann.Lee+shop@Example.com", "ann.lee@example.com"),
        ("  a.n.n+x+y@GoogleMail.com. ", "ann@gmail.com"),
        ("ann-shop@yahoo.com", "ann@yahoo.com"),
        ("ann-shop@gmail.com", "ann-shop@gmail.com"),
        ("a.nn@yahoo.com", "a.nn@yahoo.com"),
        ("Ann@Kelvin.org", "ann@kelvin.org"),
        ("...@gmail.com", None),
        ("-x@yahoo.com", None),
        ("+tag@example.com", None),
        ("a@b@c", None),
        ("a b@c", None),
        ("a\x00@c", None),
        ("a@b..c", None),
        ("a@.b", None),
        ("a@b.", "a@b"),
        ("a@", None),
        ("a", None),
        ("", None),
    ],
)
def test_canonical_email(email: str, expected: str | None) -> None:
    assert text.canonical_email(email) == fast("canonical_email", email) == expected


@pytest.mark.parametrize(
    ("disguised", "plain"),
    [
        ("F\u200bR\u200bE\u200bE  m\u043en\u0435y", "free money"),
        ("F.R.E.E  m\u043en\u0435y", "free money"),
        ("f.r.e.e money", "free money"),
        ("ｆｒｅｅ　ｍｏｎｅｙ", "free money"),
        ("f r e e  m o n e y", "free money"),
        ("f - r - e - e\tmoney", "free money"),
        ("𝓕𝓻𝓮𝓮 𝐦𝐨𝐧𝐞𝐲", "free money"),
        ("🅵🆁🅴🅴 🇲🇴🇳🇪🇾", "free money"),
        ("ⓕⓡⓔⓔ\u3000ⓜⓞⓝⓔⓨ", "free money"),
        ("fr\u00adee m\u0336o\u0336n\u0336e\u0336y\ufe0f", "free money"),
        ("ϜᎡᎬᎬ МΟΝΕΥ", "free money"),
        ("\u202efree\u202c\u2800money\u3164", "free money"),
        ("Crème Brûlée", "creme brulee"),
        ("Straße ŁÓDŹ", "strasse lodz"),
        ("fr33 m0ney", "fr33 m0ney"),
        ("  a  \n b ", "a b"),
        ("plan b", "plan b"),
        ("1 2 3 4", "1 2 3 4"),
        ("a....b....c", "a....b....c"),
        ("a.b.c1", "a.b.c1"),
        ("a.b-c", "a.b-c"),
        ("ab.c.d.e", "ab.cde"),
        ("\x00\x1b", ""),
        ("", ""),
    ],
)
def test_fold(disguised: str, plain: str) -> None:
    assert text.fold(disguised) == fast("fold", disguised) == plain


def test_lookalikes_are_no_ascii_and_no_letter_is_claimed_twice() -> None:
    table = text.CONFUSABLES
    assert all(not char.isascii() and letter.isascii() for char, letter in table.items())
    assert len(table) == sum(len(looks) for looks in text._LOOKALIKES.values()) + 3 * 26
    assert all(unicodedata.category(char) in ("Ll", "Lu", "Lo", "So") for char in table)


def test_every_character_folds_alike_and_only_once() -> None:
    for char in FOLDED_CHARS:
        once = text.fold(f"1{char}1")
        assert len(once) - 2 <= 6 * len(char.encode()), "FOLDED_MAX in fold.pxi"
        assert fast("fold", f"1{char}1") == once
        assert text.fold(once) == once


@repeatable
@given(texts)
def test_folding_characters_again_changes_nothing(given_text: str) -> None:
    once = "".join(map(text.fold_char, given_text))
    assert "".join(map(text.fold_char, once)) == once


# -- the C of the hot path does the same ------------------------------------------------------------------------------
@repeatable
@given(texts | emails)
@pytest.mark.parametrize("name", ["domain", "canonical_email", "fold", "lower", "upper"])
def test_twins(name: str, given_text: str) -> None:
    assert fast(name, given_text) == getattr(text, name)(given_text)


@repeatable
@given(st.text("ab1 .-·\u00e9\u0436\u093f\u0301_", max_size=30))
def test_twins_on_spelled_words(given_text: str) -> None:
    assert fast("fold", given_text) == text.fold(given_text)


@repeatable
@given(texts, st.none() | st.integers(-50, 50), st.none() | st.integers(-50, 50))
def test_slices(given_text: str, start: int | None, end: int | None) -> None:
    assert fast("slice_text", given_text, start, end) == text.slice_text(given_text, start, end)


@pytest.mark.parametrize("index", [2**63 - 1, -(2**63), 2**32, -(2**32)])
def test_slices_far_out(index: int) -> None:
    assert fast("slice_text", "añb", index, None) == "añb"[index:]
    assert fast("slice_text", "añb", None, index) == "añb"[:index]


@repeatable
@given(texts, st.text(max_size=3) | st.text("ab", max_size=3))
def test_pieces(given_text: str, piece: str) -> None:
    for whole in (given_text, given_text + piece, piece + given_text, given_text + piece + given_text):
        data, part = whole.encode(), piece.encode()
        assert _fast._text("contains", data, part) == (piece in whole)
        assert _fast._text("startswith", data, part) == whole.startswith(piece)
        assert _fast._text("endswith", data, part) == whole.endswith(piece)
    assert _fast._text("length", given_text.encode()) == text.length(given_text)


def is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


@repeatable
@given(st.binary(max_size=12) | st.lists(st.sampled_from(range(0x7E, 0x100)), max_size=8).map(bytes))
def test_utf8(data: bytes) -> None:
    assert _fast._text("valid", data) == is_utf8(data)
    assert _fast._text("valid", b"plain text " + data) == is_utf8(data)


def test_utf8_every_start() -> None:
    tails = (
        b"",
        b"\x80",
        b"\x80\x80",
        b"\xbf\xbf\xbf",
        b"\x8f\x80\x80",
        b"\x90\x80\x80",
        b"\x9f\x80",
        b"\xa0\x80",
        b"\xc0",
    )
    for tail in tails:
        for lead in range(0x80, 0x100):
            data = bytes([lead]) + tail
            assert _fast._text("valid", data) == is_utf8(data), data


def test_utf8_every_character() -> None:
    assert _fast._text("valid", "".join(ALL_CHARS).encode())
    assert not any(_fast._text("valid", chr(code).encode("utf-8", "surrogatepass")) for code in range(0xD800, 0xE000))


# -- internet addresses ------------------------------------------------------------------------------------------------
groups = st.sampled_from(
    ["0", "0000", "1", "fFfF", "00001", "10.0.0.1", "1.2.3", "256.1.1.1", "01.1.1.1", "", "g", "db8"]
)
ip_texts = (
    st.ip_addresses().map(str)
    | st.ip_addresses(v=6).map(lambda ip: ip.exploded)
    | st.lists(groups, min_size=1, max_size=10).map(":".join)
    | st.builds("{}::{}".format, st.lists(groups, max_size=5).map(":".join), st.lists(groups, max_size=4).map(":".join))
    | st.text("0123456789abF:.% ", max_size=20)
)


@repeatable
@given(ip_texts)
def test_parse_ip(given_text: str) -> None:
    assert _fast._text("parse_ip", given_text.encode()) == text.parse_ip(given_text)


@pytest.mark.parametrize(
    "bad", ["", "1.2.3", "1.2.3.04", "1.2.3.4 ", "1.2.3.4/8", "fe80::1%eth0", ":::", "1::2::3", "١.1.1.1"]
)
def test_no_ip(bad: str) -> None:
    assert text.parse_ip(bad) is None
    assert _fast._text("parse_ip", bad.encode()) is None


@pytest.mark.parametrize(
    ("given_text", "packed"),
    [
        ("10.0.0.7", b"\x0a\0\0\x07"),
        ("::ffff:10.0.0.7", b"\x0a\0\0\x07"),
        ("::FFFF:a00:7", b"\x0a\0\0\x07"),
        ("::", bytes(16)),
        ("1::", b"\0\1" + bytes(14)),
        ("64:ff9b::1.2.3.4", b"\0\x64\xff\x9b" + bytes(8) + b"\1\2\3\4"),
    ],
)
def test_ip_forms(given_text: str, packed: bytes) -> None:
    assert text.parse_ip(given_text) == _fast._text("parse_ip", given_text.encode()) == packed


packed_ips = (
    st.ip_addresses().map(lambda ip: ip.packed)
    | st.lists(st.sampled_from([b"\0\0", b"\0\1", b"\xab\xcd", b"\xff\xff"]), min_size=8, max_size=8).map(b"".join)
    | st.binary(min_size=4, max_size=4).map(lambda tail: bytes(10) + b"\xff\xff" + tail)
)


@repeatable
@given(packed_ips, st.integers(0, 32), st.integers(0, 128))
def test_ip_text_and_networks(ip: bytes, v4: int, v6: int) -> None:
    assert _fast._text("ip_text", ip).decode() == text.ip_text(ip)
    assert _fast._text("network", ip, v4, v6).decode() == text.network(ip, v4, v6)
    assert text.parse_ip(text.ip_text(ip)) == (ip[12:] if ip[:12] == bytes(10) + b"\xff\xff" else ip)
    assert ipaddress.ip_address(text.ip_text(ip)) in ipaddress.ip_network(text.network(ip, v4, v6))


def test_networks() -> None:
    assert text.network(b"\x0a\1\2\3", 24, 48) == "10.1.2.0/24"
    assert text.network(bytes.fromhex("20010db800010002000000000000beef"), 24, 48) == "2001:db8:1::/48"


# -- a stable hash -----------------------------------------------------------------------------------------------------
def test_siphash_gives_the_published_vectors() -> None:
    """SipHash-2-4-128: the authors' vectors.h, first of 64. SipHash-1-3-128: the tests of Rust's `siphasher`."""
    k0, k1 = 0x0706050403020100, 0x0F0E0D0C0B0A0908
    low, high = text.siphash128(k0, k1, b"", 2, 4)
    assert (low.to_bytes(8, "little") + high.to_bytes(8, "little")).hex() == "a3817f04ba25a8e66df67214c7550293"
    low, high = text.siphash128(k0, k1, b"", 1, 3)
    assert (low.to_bytes(8, "little") + high.to_bytes(8, "little")).hex() == "e77ebcb22788a5befd62db6add303001"


@repeatable
@given(st.text(max_size=40), st.text(max_size=20))
def test_buckets(given_text: str, salt: str) -> None:
    assert _fast._text("bucket", given_text.encode(), salt.encode()) == text.bucket(given_text, salt)


def test_buckets_are_even_and_depend_on_the_salt() -> None:
    counts = [0] * 10
    for account in range(10_000):
        counts[text.bucket(f"a-{account}", "mule") // 1_000] += 1
    assert 900 < min(counts) <= max(counts) < 1_100
    assert text.bucket("a-1", "mule") != text.bucket("a-1", "other")
    assert text.bucket("a-1", "mule") == 924  # for ever: a rollout must not move with a release
