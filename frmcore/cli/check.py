"""`frmcore check`: what is wrong with a policy, or what it consists of."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from frmcore.authoring.lint import lint
from frmcore.authoring.needs import Memory, memory, work
from frmcore.authoring.suite import beside_rules
from frmcore.cli.arguments import AsJson, PolicyFile
from frmcore.cli.console import complain, counted, plain
from frmcore.durations import parse_duration
from frmcore.errors import PolicyError
from frmcore.names import nearest
from frmcore.policy import load
from frmcore.store.options import StoreOptions

if TYPE_CHECKING:
    from frmcore.policy import Policy
    from frmcore.policy.source import Problem


def check(
    policy: PolicyFile,
    entities: Annotated[
        list[str] | None, typer.Option(help="account=1000000: how many there will be. Says what memory that takes.")
    ] = None,
    per_day: Annotated[float, typer.Option(min=0.001, help="Events of each entity a day, for --entities.")] = 1.0,
    keep: Annotated[
        str, typer.Option(help="How long the store's journal is kept (keep_decisions).")
    ] = StoreOptions().keep_decisions,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 where there is a warning.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say what is wrong with a policy, with line and caret; or sum it up, and say what is odd about it."""
    counts = _counts(entities or [])
    try:
        checked = load(policy)
        beside_rules(checked, policy)
    except PolicyError as error:
        _refuse(error, as_json)
        raise typer.Exit(1) from None
    warnings = lint(checked, policy, _keep_ms(keep))
    needed = memory(checked, counts, per_day) if counts else []
    _expect_known(counts, [each.entity for each in needed])
    if as_json:
        found = {"lint": [_problem(problem) for problem in warnings], "work": asdict(work(checked))}
        found["memory"] = [asdict(each) for each in needed]
        typer.echo(msgspec.json.encode({"ok": True} | summary(checked) | found))
    else:
        Console().print(_table(checked))
        if needed:
            _show_memory(needed, checked, per_day)
        for warning in (*checked.warnings, *warnings):
            complain(f"warning: {warning}")
    raise typer.Exit(int(strict and bool(warnings or checked.warnings)))


def _keep_ms(text: str) -> int:
    found = parse_duration(text)
    if found is None:
        raise typer.BadParameter(f"--keep {text}: write 90d")
    return found


def _counts(entities: list[str]) -> dict[str, int]:
    """`account=1000000` as a mapping."""
    found = {}
    for text in entities:
        name, _, count = text.partition("=")
        if not count.replace("_", "").isdecimal():
            raise typer.BadParameter(f"--entities {text}: write account=1000000")
        found[name] = int(count.replace("_", ""))
    return found


def _expect_known(counts: dict[str, int], entities: list[str]) -> None:
    for name in counts:
        if name not in entities:
            hint = nearest(name, entities) or f"windows are kept by {', '.join(dict.fromkeys(entities)) or 'nothing'}"
            raise typer.BadParameter(f"--entities {name}: no window is kept by that; {hint}")


def _show_memory(needed: list[Memory], policy: Policy, per_day: float) -> None:
    """By group of windows, and in total beside the policy's own limit."""
    table = Table(title=f"Memory, at {per_day:g} events of each entity a day")
    for heading in ("entity", "features", "keys", "events each", "at most"):
        table.add_column(heading, justify="left" if heading in ("entity", "features") else "right")
    for each in needed:
        told = (f"{each.keys:,}", f"{each.events:,}", _size(each.bytes)) if each.keys else ("not said", "", "")
        table.add_row(each.entity, plain(", ".join(each.features)), *told)
    total = sum(each.bytes for each in needed)
    table.add_row("all", "", "", "", _size(total), style="bold")
    Console().print(table)
    if total > policy.limits.max_memory:
        complain(
            f"warning: that is more than max_memory, {_size(policy.limits.max_memory)}: keys would be evicted, and "
            "windows with them; raise it, shorten windows, or use cells (every=)"
        )


def _size(count: int) -> str:
    return f"{count / 1e9:,.2f} GB" if count >= 10**9 else f"{count / 1e6:,.1f} MB"


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
    complain(f"\n{counted(len(error.problems), 'problem')} found")


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
    done = work(policy)
    told = f"{done.instructions} instructions, {done.windows} windows in {done.rings} rings, {done.lists} list look-ups"
    table.add_row("a decision takes", f"at most {told}")
    groups = Counter(rule["group"] or "(no group)" for rule in found["rules"])
    table.add_row("groups", ", ".join(f"{plain(group)} {n}" for group, n in groups.items()))
    return table


def _names(names: list[str]) -> str:
    return plain(", ".join(names))
