"""The stream: honest habits and staged episodes, merged by time of arrival.

Time is cut into slices of ten minutes. What is already known to arrive in a later slice (the next step of an episode,
an issuer's answer, a label) waits in that slice's bucket; when its turn comes the bucket is sorted and handed out.
So memory holds the open episodes and the labels under way, whatever the length of the stream.
"""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from itertools import islice
from math import inf
from operator import itemgetter
from random import Random
from typing import TYPE_CHECKING, Final

from frmcore.generate.fraud_accounts import Collusion, MuleChain, Structuring
from frmcore.generate.fraud_cards import BustOut, CardTesting, StolenCard, Takeover
from frmcore.generate.habits import Habits
from frmcore.generate.lookalikes import DunningMerchant, GiftSpree, HolidayPot, NewPhone
from frmcore.generate.population import Population
from frmcore.generate.records import Record, Update
from frmcore.generate.rhythm import MONDAY_MS, SLICE_MS, SLICES_WEEK, WEEK
from frmcore.generate.scenario import DAY, HOUR, Scenario, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from frmcore.generate.records import Event

SCENARIOS: Final[tuple[Scenario, ...]] = (
    CardTesting(), Takeover(), StolenCard(), BustOut(), Collusion(), MuleChain(), Structuring(),
    NewPhone(), HolidayPot(), GiftSpree(), DunningMerchant(),
)  # fmt: skip
HABITS: Final = Habits()
DECLINED: Final = 0.05  # of honest payments
ANSWER_MS: Final = (300, 2_500)  # when the issuer answers
RETRIED: Final = 0.001  # of events are sent once more, unchanged
LATE: Final = 0.004  # of events arrive late, by up to LATE_MS; most by minutes
LATE_MS: Final = 6 * HOUR
CONFIRMED: Final = 0.01  # of honest payments get the label `legit`: the customer was asked
EVENTS_PER_ACCOUNT_DAY: Final = 1 / 3  # so the population grows with the stream, and its density does not


_RECORD: Final[Callable[[tuple[int, int, Record]], Record]] = itemgetter(2)
_UPDATE: Final[Callable[[tuple[str, int, str, str]], Update]] = partial(tuple.__new__, Update)  # skips its slow __new__


class Stream:
    """An iterator over the records of one stream; see `generate`.

    `truth` maps the id of each fraudulent payment and payout to its scenario, before its event is handed out. Take
    entries out when they have served, and it stays small.
    """

    def __init__(self, events: int, seed: int, days: int, start_ms: int) -> None:
        self.truth: dict[str, str] = {}
        self._events = events
        self._start = start_ms - start_ms % SLICE_MS
        self._slices = days * DAY // SLICE_MS
        self._people = Population(max(400, int(events / (days * EVENTS_PER_ACCOUNT_DAY))))
        self._draw = Random(f"frmcore/{seed}/habits").random  # noqa: S311
        self._staged = [_Staged(s, seed, events, self._slices) for s in SCENARIOS]
        self._buckets: defaultdict[int, list[tuple[int, int, Record]]] = defaultdict(list)
        self._scheduled = 0  # entries put into buckets: breaks ties of arrival
        self._born = 0  # events made so far, retries included
        self._records = self._run()

    def __iter__(self) -> Iterator[Record]:
        return self._records

    def __next__(self) -> Record:
        return next(self._records)

    def _run(self) -> Iterator[Record]:
        for i in range(self._slices):
            self._stage(i)
            self._live(i)
            yield from self._bucket(i)
        while self._buckets:
            yield from self._bucket(min(self._buckets))

    def _bucket(self, i: int) -> Iterator[Record]:
        entries = self._buckets.pop(i, [])
        entries.sort()
        return map(_RECORD, entries)

    def _stage(self, i: int) -> None:
        """The episodes that begin in slice i."""
        for staged in self._staged:
            while staged.next_slice <= i and self._born < self._events:
                steps = staged.episode(self._people, self._start + i * SLICE_MS)
                for step in islice(steps, self._events - self._born):
                    self._tell(step, staged)

    def _live(self, i: int) -> None:
        """Habits fill up to the events that are due by the end of slice i."""
        at = self._start + i * SLICE_MS
        due = int(self._events * self._weight(i + 1) / self._weight(self._slices))
        draw, people, make = self._draw, self._people, HABITS.event
        for _ in range(due - self._born):
            event = make(people, draw, at + int(draw() * SLICE_MS))
            arrival = self._send(event)
            if event["kind"] == "payment":
                self._answer(event, arrival, draw() < DECLINED)
                if draw() < CONFIRMED:
                    self._label(event, "legit", DAY + int(draw() * 3 * DAY))

    def _weight(self, slices: int) -> int:
        """The weights of the first slices together."""
        first = self._start // SLICE_MS + _SINCE_MONDAY
        return _weight_until(first + slices) - _weight_until(first)

    def _tell(self, step: Step, staged: _Staged) -> None:
        event, draw = step.event, staged.draw
        at = self._send(event)
        if event["kind"] == "payment":
            self._answer(event, at, draw() < step.declined)
        if step.told:
            scenario = staged.scenario
            least, most = scenario.label_days
            self._label(event, scenario.label, int((least + draw() * (most - least)) * DAY))
            if scenario.label == "fraud":
                self.truth[event["txn_id"]] = scenario.name

    def _send(self, event: Event) -> int:
        """Gives the event its id and its arrival (returned): at its time, or late; now and then it is sent twice."""
        self._born += 1
        event["txn_id"] = f"t-{self._born}"
        draw = self._draw
        at: int = event["ts"]
        luck = draw()
        if luck < LATE:
            u = draw()
            at += int(u * u * u * u * LATE_MS)
        self._put(at, event)
        if luck >= 1 - RETRIED and self._born < self._events:
            self._born += 1
            self._put(at + 200 + int(draw() * 30_000), event.copy())
        return at

    def _answer(self, event: Event, at: int, declined: bool) -> None:
        at += ANSWER_MS[0] + int(self._draw() * (ANSWER_MS[1] - ANSWER_MS[0]))
        self._put(at, _UPDATE((event["txn_id"], at, "status", "declined" if declined else "approved")))

    def _label(self, event: Event, label: str, after_ms: int) -> None:
        at = event["ts"] + after_ms
        self._put(at, _UPDATE((event["txn_id"], at, "label", label)))

    def _put(self, at: int, record: Record) -> None:
        self._scheduled += 1
        self._buckets[(at - self._start) // SLICE_MS].append((at, self._scheduled, record))


class _Staged:
    """One scenario at work: starts its episodes evenly over the part of the stream in which they can end.

    One that lasts longer than the stream has none.
    """

    def __init__(self, scenario: Scenario, seed: int, events: int, slices: int) -> None:
        self.scenario = scenario
        self.draw = Random(f"frmcore/{seed}/{scenario.name}").random  # noqa: S311
        self._stream_ms = slices * SLICE_MS
        usable = max(0, slices - scenario.span_ms(self._stream_ms) // SLICE_MS - 1)
        wanted = events * scenario.share / scenario.events_mean()
        self._every = usable / wanted
        self._episodes = int(wanted + 0.5) if usable else 0
        self._begun = 0

    @property
    def next_slice(self) -> float:
        """Where the next episode begins, in slices."""
        return (self._begun + 0.5) * self._every if self._begun < self._episodes else inf

    def episode(self, people: Population, slice_ms: int) -> Iterator[Step]:
        """Begins the next episode, in the slice that starts at `slice_ms`."""
        self._begun += 1
        return self.scenario.episode(people, self.draw, slice_ms + int(self.draw() * SLICE_MS), self._stream_ms)


_SINCE_MONDAY: Final = -(MONDAY_MS // SLICE_MS) % SLICES_WEEK  # the epoch was no Monday


def _prefix_sums() -> tuple[int, ...]:
    sums = [0]
    for weight in WEEK:
        sums.append(sums[-1] + weight)
    return tuple(sums)


_SUMS: Final = _prefix_sums()


def _weight_until(slices: int) -> int:
    weeks, rest = divmod(slices, SLICES_WEEK)
    return weeks * _SUMS[-1] + _SUMS[rest]


def generate(events: int, seed: int, days: int = 60, start_ms: int = MONDAY_MS) -> Stream:
    """A stream of `events` events over `days` days from `start_ms` (epoch milliseconds), with the updates that follow.

    The same arguments give the same records on any machine. Records come in order of arrival: an event is a dict, an
    update an `Update`; late events and retries are among them. Updates go on after the last event, for labels take
    weeks. Memory holds open episodes and labels under way, whatever the length; about 10 us an event.
    """
    return Stream(events, seed, days, start_ms)
