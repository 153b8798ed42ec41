"""`frmcore check`: what is wrong with a policy, or what it consists of."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from frmcore.cli.arguments import AsJson, PolicyFile
from frmcore.cli.console import complain, plain
from frmcore.errors import PolicyError
from frmcore.policy import load

if TYPE_CHECKING:
    from frmcore.policy import Policy
    from frmcore.policy.source import Problem


def check(
    policy: PolicyFile,
    as_json: AsJson = False,
) -> None:
    """Say what is wrong with a policy, with line and caret; or sum it up."""
    try:
        checked = load(policy)
    except PolicyError as error:
        _refuse(error, as_json)
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(msgspec.json.encode({"ok": True} | summary(checked)))
        return
    Console().print(_table(checked))
    for warning in checked.warnings:
        complain(f"warning: {warning}")


def summary(policy: Policy) -> dict[str, Any]:
    """What the policy consists of, as plain data."""
    aggregates = [feature for feature in policy.features if feature.aggregate is not None]
    return {
        "policy": policy.name,
        "version": policy.version,
        "hash": policy.hash,
        "files": list(policy.files),
        "fields": [field.name for field in policy.fields],
        "derived": [field.name for field in policy.derived],
        "updates": [field.name for field in policy.updates],
        "points": [point.name for point in policy.points],
        "lists": [spec.name for spec in policy.lists],
        "features": [feature.name for feature in policy.features],
        "aggregates": [feature.name for feature in aggregates],
        "rules": [{"id": rule.id, "group": rule.group, "mode": rule.mode.name.lower()} for rule in policy.rules],
        "warnings": list(policy.warnings),
    }


def _refuse(error: PolicyError, as_json: bool) -> None:
    if as_json:
        problems = [_problem(problem) for problem in error.problems]
        typer.echo(msgspec.json.encode({"ok": False, "problems": problems}))
        return
    complain(str(error))
    count = len(error.problems)
    complain(f"\n{count} problem{'s' if count > 1 else ''} found")


def _problem(problem: Problem) -> dict[str, Any]:
    place = problem.place
    return (
        {"file": place.file, "line": place.line, "column": place.column}
        | {
            "message": problem.message,
            "hint": problem.hint,
        }
        | ({"cell": place.cell} if place.cell else {})
    )


def _table(policy: Policy) -> Table:
    found = summary(policy)
    table = Table(title=f"{plain(policy.name)}, version {plain(policy.version)}: fine", show_header=False)
    table.add_row("hash", f"{policy.hash[:16]}...")
    table.add_row("files", _names(found["files"]))
    for key in ("fields", "derived", "updates", "points", "lists"):
        table.add_row(key, f"{len(found[key])}: {_names(found[key])}" if found[key] else "none")
    features, windows = len(found["features"]), len(found["aggregates"])
    table.add_row("features", f"{features}: {windows} aggregates, {features - windows} expressions")
    modes = Counter(rule["mode"] for rule in found["rules"])
    table.add_row("rules", f"{len(found['rules'])}: " + ", ".join(f"{n} {mode}" for mode, n in modes.items()))
    groups = Counter(rule["group"] or "(no group)" for rule in found["rules"])
    table.add_row("groups", ", ".join(f"{plain(group)} {n}" for group, n in groups.items()))
    return table


def _names(names: list[str]) -> str:
    return plain(", ".join(names))
