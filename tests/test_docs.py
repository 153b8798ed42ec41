"""The documents are tests: every block of docs/*.md that is listed below runs, every value in their tables is computed.

A fenced block says by its info string what it is; the first word is for the highlighting:

    yaml standard      the policy that the examples share; `yaml part` takes from it the sections that it lacks
    json event         the event that the examples are about; a later one is for the next `text` block alone
    yaml policy        a whole policy that loads
    yaml part          sections of a policy; they load
    yaml wrong         sections that do not load; `text error` follows
    text error         what the wrong policy, or the event above it, is refused with
    text decision      what the last policy decides about the event: lines of attribute: value
    <any> file=NAME    a file beside the policies that follow
    python             a doctest, in python.md; all run in order, in one namespace

A table is known by its header: | expression | value |, | feature | value |, all code (a truth table: fields and
expressions over them), | txn_id | ... (the history before the event), | bound | at most |, | key of ... |.
Any other block, and any other table with values, is a failure.
"""

from __future__ import annotations

import doctest
import inspect
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
import pytest

import frmcore
from frmcore import errors, explain, limits, lists
from frmcore.durations import parse_duration
from frmcore.plan import Kind
from frmcore.policy import Policy, control, fields, load, lookups, rules, schema, sections
from frmcore.policy import lists as list_sections
from frmcore.policy.aggregates import _ARGUMENTS
from frmcore.policy.functions import AGGREGATES, FUNCTIONS
from frmcore.policy.loading import _ANYWHERE, _MAIN_ONLY
from frmcore.sizes import parse_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

DOCS: Final = Path(__file__).parents[1] / "docs"
DOCUMENTS: Final = ("policy.md", "python.md")
KEYS: Final = {
    "a policy": (*_MAIN_ONLY, *_ANYWHERE),
    "`event`": schema._KEYS,
    "a field": fields._FIELD,
    "a derived field": ("is", "entity", "private"),
    "an update": fields._UPDATE,
    "a point": ("on", "after", "score"),
    "a list": list_sections._KEYS,
    "a lookup": lookups.LOOKUP_KEYS,
    "a rule": rules.RULE_KEYS,
    "a group": control.GROUP_KEYS,
    "a breaker": control.BREAKER_KEYS,
    "an alert": control.ALERT_KEYS,
    "`holdout`": control.HOLDOUT_KEYS,
    "`limits`": sections._LIMITS,
    "an aggregate": (*_ARGUMENTS, "ddof"),
}
TYPES: Final = tuple(fields.TYPES)
INTERNAL: Final = {
    "keeps",
    "book",
    "decide_columns",
    "observe_columns",
    "plan",
    "point_index",
    "values",
    "entries",
    "facts",
    "lose",
    "restore",
    "listed",
    "network",
    "obey",
    "private",
    "decoded",
    "unsettled",
    "has_room",
    "settle",
    "packed",
}  # of Engine, Decision and EntityList: for the engine itself, and for its owner process


# -- Markdown ----------------------------------------------------------------------------------------------------------
class Block(NamedTuple):
    line: int
    info: str
    text: str


class Table(NamedTuple):
    line: int
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def items(markdown: str) -> Iterator[Block | Table]:
    """The fenced blocks and the tables of a document, in order."""
    lines = markdown.split("\n")
    at = 0
    while at < len(lines):
        start = at
        at += 1
        if lines[start].startswith("```"):
            while lines[at] != "```":
                at += 1
            yield Block(start + 1, lines[start][3:], "".join(f"{line}\n" for line in lines[start + 1 : at]))
            at += 1
        elif lines[start].startswith("|"):
            while at < len(lines) and lines[at].startswith("|"):
                at += 1
            header, _, *rows = map(cells, lines[start:at])
            yield Table(start + 1, header, tuple(rows))
        else:
            assert not lines[start].lstrip().startswith(("```", "|")), f"line {start + 1}: indented, so nobody runs it"


def cells(line: str) -> tuple[str, ...]:
    """The cells of one row; `\\|` is a bar."""
    return tuple(cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1])


def is_code(cell: str) -> bool:
    return len(cell) > 2 and cell[0] == cell[-1] == "`"


def plain(cell: str) -> str:
    return cell[1:-1] if is_code(cell) else cell


# -- what a document's examples share ----------------------------------------------------------------------------------
Check = tuple[int, "Callable[[Path], None]"]  # the line it stands on; it takes a folder for the files


@dataclass
class Shared:
    """The state of the reading: what the blocks so far declared."""

    standard: str = ""
    event: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, str]] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    policy: str = ""  # the last one
    wrong: str = ""  # the policy that the next `text error` is about
    override: dict[str, Any] | None = None  # the event that the next `text` block is about

    def completed(self, part: str) -> str:
        """The sections of `part`, below them what it lacks of the standard policy: places in `part` stay right."""
        own, standard = sections_of(part), sections_of(self.standard)
        head = ("policy", "version") if "event" in own else ("policy", "version", "event")
        text = part + "".join(standard[key] for key in head if key not in own)
        if "event" in own or "include" in own:
            return text
        self.files["standard.yaml"] = "".join(body for key, body in standard.items() if key not in head)
        return text + "include: standard.yaml\n"


def sections_of(policy: str) -> dict[str, str]:
    """Its top-level sections by key, each with its own line."""
    parts = re.split(r"^(?=\w+:)", policy, flags=re.MULTILINE)
    return {part.partition(":")[0]: part for part in parts[1:]}


def write(files: Mapping[str, str], folder: Path) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, "utf-8")


def loaded(text: str, files: Mapping[str, str], folder: Path) -> Policy:
    write(files, folder)
    return load(text, base=folder)


def decided(policy: Policy, shared: Shared, event: Mapping[str, Any]) -> frmcore.Decision:
    """The decision about `event` after the history, where the policy has the standard schema."""
    with frmcore.Engine(None, policy=policy, clock=None) as engine:
        known = {declared.name: declared.type.kind for declared in policy.fields}
        for row in shared.history if "merchant" in known else ():
            past = {key: int(text) if known[key] is Kind.MONEY else text for key, text in row.items() if key in known}
            engine.decide(past)
            if "told" in row:
                engine.update(row["txn_id"], at=row["ts"], **dict(part.split("=") for part in row["told"].split()))
        return engine.decide(event)


def shown(value: object) -> str:
    """A value as the documents write it."""
    if value is None or isinstance(value, bool):
        return {None: "absent", True: "true", False: "false"}[value]
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def parsed(cell: str) -> Any:
    return None if cell == "absent" else json.loads(cell)


def compare(line: int, what: str, expected: str, value: str) -> None:
    """A documented number may be cut off by an ellipsis."""
    cut = expected.removesuffix("…")
    assert value == expected or (cut != expected and value.startswith(cut)), f"line {line}: {what} is {value}"


# -- blocks ------------------------------------------------------------------------------------------------------------
def read(markdown: str) -> list[Check]:
    """Every check of a document. Reading runs nothing but what the blocks declare."""
    shared = Shared()
    checks: list[Check] = []
    for item in items(markdown):
        if shared.wrong and not (isinstance(item, Block) and item.info == "text error"):
            checks.append((item.line, failure("a wrong policy above has no `text error`")))
            shared.wrong = ""
        run = read_block(item, shared) if isinstance(item, Block) else read_table(item, shared)
        if run is not None:
            checks.append((item.line, run))
    if shared.wrong or shared.override is not None:
        checks.append((markdown.count("\n"), failure("a wrong policy or an event is left over")))
    return checks


def failure(message: str) -> Callable[[Path], None]:
    def run(_: Path) -> None:
        pytest.fail(message)

    return run


def read_block(block: Block, shared: Shared) -> Callable[[Path], None] | None:
    match block.info.split(" "):
        case ["yaml", "standard"]:
            shared.standard = shared.policy = block.text
            return loads(block.text, shared)
        case ["yaml", "policy"]:
            shared.policy = block.text
            return loads(block.text, shared)
        case ["yaml", "part"]:
            shared.policy = shared.completed(block.text)
            return loads(shared.policy, shared)
        case ["yaml", "wrong"]:
            shared.wrong = shared.completed(block.text)
            return None
        case ["json", "event"] if shared.override is None:
            read_event(block, shared)
            return None
        case ["text", "error"]:
            return read_error(block, shared)
        case ["text", "decision"]:
            return read_decision(block, shared)
        case [_, name] if name.startswith("file="):
            shared.files[name.removeprefix("file=")] = block.text
            return None
        case ["python"] if ">>>" in block.text and not shared.standard:
            return None  # of python.md: see test_python
    return failure(f"line {block.line}: no kind of block: {block.info!r}")


def loads(text: str, shared: Shared) -> Callable[[Path], None]:
    files = dict(shared.files)

    def run(folder: Path) -> None:
        frmcore.Engine(None, policy=loaded(text, files, folder)).close()

    return run


def read_event(block: Block, shared: Shared) -> None:
    if shared.event:
        shared.override = json.loads(block.text)
    else:
        shared.event = json.loads(block.text)


def read_error(block: Block, shared: Shared) -> Callable[[Path], None]:
    wrong, policy, files, event = shared.wrong, shared.policy, dict(shared.files), shared.override
    shared.wrong, shared.override = "", None
    if not wrong and event is None:
        return failure(f"line {block.line}: an error of nothing")

    def run(folder: Path) -> None:
        with pytest.raises((frmcore.PolicyError, frmcore.InvalidEvent)) as caught:
            checked = loaded(wrong or policy, files, folder)
            decided(checked, Shared(), event or {})
        assert str(caught.value) + "\n" == block.text

    return run


def read_decision(block: Block, shared: Shared) -> Callable[[Path], None]:
    policy, files, event = shared.policy, dict(shared.files), shared.override or shared.event
    shared.override = None

    def run(folder: Path) -> None:
        decision = decided(loaded(policy, files, folder), shared, event)
        for line in block.text.splitlines():
            name, _, expected = line.partition(": ")
            value = getattr(decision, name)
            listed = ", ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
            compare(block.line, name, expected.replace("none", ""), listed)

    return run


# -- tables ------------------------------------------------------------------------------------------------------------
def read_table(table: Table, shared: Shared) -> Callable[[Path], None] | None:
    header = table.header
    if header[0] in ("expression", "feature") and "value" in header:
        return values_of(table, shared)
    if all(map(is_code, header)):
        return truths_of(table, shared)
    if header[0] == "txn_id":
        shared.history = [
            {key: plain(cell) for key, cell in zip(header, row, strict=True) if cell} for row in table.rows
        ]
        return None
    if header[:2] == ("bound", "at most"):
        return lambda _: check_bounds(table)
    if header[0].startswith("key of "):
        return lambda _: check_keys(table)
    if "value" in header:
        return failure(f"line {table.line}: no kind of table: {header}")
    return None


def features_of(expressions: list[str], shared: Shared) -> Callable[[Path], Policy]:
    """Loads the standard policy with the expressions as features f0, f1, ..."""
    part = "features:\n" + "".join(f"  f{index}: |-\n    {text}\n" for index, text in enumerate(expressions))
    text, files = shared.completed(part), dict(shared.files)
    return lambda folder: loaded(text, files, folder)


def values_of(table: Table, shared: Shared) -> Callable[[Path], None]:
    """Each row's expression is a feature of the event after the history."""
    with_features = features_of([plain(row[0]) for row in table.rows], shared)

    def run(folder: Path) -> None:
        policy = with_features(folder)
        values = decided(policy, shared, shared.event).features
        for index, row in enumerate(table.rows):
            line, cell = table.line + 2 + index, dict(zip(table.header, row, strict=True))
            compare(line, row[0], plain(cell["value"]), shown(values[f"f{index}"]))
            if "type" in cell:
                compare(line, row[0], cell["type"], type_of(policy, f"f{index}"))

    return run


def type_of(policy: Policy, name: str) -> str:
    of = next(feature.type for feature in policy.features if feature.name == name)
    kind = of.kind.name.lower()
    return f"{'fractional ' * of.fractional}{kind}{f'({of.scale})' * (of.kind is Kind.DECIMAL)}"


def truths_of(table: Table, shared: Shared) -> Callable[[Path], None]:
    """Columns are fields of the event, or expressions over them."""
    names = [plain(cell) for cell in table.header]
    told, asked = [n for n in names if n.isidentifier()], [n for n in names if not n.isidentifier()]
    with_features = features_of(asked, shared)

    def run(folder: Path) -> None:
        policy = with_features(folder)
        for index, row in enumerate(table.rows):
            cell = dict(zip(names, map(plain, row), strict=True))
            values = decided(policy, shared, shared.event | {name: parsed(cell[name]) for name in told}).features
            for at, name in enumerate(asked):
                compare(table.line + 2 + index, name, cell[name], shown(values[f"f{at}"]))

    return run


def number(cell: str) -> int | None:
    """`24h` in ms, `4GiB` in bytes, or "1,024 bytes"."""
    if is_code(cell):
        return parse_duration(plain(cell)) or parse_size(plain(cell))
    return int(cell.split(" ", maxsplit=1)[0].replace(",", ""))


def check_bounds(table: Table) -> None:
    """| bound | at most | name in `frmcore.limits` |"""
    for _, most, name in table.rows:
        assert number(most) == getattr(limits, plain(name)), name


def check_keys(table: Table) -> None:
    owner = table.header[0].removeprefix("key of ")
    documented = [plain(key) for row in table.rows for key in row[0].split(", ")]
    assert sorted(documented) == sorted(KEYS[owner])
    if owner == "`limits`":
        defaults = [() if row[2] == "no limit" else number(row[2]) for row in table.rows]
        assert defaults == list(msgspec.structs.astuple(sections.DEFAULT_LIMITS))


# -- the tests ---------------------------------------------------------------------------------------------------------
def all_checks() -> Iterator[Any]:
    for name in DOCUMENTS:
        for line, run in read((DOCS / name).read_text("utf-8")):
            yield pytest.param(run, id=f"{name}:{line}")


@pytest.mark.parametrize("run", list(all_checks()))
def test_block(run: Callable[[Path], None], tmp_path: Path) -> None:
    run(tmp_path)


def test_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The python blocks of python.md as one doctest, in a folder with its files."""
    blocks = [item for item in items((DOCS / "python.md").read_text("utf-8")) if isinstance(item, Block)]
    write({block.info.partition("file=")[2]: block.text for block in blocks if " file=" in block.info}, tmp_path)
    monkeypatch.chdir(tmp_path)
    if report := failed_examples("python.md", blocks):
        pytest.fail(report)


def failed_examples(name: str, blocks: list[Block]) -> str:
    """What failed, as doctest reports it; lines count as in the document."""
    lines: list[str] = []
    for block in blocks:
        if block.info == "python":
            lines += [""] * (block.line - len(lines)) + block.text.splitlines() + [""]
    source = "\n".join(lines)
    test = doctest.DocTestParser().get_doctest(source, {}, name, str(DOCS / name), 0)
    report: list[str] = []
    doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS).run(test, out=report.append)
    return "".join(report)


def test_every_function_type_and_key_is_documented() -> None:
    found = list(items((DOCS / "policy.md").read_text("utf-8")))
    tables = [item for item in found if isinstance(item, Table)]
    owners = {table.header[0].removeprefix("key of ") for table in tables if table.header[0].startswith("key of ")}
    assert owners == set(KEYS)
    examples = "\n".join(row[0] for table in tables for row in table.rows if "value" in table.header)
    examples += "".join(item.text for item in found if isinstance(item, Block) and item.info.startswith("yaml"))
    assert [name for name in (*FUNCTIONS, *AGGREGATES) if f"{name}(" not in examples] == []
    types = next(table for table in tables if table.header[0] == "type")
    assert [plain(row[0]) for row in types.rows] == list(TYPES)


def test_every_name_of_the_python_interface_is_documented() -> None:
    text = (DOCS / "python.md").read_text("utf-8")
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    named = {word for code in re.findall(r"`([^`\n]+)`", prose) for word in re.findall(r"\w+", code)}
    classes: tuple[type, ...] = (frmcore.Engine, frmcore.Decision, lists.EntityList, lists.Entry)
    classes += (explain.Explanation, explain.RuleTrace, explain.FeatureTrace, explain.Node)
    names = {name for of in classes for name in dir(of) if not name.startswith("_")}
    names |= {name for name, of in vars(errors).items() if inspect.isclass(of) and issubclass(of, Exception)}
    assert sorted(names - named - INTERNAL) == []


STANDARD: Final = """```yaml standard
policy: p
version: 1
event: {id: id, time: ts, fields: {id: string, ts: timestamp, vip: {type: bool, optional: true}}}
features: {c: vip}
```

```json event
{"id": "1", "ts": 1, "vip": true}
```

"""
WRONG: Final = {
    "unknown block": "```yaml polcy\npolicy: x\n```\n",
    "no kind": "```\npolicy: x\n```\n",
    "python beside a standard policy": "```python\n>>> 1\n2\n```\n",
    "an event after an event": "```json event\n{}\n```\n\n```json event\n{}\n```\n\n```text decision\n```\n",
    "a policy that does not load": "```yaml policy\npolicy: x\n```\n",
    "a wrong policy without its error": "```yaml wrong\npolicy: x\n```\n",
    "an error of nothing": "```text error\nx\n```\n",
    "unknown table of values": "| thing | value |\n|---|---|\n| `1` | `1` |\n",
    "a wrong bound": "| bound | at most | name |\n|---|---|---|\n| rules | 5 | `RULES_MAX` |\n",
    "a missing key": "| key of a point | means |\n|---|---|\n| `on` | kinds |\n",
    "a value": "| expression | value |\n|---|---|\n| `1 + 1` | `3` |\n",
    "a value cut off": "| expression | value |\n|---|---|\n| `1 / 3` | `0.34…` |\n",
    "a type": "| expression | type | value |\n|---|---|---|\n| `1 + 1` | float | `2` |\n",
    "a truth": "| `vip` | `not vip` |\n|---|---|\n| absent | false |\n",
    "a message": "```yaml wrong\nfeatures:\n  a: b\n```\n\n```text error\nno\n```\n",
    "a wrong policy that loads": "```yaml wrong\nfeatures:\n  a: vip\n```\n\n```text error\nno\n```\n",
    "a decision": "```yaml part\nrules: [{id: r, when: vip, score: 3}]\n```\n\n```text decision\nscore: 4\n```\n",
    "an event that is fine": '```json event\n{"id": "1", "ts": 1}\n```\n\n```text error\nno\n```\n',
    "an event left over": '```json event\n{"id": "1", "ts": 1}\n```\n',
}


@pytest.mark.parametrize("markdown", WRONG.values(), ids=WRONG)
def test_what_is_wrong_fails(markdown: str, tmp_path: Path) -> None:
    failed = 0
    for _, run in read(STANDARD + markdown):
        try:
            run(tmp_path)
        except (AssertionError, pytest.fail.Exception, frmcore.PolicyError):
            failed += 1
    assert failed == 1


def test_a_wrong_python_example_fails(tmp_path: Path) -> None:
    [(_, without_prompt)] = read("```python\nx = 1\n```\n")
    with pytest.raises(pytest.fail.Exception, match="no kind of block"):
        without_prompt(tmp_path)
    right, wrong = Block(1, "python", ">>> 1 + 1\n2\n"), Block(5, "python", ">>> 1 + 1\n3\n")
    assert not failed_examples("x", [right])
    assert "line 6" in failed_examples("x", [right, wrong])
