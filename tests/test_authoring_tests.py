"""Tests of policies: wrong ones (as data), what they can say, what a failing one prints, what none reaches."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import pytest

from frmcore.authoring import suite, told
from frmcore.authoring.coverage import Branch, coverage
from frmcore.authoring.runner import Result, run
from frmcore.errors import PolicyError
from frmcore.policy import Policy, load

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[1]
ENV: Final = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "120", "NO_COLOR": "1"}
FOLDER: Final = Path(__file__).parent / "cases" / "tests"
POLICY: Final = load(FOLDER / "policy.yaml")
_EXPECTED: Final = "--- the problems, in order\n"


class Wrong(NamedTuple):
    title: str
    text: str
    expected: str


def wrong_cases() -> Iterator[Wrong]:
    for part in re.split(r"^=== ", (FOLDER / "wrong.txt").read_text("utf-8"), flags=re.MULTILINE)[1:]:
        title, _, rest = part.partition("\n")
        text, _, expected = rest.partition(_EXPECTED)
        yield Wrong(title, text, expected)


def problems_of(error: PolicyError) -> str:
    lines = []
    for problem in error.problems:
        lines.append(f"{problem.place.line}:{problem.place.column}: {problem.message}\n")
        lines.append(f"hint: {problem.hint}\n" if problem.hint else "")
    return "".join(lines)


@pytest.mark.parametrize("case", list(wrong_cases()), ids=lambda case: case.title)
def test_a_wrong_test_is_told_every_mistake(case: Wrong, tmp_path: Path) -> None:
    path = tmp_path / "x.test.yaml"
    path.write_text(case.text)
    with pytest.raises(PolicyError) as error:
        suite.of_file(POLICY, path)
    assert problems_of(error.value) == case.expected


def results(text: str, tmp_path: Path, policy: Policy = POLICY) -> list[Result]:
    path = tmp_path / "x.test.yaml"
    path.write_text(text)
    return [run(policy, case) for case in suite.of_file(policy, path)]


def failures(text: str, tmp_path: Path) -> str:
    """What the tests print, without the places."""
    lines = [line for result in results(text, tmp_path) for line in told.lines(result)]
    return "\n".join(line.strip() for line in lines if "x.test.yaml" not in line)


PAY: Final = "defaults: {kind: payment, account: a, card: c-1}\ntests:\n"


# -- what a test can say -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("test", (FOLDER / "right.txt").read_text("utf-8").splitlines())
def test_a_test_that_holds(test: str, tmp_path: Path) -> None:
    assert failures(f"{PAY}  - {test}\n", tmp_path) == ""


@pytest.mark.parametrize(
    ("test", "told_"),
    [
        (
            "{event: {vip: false}, history: [{repeat: 1}], expect: {fired: tries}}",
            "expected  tries: fired\nfound     none\nbecause   tries >= 3  false\n            tries     2",
        ),
        (
            "{event: {}, history: [{list: blocked, add: c-1}], expect: {outcome: allow, score: 5}}",
            "expected  outcome: allow\nfound     block\n"
            "because   listed (block)       fired\n"
            "card in blocked    true\n              card             c-1\n"
            "trusted (no outcome) unknown\n",
        ),
        ("{event: {items: 6}, expect: {shadow: none}}", "expected  shadow: none\nfound     trial"),
        ("{event: {}, expect: {notes: late}}", 'expected  notes with "late"\nfound     none'),
        ("{event: {fee: 1.004 EUR}, expect: {outcome: allow}}", None),
        (
            "{event: {}, history: [{fee: 1.00 EUR}], expect: {features: {usual: 1.1 EUR}}}",
            "expected  usual = 1.1 EUR\nfound     1.0 EUR",
        ),
        ("{event: {}, history: [{}], expect: {features: {since: 1m}}}", "expected  since = 1m\nfound     0 ms"),
        ("{event: {}, expect: {features: {since: 1m}}}", "expected  since = 1m\nfound     absent"),
        (
            "{event: {kind: absent}, expect: {outcome: allow}}",
            "expected  the event is decided\nfound     refused: kind",
        ),
        (
            "{event: {}, history: [{kind: absent}], expect: {error: kind}}",
            "expected  the history happens\nfound     refused: kind",
        ),
        ("{event: {}, expect: {error: kind}}", 'expected  error with "kind"\nfound     decided: allow'),
        ("{event: {kind: absent}, expect: {error: card}}", 'expected  an error with "card"\nfound     refused: kind'),
    ],
)  # fmt: skip
def test_a_failing_test_says_what_made_the_difference(test: str, told_: str | None, tmp_path: Path) -> None:
    if told_ is None:
        with pytest.raises(PolicyError):
            failures(f"{PAY}  - {test}\n", tmp_path)
        return
    said = failures(f"{PAY}  - {test}\n", tmp_path)
    assert [line.split() for line in told_.splitlines()] == [
        line.split()[: len(wanted.split())] for line, wanted in zip(said.splitlines(), told_.splitlines(), strict=False)
    ], said


def test_tests_do_not_see_each_other(tmp_path: Path) -> None:
    one = "  - {event: {vip: false}, expect: {features: {tries: 1}}}\n"
    assert failures(PAY + 3 * one, tmp_path) == ""


# -- what no test reaches ----------------------------------------------------------------------------------------------
def test_what_no_test_reaches(tmp_path: Path) -> None:
    text = PAY + "  - {event: {vip: true, items: 6}, expect: {shadow: trial}}\n"
    found = coverage(POLICY, results(text, tmp_path))
    assert found.never_fired == ("listed", "tries", "trusted", "refused")
    assert found.never_silent == ("trial",)
    assert found.outcomes == ("review", "block")
    assert found.untested == ("listed", "tries", "trusted", "refused")
    assert Branch("tries", "tries >= 3", True) in found.branches
    assert Branch("tries", "vip", False) in found.branches
    assert Branch("tries", "vip", True) not in found.branches
    assert Branch("trial", "items > 5", False) in found.branches
    assert all(branch.rule != "off" for branch in found.branches)


# -- the command and the plugin ----------------------------------------------------------------------------------------
def command(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-c", "from frmcore.cli import main; main()", "test", *map(str, arguments)]
    return subprocess.run(line, cwd=cwd, env=ENV, check=False, capture_output=True, text=True)


@pytest.mark.parametrize("policy", ["cli/starter/policy.yaml", "generate/card_payments.yaml"])
def test_our_policies_are_tested_in_full(policy: str) -> None:
    said = command(ROOT / "frmcore" / policy, "--require-tests")
    assert said.returncode == 0, said.stderr + said.stdout
    assert re.fullmatch(r"\d+ tests: \d+ passed, 0 failed\n", said.stdout)


BESIDE: Final = """
tests: {defaults: {kind: payment, account: a}}
rules:
  - id: many
    when: items > 5
    outcome: review
    tests: [{event: {items: 6}, expect: fires}, {event: {items: 5}, expect: EXPECTED}]
  - {id: bare, when: vip, outcome: block}
"""


def written(expected: str, tmp_path: Path) -> Path:
    text = (FOLDER / "policy.yaml").read_text().partition("rules:\n")[0]
    path = tmp_path / "policy.yaml"
    path.write_text(text + BESIDE.replace("EXPECTED", expected))
    return path


def test_the_command_tells_passed_failed_and_missing(tmp_path: Path) -> None:
    path = written("silent", tmp_path)
    said = command(path)
    assert (said.returncode, said.stdout) == (
        0,
        "2 tests: 2 passed, 0 failed\nno test fires: bare\nno test decides: block\n",
    )
    strict = command(path, "--require-tests")
    assert (strict.returncode, strict.stderr) == (1, "rules without a test: bare\n")
    failed = command(written("fires", tmp_path), "--json")
    found = json.loads(failed.stdout)
    assert (failed.returncode, found["ok"], [test["ok"] for test in found["tests"]]) == (1, False, [True, False])
    assert found["tests"][1]["differences"][0]["found"] == "silent"
    assert found["missing"]["untested"] == ["bare"]
    wrong = command(written("burns", tmp_path))
    assert wrong.returncode == 1
    assert '"expect" must be fires or silent or shadow or unknown or exempted, not "burns"' in wrong.stderr
    assert "^^^^^" in wrong.stderr


def test_pytest_collects_the_same_tests(tmp_path: Path) -> None:
    written("fires", tmp_path)
    (tmp_path / "policy.test.yaml").write_text(PAY + "  - {name: a, event: {}, expect: {outcome: allow}}\n")
    (tmp_path / "bad.test.yaml").write_text("policy: policy.yaml\ntests: [{}]\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\nfrmcore_policies = policy.yaml\n")
    line = [sys.executable, "-m", "pytest", "-p", "frmcore.authoring.pytest_plugin", "-rA"]
    line += ["-p", "no:cacheprovider", "--continue-on-collection-errors"]
    said = subprocess.run(line, cwd=tmp_path, env=ENV, check=False, capture_output=True, text=True)
    assert "PASSED policy.yaml::many: test 1" in said.stdout, said.stdout
    assert "FAILED policy.yaml::many: test 2" in said.stdout
    assert "expected  many: fired" in said.stdout
    assert "PASSED policy.test.yaml::a" in said.stdout
    assert 'bad.test.yaml:2:9: a test lacks "event"' in said.stdout
    assert "Traceback" not in said.stdout
