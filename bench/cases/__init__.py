"""The benchmarks by name. Each is a function that makes one at a scale; `frmcore`'s own names only, no private clocks.

Another command gets its benchmark by one more function with `@case` in one of these files.
"""

from bench.cases import aggregates, decide, growth, history, lists, policy, program, store, updates
from bench.cases.case import CASES, Bench

__all__ = [
    "CASES",
    "Bench",
    "aggregates",
    "decide",
    "growth",
    "history",
    "lists",
    "policy",
    "program",
    "store",
    "updates",
]
