"""pytest runs the tests of policies: files that end in .test.yaml, and the tests beside the rules of those policies
that the option `frmcore_policies` names (paths or patterns below the rootdir).

Nothing of frmcore is imported before such a file is met: the plugin is loaded in every run of pytest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OPTION = "frmcore_policies"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini(OPTION, "policies whose tests beside rules are run, as paths or patterns", type="args", default=[])


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if file_path.name.endswith(".test.yaml"):
        return TestFile.from_parent(parent, path=file_path)
    root = parent.config.rootpath
    if file_path.suffix in (".yaml", ".yml") and file_path.is_relative_to(root):
        below = file_path.relative_to(root)
        if any(below.match(pattern) for pattern in parent.config.getini(OPTION)):
            return PolicyFile.from_parent(parent, path=file_path)
    return None


class PolicyFile(pytest.File):
    """A policy: the tests beside its rules."""

    def collect(self) -> Iterator[pytest.Item]:
        from frmcore.authoring.suite import beside_rules
        from frmcore.policy import load

        policy = _told(load, self.path)
        yield from self._items(policy, _told(beside_rules, policy, self.path))

    def _items(self, policy: Any, cases: Any) -> Iterator[pytest.Item]:
        for case in cases:
            name = f"{case.rule}: {case.name}" if case.rule else case.name
            yield CaseItem.from_parent(self, name=name, case=case, policy=policy)


class TestFile(PolicyFile):
    """A file of tests, for the policy that it names."""

    def collect(self) -> Iterator[pytest.Item]:
        from frmcore.authoring.suite import of_file, policy_of
        from frmcore.policy import load

        policy = _told(load, _told(policy_of, self.path))
        yield from self._items(policy, _told(of_file, policy, self.path))


class CaseItem(pytest.Item):
    def __init__(self, *, case: Any, policy: Any, **rest: Any) -> None:
        super().__init__(**rest)
        self._case, self._policy = case, policy

    def runtest(self) -> None:
        from frmcore.authoring.runner import run
        from frmcore.authoring.told import lines

        result = run(self._policy, self._case)
        if not result.ok:
            raise Differs("\n".join(lines(result)))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, Differs):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, self._case.place.line - 1, self.name


class Differs(Exception):
    """A test of a policy failed; the message says where and why."""


def _told(read: Any, *arguments: Any) -> Any:
    """What `read` gives; a policy or test that is wrong is an error of collection, without a traceback."""
    from frmcore.errors import PolicyError

    try:
        return read(*arguments)
    except PolicyError as error:
        raise pytest.Collector.CollectError(str(error)) from None
