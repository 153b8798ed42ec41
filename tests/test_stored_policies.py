"""Policies loaded again from what a store or a snapshot holds of them: whoever made that chose the names, too."""

import pytest
from store_cases import SMALL

import frmcore
from frmcore.policy.files import TEXT_NAME
from frmcore.policy.stored import load_contents

POLICY = SMALL.replace("blocked: {of: account}", 'blocked: {of: account, file: "lists/stolen.txt"}')
LISTED = "lists/stolen.txt"


def test_a_policy_is_its_files() -> None:
    policy = load_contents({TEXT_NAME: POLICY, LISTED: "c1\nc2\n"})
    assert [spec.name for spec in policy.lists] == ["blocked"]
    assert set(policy.list_files) == {LISTED}


@pytest.mark.parametrize(
    "name",
    [
        "", ".", "/etc/passwd", "../outside", "lists/../../outside", "nul\0", "lists", "long" * 64, "ü" * 128,
        "many/" * 600 + "x",
    ],
    ids=["empty", "folder", "absolute", "above", "within", "nul", "a folder", "part", "bytes", "path"],
)  # fmt: skip
def test_a_name_that_no_file_of_a_policy_has_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no name of a policy's file"):
        load_contents({TEXT_NAME: POLICY, LISTED: "c1\n", name: "c2\n"})


def test_a_text_is_never_taken_for_the_name_of_a_file() -> None:
    with pytest.raises(ValueError, match="more than one line"):
        load_contents({TEXT_NAME: "/etc/passwd"})


@pytest.mark.parametrize("main", ["shop.yaml", "<policy>"])
def test_problems_stand_in_the_files_as_they_were_sent(main: str) -> None:
    files = {main: f"{SMALL}include: [rules/a.yaml]\nnonsense: 1\n", "rules/a.yaml": "rules:\n  - {id: x, whn: true}\n"}
    with pytest.raises(frmcore.PolicyError) as told:
        load_contents(files)
    assert {problem.place.file for problem in told.value.problems} == {main, "rules/a.yaml"}
    assert "rules/a.yaml:2:" in str(told.value)
    assert "frmcore-" not in str(told.value)
