"""Round trips and throughput of an owner, beside the embedded engine and Redis, in one run (`make serve-bench`).

Each figure is of the same made-up payments under bench/r1.yaml: 21 features, 4 lists, 30 rules. Redis (where
`redis-server` is installed) answers a GET of 700 bytes, a decision's size, over a unix socket to a client of one
send and one recv. Go (where it is installed) asks the same owner through clients/go.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import frmcore
from frmcore.policy import load
from frmcore.report.latency import Latency
from frmcore.serve.owner import Service, run

if TYPE_CHECKING:
    from collections.abc import Callable

BENCH = Path(__file__).parent
POLICY = BENCH / "r1.yaml"
CLIENTS = 4
CLIENT_EVENTS = 100_000


def payments(count: int, seed: int) -> list[dict[str, Any]]:
    random, now = Random(seed), time.time_ns() // 1_000_000 - 3_600_000
    return [
        {
            "id": f"{seed}-{number}", "ts": now + number, "account_id": f"a{random.randrange(20_000)}",
            "card_id": f"c{random.randrange(30_000)}", "device_id": f"d{random.randrange(20_000)}",
            "ip": f"10.0.{random.randrange(256)}.{random.randrange(256)}", "merchant_id": f"m{random.randrange(500)}",
            "country": "DE", "currency": "EUR", "amount": random.randrange(100, 50_000),
            "email": f"x{random.randrange(20_000)}@example.com", "channel": "web",
        }
        for number in range(count)
    ]  # fmt: skip


def timed(name: str, calls: int, call: Callable[[int], object]) -> None:
    latency = Latency()
    for number in range(calls):
        started = time.perf_counter_ns()
        call(number)
        latency.record(time.perf_counter_ns() - started)
    show(name, *(latency.percentile(percent) / 1_000 for percent in (50, 99, 99.9)))


def show(name: str, p50: float, p99: float, p999: float) -> None:
    print(f"{name:<34} p50 {p50:>7.1f} us   p99 {p99:>7.1f} us   p99.9 {p999:>8.1f} us")


def client_process(path: Path, seed: int, ready: Any, go: Any) -> None:
    with frmcore.connect(path, timeout=60) as client:
        kind = client.policy.Event
        events = [kind(**each) for each in payments(CLIENT_EVENTS, seed)]
        ready.release()
        go.wait()
        assert len(client.decide_many(events)) == len(events)


def throughput(path: Path) -> None:
    context = get_context("fork")
    ready, go = context.Semaphore(0), context.Event()
    clients = [context.Process(target=client_process, args=(path, 100 + n, ready, go)) for n in range(CLIENTS)]
    for each in clients:
        each.start()
    for _ in clients:
        ready.acquire()
    started = time.perf_counter()
    go.set()
    for each in clients:
        each.join()
        assert each.exitcode == 0
    rate = CLIENTS * CLIENT_EVENTS / (time.perf_counter() - started)
    print(f"{f'{CLIENTS} clients, pipelined':<34} {rate:,.0f} decisions/s")


def redis(folder: Path, calls: int) -> None:
    if shutil.which("redis-server") is None:
        print("Redis: redis-server is not installed")
        return
    path = folder / "redis"
    command = ["redis-server", "--port", "0", "--unixsocket", str(path), "--save", "", "--daemonize", "no"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server, socket.socket(socket.AF_UNIX) as sock:
        try:
            while sock.connect_ex(str(path)):
                time.sleep(0.05)
            sock.sendall(b"SET k " + b"x" * 700 + b"\r\n")
            sock.recv(65_536)

            def get(_: int) -> bytes:
                sock.send(b"GET k\r\n")
                return sock.recv(65_536)

            timed("Redis GET of 700 bytes, raw socket", calls, get)
        finally:
            server.terminate()


def go_client(store: Path, calls: int) -> None:
    if shutil.which("go") is None:
        print("Go client: go is not on the PATH")
        return
    said = subprocess.run(
        ["go", "test", "-run", "^$", "-bench", "RoundTrip", "-benchtime", f"{calls}x", "."],
        cwd=BENCH.parent / "clients" / "go", env={**os.environ, "FRMCORE_STORE": str(store)}, capture_output=True,
        text=True, check=True,
    ).stdout  # fmt: skip
    found = {name: float(value) / 1_000 for value, name in re.findall(r"([\d.]+) (p\d+)-ns", said)}
    show("served, 1 client, Go", found["p50"], found["p99"], found["p999"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=20_000, help="round trips of each kind")
    calls = parser.parse_args().calls
    policy = load(POLICY)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        events = [policy.Event(**each) for each in payments(2 * calls, 1)]
        with frmcore.Engine(folder / "embedded", policy=policy) as engine:
            timed("embedded, with a store", calls, lambda number: engine.decide(events[number]))
        owner = os.fork()
        if not owner:
            run(Service(folder / "served", policy, frmcore.StoreOptions()))
            os._exit(0)
        with frmcore.connect(folder / "served", timeout=30) as client:
            client.decide_many(events[calls:])
            timed("served, 1 client, Python", calls, lambda number: client.decide(events[number]))
            timed("served, 1 client, ping", calls, lambda _: client._ask("ping"))
        go_client(folder / "served", calls)
        redis(folder, calls)
        throughput(folder / "served")
        os.kill(owner, signal.SIGTERM)
        os.waitpid(owner, 0)


if __name__ == "__main__":
    main()
