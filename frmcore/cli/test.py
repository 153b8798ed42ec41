"""`frmcore test`: runs the tests of a policy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from frmcore.authoring import told
from frmcore.authoring.coverage import coverage
from frmcore.authoring.runner import run
from frmcore.authoring.suite import beside_rules, files_for, of_file
from frmcore.cli.arguments import AsJson, PolicyFile
from frmcore.cli.console import complain, counted, plain
from frmcore.policy import load


def test(
    policy: PolicyFile,
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FILE]...", help="Files of tests, in place of those beside the policy for it."),
    ] = None,
    require_tests: Annotated[
        bool, typer.Option("--require-tests", help="Fail where a rule has no test, neither beside it nor by name.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run the tests beside the rules of a policy, and those in *.test.yaml files; say what no test reaches."""
    checked = load(policy)
    cases = beside_rules(checked, policy)
    for path in files if files is not None else files_for(policy):
        cases += of_file(checked, path)
    results = [run(checked, case) for case in cases]
    failed = [result for result in results if not result.ok]
    reached = coverage(checked, results)
    refused = bool(failed) or (require_tests and bool(reached.untested))
    if as_json:
        tests = [told.as_data(result) for result in results]
        typer.echo(msgspec.json.encode({"ok": not refused, "tests": tests, "missing": told.coverage_data(reached)}))
        raise typer.Exit(int(refused))
    for result in failed:
        _print(f"FAILED {told.title(result)}", *told.lines(result), "")
    _print(
        f"{counted(len(results), 'test')}: {len(results) - len(failed)} passed, {len(failed)} failed",
        *told.missing(reached),
    )
    if require_tests and reached.untested:
        complain(f"rules without a test: {', '.join(reached.untested)}")
    raise typer.Exit(int(refused))


def _print(*lines: str) -> None:
    for line in lines:
        typer.echo(plain(line))
