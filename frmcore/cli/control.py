"""`frmcore switch`, `snooze`, `reset-breaker`: rules of a store steered while an engine decides by them."""

from __future__ import annotations

from typing import Annotated

import typer

from frmcore.cli.arguments import StorePath, Wait, private_key, still_ahead
from frmcore.cli.console import complain
from frmcore.commands import visiting
from frmcore.controls import KINDS, STATES
from frmcore.store.inbox import WAIT_SECONDS, Command

RuleName = Annotated[str, typer.Argument(metavar="RULE", help="The rule's id in the policy.")]
Reason = Annotated[str, typer.Option(help="Why, for who looks later.")]
By = Annotated[str, typer.Option(help="Who says so.")]


def _do(store: StorePath, wait: float, command: Command) -> None:
    with visiting(store, private_key=private_key(), wait=wait) as visit:
        visit.control(command)


def switch(
    store: StorePath,
    kind: Annotated[str, typer.Argument(metavar="rule|group", help="What is switched.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="The rule's id, or the group.")],
    state: Annotated[str, typer.Argument(metavar="on|shadow|off", help="What it is to be.")],
    reason: Reason = "",
    by: By = "",
    wait: Wait = WAIT_SECONDS,
) -> None:
    """Switch a rule or a group of rules on, off or to shadow, until it is switched again or a reload changes it."""
    if kind not in KINDS:
        raise typer.BadParameter(f"{kind!r} is neither rule nor group: frmcore switch STORE group velocity off")
    if state not in STATES:
        raise typer.BadParameter(f"{state!r} is none of on, shadow, off")
    _do(store, wait, Command("switch", kind=kind, name=name, state=state, reason=reason, owner=by))
    complain(f"{kind} {name} is {'in shadow' if state == 'shadow' else state}")


def snooze(
    store: StorePath,
    rule: RuleName,
    entity: Annotated[
        str | None, typer.Argument(metavar="[FIELD:VALUE]", help="For events with this value; without it: for all.")
    ] = None,
    until: Annotated[str | None, typer.Option(help='Until when: "4h" from now, or RFC 3339.')] = None,
    end: Annotated[bool, typer.Option("--end", help="End the snooze now.")] = False,
    reason: Reason = "",
    by: By = "",
    wait: Wait = WAIT_SECONDS,
) -> None:
    """Put a rule in shadow until a time, for one entity or for all events."""
    if (until is None) != end:
        raise typer.BadParameter("say how long: --until 4h; or --end, to end a snooze")
    still_ahead("--until", until)
    action = "unsnooze" if end else "snooze"
    _do(store, wait, Command(action, name=rule, entity=entity or "", expires=until, reason=reason, owner=by))  # type: ignore[arg-type]
    whom = f" for {entity}" if entity else ""
    complain(f"{rule} is snoozed{whom} no more" if end else f"{rule} is snoozed{whom} until {until}")


def reset_breaker(
    store: StorePath, rule: RuleName, reason: Reason = "", by: By = "", wait: Wait = WAIT_SECONDS
) -> None:
    """Make a rule live again that its breaker put in shadow."""
    _do(store, wait, Command("reset", name=rule, reason=reason, owner=by))
    complain(f"{rule} is live again, and its breaker counts anew")
