"""What operations see: metrics, health, logs, spans, `frmcore top`; dashboard, alarms and page that rest on them."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import shutil
import subprocess
import sys
import time
from configparser import ConfigParser
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from serving import POLICY, Owner, event, served, serving
from typer.testing import CliRunner

import frmcore
import frmcore.aio
from frmcore.cli import app
from frmcore.serve.http import Watch, serve_http
from frmcore.serve.logs import JsonLines
from frmcore.serve.server import Server
from frmcore.telemetry import EngineCollector, traced
from frmcore.telemetry.exposition import exposition
from frmcore.telemetry.families import engine_families

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[frmcore.Engine]:
    with frmcore.Engine(tmp_path / "store", policy=POLICY, clock=lambda: event(0)["ts"]) as engine:
        engine.lists["blocked"].add("c-9")
        engine.decide(event(1))
        engine.decide(event(1))
        engine.decide(event(2, card="c-9"))
        engine.decide_again("e-1", "answered", status="declined")
        engine.observe(event(3))
        for wrong in (event(4, amount="secret-amount"), event(1, amount=7)):
            with pytest.raises(frmcore.FrmcoreError):
                engine.decide(wrong)
        yield engine


def values(text: str) -> dict[tuple[str, ...], float]:
    """(name, label=value, sorted ...) -> value, as Prometheus reads it."""
    return {
        (sample.name, *sorted(f"{name}={value}" for name, value in sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_an_engines_numbers(engine: frmcore.Engine) -> None:
    found = values(exposition(engine_families(engine)))
    assert found["frmcore_decisions_total", "outcome=allow", "point=checkout"] == 1
    assert found["frmcore_decisions_total", "outcome=block", "point=checkout"] == 1
    assert found["frmcore_decisions_total", "outcome=review", "point=answered"] == 1
    assert found["frmcore_rule_fired_total", "rule=listed"] == 1
    assert found["frmcore_rule_fired_total", "rule=many"] == 0
    assert found["frmcore_invalid_total", "field=amount"] == 1
    assert found["frmcore_conflicts_total",] == found["frmcore_duplicates_total",] == 1
    assert found["frmcore_list_values", "list=blocked"] == 1
    assert found["frmcore_window_keys", "entity=account"] > 0
    assert found["frmcore_store_degraded",] == 0
    assert found["frmcore_operations",] == engine.stats["seq"]


def test_counts_go_on_over_a_reload(engine: frmcore.Engine) -> None:
    engine.reload(POLICY.replace("version: 1", "version: 2"))
    engine.decide(event(10, card="c-9"))
    decided, fired = engine.verdicts
    assert decided["checkout", "block"] == 2
    assert fired["listed"] == 2


def test_the_collector_says_the_same(engine: frmcore.Engine) -> None:
    registry = CollectorRegistry()
    registry.register(EngineCollector(engine))
    theirs = values(generate_latest(registry).decode())
    ours = values(exposition(engine_families(engine)))
    assert theirs == pytest.approx(ours)


def test_names_of_labels_are_escaped() -> None:
    from frmcore.telemetry.families import family

    text = exposition([family("x", "gauge", "a\nb\\", {(("rule", 'a"b\\c\nd'),): 1.5})])
    assert values(text) == {("frmcore_x", 'rule=a"b\\c\nd'): 1.5}


def test_an_owners_numbers_and_health_over_http(tmp_path: Path) -> None:
    watch = Watch()
    base = f"http://127.0.0.1:{serve_http('127.0.0.1', 0, watch)}"
    watch.recovering(25, 100)
    assert values(metrics(base)) == {("frmcore_ready",): 0}
    assert get(f"{base}/ready") == (503, {"ready": False, "state": "recovering: 25 %"})
    assert get(f"{base}/health")[0] == 200
    with serving(tmp_path) as (_, path), frmcore.connect(path) as client:
        watch.server = served()
        client.decide_many([event(1), event(2)])
        for number in range(3, 13):
            client.decide(event(number))
        with pytest.raises(frmcore.InvalidEvent):
            client.decide(event(20, amount=None))
        client._pool.call(("report", event(30), {"final": "block", "at": event(30)["ts"]}), 5)
        served()._chores.by_name["explain"] = lambda _: time.sleep(0.05)
        client._pool.call(("explain", "e-1"), 5)
        found = values(metrics(base))
        assert found["frmcore_ready",] == 1
        assert found["frmcore_request_seconds_sum", "op=explain"] >= 0.05  # since it was asked
        assert found["frmcore_request_seconds_count", "op=decide"] == 11
        assert found["frmcore_request_seconds_bucket", "le=+Inf", "op=decide"] == 11
        assert found["frmcore_request_errors_total", "error=InvalidEvent"] == 1
        assert [found["frmcore_fallbacks_total", f"outcome={each}"] for each in ("allow", "block")] == [0, 1]
        assert found["frmcore_connections",] == 1
        assert found["frmcore_resident_bytes",] > 1e6
        assert get(f"{base}/ready?verbose=1")[0] == 200
        with urlopen(Request(f"{base}/ready", method="HEAD")) as answer:  # noqa: S310  our own address
            assert (answer.read(), int(answer.headers["Content-Length"]) > 10) == (b"", True)
        assert get(f"{base}/nothing")[0] == 404
        watch.server.alive -= 60
        assert get(f"{base}/health")[0] == 503
    assert get(f"{base}/ready") == (503, {"ready": False, "state": "closed"})


def metrics(base: str) -> str:
    with urlopen(f"{base}/metrics") as answer:  # noqa: S310  our own address
        return str(answer.read().decode())


def get(address: str) -> tuple[int, Any]:
    try:
        with urlopen(address) as answer:  # noqa: S310  our own address
            return answer.status, json.loads(answer.read())
    except HTTPError as error:
        text = error.read()
        return error.code, json.loads(text) if text.startswith(b"{") else text.decode()


def test_logs_are_json_and_tell_nothing_of_an_event(tmp_path: Path) -> None:
    with Owner(tmp_path, "--metrics", "127.0.0.1:0") as owner, frmcore.connect(owner.store) as client:
        client.decide(event(1, account="secret-account"))
        with pytest.raises(frmcore.InvalidEvent):
            client.decide(event(2, amount="secret-amount"))
        lines = [json.loads(line) for line in owner.stop().splitlines()]
    assert [line["message"] for line in lines] == [
        "metrics are served", "the store is open", "serving",
        "stopping: all that was accepted is answered",
    ]  # fmt: skip
    assert "secret" not in json.dumps(lines)
    try:
        raise KeyError("secret-key")
    except KeyError:
        record = logging.LogRecord("frmcore", logging.ERROR, "", 0, "a request failed", None, sys.exc_info())
    line = json.loads(JsonLines().format(record))
    assert "secret" not in json.dumps(line)
    assert line["where"][0].startswith("test_serve_watch.py:")


def test_spans_lie_under_the_callers(engine: frmcore.Engine) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("test")
    seen = traced(engine, tracer)
    seen.decide(event(20))
    assert not exporter.get_finished_spans()
    with tracer.start_as_current_span("checkout") as parent:
        decision = seen.decide(event(21, card="c-9"))
        seen.decide_many([event(22), event(23)])
        with pytest.raises(frmcore.InvalidEvent):
            seen.evaluate(event(24, amount="secret"))
    spans = exporter.get_finished_spans()
    assert [span.name for span in spans] == ["frmcore.decide", "frmcore.decide_many", "frmcore.evaluate", "checkout"]
    assert all(span.parent.span_id == parent.get_span_context().span_id for span in spans[:3])
    assert spans[0].attributes == {
        "frmcore.point": "checkout", "frmcore.outcome": "block", "frmcore.score": 0, "frmcore.fired": ("listed",),
        "frmcore.duplicate": False, "frmcore.fallback": False,
    }  # fmt: skip
    assert spans[1].attributes == {"frmcore.decisions": 2}
    assert spans[2].status.description == "InvalidEvent"
    assert "secret" not in " ".join(span.to_json() for span in spans)
    assert (seen.policy.name, decision.outcome) == ("shop", "block")


def test_spans_of_an_async_client(tmp_path: Path) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("test")

    async def ask(path: Path) -> None:
        async with traced(await frmcore.aio.connect(path), tracer) as client:
            await client.decide(event(1))
            with tracer.start_as_current_span("checkout"):
                assert (await client.decide(event(2))).seq == 2
                with pytest.raises(frmcore.InvalidEvent):
                    await client.evaluate(event(3, amount="secret"))

    with serving(tmp_path) as (_, path):
        asyncio.run(ask(path))
    spans = exporter.get_finished_spans()
    assert [span.name for span in spans] == ["frmcore.decide", "frmcore.evaluate", "checkout"]
    assert (spans[0].attributes or {})["frmcore.outcome"] == "allow"
    assert spans[1].status.description == "InvalidEvent"


def test_top(tmp_path: Path) -> None:
    with serving(tmp_path) as (engine, path):
        engine.lists["blocked"].add("c-9")
        engine.decide(event(1, card="c-9"))
        said = CliRunner().invoke(app, ["top", str(path), "--once", "--every", "0.1"]).stdout
    for part in ("shop version 1", "checkout block", "listed", "rings", "there and back"):
        assert part in " ".join(said.split())


def test_a_port_that_is_taken_is_named() -> None:
    port = serve_http("127.0.0.1", 0, Watch())
    with pytest.raises(OSError, match=f"in use.*127.0.0.1:{port}"):
        serve_http("127.0.0.1", port, Watch())


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--metrics", "here"], "HOST:PORT"),
        (["--durability", "some"], "durability"),
        (["--socket", "/" + "x" * 200], "107 bytes"),
    ],
)
def test_serve_used_wrongly(arguments: list[str], told: str, tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY)
    done = CliRunner().invoke(app, ["serve", str(tmp_path / "s"), "--policy", str(policy), *arguments])
    assert done.exit_code
    assert told in done.output + str(done.exception)


# ---- what rests on the names ------------------------------------------------------------------------------------
@pytest.fixture
def names(tmp_path: Path) -> set[str]:
    with frmcore.Engine(tmp_path / "store", policy=POLICY) as engine:
        watch = Watch()
        watch.server = server = Server(engine, tmp_path / "socket")
        engine.decide(event(1))
        found = set(re.findall(r"^# TYPE (\w+)", watch.metrics(), re.MULTILINE))
        server.stop()
        server.run()
    return found


@pytest.mark.parametrize("file", ["grafana/frmcore.json", "prometheus/alarms.yml"])
def test_dashboard_and_alarms_ask_for_metrics_that_are_there(file: str, names: set[str]) -> None:
    asked = set(re.findall(r"\bfrmcore_\w+", (ROOT / "contrib" / file).read_text("utf-8")))
    assert len(asked) > 5
    assert {re.sub(r"_bucket$", "", name) for name in asked} <= names


def test_the_page_names_every_metric_and_every_alarm(names: set[str]) -> None:
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    assert set(re.findall(r"`(frmcore_\w+)(?:\{[\w,]+\})?`", page)) == names
    alarms = set(re.findall(r"alert: (\w+)", (ROOT / "contrib" / "prometheus" / "alarms.yml").read_text("utf-8")))
    assert set(re.findall(r"\bFrmcore[A-Z]\w+", page)) == alarms


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool")
def test_alarms_go_off_when_they_should() -> None:
    command = ["promtool", "test", "rules", str(ROOT / "tests" / "data" / "alarms.yml")]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + done.stdout


def test_an_owner_that_does_not_start_is_started_again() -> None:
    unit = ConfigParser(strict=False, interpolation=None)
    unit.read(ROOT / "contrib" / "systemd" / "frmcore.service")
    assert unit["Unit"]["StartLimitIntervalSec"] == "0"


def test_files_that_the_page_links_to_are_there() -> None:
    for page in ("operations.md", "protocol.md"):
        text = (ROOT / "docs" / page).read_text("utf-8")
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
            assert (ROOT / "docs" / target).exists(), target
