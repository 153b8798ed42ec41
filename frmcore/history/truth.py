"""What events turned out to be: labels, and when they are old enough to be believed.

An event is `fraud` or `good` where a label says so. Without a label it is `unlabelled` where it was stopped then
(nobody could find out), `immature` where its label may still be under way, and good otherwise.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from frmcore.errors import HistoryError, WrongOption
from frmcore.history.files import attempt
from frmcore.history.quality import doubtful

if TYPE_CHECKING:
    from collections.abc import Collection

    from frmcore.history.files import Source
    from frmcore.history.workspace import Workspace
    from frmcore.policy.tree import Policy

FRAUD: Final = frozenset(("fraud", "fraudulent", "1", "true", "yes", "spam", "chargeback", "confirmed_fraud"))
GOOD: Final = frozenset(("good", "legit", "legitimate", "genuine", "clean", "ok", "ham", "0", "false", "no"))
LABELS: Final = {"id": "VARCHAR", "value": "VARCHAR", "told_at": "BIGINT"}
NAMES: Final = ("label", "fraud", "is_fraud")
"""Names that a label goes by: an update of the policy, a column of a labels file."""


def label_update(policy: Policy) -> str | None:
    """The update that tells what an event turned out to be, by its name."""
    told = {update.name for update in policy.updates}
    return next((name for name in NAMES if name in told), None)


def from_file(space: Workspace, source: Source, policy: Policy) -> list[str]:
    """The table `labels`: id, value, told_at (NULL: known at once). Returns what is odd about the file, as notes."""
    ident = source.one_of("id", policy.id_field, *(f.path[-1] for f in policy.fields if f.name == policy.id_field))
    value = source.one_of(*NAMES)
    if ident is None:
        source.need("id")
    if value is None:
        source.need("label")
    at = source.time("at") if source.has("at") else "NULL::BIGINT"
    columns = f"{source.text(str(ident))} AS id, {source.text(str(value))} AS value, {at} AS told_at"
    odd = f"{source.text('at')} IS NOT NULL AND told_at IS NULL" if source.has("at") else "false"
    sql = f"SELECT {columns}, {odd} AS odd FROM {source.scan}"
    attempt(source.what, partial(space.db.execute, f"CREATE TABLE labels AS {sql}"))
    found = space.row(
        "SELECT count(*) FILTER (id IS NULL OR value IS NULL) AS blank, count(*) FILTER (odd) AS odd, "
        "min(told_at) AS first, max(told_at) AS last FROM labels"
    )
    notes = doubtful("labels", found["first"], found["last"])
    if found["odd"]:
        notes.append(f"labels whose `at` is no time: {found['odd']:,}; they count as known at once")
    if found["blank"]:
        notes.append(f"labels without an id or a value: {found['blank']:,}; they count as nothing")
    return notes


def doubts(space: Workspace, known: str, where: str) -> list[str]:
    """What the tables `labels` and `truth` have that fits nothing, as notes. known: SQL of the ids that there are, as
    `id`; "" where only some of them are at hand. where: what has them."""
    notes = []
    ids = f"SELECT id FROM ({known or 'SELECT id FROM decided'}) WHERE id IS NOT NULL"
    found = space.row(f"SELECT count(*) AS n, count(*) FILTER (id NOT IN ({ids})) AS strangers FROM truth")
    if found["strangers"] and (known or found["strangers"] == found["n"]):
        which = f"labels that name no event of {where}: {found['strangers']:,} of {found['n']:,}"
        notes.append(
            f"{which}; are the ids spelled alike? An event without a label counts as good once it is old enough"
        )
    both = space.row(
        "SELECT count(*) AS n, count(*) FILTER (undated) AS undated FROM (SELECT bool_or(told_at IS NULL) AS undated "
        "FROM labels JOIN meanings USING (value) WHERE id IS NOT NULL GROUP BY id HAVING count(DISTINCT fraud) > 1)"
    )
    if both["n"]:
        rest = f"; {both['undated']:,} without times, where the last row counts" if both["undated"] else ""
        notes.append(f"events that labels call fraud and good: {both['n']:,}; the label told last counts{rest}")
    return notes


def from_updates(space: Workspace, policy: Policy) -> None:
    """The same from the table `updates`."""
    name = label_update(policy) or "label"
    space.db.execute("CREATE TABLE labels AS SELECT id, value, told_at FROM updates WHERE field = ?", [name])


def none(space: Workspace) -> None:
    space.create("labels", LABELS)


def judge(space: Workspace, fraud: Collection[str], good: Collection[str]) -> dict[str, Any]:
    """The table `truth` from `labels`: id, fraud, told_at; the label told last counts, of those without times the last
    row. `fraud`, `good`: what values mean, beside the usual ones. Raises HistoryError for a value that means neither,
    WrongOption for one that is said to mean both. Returns counts."""
    both = {text.lower() for text in fraud} & {text.lower() for text in good}
    if both:
        raise WrongOption(f"--fraud {min(both)} --good {min(both)}: a label means one of them")
    meanings = dict.fromkeys(GOOD, False) | dict.fromkeys(FRAUD, True)
    meanings |= dict.fromkeys((text.lower() for text in good), False)
    meanings |= dict.fromkeys((text.lower() for text in fraud), True)
    values = [
        row["value"] for row in space.rows("SELECT DISTINCT value FROM labels WHERE value IS NOT NULL ORDER BY 1")
    ]
    unclear = [value for value in values if value.lower() not in meanings]
    if unclear:
        shown = ", ".join(repr(value) for value in unclear[:5])
        raise HistoryError(f"labels: is {shown} fraud, or good? Say --fraud {unclear[0]} or --good {unclear[0]}")
    known = {"value": "VARCHAR", "fraud": "BOOLEAN"}
    space.create("meanings", known)
    space.append("meanings", known, [(value, meanings[value.lower()]) for value in values])
    space.db.execute(
        "CREATE TABLE truth AS SELECT id, arg_max(m.fraud, row(coalesce(told_at, 0), labels.rowid)) AS fraud, "
        "CASE WHEN count(told_at) = count(*) THEN max(told_at) END AS told_at FROM labels JOIN meanings m "
        "USING (value) "
        "WHERE id IS NOT NULL GROUP BY id"
    )
    return space.row("SELECT count(*) AS labels, count(*) FILTER (fraud) AS frauds, count(told_at) AS dated FROM truth")


def maturity_ms(space: Workspace) -> int:
    """The age at which 95 % of the frauds were known that ever became known, ms; 0 where labels have no times."""
    sql = (
        "SELECT coalesce(quantile_disc(greatest(truth.told_at - d.t, 0), 0.95), 0) AS ms FROM truth "
        "JOIN (SELECT id, min(t) AS t FROM decided GROUP BY id) d USING (id) WHERE fraud AND truth.told_at IS NOT NULL"
    )
    return int(space.row(sql)["ms"])


def score(space: Workspace, policy: Policy, stops: str, mature_ms: int) -> int:
    """The table `scored`: one row an event, with its strongest decision, `truth`, `stopped` and `day`. Of an event that
    the holdout let through `outcome` is what the rules asked for: they are what is measured. Returns the time from
    which on events without a label are immature, epoch ms."""
    rank = "CASE {} " + " ".join(f"WHEN '{name}' THEN {i}" for i, name in enumerate(policy.outcomes)) + " END"
    line = space.row("SELECT greatest((SELECT max(t) FROM decided), (SELECT max(told_at) FROM truth)) AS t")["t"] or 0
    line = int(line) - mature_ms
    known = bool(space.row("SELECT count(*) AS n FROM truth")["n"])
    bound = policy.outcomes.index(stops)
    unlabelled = f"WHEN e.live_rank >= {bound} THEN 'unlabelled' WHEN e.t > {line} THEN 'immature'"
    guess = f"{unlabelled} ELSE 'good' END" if known else "ELSE 'unlabelled' END"
    again = len(policy.points) > 1 and space.row("SELECT count(*) > count(DISTINCT id) AS again FROM decided")["again"]
    ranks = {"rank": "outcome", "live_rank": "live", "base_rank": "base_outcome"}
    columns = ", ".join(f"{rank.format(column)} AS {name}" for name, column in ranks.items())
    asked = "* EXCLUDE (record, record_size, intended) REPLACE (coalesce(intended, outcome) AS outcome)"
    ranked = f"SELECT *, {columns} FROM (SELECT {asked} FROM decided)"
    space.db.execute(
        f"CREATE OR REPLACE TABLE scored AS SELECT e.*, truth.told_at AS told, e.rank >= {bound} AS stopped, "
        "e.t // 86400000 AS day, CASE WHEN truth.fraud THEN 'fraud' WHEN truth.fraud IS NOT NULL THEN "
        f"'good' {guess} AS truth "
        f"FROM ({_one_each(ranked) if again else ranked}) e LEFT JOIN truth USING (id)"
    )
    return line


def _one_each(ranked: str) -> str:
    """An event that was decided at several points counts once: its strongest outcome, all rules that fired."""
    merged = {
        "outcome": "arg_max(outcome, rank)", "rank": "max(rank)", "score": "max(score)",
        "fired": "list_distinct(flatten(list(fired)))", "shadow": "list_distinct(flatten(list(shadow)))",
        "base_outcome": "arg_max(base_outcome, base_rank)", "base_rank": "max(base_rank)",
        "base_fired": "list_distinct(flatten(list(base_fired)))", "same": "bool_and(same)",
        "weight": "CASE WHEN max(weight) > 1 THEN max(weight) ELSE min(weight) END",
    }  # fmt: skip
    kept = ("t", "point", "silenced", "late", "amount", "customer", "live", "live_rank")
    columns = ", ".join(
        [f"{sql} AS {name}" for name, sql in merged.items()] + [f"first({name} ORDER BY n) AS {name}" for name in kept]
    )
    return f"SELECT id, min(n) AS n, {columns} FROM ({ranked}) GROUP BY id"
