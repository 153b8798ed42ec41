"""The table `decided`: one row a decision of a run, written in batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from frmcore.history.workspace import Workspace

COLUMNS: Final = {
    "n": "BIGINT",  # place in the run, from 1
    "id": "VARCHAR",
    "t": "BIGINT",  # the event's time, epoch ms
    "point": "VARCHAR",
    "outcome": "VARCHAR",
    "score": "BIGINT",
    "fired": "VARCHAR[]",  # enforced
    "shadow": "VARCHAR[]",
    "silenced": "VARCHAR[]",  # groups that fired rules exempt
    "late": "BOOLEAN",
    "weight": "DOUBLE",  # of how many events this one speaks: 1, or 1 / probability in a holdout
    "amount": "BIGINT",  # minor units of the base currency
    "customer": "VARCHAR",
    "live": "VARCHAR",  # the outcome that took effect then, where that is known
    "base_outcome": "VARCHAR",  # of the policy it is compared with
    "base_fired": "VARCHAR[]",
    "same": "BOOLEAN",  # is the decision, bit for bit, the one that the store has
    "record": "BLOB",
    "base_record": "BLOB",
}
BATCH: Final = 8_192


class Row(NamedTuple):
    n: int
    id: str
    t: int
    point: str
    outcome: str
    score: int
    fired: tuple[str, ...]
    shadow: tuple[str, ...]
    silenced: tuple[str, ...]
    late: bool
    weight: float
    amount: int | None
    customer: str | None
    live: str | None
    base_outcome: str | None
    base_fired: tuple[str, ...] | None
    same: bool | None
    record: bytes
    base_record: bytes | None


class Writer:
    """`add` each row, `flush` at the end."""

    def __init__(self, space: Workspace) -> None:
        self._space = space
        self._rows: list[Row] = []
        space.create("decided", COLUMNS)

    def add(self, row: Row) -> None:
        self._rows.append(row)
        if len(self._rows) == BATCH:
            self.flush()

    def flush(self) -> None:
        self._space.append("decided", COLUMNS, self._rows)
        self._rows.clear()
