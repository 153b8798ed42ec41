"""Instructions of a decision, counted by valgrind: `python -m bench.instructions` (`--profile`, `--keep`, `--rebase`).

Two runs that differ in nothing but some decisions of R1 differ in nothing but their instructions. The count hardly
changes, however busy the machine is, so it is held against a ceiling in bench/instructions.json. Another compiler gives
another count.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, Final

from bench.world import HERE, RESULTS

CEILINGS: Final = HERE / "instructions.json"
EVENTS, WARM = 5_000, 1_000
ROOM: Final = 1.05  # of a ceiling above what was counted when it was set
RUNS: Final = ("nothing", "decide", "decide_many")
LINE: Final = re.compile(r"^\s*([\d,]+) \([\s\d.]+%\)\s+(?:.*?:)?(\S.*?)(?: \[.*\])?$")


def work(what: str) -> None:
    """The run that is counted: everything is made in each of them, only one is decided."""
    from bench.stream import SMALL
    from bench.world import POLICY, Scale, World
    from frmcore.policy import load

    world = World(Scale(SMALL, WARM, EVENTS, 1, 1, (1, 1, 1), 1))
    world.__dict__["policy"] = load(POLICY)  # lists stay empty: probes read one line of a filter, as misses do
    engine = world.warm()
    events = next(world.rounds())
    if what == "decide":
        for event in events:
            engine.decide(event)
    elif what == "decide_many":
        engine.decide_many(events)


def counted(profile: bool) -> tuple[dict[str, int], list[tuple[str, float]]]:
    """Instructions an event for each run; with `profile` also those of each function, in `decide`."""
    with tempfile.TemporaryDirectory() as folder:
        files = {what: Path(folder, what) for what in RUNS}
        started = {what: _start(what, file) for what, file in files.items()}
        for what, process in started.items():
            if process.wait():
                raise SystemExit(f"valgrind failed in {what}: {files[what].with_suffix('.log').read_text()[-2000:]}")
        totals = {what: _total(file) for what, file in files.items()}
        functions = _difference(_functions(files["decide"]), _functions(files["nothing"])) if profile else []
    return {what: round((totals[what] - totals["nothing"]) / EVENTS) for what in RUNS[1:]}, functions


def _start(what: str, file: Path) -> subprocess.Popen[bytes]:
    command = [
        "valgrind",
        "--tool=callgrind",
        f"--callgrind-out-file={file}",
        sys.executable,
        "-m",
        "bench.instructions",
    ]
    # Python's own allocator, as it runs: glibc's searches for room as memory happens to lie, by 6 % of `decide_many`.
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": str(HERE.parent), "PYTHONMALLOC": "pymalloc"}
    with file.with_suffix(".log").open("wb") as log:
        return subprocess.Popen([*command, "--run", what], env=environment, stdout=log, stderr=log)


def _total(file: Path) -> int:
    found = re.search(r"^(?:summary|totals): (\d+)", file.read_text(), re.MULTILINE)
    if found is None:
        raise SystemExit(f"{file.name}: valgrind told no total")
    return int(found[1])


def _functions(file: Path) -> Counter[str]:
    command = ["callgrind_annotate", "--auto=no", "--threshold=100", "--show-percs=yes", str(file)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found: Counter[str] = Counter()
    for line in said.split("\n"):
        if match := LINE.match(line):
            found[re.sub(r"^__pyx_\w*?_5?_fast_", "", match[2])] += int(match[1].replace(",", ""))
    found.pop("PROGRAM TOTALS", None)
    return found


def _difference(more: Counter[str], less: Counter[str]) -> list[tuple[str, float]]:
    found = [(name, (count - less[name]) / EVENTS) for name, count in more.items()]
    return sorted(found, key=lambda each: -each[1])


def compiler() -> str:
    """What the ceilings hold for: the compiler's major version and the machine."""
    said = subprocess.run(["gcc", "-dumpversion"], capture_output=True, text=True, check=False).stdout.strip()
    return (
        f"gcc {said.partition('.')[0]} {platform.machine()}, Python {sys.version_info.major}.{sys.version_info.minor}"
    )


def verdict(found: dict[str, int], kept: dict[str, Any]) -> list[str]:
    """What is above its ceiling."""
    return [
        f"{name}: {count:,} instructions a decision, the ceiling is {kept[name]:,}: find out why, or raise it in "
        f"bench/{CEILINGS.name} and say why"
        for name, count in found.items()
        if count > kept[name]
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", choices=RUNS, help=argparse.SUPPRESS)
    parser.add_argument("--profile", action="store_true", help="also what the functions take that matter most")
    parser.add_argument("--keep", action="store_true", help="for docs/performance.md")
    parser.add_argument("--rebase", action="store_true", help="what is counted, and 5 %%, becomes the ceiling")
    given = parser.parse_args()
    if given.run:
        work(given.run)
        return 0
    if shutil.which("valgrind") is None:
        print("instructions: not counted, valgrind is not installed (apt install valgrind)")
        return 0
    kept = json.loads(CEILINGS.read_text()) if CEILINGS.exists() else {}
    found, functions = counted(given.profile)
    for name, count in found.items():
        print(f"{name}: {count:,} instructions an event, ceiling {kept.get(name, 0):,} ({compiler()})")
    if given.keep:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "instructions.json").write_text(json.dumps({"compiler": compiler(), **found}, indent=1) + "\n")
    for name, mean in functions[:40]:
        print(f"{mean:10,.0f}  {name}")
    if given.rebase:
        ceilings = {name: int(count * ROOM) for name, count in found.items()}
        CEILINGS.write_text(json.dumps({"compiler": compiler(), **ceilings}, indent=1) + "\n")
        return 0
    if kept.get("compiler") != compiler():
        print(f"instructions: the ceilings are for {kept.get('compiler')}; not held against them")
        return 0
    said = verdict(found, kept)
    print("\n".join(said), end="\n" if said else "")
    return 1 if said else 0


if __name__ == "__main__":
    raise SystemExit(main())
