"""`frmcore describe`: the rules of a policy in plain words."""

from __future__ import annotations

from typing import Annotated

import typer

from frmcore.authoring.describe import describe as described
from frmcore.authoring.pages import PAGES
from frmcore.cli.arguments import PolicyFile
from frmcore.cli.console import complain, plain
from frmcore.names import nearest
from frmcore.policy import load


def describe(
    policy: PolicyFile,
    rule: Annotated[str, typer.Argument(metavar="[RULE]", help="One rule's id.", show_default=False)] = "",
    to: Annotated[str, typer.Option(help="text, markdown or html.")] = "text",
) -> None:
    """Say what each rule does, in sentences that somebody reads who writes no rules."""
    if to not in PAGES:
        raise typer.BadParameter(f"--to {to}: there are {', '.join(PAGES)}")
    checked = load(policy)
    known = [each.id for each in checked.rules]
    if rule and rule not in known:
        complain(f"the policy has no rule {rule}; {nearest(rule, known) or 'its rules: ' + ', '.join(known[:20])}")
        raise typer.Exit(1)
    page = PAGES[to](described(checked, rule))
    typer.echo(page if to == "html" else plain(page), nl=False)
