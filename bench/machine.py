"""The machine that a figure was measured on, and what else ran there."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.world import HERE


def machine() -> dict[str, Any]:
    """Processor, system, versions, load (the mean number of processes that wanted to run, over 1 and 15 minutes)."""
    load = os.getloadavg()
    return {
        "cpu": _first("/proc/cpuinfo", "model name"),
        "mhz": round(float(_first("/proc/cpuinfo", "cpu MHz") or 0)),
        "cores": os.cpu_count(),
        "memory_gb": round(int(_first("/proc/meminfo", "MemTotal").split()[0] or 0) / 1e6),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "compiler": platform.python_compiler(),
        "load": [round(load[0], 1), round(load[2], 1)],
        "commit": _commit(),
    }


def pinned() -> str:
    """Keeps this process on the last core, away from where interrupts usually go; says which."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[-1:])
    return f"pinned to core {cores[-1]}"


def _first(file: str, key: str) -> str:
    try:
        lines = Path(file).read_text().split("\n")
    except OSError:
        return "0"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "0")


def _commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--exclude=*"], cwd=HERE, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "?"


if __name__ == "__main__":
    sys.stdout.write("".join(f"{name}: {value}\n" for name, value in machine().items()))
