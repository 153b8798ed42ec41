"""The expression language: what is refused, with which words and where; what is accepted, with which type and tree."""

from __future__ import annotations

import ast
import time

import pytest
from expression_cases import FILE, Case, cases, check, field, listed, scalar, scope, shown, type_of
from hypothesis import given, settings
from hypothesis import strategies as st

from frmcore.limits import EXPRESSION_BYTES_MAX, EXPRESSION_DEPTH_MAX
from frmcore.plan import CalendarUnit, Kind
from frmcore.policy import tree
from frmcore.policy.check import HANDLERS, check_expression, check_features
from frmcore.policy.checker import Checker, Wrong
from frmcore.policy.expression import Source
from frmcore.policy.functions import AGGREGATES, FUNCTIONS, RESERVED
from frmcore.policy.scope import ALL
from frmcore.policy.source import Place, Problems, Scalar

WRONG, RIGHT = cases("wrong"), cases("right")
CPU_S_MAX = 3.0  # for the worst text of the greatest length; measured: a tenth of it, on a busy machine a third


# -- tables


@pytest.mark.parametrize("case", WRONG, ids=str)
def test_wrong(case: Case) -> None:
    found, problems = check(case.where, case.text)
    assert found is None
    assert shown(case.where, problems) == case.expected


@pytest.mark.parametrize("case", RIGHT, ids=str)
def test_right(case: Case) -> None:
    found, problems = check(case.where, case.text)
    assert not problems
    assert type_of(found) == case.expected


def test_the_tables_are_read() -> None:
    assert len(WRONG) >= 90 and len({case.text for case in WRONG}) == len(WRONG)
    assert len(RIGHT) >= 90


def test_every_function_is_in_the_tables() -> None:
    for name in FUNCTIONS.keys() | AGGREGATES.keys():
        assert any(f"{name}(" in case.text for case in WRONG), name
        assert any(f"{name}(" in case.text for case in RIGHT), name


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_reserved_words_are_never_unknown_names(name: str) -> None:
    _, problems = check("filter", name)
    assert not any("unknown" in problem.message for problem in problems)


# -- places


def place(where: str, text: str) -> tuple[int, int, int]:
    _, problems = check(where, text)
    assert len(problems) == 1
    at = problems[0].place
    return at.line, at.column, at.length


def test_places_over_several_lines() -> None:
    assert place("rule", "vip and\n  tries > 5 and\n  emial == 'x'") == (3, 3, 5)
    assert place("rule", "vip and\n\n  (amount\n > 5)") == (3, 4, len("amount"))


def test_places_count_characters_not_bytes() -> None:
    text = 'country == "ÄÖÜ€😀" and emial == "x"'
    assert place("rule", text) == (1, text.index("emial") + 1, 5)
    assert place("rule", 'email == "é" "x"') == (1, 14, 3)


def test_places_follow_the_scalar() -> None:
    """A block scalar's lines start where YAML says, each with its own indentation."""
    problems = Problems()
    written = Scalar("vip and\ntires > 5", (Place(FILE, 7, 12), Place(FILE, 8, 20)))
    check_expression(written, scope(), problems)
    assert [(p.place.line, p.place.column) for p in listed(problems)] == [(8, 20)]


def test_text_of_a_node_is_one_line() -> None:
    found, _ = check("rule", "vip and\n   tries > 5")
    assert isinstance(found, tree.BoolOp) and found.text == "vip and tries > 5"


def test_messages_steer_no_terminal() -> None:
    for text in ('status == "\\x1b[31m"', 'ip == "\u202e\u0007"', 'hour(ts, tz="\\n\\n")', 'ts > "\\u202e"'):
        _, problems = check("value", text)
        assert problems and all(problem.message.isprintable() and problem.hint.isprintable() for problem in problems)


# -- trees


def rule(text: str) -> tree.Expr:
    found, problems = check("value", text)
    assert isinstance(found, tree.Expr), problems
    return found


def const(text: str) -> int | float | str:
    found = rule(text)
    assert isinstance(found, tree.Const)
    return found.value


def aggregate(text: str) -> tree.Aggregate:
    found, problems = check("feature", text)
    assert isinstance(found, tree.Feature) and found.aggregate, problems
    return found.aggregate


def test_greater_is_less_with_swapped_sides() -> None:
    assert rule("tries > 5") == rule("5 < tries")
    assert rule("tries >= 5") == rule("5 <= tries")
    assert rule("tries > 5") != rule("tries < 5")


def test_a_chain_is_a_conjunction() -> None:
    assert rule("1 < tries <= 5") == rule("1 < tries and tries <= 5")
    chain = rule("5 >= tries > attempts")
    assert isinstance(chain, tree.BoolOp) and [item.text for item in chain.items] == ["5 >= tries", "tries > attempts"]


def test_not_in() -> None:
    assert rule("tries not in (1, 2)") == rule("not tries in (1, 2)")
    assert rule("card not in blocked") == rule("not card in blocked")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("60 * 60", 3600),
        ("-7 // 2", -4),
        ("-7 % 3", 2),
        ("1 / 4", 0.25),
        ("0.5 + 1", 1.5),
        ("2 - 3 * 4", -10),
        ("7.5 // 2", 3.0),
        ('3 * money("5.01")', 1503),
        ('money("1") - money("2")', -100),
        ('money("1") // money("0.3")', 3),
        ('money("-0.05")', -5),
        ("true", 1),
        ("false", 0),
        ("-(-3)", 3),
        ("1_000", 1000),
        ('0.1 * money("5")', 50.0),
    ],
)
def test_literals_are_folded(text: str, value: float) -> None:
    assert const(text) == value and type(const(text)) is type(value)


def test_parameters_stay_visible() -> None:
    limit = rule("max_tries")
    assert isinstance(limit, tree.Const) and limit.param == "max_tries"
    assert isinstance(rule("max_tries * 2"), tree.Arith)
    assert isinstance(rule("-max_tries"), tree.Neg)


def right(text: str) -> tree.Const:
    compared = rule(text)
    assert isinstance(compared, tree.Compare) and isinstance(compared.right, tree.Const)
    return compared.right


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ('status == "declined"', Kind.ENUM, 2),
        ('since_login == "1.5h"', Kind.DURATION, 5_400_000),
        ('ts == "1970-01-01T00:00:01.5+00:00"', Kind.TIMESTAMP, 1_500),
        ('ip == "::ffff:10.0.0.1"', Kind.IP, "10.0.0.1"),
        ('ip == "2001:DB8:0::1"', Kind.IP, "2001:db8::1"),
        ("rate == 0.50", Kind.DECIMAL, 5),
        ("rate == 1e-3", Kind.DECIMAL, 1),
        ("rate == ratio", Kind.DECIMAL, 5),
        ("rate == 2", Kind.INT, 2),
        ("lat == 2", Kind.INT, 2),
        ("lat == 0.5", Kind.FLOAT, 0.5),
        ("rate == 1e30", Kind.FLOAT, 1e30),
        ("rate == 1e-20", Kind.FLOAT, 1e-20),
        ('coins == money("5.00")', Kind.MONEY, 5),
        ('tip == money("5")', Kind.MONEY, 500),
        ("home == country", Kind.STRING, "DE"),
    ],
)
def test_literals_take_the_type_beside_them(text: str, kind: Kind, value: float | str) -> None:
    if text.startswith("home"):
        text = "country == home"
    found = right(text)
    assert (found.type.kind, found.value) == (kind, value) and type(found.value) is type(value)


def test_sets_hold_register_values() -> None:
    expected: dict[str, tuple[int | float | str, ...]] = {
        'status in ("declined", "pending", "declined")': (2, 0),
        "rate in (0.5, 1, 0.250)": (500, 1000, 250),
        "lat in (1, 2.5)": (1.0, 2.5),
        'amount in (money("5"), money("0.01"))': (500, 1),
        'ip in ("::ffff:1.2.3.4",)': ("1.2.3.4",),
        'since_login in ("1m",)': (60_000,),
        'country in {"DE", home}': ("DE",),
    }
    for text, values in expected.items():
        found = rule(text)
        assert isinstance(found, tree.InSet) and found.values == values


def test_decimals_keep_their_digits() -> None:
    """0.1 + 0.2 of decimals is 0.3: the literal's digits count, not the float nearest to them."""
    found = rule("rate + 0.2")
    assert isinstance(found, tree.Arith) and isinstance(found.right, tree.Const)
    assert (found.right.value, found.right.type.scale, found.type.scale) == (2, 1, 3)


def test_calls_carry_what_they_need() -> None:
    zoned, spoken = scope(), check("value", 'hour(ts, tz="Asia/Tokyo")')[0]
    assert (
        isinstance(spoken, tree.Call)
        and isinstance(spoken.args[1], tree.Const)
        and spoken.args[1].value == "Asia/Tokyo"
    )
    check("value", 'days_between(born, ts) + hour(ts, tz="Asia/Tokyo")', zoned)
    assert set(zoned.zones) == {"UTC", "Asia/Tokyo"}
    assert arguments("network(ip, 24)") == [None, 24, 64]
    assert arguments("network(ip, 20, 48)") == [None, 20, 48]
    assert arguments("round(lat, 2)") == [None, 2] and arguments("round(lat)") == [None]
    assert arguments("email[:-1]") == [None, None, -1] and arguments("email[2:]") == [None, 2, None]


def arguments(text: str) -> list[int | float | str | None]:
    found = rule(text)
    assert isinstance(found, tree.Call)
    return [arg.value if isinstance(arg, tree.Const) else None for arg in found.args]


def test_a_rollout_is_a_bucket_below_its_share() -> None:
    found, problems = check("rollout", "12.5% by account")
    assert isinstance(found, tree.Compare) and isinstance(found.right, tree.Const) and not problems
    assert found.right.value == 1250 and isinstance(found.left, tree.Call)
    ref, salt = found.left.args
    assert isinstance(ref, tree.Ref) and ref.name == "account"
    assert isinstance(salt, tree.Const) and salt.value == "a_rule"


def test_a_reason_is_cut_into_parts() -> None:
    found, problems = check("reason", "{{{attempts}}} of {max_tries}")
    assert isinstance(found, tree.ReasonText) and not problems
    first, attempts, middle, limit = found.parts
    assert (first, middle) == ("{", "} of ")
    assert isinstance(attempts, tree.Ref) and attempts.source == "feature"
    assert isinstance(limit, tree.Const) and limit.value == 8
    empty, _ = check("reason", "")
    assert empty == tree.ReasonText(())


# -- aggregates


def test_defaults_of_an_aggregate() -> None:
    made = aggregate("count(by=card)")
    assert made == tree.Aggregate("count", None, ("card",), ("card",), None, None, None, None, 0, 0, "right", 0)


def test_every_argument_of_an_aggregate_arrives() -> None:
    made = aggregate(
        'std(amount, by=(payee, card), lookup=[account, card], on=(payment, "login"), where=vip, over="30d", '
        'every="1d", delay="2d", closed="neither", ddof=1)'
    )
    assert (made.by, made.lookup, made.on) == (("payee", "card"), ("account", "card"), ("payment", "login"))
    assert isinstance(made.where, tree.Ref) and made.over == tree.Duration(30 * 86_400_000)
    assert (made.every_ms, made.delay_ms, made.closed, made.ddof) == (86_400_000, 2 * 86_400_000, "neither", 1)
    assert isinstance(aggregate("count(by=card, since=vip)").since, tree.Ref)


@pytest.mark.parametrize(
    ("over", "unit", "count"),
    [
        ("today", "DAY", 1),
        ("this week", "WEEK", 1),
        ("this month", "MONTH", 1),
        ("1 day", "DAY", 1),
        ("3 days", "DAY", 3),
    ],
)
def test_calendar_spans_are_closed_on_both_sides(over: str, unit: str, count: int) -> None:
    made = aggregate(f'count(by=card, over="{over}", tz="Europe/Berlin")')
    assert made.over == tree.Calendar(CalendarUnit[unit], count, "Europe/Berlin") and made.closed == "both"
    assert aggregate(f'count(by=card, over="{over}", tz="UTC", closed="left")').closed == "left"


# -- features


def features(texts: dict[str, str]) -> tuple[list[str], list[str]]:
    """Names of the sound ones, messages."""
    made, problems = scope(), Problems()
    lines = [(scalar(name, line), scalar(text, line, 20)) for line, (name, text) in enumerate(texts.items(), 1)]
    found = check_features(lines, made, problems)
    assert [name for name in texts if name in made.broken] == [n for n in texts if n not in made.features]
    return [feature.name for feature in found], [problem.message for problem in listed(problems)]


def test_features_may_name_each_other_in_any_order() -> None:
    texts = {"a": "b + c", "b": "c * 2", "c": "count(by=card)", "payment": "count(by=card, on=payment)"}
    assert features(texts) == (["a", "b", "c", "payment"], [])


def test_cycles_are_reported_once_each() -> None:
    texts = {"a": "b + 1", "b": "c + 1", "c": "a + 1", "d": "d", "e": "a + tries", "f": "tries + 1"}
    assert features(texts) == (["f"], ['the feature "a" needs itself', 'the feature "d" needs itself'])


def test_a_broken_feature_is_no_second_mistake() -> None:
    texts = {"a": "b + 1", "b": "emial", "c": "count(by=card, where=b > 1)", "d": "1 +", "e": "d + a"}
    sound, messages = features(texts)
    assert not sound and messages == ['unknown name "emial"', 'something is missing after "+"']


def test_names_declared_broken_are_no_second_mistake() -> None:
    for text in ("spoiled > 5 and vip", "vip and spoiled in (1, 2)"):
        found, problems = check("rule", text)
        assert found is None and not problems
    assert features({"a": "count(by=spoiled)"}) == ([], [])


def test_a_long_chain_of_features() -> None:
    texts = {f"f{i}": f"f{i + 1} + 1" for i in range(1_000)} | {"f1000": "tries"}
    sound, messages = features(texts)
    assert len(sound) == 1_001 and not messages


def test_all_mistakes_of_an_expression_are_seen() -> None:
    _, problems = check("rule", 'emial == "x" and status == "lost" and amount > 5 and fired("x")')
    assert len(problems) == 4


# -- hostile texts

PIECES = [
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    ".",
    "=",
    "==",
    "<",
    ">=",
    "!=",
    "+",
    "-",
    "*",
    "/",
    "//",
    "%",
    "and",
    "or",
    "not",
    "in",
    "if",
    "else",
    "1",
    "0.5",
    "1e9",
    '"x"',
    '"10m"',
    "r'\\d'",
    "'",
    '"',
    "\\",
    "\n",
    " ",
    "#",
    "é",
    "\x00",
    "\r",
    "\ud800",
    "tries",
    "amount",
    "card",
    "ts",
    "since_login",
    "status",
    "ip",
    "lat",
    "rate",
    "vip",
    "blocked",
    "payment",
    "by=",
    "over=",
    "where=",
    "tz=",
    "true",
    "lambda",
    "for",
    "is",
    "None",
    "f''",
    "@",
    ":=",
    "**",
    "~",
    "...",
    "*",
    "await",
    "10m",
    "0x1",
    *(f"{name}(" for name in FUNCTIONS.keys() | AGGREGATES.keys()),
]
WHERE = st.sampled_from(["rule", "value", "filter", "derived", "feature", "reason", "rollout"])
SHARED = scope()


@settings(max_examples=600, derandomize=True, deadline=None)
@given(WHERE, st.lists(st.sampled_from(sorted(PIECES)), max_size=24), st.sampled_from(["", " "]))
def test_token_soup_gives_only_problems(where: str, pieces: list[str], joint: str) -> None:
    found, problems = check(where, joint.join(pieces), SHARED)
    assert (found is None) == bool(problems)


@settings(max_examples=300, derandomize=True, deadline=None)
@given(WHERE, st.text(max_size=60))
def test_any_text_gives_only_problems(where: str, text: str) -> None:
    found, problems = check(where, text, SHARED)
    assert (found is None) == bool(problems)


@settings(max_examples=1_000, derandomize=True, deadline=None)
@given(st.data())
def test_mutations_give_only_problems(data: st.DataObject) -> None:
    case = data.draw(st.sampled_from(RIGHT))
    text = case.text
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        until = data.draw(st.integers(at, min(len(text), at + 6)))
        text = text[:at] + data.draw(st.sampled_from(["", *sorted(PIECES)])) + text[until:]
    found, problems = check(case.where, text, SHARED)
    assert (found is None) == bool(problems)


def greatest(piece: str, end: str = "") -> str:
    return piece * ((EXPRESSION_BYTES_MAX - len(end)) // len(piece)) + end


HOSTILE = {
    "brackets": greatest("("),
    "pairs": greatest("("[:1] * 8 + ")" * 8),
    "calls": "abs" + greatest("(1)", "   "),
    "slices": "email" + greatest("[:]", "     "),
    "nots": greatest("not ", "vip"),
    "minus": greatest("-", "1"),
    "sum": greatest("1+", "1"),
    "power": greatest("9**", "9"),
    "chain": greatest("1<", "2"),
    "and": greatest("vip and ", "vip"),
    "else": greatest("1 if vip else ", "1"),
    "quotes": greatest("'"),
    "escaped": greatest('\\"'),
    "open": greatest('"\\'),
    "lines": greatest("\n"),
    "prefixed": greatest("r'\n"),
    "digits": greatest("9"),
    "name": greatest("a"),
    "names": greatest("ab+"),
    "unknown": greatest("b and ", "b"),
    "set": "tries in (" + greatest("1,", ")          "),
    "wide": greatest("é"),
    "text": '"' + greatest("é", '" ')[:8_000] + '"',
    "commas": "max(" + greatest("1,", ")    "),
    "tuples": greatest("(),"),
    "arguments": "count(" + greatest("a=1,", ")      "),
    "braces": greatest("{a}"),
    "opened": greatest("{"),
    "long": "1" * 100_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_the_worst_texts_cost_little(text: str) -> None:
    for where in ("value", "feature", "reason", "rollout"):
        start = time.process_time()
        check(where, text, SHARED, say=False)
        assert time.process_time() - start < CPU_S_MAX


def test_depth_is_bounded_exactly() -> None:
    depth = EXPRESSION_DEPTH_MAX - 1
    assert check("value", "(" * depth + "1" + ")" * depth)[0] is not None
    assert check("value", "(" * (depth + 1) + "1" + ")" * (depth + 1))[0] is None
    assert check("value", "tries" + " + tries" * depth)[0] is not None
    assert check("value", "tries" + " + tries" * (depth + 1))[0] is None
    assert check("value", " and ".join(["tries + 1 > 2"] * 200))[0] is not None


# -- the whitelist


def any_node(of: type[ast.expr]) -> ast.expr:
    """A node of that class with plausible children, at the start of the text."""
    made: dict[str, object] = {}
    for name in of._fields:
        value: object = ast.Constant(1, lineno=2, col_offset=0, end_lineno=2, end_col_offset=1)
        if name in ("elts", "values", "keys", "args", "keywords", "generators", "comparators", "ops"):
            value = []
        elif name in ("id", "attr", "kind", "type_comment"):
            value = "x"
        elif name == "value" and of is ast.Constant:
            value = ...
        elif name == "op":
            value = ast.MatMult()
        made[name] = value
    return of(**made, lineno=2, col_offset=0, end_lineno=2, end_col_offset=1)


@pytest.mark.parametrize("node", [n for n in ast.expr.__subclasses__() if n not in HANDLERS], ids=lambda n: n.__name__)
def test_every_other_node_of_python_is_refused(node: type[ast.expr]) -> None:
    assert refused(any_node(node)) == ["this is not part of the language"]


def refused(node: ast.expr) -> list[str]:
    problems, written = Problems(), scalar("1 + 1")
    checker = Checker(Source(written, node, ("1 + 1",), (0,)), scope(), problems, ALL, HANDLERS)
    with pytest.raises(Wrong):
        checker.expr(node)
    return [problem.message for problem in listed(problems)]


OPERATORS = [op for of in (ast.operator, ast.unaryop, ast.cmpop) for op in of.__subclasses__()]


@pytest.mark.parametrize("op", OPERATORS, ids=lambda op: op.__name__)
def test_every_operator_of_python_is_handled_or_refused(op: type[ast.AST]) -> None:
    known = [
        "Add",
        "Sub",
        "Mult",
        "Div",
        "FloorDiv",
        "Mod",
        "Not",
        "USub",
        "Eq",
        "NotEq",
        "Lt",
        "LtE",
        "Gt",
        "GtE",
        "In",
        "NotIn",
    ]
    one = any_node(ast.Constant)
    one.value = "x"  # type: ignore[attr-defined]
    where = {"lineno": 2, "col_offset": 0, "end_lineno": 2, "end_col_offset": 1}
    if issubclass(op, ast.operator):
        node: ast.expr = ast.BinOp(one, op(), one, **where)
    elif issubclass(op, ast.unaryop):
        node = ast.UnaryOp(op(), one, **where)
    else:
        node = ast.Compare(one, [op()], [one], **where)
    if op in (ast.Eq, ast.NotEq):
        return
    messages = refused(node)
    assert any("not part of the language" in message for message in messages) == (op.__name__ not in known)


def test_every_text_of_the_tree_has_its_place() -> None:
    """Each node of each right case carries a place inside the text, and the text that stands there."""
    for case in RIGHT:
        found, _ = check(case.where, case.text, SHARED)
        for node in nodes(found):
            assert node.place.line == 1 and 1 <= node.place.column <= len(case.text)
            assert node.text in (case.text[node.place.column - 1 :][: node.place.length], node.text.strip())


def nodes(item: object) -> list[tree.Expr]:
    found = [item] if isinstance(item, tree.Expr) else []
    children = item if isinstance(item, tuple) else []
    if isinstance(item, tree.Expr | tree.Feature | tree.Aggregate):
        children = [getattr(item, name) for name in item.__struct_fields__]
    return found + [node for child in children for node in nodes(child)]


def test_money_needs_a_currency() -> None:
    made = scope()
    made.base_currency, made.derived = "", {}
    made.fields = {"tip": field("tip", made.fields["tip"].type)}
    found, _ = check("value", 'money("5.00")', made)
    assert isinstance(found, tree.Const) and found.type.currency == "USD"
    made.fields = {}
    _, problems = check("value", 'money("5.00")', made)
    assert [problem.message for problem in problems] == ["there is no money in this policy"]


def test_kinds_may_be_missing() -> None:
    made = scope()
    made.kinds = ()
    _, problems = check("feature", "count(by=card, on=payment)", made)
    assert [problem.message for problem in problems] == ["on= needs kinds, and the events have none"]
