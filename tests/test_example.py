"""The checkout example over HTTP, and the code of the README."""

from __future__ import annotations

import hmac
import importlib.util
import json
import os
import re
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from serving import Owner, serving
from starlette.testclient import TestClient

from frmcore._fast import system_clock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from httpx import Response

ROOT = Path(__file__).parents[1]
SECRET = "s3cret"  # noqa: S105
ORDER = {"account": "anna", "card": "tok-1", "country": "DE", "email": "anna@example.com", "amount": 2490}


def example() -> Any:
    spec = importlib.util.spec_from_file_location("checkout_app", ROOT / "examples" / "checkout" / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


CHECKOUT = ROOT / "examples" / "checkout" / "policy.yaml"


@pytest.fixture(params=["embedded", "served"])
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TestClient]:
    """The shop in both ways: the tests must not see a difference."""
    with ExitStack() as stack:
        store = None
        if request.param == "served":
            _, store = stack.enter_context(serving(tmp_path, policy=CHECKOUT, clock=system_clock))
        app = example().create(secret=SECRET, store=str(store) if store else None)
        yield stack.enter_context(TestClient(app, client=("203.0.113.7", 50000)))


def buy(client: TestClient, order: str, **changes: object) -> Response:
    return client.post("/checkout", json=ORDER | {"order": order} | changes)


def answer(client: TestClient, order: str, status: str, signature: str | None = None) -> Response:
    content = json.dumps({"status": status}).encode()
    path = f"/issuer/{order}"
    signed = hmac.new(SECRET.encode(), path.encode() + content, "sha256").hexdigest()
    return client.post(path, content=content, headers={"x-signature": signature or signed})


def test_a_usual_order_is_approved_and_shipped(client: TestClient) -> None:
    told = buy(client, "o-1")
    assert (told.status_code, told.json()) == (200, {"order": "o-1", "status": "approved"})
    assert answer(client, "o-1", "approved").json() == {"order": "o-1", "ship": True}


def test_card_testing_is_refused_and_its_reasons_stay_inside(client: TestClient) -> None:
    codes = [buy(client, f"o-{i}", card=f"tok-{i}", device="d-1", amount=100).status_code for i in range(5)]
    assert codes == [200, 200, 200, 403, 403]
    assert buy(client, "o-9", card="tok-9", device="d-1").json() == {"order": "o-9", "status": "refused"}


def test_a_big_day_is_reviewed_and_not_shipped_by_an_answer(client: TestClient) -> None:
    assert buy(client, "o-1", amount=60_000).status_code == 200
    assert buy(client, "o-2", amount=60_000).status_code == 202
    assert answer(client, "o-2", "approved").json()["ship"] is False


def test_what_the_issuer_declined_leaves_the_sums(client: TestClient) -> None:
    assert buy(client, "o-1", amount=60_000).status_code == 200
    assert answer(client, "o-1", "declined").json()["ship"] is False
    assert buy(client, "o-2", amount=60_000).status_code == 200


def test_many_declines_stop_the_shipment(client: TestClient) -> None:
    for i in range(3):
        buy(client, f"o-{i}", card=f"tok-{i}")
        assert answer(client, f"o-{i}", "declined").json()["ship"] is False
    assert buy(client, "o-3", card="tok-3").status_code == 200
    assert answer(client, "o-3", "approved").json()["ship"] is False


def test_a_retry_counts_once_and_other_content_conflicts(client: TestClient) -> None:
    assert [buy(client, "o-1", amount=60_000).status_code for _ in range(3)] == [200, 200, 200]
    assert buy(client, "o-1", amount=1).status_code == 409


def test_answers_may_be_repeated_but_not_changed(client: TestClient) -> None:
    buy(client, "o-1")
    assert answer(client, "o-1", "approved").json() == answer(client, "o-1", "approved").json()
    assert answer(client, "o-1", "declined").status_code == 409


@pytest.mark.parametrize("signature", ["0" * 64, "", "ünsigned"])
def test_unsigned_answers_are_refused(client: TestClient, signature: str) -> None:
    buy(client, "o-1")
    content = b'{"status": "approved"}'
    told = client.post("/issuer/o-1", content=content, headers={"x-signature": signature.encode()})
    assert told.status_code == 401


def test_an_answer_to_no_order(client: TestClient) -> None:
    assert answer(client, "o-77", "approved").status_code == 404


@pytest.mark.parametrize(
    ("changes", "culprit"),
    [
        ({"amount": -1}, "amount"), ({"amount": "12"}, "amount"), ({"amount": 1e9}, "amount"), ({"card": ""}, "card"),
        ({"country": "Germany"}, "country"), ({"ts": 1}, "ts"), ({"email": "x" * 201}, "email"),
    ],
)  # fmt: skip
def test_orders_that_are_none(client: TestClient, changes: dict[str, object], culprit: str) -> None:
    told = buy(client, "o-1", **changes)
    assert told.status_code == 422
    assert culprit in told.json()["error"]
    assert buy(client, "o-1").status_code == 200  # nothing was recorded


def test_bodies_that_are_none(client: TestClient) -> None:
    assert client.post("/checkout", content=b"{").status_code == 422
    assert client.post("/checkout", content=b"\xff").status_code == 422
    assert client.post("/checkout", content=b" " * 20_000).status_code == 413
    assert client.get("/checkout").status_code == 405


def test_health_names_the_policy(client: TestClient) -> None:
    told = client.get("/health").json()
    assert (told["status"], told["policy"], len(told["hash"])) == ("ok", "checkout", 64)


def test_without_an_owner_a_person_looks_at_the_order(tmp_path: Path) -> None:
    with TestClient(example().create(secret=SECRET, store=str(tmp_path / "nobody")), client=("::1", 1)) as client:
        assert buy(client, "o-1").status_code == 202
        assert client.get("/health").status_code == 503


def test_four_workers_share_an_owner(tmp_path: Path) -> None:
    """gunicorn as the README has it: all workers see the same windows."""
    with Owner(tmp_path, policy=CHECKOUT.read_text("utf-8")) as owner:
        given = {
            "PYTHONPATH": str(ROOT), "FRMCORE_STORE": str(owner.store), "ISSUER_SECRET": SECRET, "WITHIN_MS": "5000"
        }  # fmt: skip
        options = ["--workers", "4", "--worker-class", "asgi", "--bind", "127.0.0.1:0"]
        command = [sys.executable, "-m", "gunicorn", *options, "app:create()"]
        with subprocess.Popen(
            command, cwd=ROOT / "examples" / "checkout", env={**os.environ, **given}, stderr=subprocess.PIPE, text=True
        ) as shop:
            try:
                assert shop.stderr is not None
                address = next(found[1] for line in shop.stderr if (found := re.search(r"at: (http://\S+)", line)))
                codes = [order(address, number) for number in range(8)]
            finally:
                shop.terminate()
    assert codes == [200, 200, 200, 403, 403, 403, 403, 403]  # four cards on one device within the hour


def order(address: str, number: int) -> int:
    """A new connection each time, so that any of the workers may get it."""
    given = ORDER | {"order": f"w-{number}", "card": f"tok-{number}", "device": "d-1", "amount": 100}
    for _ in range(100):
        try:
            return httpx.post(f"{address}/checkout", json=given, timeout=20).status_code
        except httpx.ConnectError:  # the workers are on their way
            time.sleep(0.1)
    raise AssertionError("the shop does not open")


def test_the_code_of_the_readme_works(tmp_path: Path) -> None:
    code = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[0]
    [policy] = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (tmp_path / "policy.yaml").write_text(policy)
    command = [sys.executable, "-c", code]
    told = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert told.stdout.splitlines() == re.findall(r"print\(.*#\s(.*)", code), told.stderr


def test_the_policy_of_the_readme_is_sound() -> None:
    from frmcore.policy import load

    for text in re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL):
        assert load(text).warnings == ()
