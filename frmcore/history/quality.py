"""What was wrong with the inputs of a run: counted by kind, with some examples."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

EXAMPLES_MAX: Final = 20
SECONDS: Final = 978_307_200_000  # 2001: a time before it is likely one in seconds
MICROS: Final = 7_258_118_400_000  # 2200: a time after it is likely one in micro- or nanoseconds


def doubtful(what: str, first: int | None, last: int | None) -> list[str]:
    """Notes about times that are likely of another unit. first, last: epoch ms; None where there is none."""
    notes = []
    if first is not None and first < SECONDS:
        notes.append(f"{what}: the first time is before 2001: are times in seconds? They are epoch milliseconds")
    if last is not None and last > MICROS:
        notes.append(f"{what}: the last time is after 2200: are times in microseconds? They are epoch milliseconds")
    return notes


@dataclass
class Quality:
    """`refused`: (what, field or "") -> rows that the engine or the reader refused; `notes`: what is worth knowing."""

    refused: Counter[tuple[str, str]] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    missing: dict[str, int] = field(default_factory=dict)  # field -> events without it
    events: int = 0
    duplicates: int = 0
    late: int = 0
    out_of_order: int = 0

    def refuse(self, what: str, place: str, error: str, culprit: str = "") -> None:
        self.refused[what, culprit] += 1
        if len(self.examples) < EXAMPLES_MAX:
            self.examples.append(f"{place}: {error}")

    def table(self) -> list[dict[str, Any]]:
        """One row for each thing that was found, as (what, field, rows)."""
        found = [
            {"what": "events read", "field": "", "rows": self.events},
            {"what": "duplicates", "field": "", "rows": self.duplicates},
            {"what": "late events", "field": "", "rows": self.late},
            {"what": "rows out of order in the files", "field": "", "rows": self.out_of_order},
        ]
        found += [
            {"what": f"refused: {what}", "field": name, "rows": n} for (what, name), n in self.refused.most_common()
        ]
        return found + [{"what": "missing", "field": name, "rows": n} for name, n in self.missing.items()]
