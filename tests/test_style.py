"""The rules of the code that no linter knows: exception contracts, the direction of imports, nothing that runs text."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from frmcore import limits

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "frmcore"
PIECES = [PACKAGE / "_fast.pyx", *sorted((PACKAGE / "_fast").glob("*.pxi"))]
SOURCES = sorted(PACKAGE.rglob("*.py"))
GROUND = ("errors", "limits", "names")
SHARED = (*GROUND, "currency", "durations", "text", "plan", "values", "verify")  # what policy and hot path may both use
ABOVE = ("__main__", "authoring", "cli", "generate", "report")  # nothing of the library knows them


# -- the hot path ------------------------------------------------------------------------------------------------------
def declarations(text: str) -> Iterator[tuple[int, str]]:
    """(line, whole text) of each `cdef` with brackets that ends in a colon, comments left out: the functions."""
    lines = [line.partition("#")[0].rstrip() for line in text.split("\n")]
    for number, line in enumerate(lines):
        if re.match(r"\s*(cdef|cpdef)\s[^=]*\(", line) and not re.match(
            r"\s*cdef\s+(extern|class|struct|enum)\b", line
        ):
            end = next((at for at in range(number, min(number + 8, len(lines))) if lines[at].endswith(":")), None)
            whole = " ".join(part.strip() for part in lines[number : end + 1]) if end is not None else line
            if end is not None and whole.count("(") == whole.count(")"):
                yield number + 1, whole


def is_contracted(declaration: str) -> bool:
    """C results say what an error looks like; objects are NULL then."""
    after = declaration[declaration.rindex(")") + 1 :]
    if "noexcept" in after or re.search(r"\bexcept\b", after):
        return True
    head = re.sub(r"^\s*(cdef|cpdef)\s+(inline\s+)?", "", declaration)
    result = head[: head.index("(")].rsplit(None, 1)[0].strip()
    return result in (
        "object",
        "tuple",
        "list",
        "dict",
        "set",
        "str",
        "bytes",
        "Decision",
        "Book",
        "Lists",
        "RingStore",
        "Core",
        "Naming",
        "Phrases",
    )


def is_decorator(line: str) -> bool:
    return line.startswith("@")


def test_every_class_of_the_hot_path_is_final() -> None:
    found = 0
    for path in PIECES:
        lines = path.read_text("utf-8").split("\n")
        for number, line in enumerate(lines):
            if re.match(r"cdef class \w+.*:", line):
                found += 1
                above = [each.partition("#")[0].strip() for each in takewhile(is_decorator, reversed(lines[:number]))]
                assert "@cython.final" in above, f"{path.name}:{number + 1}: {line}"
    assert found > 5


def test_every_function_of_the_hot_path_has_an_exception_contract() -> None:
    found = 0
    for path in PIECES:
        for number, declaration in declarations(path.read_text("utf-8")):
            found += 1
            assert is_contracted(declaration), f"{path.name}:{number}: {declaration}"
    assert found > 300


@pytest.mark.parametrize(
    ("declaration", "is_sound"),
    [
        ("cdef int f(int a) noexcept:", True),
        ("cdef inline bint f(self) noexcept nogil:", True),
        ("cdef uint32_t f(object a) except? 0:", True),
        ("cdef object f(a):", True),
        ("cdef int f(int a):", False),
        ("cdef inline void f(int (*g)(int)):", False),
        ("cdef Range* f() nogil:", False),
    ],
)
def test_the_contract_is_seen(declaration: str, is_sound: bool) -> None:
    ((_, found),) = declarations(declaration)
    assert is_contracted(found) == is_sound


def test_the_pieces_are_in_the_table_of_contents_each_once() -> None:
    named = re.findall(r'^include "_fast/(\w+\.pxi)"', PIECES[0].read_text("utf-8"), re.MULTILINE)
    assert sorted(named) == sorted(path.name for path in PIECES[1:])


@pytest.mark.parametrize(
    ("piece", "name", "bound"),
    [
        ("route.pxi", "KEY_PARTS_MAX", limits.KEY_PARTS_MAX),
        ("totals.pxi", "COLUMNS_MAX", limits.GROUP_COLUMNS_MAX),
        ("fields.pxi", "STRING_BYTES_MAX", limits.STRING_BYTES_MAX),
        ("fields.pxi", "ID_BYTES_MAX", limits.ID_BYTES_MAX),
        ("alert.pxi", "EVIDENCE_MAX", limits.EVIDENCE_MAX),
        ("channel.pxi", "FRAME_BYTES_MAX", limits.FRAME_BYTES_MAX),
        ("gate.pxi", "BATCH_EVENTS_MAX", limits.BATCH_EVENTS_MAX),
    ],
)
def test_bounds_of_the_hot_path_are_those_of_limits(piece: str, name: str, bound: int) -> None:
    text = (PACKAGE / "_fast" / piece).read_text("utf-8")
    assert re.findall(rf"^    {name} = (\d+)", text, re.MULTILINE) == [str(bound)]


# -- Python ------------------------------------------------------------------------------------------------------------
def trees() -> Iterator[tuple[str, ast.Module]]:
    for path in SOURCES:
        yield path.relative_to(PACKAGE).as_posix(), ast.parse(path.read_text("utf-8"), str(path))


def imported(tree: ast.Module) -> set[str]:
    """Modules that are imported when the module is: those for type checkers are not."""
    found: set[str] = set()
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
        waiting += ast.iter_child_nodes(node)
    return found


def part_of(module: str) -> str:
    """`policy` of frmcore.policy.load; "" of a module that is not ours."""
    ours, _, rest = module.partition(".")
    return rest.partition(".")[0] if ours == "frmcore" else ""


def test_imports_point_one_way() -> None:
    for name, tree in trees():
        modules = imported(tree)
        parts = {part_of(module) for module in modules} - {""}
        own = name.partition("/")[0].removesuffix(".py")
        if own in GROUND:
            assert parts <= set(GROUND), f"{name}: the ground floor imports {parts}"
        elif own in SHARED:
            assert parts <= set(SHARED), f"{name}: what both sides share imports {parts}"
        elif own == "policy":
            assert not parts & {"_fast", "engine", "lists", "explain", *ABOVE}, f"{name} imports {parts}"
        elif own not in ABOVE:
            assert not parts & set(ABOVE), f"{name} imports {parts}"
        if own != "store":
            assert "lmdb" not in {module.partition(".")[0] for module in modules}, f"{name}: only the store opens LMDB"


def test_nothing_runs_text() -> None:
    forbidden = {"pickle", "marshal", "shelve", "dill", "code", "codeop", "runpy"}
    for name, tree in trees():
        assert not {module.partition(".")[0] for module in imported(tree)} & forbidden, name
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("eval", "exec", "compile", "__import__", "import_module"), (
                    f"{name}:{node.lineno}"
                )
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "yaml":
                unsafe = ("load", "load_all", "unsafe_load", "full_load", "Loader", "UnsafeLoader", "FullLoader")
                assert node.attr not in unsafe, f"{name}:{node.lineno}: yaml.{node.attr}"
    for path in PIECES:
        assert not re.search(r"(?<![\w.])(eval|exec|__import__)\(|\bimport pickle", path.read_text("utf-8")), path.name


def test_no_path_of_a_machine() -> None:
    for path in (*SOURCES, *PIECES, *sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md"):
        assert not re.search(r"/(work|home|root|Users)/\w", path.read_text("utf-8")), path.name


# -- the import --------------------------------------------------------------------------------------------------------
def test_the_library_imports_no_more_than_it_needs() -> None:
    code = "import sys, frmcore; frmcore.Engine; print(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    modules = {module.partition(".")[0] for module in said.stdout.split()}
    assert not modules & {"typer", "click", "rich", "pyarrow", "polars", "numpy", "pandas", "lmdb", "asyncio"}
    assert not {part_of(module) for module in said.stdout.split()} & {*ABOVE, "serve", "telemetry"}


def test_the_compiler_is_imported_with_the_first_policy() -> None:
    """60 ms are spent by modules, not by lines: those of the import are counted, because times differ by machine."""
    code = "import sys; bare = set(sys.modules); import frmcore; print(*set(sys.modules) - bare)"
    said = subprocess.run([sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {code}"],
                          capture_output=True, text=True, check=True, cwd=ROOT)  # fmt: skip
    modules = set(said.stdout.split())
    assert not modules & {"yaml", "re2", "hashlib", "zoneinfo", "difflib", "logging", "json", "csv", "tempfile"}
    ours = {module for module in modules if part_of(module)}
    assert len(ours) <= 33, sorted(ours)
    assert len(modules) <= 110, sorted(modules - ours)


def test_the_import_is_quick() -> None:
    """A tenth of a second of one core; a busy machine takes some times that."""
    code = "import time; started = time.process_time(); import frmcore; print(time.process_time() - started)"
    said = subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True, text=True)
    assert float(said.stdout) < 1.5
