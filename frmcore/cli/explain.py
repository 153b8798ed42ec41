"""`frmcore explain`: why one event was decided as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

import frmcore
from frmcore.cli.arguments import AsJson, PolicyFile, Source, Updates
from frmcore.cli.console import complain, plain
from frmcore.cli.formats import format_of
from frmcore.cli.replay import Invalid, Replay
from frmcore.report.latency import Latency

if TYPE_CHECKING:
    from frmcore import Explanation, TraceValue

EVIDENCE_SHOWN = 5  # ids of a window's events in the table; --json has all that the engine lists


def explain(
    policy: PolicyFile,
    source: Source,
    event_id: Annotated[str, typer.Argument(help="The id of the event to explain.")],
    updates: Updates = None,
    as_json: AsJson = False,
) -> None:
    """Decide the events of a file up to one of them, and explain its decision: rules, values, windows, evidence."""
    for path in (source, updates or "-"):
        format_of(path)
    engine = frmcore.Engine(None, policy=policy, clock=None)
    for result in Replay(engine, source, updates, Latency()).results():
        if not isinstance(result, Invalid) and result.event_id == event_id:
            break
    else:
        complain(f"{source} has no valid event with the id {event_id}")
        raise typer.Exit(1)
    explanation = engine.explain(event_id)
    if as_json:
        typer.echo(msgspec.json.encode(explanation, enc_hook=dict))
    else:
        _show(Console(), explanation)


def _show(console: Console, found: Explanation) -> None:
    decision = found.decision
    console.print(Text(plain(f"{decision.event_id} at {decision.point}: {decision.outcome}, score {decision.score}")))
    for reason in decision.reasons:
        console.print(Text(plain(f"  {reason}")))
    console.print(_event(found), _rules(found), _features(found), sep="\n")
    for note in decision.notes:
        console.print(Text(plain(f"note: {note}")))


def _event(found: Explanation) -> Table:
    table = Table(title="Event", show_header=False)
    for name, value in found.event.items():
        table.add_row(name, Text(shown(value)))
    if decision_lists := found.decision.lists:
        table.add_row("on lists", ", ".join(decision_lists))
    return table


def _rules(found: Explanation) -> Tree:
    """Fired and unknown rules with every value of their expressions; the silent ones by name."""
    tree = Tree("Rules")
    silent = [rule.id for rule in found.rules if rule.verdict == "silent"]
    for rule in found.rules:
        if rule.verdict != "silent":
            _grow(tree.add(f"{rule.id}: {rule.verdict}"), rule.tree)
    tree.add(Text(f"silent: {', '.join(silent) or 'none'}"))
    return tree


def _grow(branch: Tree, node: TraceValue) -> None:
    here = branch.add(Text(plain(f"{node.text} = {shown(node.value)}")))
    for child in node.children:
        _grow(here, child)


def _features(found: Explanation) -> Table:
    table = Table(title="Features")
    for heading in ("feature", "value", "window from", "to", "evidence"):
        table.add_column(heading)
    for feature in found.features:
        ids = [plain(event_id) for event_id in feature.evidence[:EVIDENCE_SHOWN]]
        more = len(feature.evidence) - len(ids)
        evidence = ", ".join(ids) + (f" and {more} more" if more else "")
        cells = (feature.name, shown(feature.value), shown(feature.start), shown(feature.end), evidence)
        table.add_row(*(Text(cell) for cell in cells))
    return table


def shown(value: Any) -> str:
    """A value as a person reads it; absent ones as `absent`."""
    if value is None:
        return "absent"
    if isinstance(value, bool):
        return "true" if value else "false"
    return plain(str(value))
