"""R1's features as SQL over one table of events: one prepared statement an event, and the rules in Python.

The event itself is added by the client: a statement does not see what it inserts. `seq` orders events, so that a
retry reads the windows as they were.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import tempfile
from abc import ABC, abstractmethod
from math import sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bench.peers.rules import fused

if TYPE_CHECKING:
    from collections.abc import Mapping

M1, M5, M10, H1, H24, D7 = 60_000, 300_000, 600_000, 3_600_000, 86_400_000, 604_800_000
KEYS: Final = ("account_id", "card_id", "device_id", "ip", "merchant_id")
COLUMNS: Final = (
    "seq bigint, id text primary key, ts bigint, account_id text, card_id text, device_id text, ip text, "
    "merchant_id text, amount bigint"
)
LISTED: Final = (("bl_card", "card_id"), ("bl_device", "device_id"), ("bl_ip", "ip"), ("bl_email", "email"))


def statement(place: str, square: str) -> str:
    """One row of everything. `place`: how a parameter is written, such as `:{}`; `square`: how an amount is squared."""

    def p(name: str) -> str:
        return place.format(name)

    def window(aggregate: str, over: int) -> str:
        return f"{aggregate} FILTER (WHERE ts > {p('ts')} - {over})"

    def part(key: str, over: int, *columns: str) -> str:
        names = ", ".join(f"{column} AS {key}{number}" for number, column in enumerate(columns))
        span = f"ts > {p('ts')} - {over} AND ts <= {p('ts')} AND seq < {p('seq')}"
        return f"(SELECT {names} FROM events WHERE {key} = {p(key)} AND {span}) AS of_{key}"

    def distinct(column: str) -> str:
        itself = f"max(CASE WHEN {column} = {p(column)} THEN 1 ELSE 0 END)"
        return f"count(DISTINCT {column}) + coalesce(1 - {itself}, 1)"

    account = part(
        "account_id", D7,
        *(window("count(*)", over) for over in (M10, H1, H24)),
        *(window("sum(amount)", over) for over in (M10, H1, H24)),
        *(window("max(amount)", over) for over in (M10, H1, H24)),
        "count(*)", "sum(amount)", f"sum({square})", "max(ts)",
    )  # fmt: skip
    card = part("card_id", H24, window("count(*)", M5), window("count(*)", H1), "count(*)", "sum(amount)")
    device = part(
        "device_id",
        H24,
        window("count(*)", H1),
        distinct("account_id"),
    )
    ip = part(
        "ip",
        H1,
        window("count(*)", M10),
        distinct("card_id"),
    )
    merchant = part("merchant_id", M1, "count(*)")
    flags = ", ".join(f"EXISTS(SELECT 1 FROM {name} WHERE value = {p(field)}) AS {name}" for name, field in LISTED)
    return f"SELECT *, {flags} FROM {account}, {card}, {device}, {ip}, {merchant}"


class SqlEngine(ABC):
    """`decide(event)` -> (outcome, score, features, flags)."""

    def __init__(self) -> None:
        self._seq = 0

    @abstractmethod
    def _insert(self, row: dict[str, Any]) -> bool:
        """False where the id is known."""

    @abstractmethod
    def _known(self, event_id: str) -> int:
        """The sequence number of a known event."""

    @abstractmethod
    def _read(self, row: dict[str, Any]) -> tuple[Any, ...]: ...

    @abstractmethod
    def close(self) -> None: ...

    def decide(self, e: dict[str, Any]) -> tuple[Any, ...]:
        self._seq += 1
        row = {**e, "seq": self._seq}
        if not self._insert(row):
            row["seq"] = self._known(e["id"])
        found = self._read(row)
        features, flags = _features(found, e["ts"], e["amount"]), tuple(map(bool, found[-4:]))
        return (*fused(e, features, flags), features, flags)


def _features(found: tuple[Any, ...], ts: int, amount: int) -> tuple[Any, ...]:
    """The row, and the event itself."""
    counts = [count + 1 for count in found[:3]]
    sums = [int(total or 0) + amount for total in found[3:6]]
    greatest = [max(value or 0, amount) for value in found[6:9]]
    n, total, squares, last = found[9] + 1, int(found[10] or 0) + amount, (found[11] or 0) + amount * amount, found[12]
    spread = n * squares - total * total
    k5, k1, k24, spent = found[13:17]
    return (
        *counts, *sums, *greatest, k5 + 1, k1 + 1, k24 + 1, int(spent or 0) + amount,
        found[17] + 1, found[18], found[19] + 1,
        found[20], found[21] + 1, total / n, sqrt(spread) / n if spread > 0 else 0.0, -1 if last is None else ts - last,
    )  # fmt: skip


class SqliteEngine(SqlEngine):
    """In memory; an index for each key covers what its windows read."""

    def __init__(self, lists: Mapping[str, list[str]]) -> None:
        super().__init__()
        self._db = sqlite3.connect(":memory:", isolation_level=None, cached_statements=16)
        self._db.execute(f"CREATE TABLE events ({COLUMNS}) WITHOUT ROWID")
        for key in KEYS:
            self._db.execute(f"CREATE INDEX by_{key} ON events ({key}, ts, seq, amount, account_id, card_id)")
        for name, values in lists.items():
            self._db.execute(f"CREATE TABLE {name} (value text primary key) WITHOUT ROWID")
            self._db.executemany(f"INSERT OR IGNORE INTO {name} VALUES (?)", ((value,) for value in values))
        self._select = statement(":{}", "amount * amount")

    def _insert(self, row: dict[str, Any]) -> bool:
        return self._db.execute(
            "INSERT OR IGNORE INTO events VALUES (:seq, :id, :ts, :account_id, :card_id, :device_id, :ip, "
            ":merchant_id, :amount)",
            row,
        ).rowcount == 1  # fmt: skip

    def _known(self, event_id: str) -> int:
        return int(self._db.execute("SELECT seq FROM events WHERE id = ?", (event_id,)).fetchone()[0])

    def _read(self, row: dict[str, Any]) -> tuple[Any, ...]:
        found: tuple[Any, ...] = self._db.execute(self._select, row).fetchone()
        return found

    def close(self) -> None:
        self._db.close()


class DuckdbEngine(SqlEngine):
    """In memory, on one thread. Made for many rows at once, not for one: it is here because people ask."""

    def __init__(self, lists: Mapping[str, list[str]]) -> None:
        import duckdb

        super().__init__()
        self._db = duckdb.connect(":memory:", config={"threads": 1})
        self._db.execute(f"CREATE TABLE events ({COLUMNS})")
        for key in KEYS:
            self._db.execute(f"CREATE INDEX by_{key} ON events ({key})")
        import pyarrow

        for name, values in lists.items():
            self._db.register("given", pyarrow.table({"value": list(dict.fromkeys(values))}))
            self._db.execute(f"CREATE TABLE {name} AS SELECT value FROM given")
            self._db.execute(f"CREATE UNIQUE INDEX in_{name} ON {name} (value)")
        self._select = statement("${}", "amount * amount")

    def _insert(self, row: dict[str, Any]) -> bool:
        found = self._db.execute(
            "INSERT INTO events VALUES ($seq, $id, $ts, $account_id, $card_id, $device_id, $ip, $merchant_id, $amount) "
            "ON CONFLICT DO NOTHING",
            {name: row[name] for name in ("seq", "id", "ts", *KEYS, "amount")},
        ).fetchone()
        return bool(found and found[0])

    def _known(self, event_id: str) -> int:
        found = self._db.execute("SELECT seq FROM events WHERE id = $1", [event_id]).fetchone()
        return int(found[0]) if found else 0

    def _read(self, row: dict[str, Any]) -> tuple[Any, ...]:
        given = {name: row[name] for name in ("seq", "ts", *KEYS, "email")}
        found: tuple[Any, ...] = self._db.execute(self._select, given).fetchone() or ()
        return found

    def close(self) -> None:
        self._db.close()


class PostgresEngine(SqlEngine):
    """A cluster of its own on a unix socket, asynchronous commit, prepared statements in binary."""

    def __init__(self, lists: Mapping[str, list[str]]) -> None:
        import psycopg

        super().__init__()
        self._server = PostgresServer()
        self._db: Any = psycopg.connect(self._server.address, autocommit=True, prepare_threshold=0)
        self._db.execute("SET synchronous_commit = off")
        self._db.execute("SET enable_seqscan = off")  # plans are made while the table is small
        self._db.execute(f"CREATE TABLE events ({COLUMNS})")
        for key in KEYS:
            self._db.execute(f"CREATE INDEX ON events ({key}, ts)")
        for name, values in lists.items():
            self._db.execute(f"CREATE TABLE {name} (value text primary key)")
            with self._db.cursor().copy(f"COPY {name} FROM STDIN") as copy:
                for value in dict.fromkeys(values):
                    copy.write_row((value,))
        self._db.execute("ANALYZE")
        self._select = statement("%({})s", "amount::float8 * amount")

    def _insert(self, row: dict[str, Any]) -> bool:
        done = self._db.execute(
            "INSERT INTO events VALUES (%(seq)s, %(id)s, %(ts)s, %(account_id)s, %(card_id)s, %(device_id)s, %(ip)s, "
            "%(merchant_id)s, %(amount)s) ON CONFLICT DO NOTHING",
            row,
        )
        return bool(done.rowcount == 1)

    def _known(self, event_id: str) -> int:
        return int(self._db.execute("SELECT seq FROM events WHERE id = %s", (event_id,)).fetchone()[0])

    def _read(self, row: dict[str, Any]) -> tuple[Any, ...]:
        found: tuple[Any, ...] = self._db.execute(self._select, row, binary=True).fetchone()
        return found

    def close(self) -> None:
        self._db.close()
        self._server.close()


class PostgresServer:
    """Made in a temporary folder. PostgreSQL refuses to run as root: it then runs as the user `postgres`."""

    def __init__(self) -> None:
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")) or [
            Path(p) for p in (shutil.which("initdb"),) if p
        ]
        if not found:
            raise RuntimeError("PostgreSQL is not installed (apt install postgresql)")
        self._bin = found[-1].parent
        self._folder = tempfile.TemporaryDirectory(prefix="frmcore-pg-")
        self._as: list[str] = []
        if os.geteuid() == 0:
            self._as = ["runuser", "-u", "postgres", "--"]
            shutil.chown(self._folder.name, "postgres")
        self._run("initdb", "-D", f"{self._folder.name}/data", "-A", "trust", "-U", "bench", "--no-sync")
        options = f"-c listen_addresses= -k {self._folder.name} -c shared_buffers=512MB -c autovacuum=off -c jit=off"
        log = f"{self._folder.name}/log"
        self._run("pg_ctl", "-D", f"{self._folder.name}/data", "-w", "-l", log, "-o", options, "start")
        self.address = f"host={self._folder.name} user=bench dbname=postgres"

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._as, str(self._bin / program), *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=self._folder.name)

    def close(self) -> None:
        self._run("pg_ctl", "-D", f"{self._folder.name}/data", "-m", "immediate", "stop")
        self._folder.cleanup()
