"""Wrong policies as data: files of cases, each a text and the problems that it must give.

    === what is wrong
    the text; sections that every policy needs are added below it, unless the file is syntax.txt
    --- the problems, in order
    1:9: the message
    hint: how to mend it
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parent / "cases" / "policies"
_TITLE = re.compile(r"^=== ", re.MULTILINE)
_EXPECTED = "--- the problems, in order\n"
_DEFAULTS = {
    "policy": "policy: cards\n",
    "version": "version: 7\n",
    "event": """event:
  id: txn_id
  time: ts
  kind: kind
  fields:
    txn_id: string
    ts: timestamp
    kind: {type: enum, values: [payment, login]}
    account: {entity: account}
    device: {entity: device, optional: true}
    ip: {type: ip, entity: ip, optional: true}
    country: {type: string, optional: true}
    email: {type: string, optional: true}
    amount: {type: money, currency: EUR, optional: true}
""",
}


class Case(NamedTuple):
    name: str
    text: str
    expected: str


def completed(text: str) -> str:
    """The text and, below it, the sections that every policy needs."""
    keys = set(re.findall(r"^(\w+):", text, re.MULTILINE))
    return text + "".join(section for key, section in _DEFAULTS.items() if key not in keys)


def read_cases(path: Path) -> list[Case]:
    cases = []
    for part in _TITLE.split(path.read_text("utf-8"))[1:]:
        title, _, rest = part.partition("\n")
        text, _, expected = rest.partition(_EXPECTED)
        whole = text if path.name == "syntax.txt" else completed(text)
        cases.append(Case(f"{path.stem}: {title}", whole, expected))
    return cases


def all_cases() -> list[Case]:
    return [case for path in sorted(FOLDER.glob("*.txt")) for case in read_cases(path)]
