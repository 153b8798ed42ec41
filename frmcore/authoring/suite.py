"""All tests of a policy: those beside its rules, and files of tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from frmcore.authoring.case_reader import CaseReader
from frmcore.policy.envelope import Leaf, Map
from frmcore.policy.files import Files
from frmcore.policy.reader import Reader
from frmcore.policy.source import Problems

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from frmcore.authoring.cases import Case
    from frmcore.policy import Policy
    from frmcore.policy.envelope import Node

ENDING: Final = ".test.yaml"


def beside_rules(policy: Policy, path: Path | None) -> list[Case]:
    """The tests in the policy itself. `path`: its main file, so that messages show the lines. Raises PolicyError."""
    problems = Problems()
    for name, text in shown_files(policy, path):
        problems.add_file(name, text)
    cases = CaseReader(policy, Reader(problems)).beside_rules()
    problems.raise_if_any()
    return cases


def shown_files(policy: Policy, path: Path | None) -> Iterator[tuple[str, str]]:
    """(name in messages, text) of each file of a policy that was loaded from `path`, or from a text."""
    for index, (name, text) in enumerate(policy.files.items()):
        yield str(path) if path and not index else str(path.parent / name) if path else name, text
    for table in policy.tables:
        name = str(path.parent / table.file) if path else table.file
        yield name, "\n".join(" | ".join(row) for row in table.cells)


def of_file(policy: Policy, path: Path) -> list[Case]:
    """The tests of one file, for `policy`, whatever policy it names. Raises PolicyError."""
    problems = Problems()
    tree = _tree(path, problems)
    cases = [] if tree is None else CaseReader(policy, Reader(problems)).of_file(tree)
    problems.raise_if_any()
    return cases


def policy_of(path: Path) -> Path:
    """The policy that a file of tests is for: the one it names, or cards.yaml for cards.test.yaml. Raises
    PolicyError."""
    problems = Problems()
    tree = _tree(path, problems)
    problems.raise_if_any()
    node = tree.get("policy") if isinstance(tree, Map) else None
    if node is None:
        return path.with_name(path.name.removesuffix(ENDING) + ".yaml")
    if isinstance(node, Leaf) and node.text:
        return path.parent / node.text
    problems.add(node.place, '"policy" must name a file', "policy: cards.yaml, relative to this file")
    problems.raise_if_any()
    raise AssertionError(path)


def files_for(policy: Path) -> list[Path]:
    """The files of tests in the folder of a policy that are for it, by name."""
    found = sorted(policy.parent.glob(f"*{ENDING}"))
    return [path for path in found if policy_of(path).resolve() == policy.resolve()]


def _tree(path: Path, problems: Problems) -> Node | None:
    return Files(path.parent, problems).load_main(path)
