"""The protocol's vectors, and its page."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from serving import POLICY, Raw, serving

from frmcore import limits
from frmcore.serve import chores, connection, protocol
from frmcore.serve.calls import Calls
from frmcore.serve.chores import Chores

ROOT = Path(__file__).parents[1]
VECTORS = ROOT / "tests" / "data" / "protocol"
PAGE = (ROOT / "docs" / "protocol.md").read_text("utf-8")


def vectors(name: str, policy: str = "") -> list[dict[str, Any]]:
    """policy: its hash, which covers the limits of this release too."""
    return list(json.loads((VECTORS / f"{name}.json").read_text("utf-8").replace("<hash>", policy)))


@pytest.mark.parametrize("vector", vectors("frames"), ids=lambda vector: vector["name"])
def test_frames(vector: dict[str, Any]) -> None:
    frame = bytes.fromhex(vector["frame"])
    assert int.from_bytes(frame[:4], "big") == len(frame) - 4
    assert msgspec.msgpack.decode(frame[4:]) == vector["plain"]
    assert protocol.framed(protocol.encode(vector["plain"])) == frame


def test_the_conversation(tmp_path: Path) -> None:
    assert (VECTORS / "policy.yaml").read_text("utf-8") == POLICY
    with serving(tmp_path) as (engine, path):
        client = Raw(path, greet=False)
        for vector in vectors("conversation", engine.policy.hash):
            answer = client.ask(*vector["send"])
            if vector["name"] == "a hello":
                assert re.fullmatch(r"[\d.]+\w*", answer[1].pop("frmcore"))
            assert answer == vector["receive"], vector["name"]


def test_all_that_was_asked_at_once_is_answered_as_well(tmp_path: Path) -> None:
    """The same conversation without waiting, byte by byte: answers are known by their ids. Slow operations may be done
    after those behind them, so they are left out."""
    asked = [each for each in vectors("conversation") if not each["send"][1].startswith("list")]
    data = b"".join(protocol.framed(protocol.encode(each["send"])) for each in asked)
    with serving(tmp_path) as (_, path):
        client = Raw(path, greet=False)
        for at in range(0, len(data), 3):
            client.sock.sendall(data[at : at + 3])
        assert sorted(client.answer()[0] for _ in asked) == [each["send"][0] for each in asked]


def test_the_page_names_every_operation(tmp_path: Path) -> None:
    table = PAGE.partition("## Operations")[2].partition("Those with a star")[0]
    named = set(re.findall(r"^\| `(\w+)`|(?<=, `)(\w+)` \*", table, re.MULTILINE))
    with serving(tmp_path) as (engine, _):
        known = {*Calls(engine).by_name, *Chores(engine, lambda: None).by_name, "hello"}
    assert {first or second for first, second in named} == known


def test_the_examples_of_the_page_are_vectors() -> None:
    known = [each[side] for each in vectors("conversation") for side in ("send", "receive")]
    examples = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)]
    assert len(examples) == 3
    assert all(example in known for example in examples)


def test_the_bounds_of_the_page() -> None:
    rows = re.findall(r"\| ([\d,]+)( MiB| s)?, `(\w+)` \|", PAGE)
    units = {" MiB": 1 << 20, " s": 1, "": 1}
    for number, unit, name in rows:
        found = next(getattr(part, name) for part in (limits, protocol, chores, connection) if hasattr(part, name))
        assert int(number.replace(",", "")) * units[unit] == found, name
    assert len(rows) == 6
