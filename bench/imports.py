"""What a fresh process pays before its first decision: `python -m bench.imports`."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from bench.machine import machine
from bench.world import HERE, RESULTS

STARTER = HERE.parent / "frmcore/cli/starter/policy.yaml"


def fresh_ms(code: str, before: str = "pass", times: int = 20) -> float:
    """The processor time of `code` after `before` in a Python of its own, byte code cached: the least of several."""
    timed = f"import time; {before}; t = time.process_time(); {code}; print((time.process_time() - t) * 1000)"
    caching = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", timed]
    runs = [
        subprocess.run(command, capture_output=True, text=True, check=True, cwd=HERE.parent, env=caching).stdout
        for _ in range(times)
    ]
    return round(min(map(float, runs)), 1)


def main() -> None:
    result = {
        "machine": machine(),
        "import_ms": fresh_ms("import frmcore"),
        "of_it_msgspec_ms": fresh_ms("import msgspec"),
        "first_engine_ms": fresh_ms(f"frmcore.Engine(None, policy={str(STARTER)!r})", "import frmcore"),
    }
    print(json.dumps(result, indent=1))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "imports.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
