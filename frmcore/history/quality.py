"""What was wrong with the inputs of a run: counted by kind, with some examples."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

EXAMPLES_MAX: Final = 20


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
