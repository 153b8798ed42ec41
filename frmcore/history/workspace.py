"""A database for one run, in a temporary folder that is always removed: it sorts, joins and adds up what is larger
than memory."""

from __future__ import annotations

import re
from os import SEEK_END
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final, Self

from frmcore.errors import HistoryError, WrongOption

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import TracebackType

    from duckdb import DuckDBPyConnection

MEMORY: Final = "1GB"
_MEMORY: Final = re.compile(r"([1-9][0-9]{0,6}(?:\.[0-9]{1,3})?) ?(MB|GB|TB)", re.IGNORECASE)
_MEGABYTES: Final = {"MB": 1, "GB": 1_000, "TB": 1_000_000}
_MEGABYTES_MIN: Final = 128  # below it duckdb's sort has no room to spill from


def needs_duckdb() -> Any:
    """duckdb and pyarrow, an extra. Raises HistoryError where they are missing."""
    try:
        import duckdb  # noqa: PLC0415
        import pyarrow  # noqa: F401, PLC0415
    except ImportError:
        raise HistoryError('history is read with duckdb and pyarrow: pip install "frmcore[history]"') from None
    return duckdb


class Workspace:
    """`db` is a duckdb connection that may use `memory` ("1GB"); beyond it, it spills into its folder (0700).

    Raises WrongOption for a `memory` that is none.
    """

    def __init__(self, memory: str = MEMORY) -> None:
        size = _MEMORY.fullmatch(memory)
        if size is None or float(size[1]) * _MEGABYTES[size[2].upper()] < _MEGABYTES_MIN:
            raise WrongOption(f'--memory {memory}: expected a size such as "1GB", at least {_MEGABYTES_MIN}MB')
        duckdb = needs_duckdb()
        self._folder = TemporaryDirectory(prefix="frmcore-")
        config = {
            "memory_limit": memory,
            "temp_directory": str(Path(self._folder.name) / "spilled"),
            "autoinstall_known_extensions": "false",  # nothing is ever downloaded
            "threads": "1",  # each would pin a share of the memory; the engine is what takes the time
        }
        try:
            # In memory, because a file would be written whether memory is short or not; what is too much is spilled.
            self.db: DuckDBPyConnection = duckdb.connect(":memory:", config=config)
            self.db.execute("SET TimeZone = 'UTC'")
            self._kept = (Path(self._folder.name) / "kept").open("w+b")
        except BaseException:
            self._folder.cleanup()
            raise

    def rows(self, sql: str, *values: Any) -> list[dict[str, Any]]:
        """What a query gives, as mappings."""
        found = self.db.execute(sql, values)
        names = [column[0] for column in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def row(self, sql: str, *values: Any) -> dict[str, Any]:
        return self.rows(sql, *values)[0]

    def create(self, table: str, columns: Mapping[str, str]) -> None:
        self.db.execute(f"CREATE TABLE {table} ({', '.join(f'{name} {kind}' for name, kind in columns.items())})")

    def append(self, table: str, columns: Mapping[str, str], rows: Sequence[tuple[Any, ...]]) -> None:
        """Puts rows into a table that was made with these columns; thousands at a time are cheap."""
        if not rows:
            return
        import pyarrow as pa  # noqa: PLC0415

        kinds = arrow_types()
        cells = zip(zip(*rows, strict=True), columns.values(), strict=True)
        self.insert(table, pa.table(dict(zip(columns, (pa.array(c, kinds[k]) for c, k in cells), strict=True))))

    def insert(self, table: str, rows: Any) -> None:
        """The same of a pyarrow table; columns that it lacks are NULL."""
        self.db.register("batch", rows)
        self.db.execute(f"INSERT INTO {table} BY NAME SELECT * FROM batch")
        self.db.unregister("batch")

    def stream(self, sql: str, size: int) -> Iterator[Any]:
        """What a query gives, as Arrow batches of at most so many rows, made as they are taken."""
        found: Any = self.db.cursor().sql(sql)
        read = getattr(found, "to_arrow_reader", None) or found.fetch_record_batch  # its name before duckdb 2
        yield from read(size)

    def keep(self, values: Any) -> int:
        """Appends the bytes of a pyarrow array to a file beside the tables; where they start."""
        self._kept.seek(0, SEEK_END)
        start, (_, ends, data) = self._kept.tell(), values.buffers()
        first, last = (values.offset, values.offset + len(values))
        at = memoryview(ends).cast("q")
        self._kept.write(memoryview(data)[at[first] : at[last]])
        return start

    def kept(self, place: int, size: int) -> bytes:
        """Some of those bytes."""
        self._kept.seek(place)
        return self._kept.read(size)

    def close(self) -> None:
        self._kept.close()
        self.db.close()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def arrow_types() -> dict[str, Any]:
    """The types of the workspace's columns, as Arrow has them."""
    import pyarrow as pa  # noqa: PLC0415

    return {
        "BIGINT": pa.int64(), "VARCHAR": pa.string(), "VARCHAR[]": pa.list_(pa.string()), "BOOLEAN": pa.bool_(),
        "DOUBLE": pa.float64(), "BLOB": pa.binary(),
    }  # fmt: skip


def quoted(name: str) -> str:
    """A name as SQL takes it."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as SQL takes it."""
    return "'" + text.replace("'", "''") + "'"


def peak_bytes() -> int:
    """The most memory that this process ever had at once: VmHWM of proc(5). The maximum that getrusage tells begins
    with what the process had that started this one."""
    with Path("/proc/self/status").open() as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM"))
