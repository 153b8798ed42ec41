"""The envelope: YAML as text, places that point at the character, and what is refused."""

from __future__ import annotations

import random
import time

import pytest
import yaml

from frmcore import limits
from frmcore.errors import PolicyError
from frmcore.policy.envelope import Leaf, Map, Node, Seq, normalised, read_envelope
from frmcore.policy.reader import is_unfinished
from frmcore.policy.source import Place, Problem, Problems


def read(text: str) -> Node:
    problems = Problems()
    tree = read_envelope("f", text, problems)
    problems.raise_if_any()
    assert tree is not None
    return tree


def leaf(text: str) -> Leaf:
    """The value of the only key."""
    tree = read(text)
    assert isinstance(tree, Map)
    ((_, node),) = tree.entries
    assert isinstance(node, Leaf)
    return node


def refused(text: str) -> str:
    with pytest.raises(PolicyError) as error:
        read(text)
    return str(error.value)


def plain(node: Node) -> object:
    if isinstance(node, Leaf):
        return node.text
    if isinstance(node, Seq):
        return [plain(item) for item in node.items]
    return {key.text: plain(value) for key, value in node.entries}


def test_every_scalar_is_text() -> None:
    text = "on: payout\nmode: off\ncountries: [NO, SE, 'no', 1.10, 0x1F, ~, 2026-01-01, 1_000]\nyes: null\n3: .5\n"
    assert plain(read(text)) == {
        "on": "payout",
        "mode": "off",
        "countries": ["NO", "SE", "no", "1.10", "0x1F", "~", "2026-01-01", "1_000"],
        "yes": "null",
        "3": ".5",
    }


SCALARS = {
    "plain": "when: amount > 5 and\n  country == 'NO'\n",
    "plain with a blank line": "when: amount > 5\n\n  and x\n",
    "single quotes": "when: 'it''s   \n   x == ''NO'' '\n",
    "double quotes": 'when: "a \\"b\\" \\u00e9 c\\\n   d \\x41 e\n   f"\n',
    "wide characters": 'when: "\U0001f600 \\U0001F600 x"\n',
    "literal": "when: |\n  amount > 5\n\n    and x   \n  y\n",
    "literal with an indentation indicator": "when: |1-\n  amount\n   x\n",
    "folded": "when: >-\n  amount > 5\n  and x\n\n  or y\n    deep\n  last\n",
    "folded with a comment behind": "when: >\n  amount > 5\n  and x\n# a comment\n",
    "folded of words that repeat": "when: >-\n  a\n  a a\n  a\n",
    "flow": "[when, {x: [a b, c]}]\n",
}


@pytest.mark.parametrize("text", SCALARS.values(), ids=SCALARS.keys())
def test_places_point_at_their_characters(text: str) -> None:
    """Whatever YAML did to a scalar, the place of each of its visible characters holds that character."""
    lines = text.split("\n")
    pairs = [(node.scalar, value) for node, value in _leaves(read(text), yaml.load(text, Loader=yaml.BaseLoader))]  # noqa: S506  texts of ours
    assert pairs
    for scalar, value in pairs:
        assert scalar.text == value.rstrip("\n")
        for number, line in enumerate(scalar.text.split("\n")):
            for column, char in enumerate(line):
                place = scalar.at(number, column)
                there = lines[place.line - 1][place.column - 1 :]
                assert char.isspace() or there.startswith((char, "\\")), (number, column, char, there)


def _leaves(node: Node, value: object) -> list[tuple[Leaf, str]]:
    if isinstance(node, Leaf):
        assert isinstance(value, str)
        return [(node, value)]
    if isinstance(node, Seq):
        assert isinstance(value, list)
        return [pair for item, part in zip(node.items, value, strict=True) for pair in _leaves(item, part)]
    assert isinstance(value, dict)
    return [pair for key, item in node.entries for pair in [(key, key.text), *_leaves(item, value[key.text])]]


def test_a_place_spans_the_first_line() -> None:
    assert leaf("when: amount > 5\n  and x\n").place == Place("f", 1, 7, 10)
    assert leaf("when: >\n   amount\n   x\n").place == Place("f", 2, 4, 6)
    assert leaf("when:\n").place == Place("f", 1, 6, 1)


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("a: b c\n", ""),
        ("a: b  # c\n", "comment"),
        ("a: b#c\n", ""),
        ("a: 'b'  # c\n", ""),
        ("a: |  # c\n  b\n", ""),
        ("{a: b}\n", "flow"),
        ("{a: 'b'}\n", ""),
    ],
)
def test_what_ended_an_unquoted_value(text: str, cut: str) -> None:
    assert leaf(text).cut == cut


@pytest.mark.parametrize(
    ("text", "unfinished"),
    [
        ('sum(amount, by=account, over="1d")', False),
        ("x in ('a)', \"b(\")", False),
        ('email == "it\'s"', False),
        (r'matches(x, "\"")', False),
        ("sum(amount,", True),
        ("(a", True),
        ("[a", True),
        ('email == "case', True),
        (r'"\"', True),
        ("a and", True),
        ("a >", True),
        ("a +", True),
        ("a or b if", True),
        ("band", False),
        ("the rest of it)", False),
        ("", False),
    ],
)
def test_unfinished_texts(text: str, unfinished: bool) -> None:
    assert is_unfinished(text) is unfinished


def test_aliases_are_whole_values() -> None:
    assert plain(read("a: &x {b: [1, 2]}\nc: *x\nd: [*x]\n")) == {
        "a": {"b": ["1", "2"]},
        "c": {"b": ["1", "2"]},
        "d": [{"b": ["1", "2"]}],
    }


def test_an_alias_bomb_costs_nothing() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 25)]
    start = time.perf_counter()
    assert "more than 500,000 values" in refused("\n".join(lines) + "\n")
    assert time.perf_counter() - start < 2


def test_aliases_do_not_hide_depth() -> None:
    lines = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 40)]
    assert "nested deeper than 32 levels" in refused("\n".join(lines) + "\n")


def test_deep_nesting_costs_nothing() -> None:
    start = time.perf_counter()
    assert "nested deeper" in refused("a: " + "[" * 1_000_000 + "\n")
    assert "nested deeper" in refused("a: " + "{b: " * 200_000 + "\n")
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize(
    "char", ["\0", "\x07", "\x1b", "\x7f", "\x85", "\u2028", "\u2029", "\u202e", "\u2066", "\ufeff"]
)
def test_characters_that_hide_or_steer_are_refused_and_not_shown(char: str) -> None:
    message = refused(f"policy: a\nversion: x{char}y\n")
    assert message.startswith(f"f:2:11: the invisible or control character U+{ord(char):04X}")
    assert char not in message


def test_values_in_messages_are_shown_harmless_and_short() -> None:
    message = refused('"\\e[31m": a\n"\\e[31m": b\n')
    assert 'duplicate key "\\x1b[31m"' in message
    assert "\x1b" not in message
    long = "x" * 10_000
    assert len(refused(f"{long[:900]}: a\n{long[:900]}: b\n")) < 1_000


def test_escapes_bring_what_raw_characters_may_not() -> None:
    assert leaf('a: "pay\\u200bpal \\u202e \\0"\n').text == "pay\u200bpal \u202e \0"


def test_line_breaks_of_any_system_and_a_byte_order_mark() -> None:
    assert normalised("\ufeffa: b\r\nc: d\re: f\n") == "a: b\nc: d\ne: f\n"


def test_a_problem_on_a_long_line_shows_the_part_around_it() -> None:
    text = str(Problem(Place("f", 1, 5_000, 3), "wrong", "mend", "a" * 4_999 + "bcd" + "e" * 5_000))
    _, source, marker, _ = text.split("\n")
    assert len(source) < 200
    assert source[marker.index("^") : marker.rindex("^") + 1] == "bcd"


def test_problems_end_where_nobody_reads_on() -> None:
    problems = Problems()
    with pytest.raises(PolicyError) as error:
        for line in range(1, 1_000_000):
            problems.add(Place("f", line, 1), "wrong")
    assert len(error.value.problems) == limits.PROBLEMS_MAX + 1
    assert error.value.problems[-1].message.startswith("too many problems")


def test_random_text_gives_a_tree_or_problems() -> None:
    """Any text at all: never another exception, and never a tree beside a syntax error."""
    rng = random.Random(20260101)
    alphabet = "ab:-?,[]{}#&*!|>'\"%@` \n\t0\\.é\x00\u2028"
    for round_ in range(20_000):
        text = "".join(rng.choice(alphabet) for _ in range(rng.randrange(40)))
        problems = Problems()
        tree = read_envelope("f", text, problems)
        assert tree is not None or problems, (round_, text)
