"""`frmcore explain`: why one event was decided as it was."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

import frmcore
from frmcore import Decision
from frmcore.cli.arguments import AsJson, Updates, private_key
from frmcore.cli.console import complain, plain
from frmcore.cli.formats import format_of
from frmcore.cli.replay import Invalid, Replay
from frmcore.cli.run import row
from frmcore.history.cells import EPOCH
from frmcore.plan import Kind
from frmcore.report.latency import Latency
from frmcore.store.archive import Archive
from frmcore.store.view import viewing
from frmcore.values import show_value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from frmcore.explain import Explanation, Node
    from frmcore.plan import FieldPlan
    from frmcore.values import Value

EVIDENCE_SHOWN = 5  # ids of a window's events in the table; --json has all that the engine lists


def explain(
    policy: Annotated[Path, typer.Argument(metavar="POLICY|STORE", help="The policy's main file, or a store.")],
    source: Annotated[str, typer.Argument(metavar="INPUT|ID", help="Events to decide; of a store: the event's id.")],
    event_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="The id of the event to explain.")] = None,
    updates: Updates = None,
    as_json: AsJson = False,
) -> None:
    """Explain one decision: rules, values, windows, evidence. POLICY INPUT ID decides a file up to it; STORE ID looks
    it up in a store, whoever has that open."""
    if policy.is_dir() and event_id is None:
        with viewing(policy) as view:
            _print(Archive(view, private_key()).explain(source), as_json)
    elif event_id is None:
        raise typer.BadParameter(f"{policy} is no store: name a policy, events and an id; or a store and an id")
    else:
        _print(_decided(policy, source, event_id, updates), as_json)


def _decided(policy: Path, source: str, event_id: str, updates: str | None) -> Explanation:
    for path in (source, updates or "-"):
        format_of(path)
    engine = frmcore.Engine(None, policy=policy, clock=None)
    for result in Replay(engine, source, updates, Latency()).results():
        if not isinstance(result, Invalid) and result.event_id == event_id:
            return engine.explain(event_id)
    complain(f"{source} has no valid event with the id {event_id}")
    raise typer.Exit(1)


def _print(explanation: Explanation, as_json: bool) -> None:
    if as_json:
        typer.echo(msgspec.json.encode(explanation, enc_hook=_encoded))
    else:
        _show(Console(), explanation)


def _show(console: Console, found: Explanation) -> None:
    decision = found.decision
    console.print(Text(plain(f"{decision.event_id} at {decision.point}: {decision.outcome}, score {decision.score}")))
    for reason in decision.reasons:
        console.print(Text(plain(f"  {reason}")))
    if found.changes:
        console.print(Text("It would have been"))
    for change in found.changes:
        console.print(Text(plain(f"  {change}, not {_value(found, change.name)}")))
    console.print(_event(found), _rules(found), _features(found), sep="\n")
    for note in decision.notes:
        console.print(Text(plain(f"note: {note}")))


def _value(found: Explanation, name: str) -> str:
    """As a person reads it: of a feature, or of a field that a rule asks for."""
    shown = {node.text: node.shown for rule in found.rules for node in _nodes(rule.tree)}
    shown |= {feature.name: feature.shown for feature in found.features}
    return {**_facts(found), **shown}.get(name, "unknown")


def _nodes(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from _nodes(child)


def _event(found: Explanation) -> Table:
    table = Table(title="Event, as known now", show_header=False)
    for name, shown in _facts(found).items():
        table.add_row(name, Text(plain(shown)))
    table.add_row("final", found.final)
    if found.lists:
        table.add_row("on lists", ", ".join(found.lists))
    return table


def _facts(found: Explanation) -> dict[str, str]:
    """What the event says, by name: money with its currency, times with their zone, the rest as it came."""
    plan = found.decision.plan
    specs = {spec.name: spec for spec in (*plan.fields, *plan.derived, *plan.updates)}
    return {name: _fact(specs[name], value) for name, value in found.fields.items()}


def _fact(spec: FieldPlan, value: Value) -> str:
    if value is None:
        return "absent"
    return show_value(spec.kind, value, spec.currency) if spec.kind in (Kind.MONEY, Kind.TIMESTAMP) else str(value)


def _rules(found: Explanation) -> Tree:
    """What fired or almost did with every value of its expression; the silent rules by name."""
    tree = Tree("Rules")
    silent = any(rule.state == "silent" for rule in found.rules)
    for rule in found.rules:
        if rule.state != "silent":
            _grow(tree.add(Text(plain(f"{rule.id}: {rule.state}"))), rule.tree)
    quiet = tree.add(Text("silent" if silent else "silent: none"))
    for rule in found.rules:
        if rule.state == "silent":
            nearest = ", ".join(f"{change.name} {change.bound} {change.shown}" for change in rule.changes)
            would = f"; it would have fired with {nearest}" if nearest else ""
            quiet.add(Text(plain(f"{rule.id}: not {', not '.join(rule.failed)}{would}")))
    return tree


def _grow(branch: Tree, node: Node) -> None:
    here = branch.add(Text(plain(f"{node.text}: {node.shown}")))
    for child in node.children:
        _grow(here, child)


def _features(found: Explanation) -> Table:
    """With the columns that have anything to show: what a store recorded has no bounds and no evidence."""
    rows = [("feature", "value", "window from", "until", "its events, newest first")]
    for feature in found.features:
        ids = [plain(event_id) for event_id in feature.evidence[:EVIDENCE_SHOWN]]
        more = len(feature.evidence) - len(ids)
        evidence = ", ".join(ids) + (f" and {more} more" if more else "")
        rows.append((feature.name, plain(feature.shown), instant(feature.start), instant(feature.end), evidence))
    table = Table(title="Features")
    columns = [column for column in zip(*rows, strict=True) if any(column[1:])]
    for heading, *_ in columns:
        table.add_column(heading, no_wrap=heading == "feature")
    for cells in list(zip(*columns, strict=True))[1:]:
        table.add_row(*map(Text, cells))
    return table


def instant(ms: int | None) -> str:
    """A time for people, in UTC; one beyond the years of the calendar as it is."""
    if ms is None:
        return ""
    try:
        return (EPOCH + timedelta(milliseconds=ms)).strftime("%Y-%m-%d %H:%M:%S")
    except OverflowError:
        return str(ms)


def _encoded(value: object) -> object:
    """What JSON has no form for: the decision, mappings."""
    return row(value, flat=False) if isinstance(value, Decision) else dict(value)  # type: ignore[call-overload]
