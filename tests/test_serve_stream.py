"""The same stream through an owner with four workers, through an embedded engine, and replayed: the same decisions."""

from __future__ import annotations

import multiprocessing
from typing import TYPE_CHECKING, Any

from serving import POLICY, Owner, event

import frmcore
from frmcore._fast import record_head
from frmcore.store.archive import Archive
from frmcore.store.layout import RecordType
from frmcore.store.view import viewing

if TYPE_CHECKING:
    from pathlib import Path

WORKERS, EACH = 4, 100


def work(path: Path, worker: int) -> None:
    """One worker's part: some by one, some together, answers of the issuer, blocked cards."""
    with frmcore.connect(path, timeout=60) as client:
        for start in range(0, EACH, 10):
            part = [payment(worker, number) for number in range(start, start + 10)]
            decided = [client.decide(each) for each in part[:4]] + client.decide_many(part[4:])
            client.update(decided[0].event_id, status="approved", at=decided[0].time)
            client.decide_again(decided[1].event_id, "answered", status="declined", at=decided[1].time)
            if start == 50:
                client.lists["blocked"].add(f"c{worker}")


def payment(worker: int, number: int) -> dict[str, Any]:
    ident = worker * EACH + number
    return event(ident, account=f"a{number % 3}", card=f"c{number % 9}", amount=100 + ident, ts=event(number)["ts"])


def plain(decision: Any) -> dict[str, Any]:
    return {name: value for name, value in decision.to_dict().items() if name not in {"durable", "duplicate"}}


def replay(engine: frmcore.Engine, path: Path) -> list[dict[str, Any]]:
    """Every recorded operation once more, in recorded order; the decisions."""
    decided = []
    with viewing(path) as view:
        archive = Archive(view)
        for _, _, record in view.records(0):
            kind, content = record_head(record)[1], archive.content(record)
            if kind == RecordType.DECISION:
                decided.append(plain(engine.decide(facts_of(content))))
            elif kind == RecordType.AGAIN:
                ident = content["event_id"]
                told = engine.decide_again(ident, "answered", status="declined", at=facts_of(content)["ts"])
                decided.append(plain(told))
            elif kind == RecordType.UPDATE:
                engine.update(content["id"], at=record_head(record)[2], **content["fields"])
            elif kind == RecordType.LIST:
                engine.lists["blocked"].add_many([entry["value"] for entry in content["entries"]])
    return decided


def facts_of(content: dict[str, Any]) -> dict[str, Any]:
    worker, number = divmod(int(content["event_id"].removeprefix("e-")), EACH)
    return payment(worker, number)


def test_served_embedded_and_replayed_agree(tmp_path: Path) -> None:
    with Owner(tmp_path) as owner:
        context = multiprocessing.get_context("spawn")
        workers = [context.Process(target=work, args=(owner.store, number)) for number in range(WORKERS)]
        for each in workers:
            each.start()
        for each in workers:
            each.join(120)
            assert each.exitcode == 0
        owner.stop()
    with frmcore.Engine(tmp_path / "embedded", policy=POLICY) as engine:
        embedded = replay(engine, owner.store)
    with frmcore.Engine(None, policy=POLICY, clock=None) as engine:
        assert replay(engine, owner.store) == embedded
    with frmcore.Engine(owner.store, policy=POLICY) as served:
        recorded = [plain(found) for found in decisions(served)]
    assert len(recorded) == WORKERS * EACH * 11 // 10
    assert sorted(recorded, key=lambda each: each["seq"]) == embedded
    assert {each["outcome"] for each in embedded} == {"allow", "review", "block"}


def decisions(engine: frmcore.Engine) -> Any:
    for number in range(WORKERS * EACH):
        yield engine.explain(f"e-{number}", "checkout").decision
        if number % 10 == 1:
            yield engine.explain(f"e-{number}", "answered").decision
