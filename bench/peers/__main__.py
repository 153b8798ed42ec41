"""frmcore and what one would use instead, in one run: `make bench-peers`.

Each peer first answers the same events, and is timed only where it gives frmcore's answers. Single calls take turns
with frmcore's, fifty and fifty, so that both meet the same machine. `--warm` events are decided before the timed
ones.
"""

from __future__ import annotations

import argparse
import json
import time
from random import Random
from typing import TYPE_CHECKING, Any, Final

import msgspec

from bench.cases.program import Rules
from bench.kernel import Histogram, batch_ns, closed_loop
from bench.machine import machine
from bench.peers import blaze
from bench.peers.answers import Mismatch, answer_of, check
from bench.peers.batch import WINDOWS, duckdb_features, polars_features, table
from bench.peers.install import provide
from bench.peers.languages import LANGUAGES
from bench.peers.memory import frmcore_bytes, redis_bytes
from bench.peers.python_engine import PythonEngine
from bench.peers.redis_engine import RedisEngine
from bench.peers.rules import context
from bench.peers.sql import DuckdbEngine, PostgresEngine, SqliteEngine
from bench.peers.windows import COVERED, River
from bench.people import Shape
from bench.percentiles import shown
from bench.world import RESULTS, Scale, World
from frmcore._fast import ListTable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TURN: Final = 50
PARTS: Final = ("whole", "rules", "probes", "windows", "batch", "memory")
# Name to (engine, the part of the events that it is timed on).
ENGINES: Final[dict[str, tuple[Callable[..., Any], float]]] = {
    "pure Python, tuned": (PythonEngine, 1.0),
    "Redis, one Lua call on a unix socket": (RedisEngine, 1.0),
    "SQLite in memory": (SqliteEngine, 1.0),
    "PostgreSQL, prepared, asynchronous commit": (PostgresEngine, 0.5),
    "DuckDB in memory": (DuckdbEngine, 0.01),
}


class Peers:
    """One stream, its answers, and what each peer takes for it."""

    def __init__(self, warm: int, timed: int, listed: int, entities: int) -> None:
        shape = Shape(listed=(listed * 4 // 10, listed // 5, listed // 5, listed // 5), live=min(500, listed // 10))
        self.world = World(Scale(shape, warm, timed, 1, 1, (1, 1, 1), listed))
        self.sources = self.world.events[: warm + timed]
        self.events = [msgspec.json.decode(source) for source in self.sources]
        self.warm, self.listed, self.entities = warm, listed, entities
        with self.world.engine() as engine:
            self.answers = [answer_of(engine.decide(event)) for event in self.events]

    def whole(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """The whole decision, one event at a time."""
        for name, (make, part) in ENGINES.items():
            warm = self.warm if part == 1 else int(self.warm * part)
            peer = None
            try:
                peer = make(self.world.stream.lists())
                check(peer.decide, self.events[:warm], self.answers[:warm])
                yield name, self._turns(peer.decide, warm, warm + int((len(self.events) - self.warm) * part))
            except (Mismatch, RuntimeError, ImportError, OSError) as error:
                yield name, {"said": f"{type(error).__name__}: {error}"[:300]}
            finally:
                if peer is not None:
                    peer.close()
        try:
            yield blaze.NAME, self._blazerules()
        except (Mismatch, ImportError) as error:
            yield blaze.NAME, {"said": f"{type(error).__name__}: {error}"[:300]}

    def _blazerules(self) -> dict[str, Any]:
        """Not exact: what can be compared of it is."""
        lists, few = self.world.stream.lists(), 500
        contexts = [
            context(event, answer[2], answer[3])
            for event, answer in zip(self.events[:few], self.answers[:few], strict=True)
        ]
        compared = blaze.check(lists, contexts, [blaze.line_of(event) for event in self.events[:few]])
        peer = blaze.BlazeEngine(lists)
        for start in range(0, self.warm, 1_000):  # a batch at a time, as it is made for
            peer.decide(b"".join(map(blaze.line_of, self.events[start : min(start + 1_000, self.warm)])))
        until = min(len(self.events), self.warm + 2_000)
        found = self._turns(peer.decide, self.warm, until, lambda source: blaze.line_of(msgspec.json.decode(source)))
        peer.close()
        return {**found, "rules_compared": compared}

    def _turns(
        self,
        decide: Callable[[Any], Any],
        start: int,
        end: int,
        prepare: Callable[[bytes], Any] = msgspec.json.decode,
    ) -> dict[str, Any]:
        ours, theirs = Histogram(), Histogram()
        with self.world.engine() as engine:
            for source in self.sources[:start]:
                engine.decide(self.world.decode(source))
            for at in range(start, end, TURN):
                part = self.sources[at : min(at + TURN, end)]
                closed_loop(decide, prepare, part, theirs)
                closed_loop(engine.decide, self.world.decode, part, ours)
        found, base = shown(theirs), shown(ours)
        return {
            **{name: found[name] for name in ("count", "p50", "p99", "p99.9")},
            "frmcore_p50": base["p50"],
            "frmcore_p99": base["p99"],
            "ratio": round(found["p50"] / base["p50"], 1),
            "ratio_p99": round(found["p99"] / base["p99"], 1),
        }

    def rules(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """The thirty rules alone, features given."""
        rules = Rules(self.world)
        with self.world.engine() as engine:
            given = [self.world.decode(source) for source in self.sources[:200]]
            registers = [rules.registers(event, engine.decide(event)) for event in given]
        ours = batch_ns(rules.run, registers) / 1_000
        yield "frmcore", {"ns": ours, "ratio": 1.0}
        contexts = [
            context(event, answer[2], answer[3]) for event, answer in zip(self.events, self.answers, strict=True)
        ]
        for name, (make, count) in LANGUAGES.items():
            try:
                prepare, judge = make()
                prepared = [prepare(each) for each in contexts[:count]]
                wrong = sum(
                    tuple(judge(one)) != answer[:2] for one, answer in zip(prepared[:300], self.answers, strict=False)
                )
                if wrong:
                    raise Mismatch(f"{wrong} of {min(300, len(prepared))} events are judged otherwise")
                ns = batch_ns(judge, prepared)
                yield name, {"ns": ns, "ratio": round(ns / ours, 1)}
            except (Mismatch, ImportError) as error:
                yield name, {"said": f"{type(error).__name__}: {error}"[:300]}

    def probes(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """One probe of a list for a value that is not on it: a fresh text, and one of a hundred that come again."""
        from rbloom import Bloom

        random = Random(1)
        values = [f"tok_{random.getrandbits(48):012x}" for _ in range(self.listed)]
        fresh = [f"tok_{random.getrandbits(48):012x}" for _ in range(20_000)]
        again = [random.choice(fresh[:100]) for _ in range(20_000)]
        exact, bloom, ours = set(values), Bloom(len(values), 0.001), ListTable(bytes(16))
        bloom.update(values)
        for value in values:
            ours.add(value.encode(), None)
        assert sum(map(bloom.__contains__, values[:1_000])) == sum(ours.contains(v.encode(), 0) for v in values[:1_000])
        for label, given in (("fresh", fresh), ("hot", again)):
            packed = "".join(given).encode()
            base = batch_ns(lambda each: ours.contains_packed(each, 16, 0), [packed] * 3) / len(given)
            yield f"frmcore, {label}, confirmed exactly", {"ns": base, "ratio": 1.0}
            for name, probe in (("rbloom", bloom.__contains__), ("set", exact.__contains__)):
                texts = [bytes(each, "ascii").decode() for each in given] if label == "fresh" else given
                ns = batch_ns(probe, texts)
                yield f"{name}, {label}", {"ns": ns, "ratio": round(ns / base, 1)}

    def windows(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """River's rolling windows, one event at a time."""
        river, seen, expected = River(), set(), []
        events = []
        for event, answer in zip(self.events[:2_000], self.answers, strict=False):
            if event["id"] not in seen:  # it knows no ids
                seen.add(event["id"])
                events.append(event)
                expected.append(tuple(answer[2][number] for number in COVERED))
        wrong = sum(
            not all(abs(a - b) <= 1e-6 * max(1.0, abs(b)) for a, b in zip(river.decide(event), answer, strict=True))
            for event, answer in zip(events[:500], expected, strict=False)
        )
        ns = batch_ns(river.decide, events[500:])
        yield f"river, {len(COVERED)} of {len(WINDOWS)} windows", {"ns": ns, "wrong": wrong, "checked": 500}

    def batch(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Events a second for all features of a stream; frmcore's figure has lists, rules and decisions in it."""
        given = table(self.events)
        expected, seen = [], set()
        for event, answer in zip(self.events, self.answers, strict=True):
            if event["id"] not in seen:
                seen.add(event["id"])
                expected.append(answer[2])
        with self.world.engine() as engine:
            decoded = [self.world.decode(source) for source in self.sources]
            ours = len(decoded) / batch_ns(engine.decide_many, [decoded]) * 1e9
        yield "frmcore, decide_many", {"per_second": round(ours), "ratio": 1.0}
        for name, work in (("DuckDB", duckdb_features), ("polars", polars_features)):
            wrong = sum(
                not all(abs(a - b) <= 1e-6 * max(1.0, abs(b)) + 1e-3 for a, b in zip(row, answer, strict=True))
                for row, answer in zip(work(given), expected, strict=True)
            )
            started = time.process_time()  # all threads: what one core would take
            work(given)
            rate = len(expected) / (time.process_time() - started)
            yield name, {"per_second": round(rate), "wrong": wrong, "ratio": round(ours / rate, 1)}

    def memory(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Bytes for the same content."""
        yield "frmcore", frmcore_bytes(self.world, self.entities, self.listed)
        try:
            yield "Redis", redis_bytes(self.entities, self.listed)
        except (RuntimeError, ImportError) as error:
            yield "Redis", {"said": f"{type(error).__name__}: {error}"}


def line(name: str, found: dict[str, Any]) -> str:
    if "said" in found:
        return f"  {name:44} {found['said']}"
    cells = "  ".join(
        f"{key} {value:,.4g}" if isinstance(value, float) else f"{key} {value:,}" for key, value in found.items()
    )
    return f"  {name:44} {cells}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--warm", type=int, default=100_000)
    parser.add_argument("--timed", type=int, default=20_000)
    parser.add_argument("--listed", type=int, default=1_000_000)
    parser.add_argument("--entities", type=int, default=1_000_000, help="for the bytes that an entity takes")
    parser.add_argument("--parts", nargs="*", default=PARTS, choices=PARTS, metavar="PART", help=", ".join(PARTS))
    given = parser.parse_args()
    kept = RESULTS / "peers.json"
    result: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
    result |= {"machine": machine(), "asked": vars(given), "missing": provide()}
    for said in result["missing"]:
        print(said)
    peers = Peers(given.warm, given.timed, given.listed, given.entities)
    for part in given.parts:
        print(f"{part}:", flush=True)
        result[part] = {}
        for name, found in getattr(peers, part)():
            result[part][name] = found
            print(line(name, found), flush=True)
            RESULTS.mkdir(exist_ok=True)
            kept.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
