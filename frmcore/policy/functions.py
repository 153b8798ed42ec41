"""The functions of the language: names, arguments, what each gives. The checker reads this table, and so do people."""

from __future__ import annotations

from typing import Final

AGGREGATES: Final = frozenset(
    "count sum mean min max std count_distinct share first last since_last since_first".split()
)
FUNCTIONS: Final = frozenset(
    "missing coalesce abs min max round money lower upper len startswith endswith contains domain canonical_email fold "
    "network matches hour weekday days_between distance_km original fired".split()
)
WORDS: Final = frozenset("and or not in if else true false final score".split())
RESERVED: Final = AGGREGATES | FUNCTIONS | WORDS  # no field, parameter, list or feature may be called so
