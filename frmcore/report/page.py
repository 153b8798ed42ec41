"""The report: one HTML file with all that is known of a run. It needs no network, and prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from frmcore.currency import format_money
from frmcore.durations import format_duration, format_timestamp
from frmcore.errors import HistoryError
from frmcore.history import examples
from frmcore.history.backtest import currency_of

if TYPE_CHECKING:
    from pathlib import Path

    from frmcore.history.backtest import Backtest
    from frmcore.history.measures import Measures
    from frmcore.policy.tree import Rule

OVERLAPS_MAX: Final = 40
CHANGES_MAX: Final = 60
RULES_WITH_EXAMPLES_MAX: Final = 100  # beyond it a report is no report any more


def write(path: Path, run: Backtest, measures: Measures) -> None:
    path.write_text(render(run, measures), "utf-8")


def render(run: Backtest, measures: Measures) -> str:
    """Texts of events and policies are escaped, whatever they hold; nothing in the page is a script."""
    try:
        import jinja2  # noqa: PLC0415

        from frmcore.report import plots  # noqa: PLC0415
    except ImportError:
        raise HistoryError('reports need jinja2: pip install "frmcore[report]"') from None
    here = jinja2.Environment(
        loader=jinja2.PackageLoader("frmcore.report"), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    here.filters |= {
        "percent": percent,
        "fine": fine,
        "count": count,
        "time": format_timestamp,
        "span": format_duration,
    }
    here.filters["money"] = lambda minor: money(run, minor)
    here.globals["plots"] = plots
    return here.get_template("report.html.j2").render(
        run=run,
        m=measures,
        total=measures.total,
        rules=[_rule(run, measures, row, i < RULES_WITH_EXAMPLES_MAX) for i, row in enumerate(measures.rules)],
        missed=examples.missed(run) if measures.total["fraud"] else [],
        overlap=measures.overlap[:OVERLAPS_MAX],
        changes=measures.changes[:CHANGES_MAX],
        more_changes=max(len(measures.changes) - CHANGES_MAX, 0),
        young=sum(not day["mature"] for day in measures.days) if run.labels else 0,
        daily=_daily(plots, measures, run),
    )


def _rule(run: Backtest, measures: Measures, row: dict[str, Any], with_examples: bool) -> dict[str, Any]:
    rule: Rule = next(each for each in run.policy.rules if each.id == row["rule"])
    days = {each["date"]: each for each in measures.rule_days if each["rule"] == rule.id}
    dates = [day["date"] for day in measures.days]
    hits = {"fraud": [], "good": []} if not (row["fired"] and with_examples) else {
        truth: examples.of_rule(run, rule.id, truth) for truth in ("fraud", "good")
    }  # fmt: skip
    others = [each for each in measures.overlap if rule.id in (each["rule"], each["other"])][:5]
    return {
        "row": row, "rule": rule, "when": rule.when.text, "dates": dates, "hits": hits, "others": others,
        **{name: [days.get(date, {}).get(name, 0) for date in dates] for name in ("fired", "fraud", "good")},
    }  # fmt: skip


def _daily(plots: Any, measures: Measures, run: Backtest) -> dict[str, Any]:
    days, series = measures.days, plots.Series
    dates = [day["date"] for day in days]
    young = sum(not day["mature"] for day in days) if run.labels else 0
    return {
        "counts": plots.lines("Stopped events a day", dates, [
            series("stopped", "a", [day["stopped"] for day in days]),
            series("of them fraud", "b", [day["caught"] for day in days]),
            series("all fraud", "c", [day["fraud"] for day in days]),
        ], faded=young),
        "parts": plots.lines("Precision and recall a day", dates, [
            series("precision", "a", [day["precision"] for day in days]),
            series("recall", "b", [day["recall"] for day in days]),
        ], part=True, faded=young),
    }  # fmt: skip


def money(run: Backtest, minor: float | None) -> str:
    """An amount in the currency that the run adds up, for people."""
    currency = currency_of(run.policy, run.amount)
    if minor is None or not currency:
        return "-"
    number, _, code = format_money(round(minor), currency).rpartition(" ")
    whole, mark, part = number.partition(".")
    return f"{int(whole):,}{mark}{part} {code}" if whole.lstrip("-").isdigit() else f"{number} {code}"


def percent(part: float | None) -> str:
    return "-" if part is None else f"{part:.1%}"


def fine(part: float | None) -> str:
    return "-" if part is None else f"{part:.3%}"


def count(number: float | None) -> str:
    return "-" if number is None else f"{number:,.0f}"
