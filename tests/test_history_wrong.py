"""Wrong histories, labels, updates and lists: each file of tests/data/wrong_history says what is said about it.

A file has sections that start with `=== NAME`: files, then `args` (of the command line) and `says`: a text that must be
on stderr. A beginner's mistake never ends in a traceback.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from frmcore.cli import app
from frmcore.errors import FrmcoreError

CASES = sorted((Path(__file__).parent / "data" / "wrong_history").glob("*.txt"))
EXITS = dict.fromkeys(("history_all_refused", "from_after_all", "warm_longer_than_history"), 1)
EXITS |= dict.fromkeys(
    ("labels_both_ways", "memory_no_size", "stops_unknown", "amount_unknown", "sweep_unknown_rule"), 2
)
POLICY = """\
policy: example
version: 1
event:
  id: id
  time: time
  fields:
    id: string
    time: timestamp
    account: {entity: account}
    card: {entity: card, optional: true}
    amount: {type: money, currency: EUR}
  updates:
    status: {type: enum, values: [pending, approved, declined], default: pending}
    label: {type: enum, values: [fraud, legit], optional: true}
lists:
  blocked: {of: card}
  fixed: {of: card, values: [c-1]}
features:
  tries: count(by=card, over="10m")
rules:
  - {id: many, when: tries >= 3 and amount < money("20"), outcome: block}
  - {id: listed, when: card in blocked or card in fixed, outcome: review}
"""


def sections(text: str) -> dict[str, str]:
    parts = re.split(r"^=== (.+)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_it_is_said_what_is_wrong(case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "400")
    files = sections(case.read_text("utf-8"))
    args, says = shlex.split(files.pop("args")), files.pop("says").strip()
    for name, text in {"policy.yaml": POLICY, **files}.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text, "utf-8")
    before = sorted(Path().rglob("*"))
    result = CliRunner().invoke(app, args)
    assert result.exception is None or isinstance(result.exception, FrmcoreError | SystemExit), result.exc_info
    said = result.stderr + str(result.exception or "")
    assert says in re.sub(r"\s*[│╭╮╰╯]\s*|\n", "", said) or says in said, said
    assert sorted(Path().rglob("*")) == before  # nothing is left behind
    assert result.exit_code == EXITS.get(case.stem, result.exit_code)


def test_there_are_enough_of_them() -> None:
    assert len(CASES) >= 55
