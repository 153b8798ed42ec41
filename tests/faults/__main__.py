"""`python -m faults power 20000`: runs one harness and prints its figures; fails where something was lost."""

from __future__ import annotations

import argparse
import importlib
import sys

from faults.tracer import preload

KINDS = ("disk", "frames", "kill", "owner", "power", "rot", "snapshots", "soak", "spray", "stall")
TRACED = {"disk", "power", "stall"}


def main() -> int:
    parser = argparse.ArgumentParser(prog="faults", description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("count", type=int, help="images, kills, calls, frames, flips, mutants or decisions")
    given = parser.parse_args()
    if given.kind in TRACED:
        preload("faults")
    return int(importlib.import_module(f"faults.{given.kind}").main(given.count) > 0)


if __name__ == "__main__":
    sys.exit(main())
