"""What measures must itself be right: the stream, the histogram, the verdicts; and every benchmark once, small."""

from __future__ import annotations

import json
import math
import random
from collections import Counter, defaultdict
from itertools import islice, pairwise
from statistics import median
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from shared import SHARED, ndjson, needs

from bench import budget, instructions, page, ratio
from bench.cases import CASES
from bench.kernel import Histogram, closed_loop, open_loop
from bench.peers.answers import Mismatch, answer_of, check
from bench.peers.python_engine import PythonEngine
from bench.peers.rules import OUTCOMES, RULES, context, fused, judged, lambdas
from bench.people import Shape
from bench.percentiles import Percentiles
from bench.ratio import Measured, complaint, measured, slip
from bench.stream import R1, SMALL, Stream
from bench.world import POLICY, SMOKE, World
from frmcore.policy import load

if TYPE_CHECKING:
    from collections.abc import Iterator

EVENTS = 20_000
BASELINE = ratio.baseline()


@pytest.fixture(scope="module")
def stream() -> Stream:
    return Stream(EVENTS, seed=5)


@pytest.fixture(scope="module")
def events(stream: Stream) -> list[dict[str, Any]]:
    return list(stream.events())


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    yield World(SMOKE)


# -- every benchmark, small --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", CASES)
def test_every_benchmark_runs_and_decides_as_ever(world: World, name: str) -> None:
    bench = CASES[name](world)
    said = bench.hashed()
    found = ratio.Rounds(world, bench).all()
    bench.close()
    print(f"{name}: {said}")
    assert said == BASELINE[name]["smoke"], "what it decides has changed: where that is meant, `make bench-hashes`"
    assert found.ns > 0 and found.floor_ns > 0 and found.ratio > 0


def test_every_baseline_is_of_a_benchmark() -> None:
    assert set(BASELINE) == set(CASES)
    assert all(set(kept) == {"ratio", "noise", "smoke"} for kept in BASELINE.values())


def test_the_forms_of_an_event_decide_alike() -> None:
    hashes = {BASELINE[name]["smoke"] for name in ("decide_struct", "decide_mapping", "decide_json", "decide_many")}
    assert len(hashes) == 1
    assert {BASELINE[name]["smoke"] for name in ("journal_off", "journal_on", "flusher_running")} == hashes


# -- the stream --------------------------------------------------------------------------------------------------------
def test_the_stream_is_the_same_for_the_same_seed() -> None:
    one, two, other = (list(Stream(500, seed, SMALL).json()) for seed in (1, 1, 2))
    assert one == two != other
    assert len(one) == 500


def test_the_stream_is_in_order_but_for_retries_of_the_last_fifty(events: list[dict[str, Any]]) -> None:
    places: dict[str, int] = {}
    last, retries = 0, 0
    for place, event in enumerate(events):
        if event["id"] in places:
            retries += 1
            assert event == events[places[event["id"]]] and place - places[event["id"]] <= 60
        else:
            assert event["ts"] >= last
            last = event["ts"]
            places[event["id"]] = place
    assert 5 <= retries <= 45
    assert 6.5 < (last - events[0]["ts"]) / 86_400_000 <= 7


def test_the_stream_has_the_stated_parts(stream: Stream, events: list[dict[str, Any]]) -> None:
    lists = stream.lists()
    assert {name: len(values) for name, values in lists.items()} == dict(
        zip(("bl_card", "bl_device", "bl_ip", "bl_email"), (400_000, 200_000, 200_000, 200_000), strict=True)
    )
    live = {name: set(values[:500]) for name, values in lists.items()}
    fields = {"bl_card": "card_id", "bl_device": "device_id", "bl_ip": "ip", "bl_email": "email"}
    touched = sum(any(event[fields[name]] in live[name] for name in live) for event in events)
    assert 5 <= touched <= 45
    assert 2_500 < median(event["amount"] for event in events) < 3_500
    assert all(type(event["amount"]) is int and event["amount"] > 0 for event in events)
    runs = [count for _, count in Counter((e["device_id"], e["ip"]) for e in events).items() if count >= 90]
    assert len(runs) >= EVENTS * 0.005 / 100 * 0.5


def test_accounts_and_merchants_are_as_unequal_as_stated(events: list[dict[str, Any]]) -> None:
    for field, count, exponent in (("account_id", R1.accounts, 0.8), ("merchant_id", R1.merchants, 1.0)):
        share = Counter(event[field] for event in events).most_common(1)[0][1] / len(events)
        expected = 1 / sum(1 / rank**exponent for rank in range(1, count + 1))
        assert share == pytest.approx(expected, rel=0.25), field


def test_accounts_use_their_own_things_as_often_as_stated(events: list[dict[str, Any]]) -> None:
    used: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for event in events:
        for field in ("device_id", "ip", "email"):
            used[field][event["account_id"]][event[field]] += 1
    for field, part in (("device_id", 0.9), ("ip", 0.7), ("email", 0.99)):
        of_busy = [each for each in used[field].values() if each.total() >= 20 and each.most_common(1)[0][1] > 3]
        own = sum(each.most_common(1)[0][1] for each in of_busy) / sum(each.total() for each in of_busy)
        assert own == pytest.approx(part, abs=0.07), field


@needs("r1")
def test_the_stream_looks_like_the_published_one() -> None:
    """200,000 events a week, of which the published file has the first 50,000."""
    published = list(ndjson(SHARED / "r1" / "events.ndjson.gz"))
    made = list(islice(Stream(200_000, seed=3).events(), len(published)))
    assert list(made[0]) == list(published[0])
    for field, tolerance in (
        ("account_id", 0.1),
        ("card_id", 0.15),
        ("device_id", 0.1),
        ("ip", 0.1),
        ("country", 0.01),
    ):
        assert len({e[field] for e in made}) == pytest.approx(len({e[field] for e in published}), rel=tolerance), field
    lengths = [median(len(json.dumps(event)) for event in each) for each in (made, published)]
    assert lengths[0] == pytest.approx(lengths[1], rel=0.02)
    for part in (0.05, 0.5, 0.95, 0.99):
        one, two = (sorted(e["amount"] for e in each)[int(len(published) * part)] for each in (made, published))
        assert one == pytest.approx(two, rel=0.12)


def test_a_stream_can_be_of_any_length() -> None:
    for count in (0, 1, 7):
        assert len(list(Stream(count, shape=Shape(10, 12, 8, 6, 4, (5, 5, 5, 5), 2)).events())) == count


# -- the histogram -----------------------------------------------------------------------------------------------------
def test_percentiles_are_within_one_part_in_128() -> None:
    random_ = random.Random(1)
    values = [int(10 ** random_.uniform(0, 10)) for _ in range(30_000)]
    times = Histogram()
    for value in values:
        times.record(value)
    values.sort()
    for percent in (0.1, 1, 25, 50, 90, 99, 99.9, 99.99, 100):
        exact = values[max(0, math.ceil(len(values) * percent / 100) - 1)]
        assert exact <= times.percentile(percent) <= exact * (1 + 1 / 128)
    assert (times.max_ns, times.total_ns, times.count) == (values[-1], sum(values), len(values))


def test_histograms_add_up() -> None:
    one, two = Histogram(), Histogram()
    one.record(5)
    two.record(1_000_000)
    two.record(2**61)
    one.add(two)
    assert (one.count, one.max_ns, one.percentile(33), one.percentile(100)) == (3, 2**61, 5, 2**61)
    with pytest.raises(ValueError, match="no duration"):
        one.record(2**62)
    assert Histogram().percentile(50) == 0


def test_a_stall_is_seen_by_all_who_wait_behind_it() -> None:
    """The difference between the loops: one call of 20 ms is one slow call, or 20 ms of late ones."""
    import time

    def call(number: int) -> None:
        if number == 10:
            time.sleep(0.02)

    closed, opened = Histogram(), Histogram()
    closed_loop(call, int, range(200), closed)
    open_loop(call, int, list(range(200)), opened, 10_000)
    assert closed.percentile(90) < 5_000_000
    assert opened.percentile(60) > 5_000_000
    assert closed.count == opened.count == 200


# -- verdicts ----------------------------------------------------------------------------------------------------------
def test_a_slip_beyond_noise_is_named() -> None:
    before = {"ratio": 2.0, "noise": 0.05}
    assert complaint("decide", Measured(100, 50, 2.3, 0.05), before) is None
    said = complaint("decide", Measured(140, 50, 2.8, 0.05), before)
    assert said is not None
    assert said.startswith("decide slipped: 2.8 floors an operation, 2 before; 27% beyond noise")
    assert slip(Measured(100, 50, 1.0, 0.0), {"ratio": 2.0, "noise": 0.0}) == -0.5


def test_weather_that_meets_both_cancels() -> None:
    calm = measured([100, 100, 100, 100], [50, 50, 50, 50])
    rough = measured([100, 300, 200, 100], [50, 150, 100, 50])
    assert calm.ratio == rough.ratio == 2.0
    assert rough.noise == 0
    assert measured([100, 110, 120, 130, 140], [50] * 5).noise > 0.05


def test_the_floor_reads_the_event(world: World) -> None:
    event = world.decode(world.events[0])
    answer = world.floor.decide(event)
    assert (answer.event_id, answer.outcome, answer.fired) == (event.id, "allow", ())
    assert world.floor.decide(event).seq == answer.seq + 1
    with pytest.raises(TypeError, match="Struct"):
        world.floor.decide(msgspec.json.decode(world.events[0]))


def test_rounds_are_fresh_events(world: World) -> None:
    ids = [event.id for batch in world.rounds() for event in batch]
    assert len(ids) >= SMOKE.rounds * SMOKE.size
    assert sum(one != two for one, two in pairwise(sorted(ids))) >= len(ids) * 0.99 - 1


# -- percentiles -------------------------------------------------------------------------------------------------------
def test_percentiles_count_every_call() -> None:
    run = Percentiles(200, 300, small=True)
    headline = run.headline()
    assert [each["count"] for each in headline.values()] == [300, 300, 300]
    for times in (run.closed(stored=True, threads=4, beside=True), run.open(10_000, stored=False, threads=2)):
        assert times["count"] == 300
        assert 0 < times["p50"] <= times["p99"] <= times["p99.99"] <= times["max"]
    assert all(rate > 0 for rate in run.rates().values())


# -- what is measured beside -------------------------------------------------------------------------------------------
def test_the_python_engine_answers_as_frmcore_does(world: World) -> None:
    events = [msgspec.json.decode(data) for data in world.events[:500]]
    with world.engine() as engine:
        answers = [answer_of(engine.decide(event)) for event in events]
    check(PythonEngine(world.stream.lists()).decide, events, answers)
    assert len({answer[:2] for answer in answers}) > 2
    with pytest.raises(Mismatch, match="event 1"):
        check(lambda event: answers[0], events[:2], answers[:2])


def test_the_rules_are_the_policys(world: World) -> None:
    policy = load(POLICY)
    assert [(rule.id, rule.outcome, rule.score) for rule in policy.rules] == [
        (name, OUTCOMES[outcome], score) for name, _, outcome, score in RULES
    ]
    with world.engine() as engine:
        for data in world.events[:300]:
            event = msgspec.json.decode(data)
            answer = answer_of(engine.decide(event))
            given = context(event, answer[2], answer[3])
            assert judged([bool(rule(given)) for rule in lambdas()]) == fused(event, answer[2], answer[3]) == answer[:2]


# -- what is told about it ---------------------------------------------------------------------------------------------
def test_the_page_shows_the_results() -> None:
    text = page.PAGE.read_text()
    assert page.rendered(text) == text, "`python -m bench.page` writes its tables"


def test_every_budget_has_a_line_and_a_verdict() -> None:
    lines = budget.lines()
    assert len(lines) >= 25
    assert {line.verdict for line in lines} <= {"reached", "missed", "not measured"}
    assert budget.Line("x", 2, 3, "us").cells() == ("x", "<= 2 us", "3 us", "1.50", "missed")
    assert budget.Line("x", 100, 200, "/s", least=True).cells() == ("x", ">= 100 /s", "200 /s", "0.50", "reached")
    assert budget.Line("x", 2, None, "us").cells()[2:] == ("-", "-", "not measured")


def test_more_instructions_than_the_ceiling_are_told() -> None:
    kept = {"decide": 100, "decide_many": 100}
    assert instructions.verdict({"decide": 100, "decide_many": 99}, kept) == []
    (said,) = instructions.verdict({"decide": 101, "decide_many": 99}, kept)
    assert said.startswith("decide: 101 instructions a decision, the ceiling is 100")
