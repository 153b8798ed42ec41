"""Every figure of a run: queries over `scored`. Each table is a list of plain rows, the same for the terminal, the
report, Excel and Parquet. Sums over frauds and good events, and their amounts, are weighed, by `weight`; other counts
are plain. Ratios are those of `rates`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from frmcore.history.rates import Confusion, Step, auc_roc, average_precision, ratio
from frmcore.history.verdicts import Verdicts
from frmcore.plan import Mode
from frmcore.policy.lower import lower

if TYPE_CHECKING:
    from collections.abc import Sequence

    from frmcore.history.backtest import Backtest
    from frmcore.history.workspace import Workspace
    from frmcore.policy.tree import Rule

    Table = list[dict[str, Any]]

CHANGES_MAX: Final = 200  # kinds of changes that are told apart
DAY_MS: Final = 86_400_000
_AT_ONCE: Final = 10_000
_FIRED: Final = {"point": "VARCHAR", "fired": "VARCHAR[]", "shadow": "VARCHAR[]", "exempted": "VARCHAR[]"}
_COUNTS: Final = (
    "count(*) AS events, "
    "coalesce(sum(weight) FILTER (truth = 'fraud'), 0) AS fraud, coalesce(sum(weight) FILTER (truth = "
    "'good'), 0) AS good, "
    "coalesce(sum(weight * amount) FILTER (truth = 'fraud'), 0) AS fraud_amount, "
    "coalesce(sum(weight * amount) FILTER (truth = 'good'), 0) AS good_amount"
)
_STOPPED: Final = (
    "count(*) FILTER (stopped) AS stopped, "
    "coalesce(sum(weight) FILTER (stopped AND truth = 'fraud'), 0) AS caught, "
    "coalesce(sum(weight) FILTER (stopped AND truth = 'good'), 0) AS stopped_good, "
    "coalesce(sum(weight * amount) FILTER (stopped AND truth = 'fraud'), 0) AS amount_caught, "
    "coalesce(sum(weight * amount) FILTER (stopped AND truth = 'good'), 0) AS good_amount_stopped"
)


@dataclass(frozen=True)
class Measures:
    """The tables of a run. `total` has one row; money is in minor units, days are ISO dates (UTC), ratios 0..1 or
    None."""

    total: dict[str, Any]
    rules: Table
    outcomes: Table
    days: Table
    rule_days: Table
    overlap: Table
    maturity: Table
    reviews: Table
    changes: Table
    curve: Table
    quality: Table
    notes: list[str] = field(default_factory=list)

    def tables(self) -> dict[str, Table]:
        """By name, as files get them."""
        return {
            "total": [self.total], "rules": self.rules, "outcomes": self.outcomes, "days": self.days,
            "rule_days": self.rule_days, "overlap": self.overlap, "maturity": self.maturity, "reviews": self.reviews,
            "changes": self.changes, "curve": self.curve, "quality": self.quality,
        }  # fmt: skip


def measure(run: Backtest, reviews: tuple[int, ...] = (10, 50, 100, 500)) -> Measures:
    """All of them. reviews: how many events, or customers, are looked at a day. O(decisions x rules that fire)."""
    total = _total(run)
    return Measures(
        total=total,
        rules=_rules(run, total),
        outcomes=_outcomes(run),
        days=_days(run),
        rule_days=_rule_days(run.space),
        overlap=_overlap(run.space),
        maturity=_maturity(run.space),
        reviews=_reviews(run, reviews) if total["fraud"] else [],
        changes=_changes(run.space),
        curve=_curve(run),
        quality=run.quality.table(),
        notes=_notes(run, total),
    )


def _total(run: Backtest) -> dict[str, Any]:
    row = run.space.row(
        f"SELECT count(*) AS decisions, {_COUNTS}, {_STOPPED}, "
        "count(*) FILTER (truth = 'unlabelled') AS unlabelled, "
        "count(*) FILTER (truth = 'immature') AS immature, "
        "count(DISTINCT customer) FILTER (truth = 'good') AS good_customers, "
        "count(DISTINCT customer) FILTER (stopped AND truth = 'good') AS insulted_customers, "
        "count(same) AS compared, count(*) FILTER (same) AS same, min(t) AS first, max(t) AS last FROM scored"
    )
    row = {name: 0 if value is None and name not in ("first", "last") else value for name, value in row.items()}
    return row | _rates(row["caught"], row["stopped_good"], row) | {
        "alert_rate": ratio(row["stopped"], row["events"]),
        "insulted_rate": ratio(row["insulted_customers"], row["good_customers"]),
    } | _areas(run)  # fmt: skip


def _rates(tp: float, fp: float, total: dict[str, Any]) -> dict[str, Any]:
    matrix = Confusion(tp, fp, total["fraud"] - tp, total["good"] - fp)
    return {
        "precision": matrix.precision,
        "recall": matrix.recall,
        "false_positive_rate": matrix.false_positive_rate,
    }


def _steps(run: Backtest) -> list[Step]:
    """Events by how strongly they were answered: the outcome, then the score."""
    found = run.space.rows(
        "SELECT rank, score, coalesce(sum(weight) FILTER (truth = 'fraud'), 0) AS fraud, "
        "coalesce(sum(weight) FILTER (truth = 'good'), 0) AS good FROM scored GROUP BY ALL ORDER BY rank, score"
    )
    return [Step(i, row["fraud"], row["good"]) for i, row in enumerate(found)]


def _areas(run: Backtest) -> dict[str, Any]:
    steps = _steps(run)
    return {"auc_roc": auc_roc(steps), "average_precision": average_precision(steps)}


def _alone(run: Backtest) -> None:
    """The table `alone`: (n, rule) where the event is stopped, and would not be without the rule; or is not, and would
    be if the rule, now in shadow, were live."""
    space, verdicts = run.space, Verdicts(lower(run.policy))
    bound = run.policy.outcomes.index(run.stops)
    space.db.execute("DROP TABLE IF EXISTS verdicts")
    judged = _FIRED | {"stops": "BOOLEAN", "rules": "VARCHAR[]"}
    space.create("verdicts", judged)
    cursor = space.db.cursor().execute(
        f"SELECT DISTINCT {', '.join(_FIRED)} FROM decided WHERE len(fired) > 0 OR len(shadow) > 0"
    )
    while rows := cursor.fetchmany(_AT_ONCE):
        space.append("verdicts", judged, [(*row, *verdicts.alone(bound, *row)) for row in rows])
    space.db.execute(
        "CREATE OR REPLACE TABLE alone AS "
        f"WITH each AS (SELECT id, stops, rules FROM decided JOIN verdicts USING ({', '.join(_FIRED)})), "
        "once AS (SELECT id, stops, unnest(rules) AS rule FROM each), "
        "hits AS (SELECT id, rule, count(*) FILTER (stops) AS times FROM once GROUP BY id, rule), "
        "stopped AS (SELECT id, count(*) FILTER (stops) AS times FROM each SEMI JOIN hits USING (id) GROUP BY id) "
        "SELECT n, rule FROM hits JOIN stopped USING (id, times) JOIN scored USING (id)"
    )


def _rules(run: Backtest, total: dict[str, Any]) -> Table:
    """One row a rule, in file order. `only_*`: what it stops alone (of a shadow rule: what it would add)."""
    columns = "n, truth, weight, amount, day, customer"
    run.space.db.execute(
        f"CREATE OR REPLACE TABLE hits AS SELECT unnest(fired) AS rule, true AS live, {columns} FROM scored "
        f"UNION ALL SELECT unnest(shadow), false, {columns} FROM scored"
    )
    _alone(run)
    found = {
        row["rule"]: row
        for row in run.space.rows(
            f"SELECT rule, count(*) FILTER (live) AS enforced, {_COUNTS}, count(DISTINCT customer) FILTER "
            "(truth = 'good') AS insulted_customers, "
            "coalesce(sum(weight) FILTER (truth = 'fraud' AND alone), 0) AS only_fraud, "
            "coalesce(sum(weight) FILTER (truth = 'good' AND alone), 0) AS only_good, "
            "coalesce(sum(weight * amount) FILTER (truth = 'fraud' AND alone), 0) AS only_amount "
            "FROM hits LEFT JOIN (SELECT n, rule, true AS alone FROM alone) USING (n, rule) GROUP BY rule"
        )
    }
    rows = []
    for rule in run.policy.rules:
        row = found.get(rule.id, {})
        tp, fp, fired = (row.get(name, 0) or 0 for name in ("fraud", "good", "events"))
        rows.append({
            "rule": rule.id, "mode": _mode(rule), "outcome": rule.outcome, "score": rule.score, "fired": fired,
            "enforced": row.get("enforced", 0), "fraud": tp, "good": fp,
            **_rates(tp, fp, total), "alert_rate": ratio(fired, total["events"]),
            "amount_caught": row.get("fraud_amount", 0), "good_amount": row.get("good_amount", 0),
            **{name: row.get(name, 0) for name in ("insulted_customers", "only_fraud", "only_good", "only_amount")},
        })  # fmt: skip
    return rows


def _mode(rule: Rule) -> str:
    return "rollout" if rule.mode is Mode.LIVE and rule.rollout is not None else rule.mode.name.lower()


def _outcomes(run: Backtest) -> Table:
    found = {row["outcome"]: row for row in run.space.rows(f"SELECT outcome, {_COUNTS} FROM scored GROUP BY outcome")}
    blank = {"events": 0, "fraud": 0, "good": 0, "fraud_amount": 0, "good_amount": 0}
    return [{"outcome": name} | blank | found.get(name, {}) for name in run.policy.outcomes]


def _days(run: Backtest) -> Table:
    rows = run.space.rows(
        f"SELECT strftime(epoch_ms(day * {DAY_MS}), '%Y-%m-%d') AS date, (day + 1) * {DAY_MS} <= ? AS "
        f"mature, {_COUNTS}, "
        f"{_STOPPED} FROM scored GROUP BY day ORDER BY day",
        run.mature_line,
    )
    return [row | _rates(row["caught"], row["stopped_good"], row) for row in rows]


def _rule_days(space: Workspace) -> Table:
    return space.rows(
        f"SELECT rule, strftime(epoch_ms(day * {DAY_MS}), '%Y-%m-%d') AS date, count(*) AS fired, "
        "coalesce(sum(weight) FILTER (truth = 'fraud'), 0) AS fraud, coalesce(sum(weight) FILTER (truth = "
        "'good'), 0) AS good "
        "FROM hits GROUP BY rule, day ORDER BY rule, day"
    )


def _overlap(space: Workspace) -> Table:
    """Pairs of rules that fired on the same events. `share`: of the events of either (Jaccard)."""
    return space.rows(
        "WITH sizes AS (SELECT rule, count(*) AS n FROM hits GROUP BY rule), "
        "pairs AS (SELECT a.rule AS rule, b.rule AS other, count(*) AS events, "
        "coalesce(sum(a.weight) FILTER (a.truth = 'fraud'), 0) AS fraud FROM hits a JOIN hits b ON a.n = "
        "b.n AND a.rule < b.rule GROUP BY ALL) "
        "SELECT p.*, events / (s.n + o.n - events) AS share FROM pairs p JOIN sizes s ON s.rule = p.rule "
        "JOIN sizes o ON o.rule = p.other ORDER BY share DESC, p.rule, p.other"
    )


def _maturity(space: Workspace) -> Table:
    """The part of the frauds that was known so many days after the event, of those known at all."""
    return space.rows(
        "SELECT age_days, sum(sum(n)) OVER (ORDER BY age_days) AS known, sum(sum(n)) OVER (ORDER BY "
        "age_days) / sum(sum(n)) OVER () AS share "
        f"FROM (SELECT CAST(greatest(ceil((told - t) / {DAY_MS}.0), 0) AS INTEGER) AS age_days, 1 AS n FROM scored "
        "WHERE truth = 'fraud' AND told IS NOT NULL) GROUP BY age_days ORDER BY age_days"
    )


def _reviews(run: Backtest, sizes: Sequence[int]) -> Table:
    """What n reviews a day find, when the most suspicious events (by outcome, then score) are taken first.

    precision: frauds among them / those of them whose truth is known. card_precision: of n customers a day those found
    out, each being left out from then on, over n, however many there were to look at (Fraud Detection Handbook, chapter
    4, "Card precision top-k"). Ties are broken by time.
    """
    days = run.space.row("SELECT count(DISTINCT day) AS n FROM scored")["n"]
    cards = card_precision(run.space, sizes)
    return [_at_reviews(run.space, n, days) | {"card_precision": part} for n, part in zip(sizes, cards, strict=True)]


def _at_reviews(space: Workspace, n: int, days: int) -> dict[str, Any]:
    row = space.row(
        "SELECT coalesce(sum(weight) FILTER (truth = 'fraud'), 0) AS fraud, coalesce(sum(weight) FILTER (truth = "
        "'good'), 0) AS good, count(*) AS reviewed, "
        "coalesce(sum(weight * amount) FILTER (truth = 'fraud'), 0) AS amount FROM ("
        "SELECT truth, weight, amount, row_number() OVER (PARTITION BY day ORDER BY rank DESC, score DESC, n) AS "
        "place FROM scored "
        "WHERE rank > 0 OR score > 0) WHERE place <= ?",
        n,
    )
    precision = ratio(row["fraud"], row["fraud"] + row["good"])
    found = {name: row[name] for name in ("reviewed", "fraud")}
    return {"reviews_a_day": n, **found, "precision": precision, "amount_a_day": ratio(row["amount"], days)}


def card_precision(space: Workspace, sizes: Sequence[int]) -> list[float | None]:
    """For each number of customers looked at a day, the mean over days of the part of them found out. O(customers x
    days) in time; memory for those found out."""
    cursor = space.db.cursor().execute(
        "SELECT day, customer, bool_or(truth = 'fraud') AS fraud FROM scored WHERE customer IS NOT NULL "
        "AND (rank > 0 OR score > 0) "
        "GROUP BY day, customer ORDER BY day, max(rank) DESC, max(score) DESC, min(n)"
    )
    days = space.row("SELECT count(DISTINCT day) AS n FROM scored")["n"]
    found: list[set[str]] = [set() for _ in sizes]
    caught, room, today = [0] * len(sizes), list(sizes), None
    while rows := cursor.fetchmany(10_000):
        for day, customer, fraud in rows:
            if day != today:
                today, room = day, list(sizes)
            for i, known in enumerate(found):
                if room[i] and customer not in known:
                    room[i] -= 1
                    if fraud:
                        known.add(customer)
                        caught[i] += 1
    return [ratio(n, size * days) for n, size in zip(caught, sizes, strict=True)]


def _changes(space: Workspace) -> Table:
    """Which events change their outcome, and which rules are the reason: fired now and not before, or the contrary."""
    return space.rows(
        "SELECT base_outcome AS before, outcome AS now, array_to_string(list_sort(list_filter(fired, "
        "lambda x: NOT list_contains(base_fired, x))), ', ') AS fires_now, "
        "array_to_string(list_sort(list_filter(base_fired, lambda x: NOT list_contains(fired, x))), ', ') "
        f"AS fired_before, {_COUNTS}, min_by(id, n) AS example "
        "FROM scored WHERE base_outcome IS NOT NULL AND base_outcome <> outcome GROUP BY ALL ORDER BY "
        f"events DESC, example LIMIT {CHANGES_MAX}"
    )


def _curve(run: Backtest) -> Table:
    """Precision and recall of stopping from each score on, where rules give scores."""
    if not any(rule.score for rule in run.policy.rules):
        return []
    found = run.space.rows(
        "SELECT score, coalesce(sum(weight) FILTER (truth = 'fraud'), 0) AS fraud, coalesce(sum(weight) "
        "FILTER (truth = 'good'), 0) AS good, "
        "coalesce(sum(weight * amount) FILTER (truth = 'fraud'), 0) AS amount FROM scored GROUP BY score "
        "ORDER BY score DESC"
    )
    rows, fraud, good, amount = [], sum(r["fraud"] for r in found), sum(r["good"] for r in found), 0
    tp = fp = 0
    for row in found:
        tp, fp, amount = tp + row["fraud"], fp + row["good"], amount + row["amount"]
        matrix = Confusion(tp, fp, fraud - tp, good - fp)
        rows.append(
            {
                "score": row["score"],
                "precision": matrix.precision,
                "recall": matrix.recall,
                "false_positive_rate": matrix.false_positive_rate,
                "amount_caught": amount,
            }
        )
    return rows


def _notes(run: Backtest, total: dict[str, Any]) -> list[str]:
    notes = list(run.quality.notes)
    if not run.labels:
        notes.append("there are no labels: nothing is known of precision and recall; give --labels or --updates")
    elif not total["fraud"]:
        notes.append("no event of the measured span is labelled fraud")
    if total["immature"]:
        notes.append(
            f"{total['immature']:,.0f} events are younger than labels take ({run.mature_ms / DAY_MS:.1f} "
            "days): they count as nothing, not as clean"
        )
    if total["unlabelled"] and run.labels:
        notes.append(
            f"{total['unlabelled']:,.0f} events were stopped then: without a label nobody knows what they were"
        )
    return notes
