"""`backtest`: a policy over a history, and everything that is to be measured, in one table."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Final, Self

import frmcore
from frmcore.durations import format_duration
from frmcore.errors import HistoryError, WrongOption
from frmcore.history import truth
from frmcore.history.decided import Facts
from frmcore.history.events import Events, Options
from frmcore.history.files import opened, refused_lines
from frmcore.history.operations import merged
from frmcore.history.quality import Quality, doubtful
from frmcore.history.replay import NEVER, Replay
from frmcore.history.stored import Stored
from frmcore.history.told import Listings, Updates
from frmcore.history.verdicts import Lots
from frmcore.history.workspace import MEMORY, Workspace, peak_bytes
from frmcore.history.writer import Writer
from frmcore.names import nearest
from frmcore.plan import Kind
from frmcore.policy import Policy, load
from frmcore.policy.needs import reads_updates, span_ms
from frmcore.store.view import viewing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import TracebackType

    from frmcore import Decision
    from frmcore.explain import Explanation
    from frmcore.history.operations import Operation

    Progress = Callable[[int, int | None], None]

CUSTOMERS: Final = ("account", "customer", "user", "member", "client")
"""Entities that are somebody who can be insulted, most likely first."""


@dataclass(frozen=True)
class Setup:
    """What a run reads, and what it measures. Times are epoch ms, spans ms.

    history: files and patterns, or one store. baseline: a policy to compare with; a store's own decisions otherwise.
    since, until, warm_ms: what is measured; events before it only fill windows. live: a column with the outcome that
    took
    effect then. major: amounts in the files are in major units. amount, customer: fields; found by themselves where
    there is one. fraud, good: further values of labels. mature_ms: the age at which an event without a label counts as
    good; None
    takes the age at which 95 % of the frauds were known. stops: the weakest outcome that stops an event; None takes the
    second. memory: what sorting and joining may take, beside the engine. again: update -> the point at which it has
    its event decided again, where the updates don't say.
    """

    history: Sequence[str]
    updates: str | None = None
    labels: str | None = None
    lists: str | None = None
    baseline: str | Path | Policy | None = None
    since: int | None = None
    until: int | None = None
    warm_ms: int = 0
    live: str | None = None
    major: bool = False
    amount: str | None = None
    customer: str | None = None
    fraud: Sequence[str] = ()
    good: Sequence[str] = ()
    mature_ms: int | None = None
    stops: str | None = None
    memory: str = MEMORY
    again: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Backtest:
    """What a run left behind: the tables `decided` and `scored` of `space` (see `decided` and `truth`), and what is
    known of them. Close it, or use it as a context."""

    policy: Policy
    base: Policy | None
    setup: Setup
    space: Workspace
    decision_of: Callable[[bytes], Decision]  # by its record
    explain: Callable[[bytes], Explanation]
    stops: str
    amount: str | None
    customer: str | None
    quality: Quality = field(default_factory=Quality)
    decided: int = 0
    warmed: int = 0
    seconds: float = 0.0
    memory_bytes: int = 0  # of the process, at its peak
    interrupted_at: int | None = None  # event time that was reached, epoch ms
    labels: int = 0
    frauds: int = 0
    mature_ms: int = 0
    mature_line: int = 0  # events from then on are immature without a label, epoch ms
    from_store: bool = False
    ids: str = ""  # SQL of all events that labels can name, as `id`; "" where only those measured are at hand
    ids_of: str = "those measured"
    _open: ExitStack = field(default_factory=ExitStack)

    @property
    def nothing(self) -> str:
        """Why no event is measured; "" where one is."""
        if self.decided or self.interrupted_at is not None:
            return ""
        if self.quality.refused and not self.warmed:
            return "nothing was decided: every event was refused"
        return (
            "nothing is measured: --from, --until and --warm leave no event" if self.warmed else "there are no events"
        )

    @property
    def rate(self) -> float:
        """Events a second, from the first byte read to the last figure."""
        return (self.decided + self.warmed) / max(self.seconds, 1e-9)

    def close(self) -> None:
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def backtest(policy: str | Path | Policy, setup: Setup, progress: Progress = lambda done, total: None) -> Backtest:
    """Decides a history by a policy, as live would have. Raises PolicyError, HistoryError, StoreError.

    Ctrl-C ends the run, not the result: what was decided so far is measured, and `interrupted_at` says so.
    Cost: one sort of the history, then one decision an event. Memory: the engine's windows, and `setup.memory`.
    """
    checked = policy if isinstance(policy, Policy) else load(policy)
    given = setup.baseline
    base = load(given) if given is not None and not isinstance(given, Policy) else given
    opened_ = ExitStack()
    try:
        return _Run(checked, base, setup, opened_).result(progress)
    except BaseException:
        opened_.close()
        raise


class _Run:
    def __init__(self, policy: Policy, base: Policy | None, setup: Setup, opened_: ExitStack) -> None:
        self.started = monotonic()
        self.setup, self.opened = setup, opened_
        self.space = opened_.enter_context(Workspace(setup.memory))
        self.store = self._store()
        engine = opened_.enter_context(frmcore.Engine(None, policy=policy, clock=None))
        other = None if base is None else opened_.enter_context(frmcore.Engine(None, policy=base, clock=None))
        self.out = Backtest(
            policy, base, setup, self.space, engine.decision_of, engine.explain_record, stopping(policy, setup.stops),
            amount_field(policy, setup.amount), customer_field(policy, setup.customer),
            from_store=self.store is not None, _open=opened_,
        )  # fmt: skip
        facts = Facts(policy, self.out.amount, self.out.customer)
        engines = [engine] if other is None else [engine, other]
        self.replay = Replay(engines, Writer(self.space, facts, Lots(self.out.stops), engines), self.out.quality, NEVER)

    def result(self, progress: Progress) -> Backtest:
        out, replay = self.out, self.replay
        operations, total = self._stored() if self.store is not None else self._files()
        replay.since = self._since()
        try:
            replay.run(operations, lambda done: progress(done, total))
        except KeyboardInterrupt:
            out.interrupted_at = replay.last_time
        replay.finish()
        if any("expected an integer of minor units" in each for each in out.quality.examples) and not self.setup.major:
            out.quality.notes.append("amounts are whole numbers of minor units; of major ones, such as 129.90: --major")
        out.decided, out.warmed = replay.decided, replay.warmed
        judged(out)
        out.seconds = monotonic() - self.started
        out.memory_bytes = peak_bytes()
        return out

    def _store(self) -> Stored | None:
        paths = [Path(path) for path in self.setup.history]
        if not any(path.is_dir() for path in paths):
            return None
        if len(paths) > 1:
            raise HistoryError("history: one store, or files; not both")
        given = [name for name in ("updates", "lists", "live") if getattr(self.setup, name) is not None]
        if given:
            raise HistoryError(f"history {paths[0]} is a store, which has its own {given[0]}: leave --{given[0]} out")
        return Stored(self.opened.enter_context(viewing(paths[0])))

    def _stored(self) -> tuple[Iterator[Operation], int]:
        assert self.store is not None  # noqa: S101
        self.store.check(self.out.policy)
        if self.setup.labels is not None:
            self._labels(self.setup.labels)
        else:
            self.store.labels(self.space)
        return self.store.operations(self.setup.until), self.store.count

    def _files(self) -> tuple[Iterator[Operation], int]:
        setup, space, policy = self.setup, self.space, self.out.policy
        options = Options(setup.live, setup.major, setup.until)
        policies = [policy, *([self.out.base] if self.out.base else [])]
        events = Events(space, opened(space, "history", setup.history), policies, options)
        updates = Updates(space, opened(space, "updates", [setup.updates]), events.id) if setup.updates else None
        listings = Listings(space, opened(space, "lists", [setup.lists])) if setup.lists else None
        self._check(updates, listings)
        if setup.labels is not None:
            self._labels(setup.labels)
        elif updates is not None:
            truth.from_updates(space, policy)
        else:
            truth.none(space)
        self.out.ids, self.out.ids_of = f"SELECT {events.id} AS id FROM events", "the history"
        if setup.until is not None:
            self.out.ids_of += " before --until"
        self._note(events, updates)
        return merged(events, updates, listings, policy, setup.again), events.count

    def _labels(self, path: str) -> None:
        source = opened(self.space, "labels", [path])
        self.out.quality.notes += truth.from_file(self.space, source, self.out.policy)

    def _check(self, updates: Updates | None, listings: Listings | None) -> None:
        """What no row of a file can be right about."""
        policy = self.out.policy
        if updates is not None:
            _known(
                self.space,
                "updates: the policy has no update",
                "SELECT DISTINCT field FROM updates",
                [u.name for u in policy.updates] + ["final"],
            )
        if listings is not None:
            _known(
                self.space,
                "lists: the policy has no list",
                "SELECT DISTINCT list FROM listings",
                [spec.name for spec in policy.lists],
            )
        points = [point.name for point in policy.points if point.after]
        for name, point in self.setup.again.items():
            _one_of("again", "update", name, [update.name for update in policy.updates])
            _one_of("again", "later point", point, points)
        if self.setup.live is not None:
            _known(
                self.space,
                f"history: column {self.setup.live} is to hold outcomes, and the policy has no",
                "SELECT DISTINCT live FROM events",
                policy.outcomes,
            )

    def _note(self, events: Events, updates: Updates | None) -> None:
        quality, policy = self.out.quality, self.out.policy
        quality.missing = events.missing()
        quality.out_of_order = int(self.space.row("SELECT count(*) FILTER (back) AS n FROM events")["n"])
        for line, error in refused_lines(self.space):
            quality.refuse("no row", f"line {line}", error)
        times = f"SELECT min(t) AS first, max(t) AS last FROM events WHERE t > {NEVER}"
        quality.notes += doubtful("history", *self.space.row(times).values())
        if updates is not None:
            quality.notes += updates.doubts()
            for what, n in (
                ("update of an unknown event", updates.strangers),
                ("update without id, field or time", updates.broken),
            ):
                quality.refused.update({(what, ""): n} if n else {})
        asked = sorted(
            {
                f.name
                for f in policy.features
                if f.aggregate and any(map(reads_updates, (f.aggregate.value, f.aggregate.where, f.aggregate.since)))
            }
        )
        if asked and updates is None:
            quality.notes.append(f"{', '.join(asked)} read updates, and there is no --updates: they saw none")

    def _since(self) -> int:
        setup = self.setup
        since = setup.since if setup.since is not None else NEVER
        if setup.warm_ms:
            since = max(since, self._first() + setup.warm_ms)
        spans = [span_ms(f.aggregate) for f in self.out.policy.features if f.aggregate]
        longest = max(spans, default=0)
        if setup.since is None and longest > setup.warm_ms:
            self.out.quality.notes.append(
                f"windows look back {format_duration(longest)}, and the first events measured see less: "
                f"--warm {format_duration(longest)} leaves them out"
            )
        return since

    def _first(self) -> int:
        """The time of the first event, epoch ms."""
        if self.store is None:
            return int(self.space.row(f"SELECT min(t) AS t FROM events WHERE t > {NEVER}")["t"] or 0)
        return self.store.first_time()


def judged(out: Backtest) -> None:
    """Labels to truth, decisions to `scored`."""
    counts = truth.judge(out.space, out.setup.fraud, out.setup.good)
    if out.setup.labels is not None:
        out.quality.notes += truth.doubts(out.space, out.ids, out.ids_of)
    out.labels, out.frauds = counts["labels"], counts["frauds"]
    out.mature_ms = truth.maturity_ms(out.space) if out.setup.mature_ms is None else out.setup.mature_ms
    out.mature_line = truth.score(out.space, out.policy, out.stops, out.mature_ms)


def stopping(policy: Policy, stops: str | None) -> str:
    if stops is None:
        return policy.outcomes[min(1, len(policy.outcomes) - 1)]
    return _one_of("stops", "outcome", stops, policy.outcomes)


def amount_field(policy: Policy, name: str | None) -> str | None:
    """The money field that is added up: the one named, or `amount`, or the only one."""
    money = [field.name for field in policy.fields if field.type.kind is Kind.MONEY]
    if name is not None:
        return _one_of("amount", "money field", name, money)
    return "amount" if "amount" in money else money[0] if len(money) == 1 else None


def currency_of(policy: Policy, amount: str | None) -> str:
    """Of the amounts that are added up, which are those of a field; "" where there are none."""
    fields = {field.name: field.type.currency for field in policy.fields}
    return "" if amount is None else fields.get(amount) or policy.base_currency or ""


def customer_field(policy: Policy, name: str | None) -> str | None:
    """The field that says whose event it is: the one named, or the first of a likely entity."""
    fields = {field.entity: field.name for field in reversed(policy.fields) if field.entity}
    if name is not None:
        return _one_of("customer", "field", name, [field.name for field in policy.fields])
    return next((fields[entity] for entity in CUSTOMERS if entity in fields), next(iter(fields.values()), None))


def _one_of(option: str, what: str, name: str, known: Sequence[str]) -> str:
    if name not in known:
        hint = nearest(name, known) or f"it has {', '.join(known) or 'none'}"
        raise WrongOption(f"--{option}: the policy has no {what} {name!r}; {hint}")
    return name


def _known(space: Workspace, what: str, sql: str, known: Sequence[str]) -> None:
    for value in sorted(str(next(iter(row.values()))) for row in space.rows(sql) if None not in row.values()):
        if value not in known:
            hint = nearest(value, known) or f"it has {', '.join(known) or 'none'}"
            raise HistoryError(f"{what} {value!r}; {hint}")
