"""The formats of files, told by their endings; `-` is JSON lines on stdin or stdout."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import typer

from frmcore.cli.console import complain

BATCH: Final = 16_384  # rows of Parquet held at a time
_FORMATS: Final = {".csv": "csv", ".tsv": "csv", ".jsonl": "json", ".ndjson": "json", ".parquet": "parquet"}


def format_of(path: str) -> str:
    """csv, json or parquet. A usage error for an ending that is not known, a friendly end where pyarrow is missing."""
    if path == "-":
        return "json"
    found = _FORMATS.get(Path(path).suffix.lower())
    if found is None:
        raise typer.BadParameter(
            f"{path}: the ending says the format: .csv, .tsv, .jsonl or .parquet (or - for JSON lines)"
        )
    if found == "parquet":
        arrow()
    return found


def separator(path: str) -> str:
    """What stands between the cells of a .csv or .tsv file."""
    return "\t" if path.lower().endswith(".tsv") else ","


def arrow() -> Any:
    """pyarrow, an extra; a friendly end where it is missing."""
    try:
        import pyarrow as pa  # noqa: PLC0415
        import pyarrow.parquet  # noqa: PLC0415
    except ImportError:
        complain('Parquet needs pyarrow: pip install "frmcore[parquet]"')
        raise typer.Exit(1) from None
    return pa
