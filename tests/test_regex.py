"""Regular expressions: the DFA finds what google-re2 finds, in linear time, and no table leads it astray."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import re2
from hypothesis import given, settings
from hypothesis import strategies as st

from frmcore import _fast, limits
from frmcore.plan import Dfa, Re2
from frmcore.policy.regex import RegexError, compile_regex

repeatable = settings(derandomize=True, deadline=None, max_examples=400)
R26, R27, R28 = (
    r"^[a-z]+[0-9]{4,}@",
    r"@(mailinator|tempmail|guerrillamail|yopmail)\.",
    r"^(app|web)-(ios|android|chrome)$",
)


def dfa(pattern: str) -> Dfa:
    compiled = compile_regex(pattern)
    assert isinstance(compiled, Dfa), f"{pattern!r} is outside the subset"
    return compiled


def assert_same(pattern: str, texts: list[str]) -> None:
    runner = _fast.Regex(dfa(pattern))
    reference = re2.compile(pattern)
    for text in texts:
        assert runner.search(text.encode()) == (reference.search(text) is not None), (pattern, text)


# -- against google-re2 ------------------------------------------------------------------------------------------------
LETTERS = "abkKsſKzZ01_-é\u07ffж中\uffff😀\U0010ffff \n\t.^$]["
TEXTS = [
    "a", "b", "ab", "ba", "aa", "aab", "k", "K", "\u212a", "s", "\u017f", "_", "-", "]", "^", "é", "中", "😀", "ab-ab",
    "a]b", "x1", "aéb", "kiSS", "aaaaaaaa", "1_a", "\U0010ffff",
]  # fmt: skip
TEXTS += ["", "\n", "a\n", "\na", "a\nb", "a b", " a ", "\x00", "a\x00", "b" * 30 + "a"]


TRICKY = Path(__file__).with_name("cases").joinpath("regex.txt").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("pattern", ["", *TRICKY, R26, R27, R28])
def test_tricky_patterns(pattern: str) -> None:
    assert_same(pattern, TEXTS)


def quantified(item: str, quantifier: str) -> str:
    return f"(?:{item}){quantifier}"


literals = st.sampled_from(
    ["a", "b", "k", "s", "K", "_", "-", "1", "é", "ж", "中", "😀", r"\n", r"\.", " ", r"\x{7ff}"]
)
class_items = st.sampled_from(
    [
        "a",
        "b-z",
        "0-9",
        r"\d",
        r"\w",
        r"\W",
        r"\S",
        r"\s",
        "[:alpha:]",
        "[:^space:]",
        "é",
        "à-ÿ",
        "ж-中",
        r"\x{ffff}-\x{10100}",
        "-",
        r"\]",
    ]
)
classes = st.builds(
    "[{}{}]".format, st.sampled_from(["", "^"]), st.lists(class_items, min_size=1, max_size=3).map("".join)
)
atoms = (
    literals
    | classes
    | st.sampled_from([".", r"\d", r"\w", r"\W", r"\s", "^", "$", r"\A", r"\z", r"\b", r"\B", "", "K", "ſ"])
)
quantifiers = st.sampled_from(["*", "+", "?", "*?", "{0}", "{2}", "{1,3}", "{0,2}", "{2,}", "??"])
patterns = st.recursive(
    atoms,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=4).map("".join)
        | st.lists(inner, min_size=2, max_size=3).map(lambda items: f"(?:{'|'.join(items)})")
        | st.builds(quantified, inner, quantifiers)
        | st.builds("({})".format, inner)
        | st.builds("(?{}:{})".format, st.sampled_from(["i", "s", "m", "is", "ms", "-i", "i-s", "U"]), inner)
        | st.builds("(?{}){}".format, st.sampled_from(["i", "s", "m"]), inner)
    ),
    max_leaves=8,
)
texts = st.lists(st.text(LETTERS, max_size=8) | st.text(max_size=8), min_size=8, max_size=12)


@settings(derandomize=True, deadline=None, max_examples=500)
@given(patterns, texts)
def test_random_patterns(pattern: str, given_texts: list[str]) -> None:
    try:
        reference = re2.compile(pattern, _quiet())
    except re2.error:
        with pytest.raises(RegexError):
            compile_regex(pattern)
        return
    compiled = compile_regex(pattern)
    if isinstance(compiled, Re2):
        assert "i" in pattern or "{" in pattern  # nothing else of this grammar is outside the subset
        return
    runner = _fast.Regex(compiled)
    for text in given_texts:
        assert runner.search(text.encode()) == (reference.search(text) is not None), (pattern, text)


def _quiet() -> Any:
    options = re2.Options()
    options.log_errors = False
    return options


# -- what is outside ---------------------------------------------------------------------------------------------------
OUTSIDE = [
    r"\pL", r"[\pL]", r"\P{Greek}", "(?i)é", "(?i)[a-ÿ]", r"(?i)\x{212a}", r"\Qa+\E", r"\C", "a(?i)*", "a.{20}",
    "[ab]*a[ab]{12}$", "a.{2,200}x",
]  # fmt: skip
OUTSIDE += ["(?:a?){500}a{500}", "(" * 65 + ")" * 65, "(?:(?:" * 120 + "))" * 120]


@pytest.mark.parametrize("pattern", OUTSIDE)
def test_google_re2_runs_the_rest(pattern: str) -> None:
    re2.compile(pattern, _quiet())
    assert compile_regex(pattern) == Re2(pattern)


@pytest.mark.parametrize(
    ("pattern", "message", "offset"),
    [
        ("(ab", "missing )", 0),
        ("ab)", "unexpected )", 0),
        ("é[a", "missing ]", 1),
        (r"ab\q", "invalid escape sequence", 2),
        ("a(?=b)", "invalid perl operator", 1),
        (r"(a)\1", "invalid escape sequence", 3),
        ("a{1001}", "invalid repetition size", 1),
        ("(?:a{100}){100}", "invalid repetition size", 10),
        ("(?:(?:(?:){1000}){1000}){1000}", "invalid repetition size", 24),
        ("a**", "bad repetition operator", 1),
        ("*a", "no argument for repetition operator", 0),
        ("x[b-a]", "invalid character class range", 2),
        ("x\ud800", "a lone surrogate is no character", 1),
        ("a" * 1025, "longer than 1024 bytes", 0),
        ("é" * 513, "longer than 1024 bytes", 0),
    ],
)
def test_mistakes(pattern: str, message: str, offset: int) -> None:
    with pytest.raises(RegexError) as raised:
        compile_regex(pattern)
    assert (raised.value.message, raised.value.offset) == (message, offset)
    assert str(raised.value) == f"{message} at {offset}"


# -- bounds ------------------------------------------------------------------------------------------------------------
HOSTILE = [
    "(?:(?:(?:a{1,10}){1,10}b){1,10})c", "(a{1,30}){1,30}", "(((a*)*)*)*b", "(x+x+)+y", "(a|a)*b",
    "(.*)(.*)(.*)(.*)(.*)[a-f]{50}", "[0-9]{1,500}[a-z]", ".{0,500}a.{0,490}b", r"(?:\b\w{1,30}\b\W?){1,30}$",
    "(?m)(?:^a$|b){1,400}", "(?:[^a]|[^b]|[^c]){300}$", "(?:a?){1000}", "(?:[a-z]{0,30}[0-9]{0,30}){0,30}!$",
    "(?:.?.?.?.?.?.?.?.?){100}x", "[^@]{1,64}@[^@]{1,255}$", "(?:a*){1000}b",
]  # fmt: skip
HOSTILE += [
    "|".join(f"{chr(97 + i % 26)}{i}.*z" for i in range(100)),
    "|".join(f"[{chr(200 + i)}-中]x" for i in range(80)),
    "|".join(f"{chr(0x4E00 + 97 * i)}+" for i in range(200)),
    "(" * 60 + "a" + "{1,2})" * 9 + ")" * 51,
    "(?:" + "|".join(chr(33 + i) + "{9}" for i in range(2, 7)) + "){50}",
    "^(?:" + "|".join(f"[{chr(0xC0 + i)}{chr(0x4000 + 333 * i)}]" + "." * (i + 1) for i in range(35)) + ")$",
]


@pytest.mark.parametrize("pattern", HOSTILE)
def test_hostile_patterns_compile_in_bounded_time(pattern: str) -> None:
    started = time.process_time()
    compiled = compile_regex(pattern)
    assert time.process_time() - started < 1.5  # 0.3 s at most on an idle machine
    if isinstance(compiled, Dfa):
        assert len(compiled.accept_end) <= limits.REGEX_STATES_MAX
        assert_same(pattern, [*TEXTS, "a" * 50 + "c", "aaaaaaaaaab" * 9 + "c", "x" * 100 + "y", "0123456789!", "中x"])


def test_searching_takes_linear_time() -> None:
    runner = _fast.Regex(dfa("(a+)+$"))
    text = b"a" * 100_000 + b"!"
    assert not runner.search(text)
    started = time.process_time()
    assert runner.search_many(text, 20) == 0
    assert time.process_time() - started < 20 * 0.005  # 0.3 ms each on an idle machine


def test_equal_languages_have_equal_tables() -> None:
    """Minimal and numbered by a walk from the start, so the table depends on the language alone."""
    for one, other in [
        ("a+", "a"),
        ("(a|b)*c$", "[ab]*c$"),
        ("(?:a|ab)c|abbc", "a(?:b{0,2})c"),
        ("^(?:aa)*$", "^(?:aaaa)*(?:aa)?$"),
    ]:
        assert dfa(one)._replace(pattern="") == dfa(other)._replace(pattern="")
    assert len(dfa("a").accept_end) == 3
    assert dfa("").start == 1
    assert dfa(r"[^\x00-\x{10FFFF}]").start == 0


# -- damaged tables ----------------------------------------------------------------------------------------------------
def damaged() -> list[Dfa]:
    sound = dfa("^ab$")
    states, classes = len(sound.accept_end), sound.classes
    target = states.to_bytes(2, "little")
    return [
        sound._replace(table=sound.table[:-2]),
        sound._replace(table=sound.table + b"\0\0"),
        sound._replace(table=b""),
        sound._replace(table=sound.table[:-2] + target),
        sound._replace(table=sound.table[:-2] + b"\xff\xff"),
        sound._replace(table=b"\2" + sound.table[1:]),
        sound._replace(table=bytes(4 * classes) + sound.table[4 * classes :]),
        sound._replace(classes=0),
        sound._replace(classes=257),
        sound._replace(classes=classes + 1),
        sound._replace(class_of=sound.class_of[:255]),
        sound._replace(class_of=bytes([classes]) * 256),
        sound._replace(accept_end=sound.accept_end[:-1]),
        sound._replace(accept_end=b""),
        sound._replace(accept_end=b"\1" + sound.accept_end[1:]),
        sound._replace(accept_end=b"\0\0" + sound.accept_end[2:]),
        sound._replace(start=states),
        Dfa(
            "big",
            bytes(256),
            1,
            b"\0\0\1\0" + bytes(2 * limits.REGEX_STATES_MAX),
            b"\0\1" + bytes(limits.REGEX_STATES_MAX),
            0,
        ),
    ]


@pytest.mark.parametrize("plan", damaged(), ids=range(18))
def test_damaged_tables_are_refused(plan: Dfa) -> None:
    with pytest.raises(ValueError, match="damaged table"):
        _fast.Regex(plan)


@repeatable
@given(
    st.sampled_from([R26, R27, R28, "(a+)+$", "[é中]b"]),
    st.integers(0, 10_000),
    st.integers(0, 255),
    st.binary(max_size=60),
)
def test_no_damage_reads_out_of_bounds(pattern: str, at: int, byte: int, text: bytes) -> None:
    """Whatever one byte is changed to: refused, or a table that answers (under a sanitizer: without a stray read)."""
    sound = dfa(pattern)
    table = bytearray(sound.table)
    table[at % len(table)] = byte
    try:
        runner = _fast.Regex(sound._replace(table=bytes(table)))
    except ValueError:
        return
    assert runner.search(text) in (True, False)
