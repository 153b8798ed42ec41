"""What the stream consists of, in words and numbers: `frmcore generate --describe`."""

from __future__ import annotations

from dataclasses import fields
from textwrap import fill

from frmcore.generate import stream
from frmcore.generate.scenario import HOUR
from frmcore.generate.stream import HABITS, SCENARIOS


def describe() -> str:
    """Every parameter of the stream; `share` is the part of all events that a scenario makes up."""
    parts = ["Ordinary events", _paragraph(_habits()), _paragraph(_traffic())]
    for title, label in (("Fraud", "fraud"), ("Honest, but looks like it", "legit")):
        scenarios = [s for s in SCENARIOS if s.label == label]
        parts.append(f"{title}: {sum(s.share for s in scenarios):.1%} of the events")
        for scenario in scenarios:
            what, parameters = scenario.describe().split("\n")
            parts.append(f"  {scenario.name}, {scenario.share:.1%}\n{_paragraph(what)}\n{_paragraph(parameters)}")
    return "\n\n".join(parts)


def _habits() -> str:
    shares = ", ".join(f"{f.name} {getattr(HABITS, f.name):.1%}" for f in fields(HABITS))
    return f"{' '.join(str(HABITS.__doc__).split())} ({shares})"


def _traffic() -> str:
    least, most = stream.ANSWER_MS
    return (
        f"An account has an event every {1 / stream.EVENTS_PER_ACCOUNT_DAY:.0f} days on average, so more events over "
        f"the same days mean more accounts. The issuer answers each payment after {least} to {most} ms and declines "
        f"{stream.DECLINED:.0%} of the honest ones. {stream.RETRIED:.1%} of the events are sent twice, "
        f"{stream.LATE:.1%} arrive late, by up to {stream.LATE_MS // HOUR} hours. {stream.CONFIRMED:.0%} of the honest "
        "payments are confirmed by the customer and labelled legit; every fraudulent payment and payout is labelled "
        "fraud. A scenario that lasts longer than the stream is left out."
    )


def _paragraph(text: str) -> str:
    return fill(text, 110, initial_indent="    ", subsequent_indent="    ")
