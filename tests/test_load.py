"""Loading policies: wrong ones (as data), files and their limits, what a sound one becomes, its hash, its Event."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace
from policy_cases import Case, all_cases, completed

from frmcore import limits
from frmcore.errors import PolicyError
from frmcore.names import nearest
from frmcore.plan import Kind, Limits, Mode, Zone
from frmcore.policy import Policy, load
from frmcore.policy.fingerprint import fingerprint
from frmcore.policy.source import Place
from frmcore.policy.tree import Field, ListSpec, LookupTable, Point, RatePoint, ReasonText, Type

CARDS = Path(__file__).parent / "cases" / "cards"


def ok(text: str) -> Policy:
    return load(completed(text))


def problems_of(error: PolicyError) -> str:
    lines = []
    for problem in error.problems:
        lines.append(f"{problem.place.line}:{problem.place.column}: {problem.message}\n")
        lines.append(f"hint: {problem.hint}\n" if problem.hint else "")
    return "".join(lines)


def message(source: str | Path, base: Path | None = None) -> str:
    with pytest.raises(PolicyError) as error:
        load(source, base=base)
    return str(error.value)


def field(policy: Policy, name: str) -> Field:
    return next(item for item in (*policy.fields, *policy.derived, *policy.updates) if item.name == name)


# -- wrong policies ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", all_cases(), ids=lambda case: case.name)
def test_a_wrong_policy_is_told_every_mistake(case: Case) -> None:
    with pytest.raises(PolicyError) as error:
        load(case.text)
    assert problems_of(error.value) == case.expected
    for problem in error.value.problems:
        shown = str(problem).split("\n")
        line = case.text.split("\n")[problem.place.line - 1].replace("\u202e", "\ufffd")
        assert shown[1].strip() == line.strip() or not problem.source


def test_a_problem_is_shown_with_its_line_and_a_caret() -> None:
    text = completed('features:\n  tries: count(by=acount, over="10m")\n')
    assert message(text) == (
        '<policy>:2:19: unknown field "acount"\n'
        '      tries: count(by=acount, over="10m")\n'
        "                      ^^^^^^\n"
        '    hint: did you mean "account"?'
    )


# -- sound policies ----------------------------------------------------------------------------------------------


def test_the_policy_of_the_design() -> None:
    policy = load(CARDS / "card_payments.yaml")
    assert (policy.name, policy.version) == ("card-payments", "7")
    assert (policy.id_field, policy.time_field, policy.kind_field) == ("txn_id", "ts", "kind")
    assert policy.kinds == ("payment", "login", "password_change", "payout")
    assert [item.name for item in policy.fields if item.may_change] == ["ts", "ip"]
    card = field(policy, "card")
    assert (card.entity, card.optional, card.type.private, card.required_on) == ("card", True, True, ("payment",))
    assert field(policy, "amount").type == Type(Kind.MONEY, currency="EUR")
    assert policy.base_currency == "EUR"
    assert field(policy, "subnet").entity == "subnet"
    assert field(policy, "mailbox").type.kind is Kind.STRING
    assert (field(policy, "status").default, field(policy, "label").default) == (0, None)
    assert (field(policy, "status").optional, field(policy, "label").optional) == (False, True)
    assert policy.points == (
        Point("checkout", ("payment",), "", ((50, "review"), (80, "block"))),
        Point("answered", None, "checkout", ()),
        Point("payout", ("payout",), "", ((40, "review"),)),
        Point("default", None, "", ()),
    )
    assert [(item.name, item.network, item.values) for item in policy.lists] == [
        ("blocked_cards", False, None),
        ("trusted_accounts", False, None),
        ("bad_networks", True, None),
        ("disposable", False, ("mailinator.com", "yopmail.com")),
    ]
    assert [item.type.private for item in policy.lists] == [True, False, False, False]
    assert len(policy.features) == 15
    assert [rule.id for rule in policy.rules] == [
        "blocked_card",
        "card_testing",
        "trusted",
        "mule",
        "new_device",
        "round",
    ]
    mule = policy.rules[3]
    assert (mule.mode, mule.points, mule.actions, mule.owner) == (Mode.SHADOW, ("payout",), ("freeze_payouts",), "aml")
    assert mule.reason == ReasonText(("mule",))
    assert [node.place.line for node in mule.tests] == [84]
    assert policy.params["max_tries"].value == 8
    assert set(policy.files) == {"card_payments.yaml", "rules/login.yaml", "rules/aml/a.yaml", "rules/aml/b.yaml"}
    assert set(policy.zones) == {"Europe/Berlin"}


def test_defaults() -> None:
    policy = ok("rules: []\n")
    assert policy.outcomes == ("allow", "review", "block")
    assert policy.limits == Limits(
        limits.HORIZON_MS,
        limits.IDS_MIN,
        limits.IDS_MAX,
        limits.RING_EVENTS_MAX,
        limits.MAX_AHEAD_MS,
        limits.MAX_MEMORY,
        (),
    )
    assert policy.points == (Point("default", None, "", ()),)
    assert policy.warnings == ()


def test_values_of_parameters() -> None:
    policy = ok(
        'params: {n: 8, neg: -3, rate: 0.25, on_: true, wait: 1.5h, quoted: "10m", small: money("5.00"), word: NO,'
        " number_as_text: '\"8\"'}\n"
    )
    assert {name: (item.type.kind, item.value, item.param) for name, item in policy.params.items()} == {
        "n": (Kind.INT, 8, "n"),
        "neg": (Kind.INT, -3, "neg"),
        "rate": (Kind.FLOAT, 0.25, "rate"),
        "on_": (Kind.BOOL, 1, "on_"),
        "wait": (Kind.DURATION, 5_400_000, "wait"),
        "quoted": (Kind.DURATION, 600_000, "quoted"),
        "small": (Kind.MONEY, 500, "small"),
        "word": (Kind.STRING, "NO", "word"),
        "number_as_text": (Kind.STRING, "8", "number_as_text"),
    }


def test_limits_are_read() -> None:
    policy = ok(
        "limits: {horizon: 2d, ids_min: 10, ids_max: 1_000, ring_events_max: 7, max_ahead: 1s, max_memory: 1.5GB,"
        " entities: {account: 2_000}}\n"
    )
    assert policy.limits == Limits(172_800_000, 10, 1_000, 7, 1_000, 1_500_000_000, (("account", 2_000),))


def test_defaults_of_updates() -> None:
    policy = ok(
        """event:
  id: txn_id
  time: ts
  fields: {txn_id: string, ts: timestamp}
  updates:
    status: {type: enum, values: [pending, approved], default: approved}
    paid: {type: money, currency: JPY, default: 120}
    rate: {type: decimal, scale: 3, default: -0.5}
    seen: {type: bool, default: true}
    from_ip: {type: ip, default: "::ffff:10.0.0.1"}
    day: {type: timestamp, default: 1970-01-02}
    second: {type: timestamp, default: "1970-01-01T01:00:01+01:00"}
    ms: {type: timestamp, default: -5}
    ratio: {type: float, default: 1e3}
    note: string
"""
    )
    assert {item.name: item.default for item in policy.updates} == {
        "status": 1, "paid": 120, "rate": -500, "seen": 1, "from_ip": "10.0.0.1", "day": 86_400_000, "second": 1_000,
        "ms": -5, "ratio": 1000.0, "note": None,
    }  # fmt: skip
    assert policy.base_currency == ""


def test_points_cover_every_kind_once() -> None:
    assert [point.name for point in ok("points: {a: {on: payment}, b: {on: login}}\n").points] == ["a", "b"]
    assert [point.name for point in ok("points: {a: {on: payment}, b: {}}\n").points] == ["a", "b"]
    assert [point.name for point in ok("points: {default: {}, b: {after: default}}\n").points] == ["default", "b"]
    late = ok("points: {b: {after: default}}\nscore: {block: 80}\n").points
    assert late == (Point("b", None, "default", ()), Point("default", None, "", ((80, "block"),)))


def test_thresholds_in_any_order() -> None:
    assert ok("score: {block: 80, review: -5}\n").points[0].thresholds == ((-5, "review"), (80, "block"))


def test_money_in_the_currency_of_a_field() -> None:
    policy = ok(
        """base: EUR
event:
  id: txn_id
  time: ts
  fields: {txn_id: string, ts: timestamp, currency: string, amount: {type: money, currency: currency}}
rates:
  USD: [{from: 2026-02-01, rate: "0.9"}, {from: 2026-01-01, rate: "0.92345678901"}]
""".replace("0.92345678901", "0.9234567890")
    )
    assert field(policy, "amount").currency_field == "currency"
    assert field(policy, "amount").type.currency == "EUR"
    assert policy.rates == (
        RatePoint("USD", 1_767_225_600_000, 9_234_567_890),
        RatePoint("USD", 1_769_904_000_000, 9_000_000_000),
    )


def test_values_of_lists_are_canonical() -> None:
    policy = ok(
        'lists:\n  a: {of: ip, values: ["::ffff:10.0.0.1", 10.0.0.1, "2001:DB8:0::1"]}\n'
        '  b: {of: ip, match: network, values: [10.0.0.0/8, 10.0.0.1, "::ffff:10.0.0.0/104", "2001:db8::/32"]}\n'
        "  c: {of: string, values: [x, ' y ', x, '#z']}\n"
    )
    assert [item.values for item in policy.lists] == [
        ("10.0.0.1", "2001:db8::1"),
        ("10.0.0.0/8", "10.0.0.1/32", "2001:db8::/32"),
        ("x", " y ", "#z"),
    ]


def test_unused_features_are_warned_about() -> None:
    policy = ok(
        """features:
  a: count(by=account, over="1h")
  b: a + 1
  c: count(by=account, over="2h")
  d: count(by=account, over="3h")
rules:
  - {id: r, when: b > 3, score: 1, reason: "{d} events"}
"""
    )
    assert policy.warnings == ('<policy>:4:3: no rule reads feature "c"',)


def test_patterns_that_google_re2_runs_are_named_with_their_place() -> None:
    policy = ok(
        """features:
  a: count(by=account, over="1h", where=matches(country, "a.{20}"))
rules:
  - {id: r, when: 'a > 3 and matches(country, "^D")', score: 1}
  - {id: s, when: 'matches(country, r"\\pL") or matches(country, "[0-9]+")', score: 1, mode: off}
"""
    )
    said = "is run by google-re2: in linear time, but in microseconds, not nanoseconds"
    assert policy.warnings == (f'<policy>:2:58: "a.{{20}}" {said}', f'<policy>:5:37: "\\pL" {said}')


def test_comments_may_follow_expressions() -> None:
    policy = ok('features:\n  a: count(by=account, over="1h")   # an hour\n  b: a + 1 # more\n')
    assert [item.text for item in policy.features] == ['count(by=account, over="1h")', "a + 1"]


# -- files -------------------------------------------------------------------------------------------------------


@pytest.fixture
def cards(tmp_path: Path) -> Path:
    return Path(shutil.copytree(CARDS, tmp_path / "cards")) / "card_payments.yaml"


def main_file(folder: Path, text: str) -> Path:
    path = folder / "main.yaml"
    path.write_text(completed(text), "utf-8")
    return path


def test_includes_are_read_in_order(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        rule = (
            f"rules:\n  - {{id: {name}, when: amount > limit_{name}, score: 1}}\nparams: {{limit_{name}: money('1')}}\n"
        )
        (tmp_path / f"{name}.yaml").write_text(rule)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "d.yaml").write_text("include: e.yaml\nrules: []\n")
    (tmp_path / "sub" / "e.yaml").write_text("lists: {deep: {of: account, file: deep.txt}}\n")
    (tmp_path / "sub" / "deep.txt").write_text("# accounts\r\n\r\n a-1 \r\na-2\r\na-1\r\n")
    main = main_file(tmp_path, "include: [sub/d.yaml, '[a-c].yaml']\nrules:\n  - {id: z, when: true, score: 1}\n")
    policy = load(main)
    assert [rule.id for rule in policy.rules] == ["z", "a", "b", "c"]
    assert list(policy.files) == ["main.yaml", "sub/d.yaml", "sub/e.yaml", "a.yaml", "b.yaml", "c.yaml"]
    assert policy.lists[0].values == ("a-1", "a-2")
    assert load(main.read_text(), base=tmp_path).hash == policy.hash


@pytest.mark.parametrize(
    ("include", "expected"),
    [
        ("/etc/passwd", '"/etc/passwd" is not a relative path with /'),
        ("../other.yaml", '"../other.yaml" leads upwards with ".."'),
        ("sub/../../other.yaml", 'leads upwards with ".."'),
        ("~/other.yaml", "is not a relative path with /"),
        ("C:/other.yaml", "is not a relative path with /"),
        ("'sub\\other.yaml'", "is not a relative path with /"),
        ("'**/*.yaml'", '"**/*.yaml" searches every folder with "**"'),
        ('"a\\0b"', '"a\\x00b" is no path'),
        (".", '"." is no path'),
        ("nothing.yaml", '"nothing.yaml" can\'t be read: No such file or directory'),
        ("nothing*.yaml", 'no file matches "nothing*.yaml"'),
        ("sub", '"sub" is no regular file'),
        ("pipe", '"pipe" is no regular file'),
        ("main.yaml", '"main.yaml" is part of the policy already'),
        ("'*.yaml'", '"main.yaml" is part of the policy already'),
        ("[sub/part.yaml, sub/./part.yaml]", '"sub/part.yaml" is part of the policy already'),
        ("out.yml", '"out.yml" leads out of the policy\'s folder'),
        ("loop.yml", '"loop.yml" can\'t be read'),
        ("latin.yml", "latin.yml:1:1: not UTF-8: byte 10 is wrong"),
        ("broken.yml", "broken.yml:2:1: a tab can't indent"),
        ("again.yml", '"again.yml" is part of the policy already'),
        ("x" * 300, "File name too long"),
    ],
)
def test_files_that_can_not_be_included(tmp_path: Path, include: str, expected: str) -> None:
    import os

    folder = tmp_path / "policy"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "part.yaml").write_text("rules: []\n")
    (tmp_path / "other.yaml").write_text("rules: []\n")
    (folder / "out.yml").symlink_to(tmp_path / "other.yaml")
    (folder / "loop.yml").symlink_to(folder / "loop.yml")
    (folder / "latin.yml").write_bytes(b"rules: [] \xe9\n")
    (folder / "broken.yml").write_text("rules:\n\t- id: x\n")
    (folder / "again.yml").write_text("include: again.yml\n")
    os.mkfifo(folder / "pipe")
    assert expected in message(main_file(folder, f"include: {include}\n"))


def test_sections_that_stand_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "part.yaml").write_text("version: 3\nscore: {block: 4}\nbase: USD\nlists: {a: {of: account}}\n")
    text = message(main_file(tmp_path, "include: part.yaml\nbase: EUR\nlists: {a: {of: account}}\n"))
    assert 'part.yaml:1:1: unknown key "version" in the included file "part.yaml"' in text
    assert 'part.yaml:2:1: unknown key "score"' in text
    assert 'part.yaml:3:1: a second "base"' in text
    assert 'part.yaml:4:9: the name "a" is taken by a list' in text
    assert f"it is declared in {tmp_path}/main.yaml, line 3" in text


def test_an_event_may_be_shared(tmp_path: Path) -> None:
    text = "event: {id: i, time: t, fields: {i: string, t: timestamp}}\n"
    (tmp_path / "event.yaml").write_text(text)
    policy = load("policy: a\nversion: 1\ninclude: event.yaml\n", base=tmp_path)
    assert policy.id_field == "i"


def test_what_is_not_read_is_not_missed(tmp_path: Path) -> None:
    """A file that can't be read is the only problem: what it declares might have been there."""
    (tmp_path / "part.yaml").write_text("params: {limit: [\n")
    text = message(main_file(tmp_path, "include: part.yaml\nrules:\n  - {id: a, when: amount > limit, score: 1}\n"))
    assert "the brackets of this value don't match" in text
    assert "limit" not in text.replace("params: {limit: [", "")


def test_too_many_and_too_large_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "parts").mkdir()
    for number in range(limits.POLICY_FILES_MAX + 1):
        (tmp_path / "parts" / f"{number}.yaml").write_text("rules: []\n")
    main = main_file(tmp_path, "include: parts/*.yaml\n")
    assert "the policy includes more than 256 files" in message(main)
    (tmp_path / "parts" / "9.yaml").unlink()
    assert len(load(main).files) == limits.POLICY_FILES_MAX + 1
    monkeypatch.setattr("frmcore.policy.files.POLICY_BYTES_MAX", 2_000)
    assert "the policy is larger than 2,000 bytes" in message(main)
    monkeypatch.setattr("frmcore.policy.lists.LIST_FILE_BYTES_MAX", 10)
    (tmp_path / "long.txt").write_text("x" * 11)
    text = message(main_file(tmp_path, "lists: {a: {of: account, file: long.txt}}\n"))
    assert '"long.txt" is larger than 10 bytes' in text


def test_list_files_name_their_lines(tmp_path: Path) -> None:
    (tmp_path / "ips.txt").write_text("10.0.0.1\n\n  home\n")
    text = message(main_file(tmp_path, "lists: {a: {of: ip, file: ips.txt}, b: {of: ip, file: '*.txt'}}\n"))
    assert f'{tmp_path}/ips.txt:3:1: "home" is no ip' in text
    (tmp_path / "more.txt").write_text("")
    text = message(main_file(tmp_path, "lists: {b: {of: ip, file: '*.txt'}}\n"))
    assert '"*.txt" names 2 files' in text


def test_rates_from_a_file(tmp_path: Path) -> None:
    main = main_file(tmp_path, "base: EUR\nrates: {file: rates.csv}\n")
    (tmp_path / "rates.csv").write_text(
        'currency,from,rate\nUSD,2026-01-01,"0.92"\n\nJPY,2026-01-01T00:00:00Z,0.0061\n'
    )
    assert load(main).rates == (
        RatePoint("JPY", 1_767_225_600_000, 61_000_000),
        RatePoint("USD", 1_767_225_600_000, 9_200_000_000),
    )
    (tmp_path / "rates.csv").write_text('currency,from,rate\nUSD,2026-01-01\nUSD,today,1\nUSD,2026-01-01,"1\n')
    text = message(main)
    assert "rates.csv:2:1: 2 columns instead of 3" in text
    assert 'rates.csv:3:1: "today" is no date' in text
    assert "not a CSV file" in text
    (tmp_path / "rates.csv").write_text("USD,2026-01-01,1\n")
    assert "rates.csv:1:1: the first line must be currency,from,rate" in message(main)


def test_a_main_file_that_is_not_there() -> None:
    text = message("nothing/policy.yaml")
    assert text.startswith('nothing/policy.yaml:1:1: "policy.yaml" can\'t be read: No such file or directory')
    assert "hint" not in text
    assert "hint: a policy given as text has a line break in it" in message("policy: cards")
    assert "can't be read" in message("a\0b")
    assert "File name too long" in message("x" * 300)


def test_a_folder_for_a_main_file(tmp_path: Path) -> None:
    text = message(tmp_path)
    assert "can't be read: Is a directory" in text
    assert f"hint: name the policy's main file in it: {tmp_path / 'policy.yaml'}" in text


# -- the hash ----------------------------------------------------------------------------------------------------


def test_the_hash_is_the_policys_alone(cards: Path) -> None:
    here, there = load(CARDS / "card_payments.yaml"), load(cards)
    assert here.hash == there.hash
    assert len(here.hash) == 64
    cards.write_bytes(b"\xef\xbb\xbf" + cards.read_bytes().replace(b"\n", b"\r\n"))
    renamed = cards.rename(cards.with_name("other.yaml"))
    assert load(renamed).hash == here.hash


def test_the_hash_covers_every_file(cards: Path) -> None:
    seen = [load(cards).hash]
    for name in ("card_payments.yaml", "rules/aml/a.yaml", "disposable_email_domains.txt"):
        path = cards.parent / name
        path.write_text(path.read_text() + "\nexample.com\n" if name.endswith("txt") else path.read_text() + "# more\n")
        seen.append(load(cards).hash)
    (cards.parent / "rules" / "aml" / "b.yaml").rename(cards.parent / "rules" / "aml" / "c.yaml")
    seen.append(load(cards).hash)
    assert len(set(seen)) == len(seen)


def test_the_hash_covers_what_is_not_in_the_files() -> None:
    zone = Zone("Europe/Oslo", (-(2**62), 5), (0, 3_600_000))
    spec = ListSpec("a", "string", Type(Kind.STRING), False, ("x", "y"), Place("f", 1, 1))
    table = LookupTable("t", Type(Kind.STRING), Type(Kind.INT), {"a": 1}, Place("f", 1, 1))
    parts = (
        {"f": "text"},
        [spec],
        [table],
        [RatePoint("USD", 1, 2)],
        Limits(1, 2, 3, 4, 5, 6, ()),
        {"Europe/Oslo": zone},
    )
    changed = (
        {"f": "texts"},
        [replace(spec, values=None)],
        [replace(table, rows={"a": 2})],
        [RatePoint("USD", 1, 3)],
        Limits(1, 2, 3, 4, 5, 6, (("card", 7),)),
        {"Europe/Oslo": zone._replace(offset_ms=(0, 7_200_000))},
    )
    hashes = {fingerprint(*parts)}  # type: ignore[arg-type]
    for index, part in enumerate(changed):
        hashes.add(fingerprint(*parts[:index], part, *parts[index + 1 :]))  # type: ignore[arg-type]
    assert len(hashes) == 7
    assert fingerprint({"g": "text"}, *parts[1:]) in hashes  # the main file's name does not count


def test_the_hash_keeps_parts_apart(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("ab\nc\n")
    (tmp_path / "b.txt").write_text("a\nbc\n")
    hashes = {
        load(completed("lists: {x: {of: account, file: f.txt}}\n"), base=tmp_path).hash
        for name in ("a.txt", "b.txt")
        if (tmp_path / "f.txt").write_text((tmp_path / name).read_text())
    }
    assert len(hashes) == 2


# -- the event ---------------------------------------------------------------------------------------------------


def test_the_event_struct() -> None:
    policy = load(CARDS / "card_payments.yaml")
    Event = policy.Event
    assert Event is policy.Event
    assert Event.__struct_fields__[:3] == ("txn_id", "ts", "kind")
    assert Event.__struct_fields__[-4:] == ("status", "threeds", "label", "final")
    assert Event.__struct_config__.gc is False
    event = Event(txn_id="t", ts=5, kind="login", account="a", ip="10.0.0.1", country="NO")
    assert (event.amount, event.final) == (None, None)  # type: ignore[attr-defined]
    with pytest.raises(TypeError):
        Event(txn_id="t")
    with pytest.raises(TypeError):
        Event("t", 5)


def test_the_event_struct_from_json() -> None:
    policy = ok(
        """event:
  id: txn_id
  time: ts
  fields:
    txn_id: {type: string, path: id}
    ts: timestamp
    from_: {type: string, path: from}
    pan: {type: string, path: card.pan, optional: true}
    d: {type: decimal, scale: 2}
    f: float
    b: bool
"""
    )
    for number in ("1", "1.5", '"1.50"'):
        text = f'{{"id": "t", "ts": "2026-01-01T00:00:00Z", "from": "x", "d": {number}, "f": 1, "b": true, "new": 1}}'
        event = msgspec.json.decode(text.encode(), type=policy.Event)
        assert event.txn_id == "t"  # type: ignore[attr-defined]
        assert event.from_ == "x"  # type: ignore[attr-defined]
        assert event.f == 1.0  # type: ignore[attr-defined]


# -- any text at all ---------------------------------------------------------------------------------------------


def outcome(text: str) -> Policy | None:
    try:
        return load(text if "\n" in text else text + "\n")
    except PolicyError as error:
        assert error.problems
        return None


@pytest.mark.parametrize("seed", range(4))
def test_mutated_policies_give_a_policy_or_problems(seed: int) -> None:
    rng = random.Random(seed)
    base = (CARDS / "card_payments.yaml").read_text().replace("include:", "# include:").replace(", file: ", "}  # ")
    assert outcome(base) is not None
    sound = 0
    for round_ in range(60):
        try:
            sound += outcome(mutated(base, rng)) is not None
        except Exception as error:
            raise AssertionError(f"seed {seed}, round {round_}") from error
    assert sound < 60


def mutated(text: str, rng: random.Random) -> str:
    """A few stretches cut out, doubled, swapped with others or overwritten."""
    pieces = [
        ":",
        "{",
        "}",
        "[",
        "]",
        "\n",
        "  ",
        "- ",
        "#",
        '"',
        "'",
        "&a ",
        "*a",
        "\t",
        "\0",
        "é",
        "9" * 30,
        "-1",
        ": ",
        "null",
    ]
    for _ in range(rng.randrange(1, 4)):
        start = rng.randrange(len(text))
        end = min(len(text), start + rng.choice([0, 1, 3, 30]))
        other = rng.randrange(len(text))
        middle = rng.choice(["", text[start:end] * 2, text[other : other + 20], rng.choice(pieces)])
        text = text[:start] + middle + text[end:]
    return text


def test_random_bytes_give_problems(tmp_path: Path) -> None:
    rng = random.Random(7)
    path = tmp_path / "random.yaml"
    for _ in range(300):
        path.write_bytes(rng.randbytes(rng.randrange(200)))
        message(path)


def test_the_nearest_of_many_names() -> None:
    known = [f"account_events_{number}h" for number in range(2_000)] + ["usual_ticket"]
    assert nearest("usual_tickt", known) == 'did you mean "usual_ticket"?'
    assert nearest("Account_events_17h", known) == 'did you mean "account_events_17h"?'
    assert nearest("xyz", known) == ""


def test_a_derived_field_that_tells_a_private_value_is_private() -> None:
    policy = ok(
        """event:
  id: txn_id
  time: ts
  fields: {txn_id: string, ts: timestamp, email: {type: string, private: true}}
  derived: {mailbox: {is: canonical_email(email), entity: mailbox}, host: domain(email)}
"""
    )
    assert field(policy, "mailbox").type.private is True
    assert field(policy, "host").type.private is False
