"""Logs as JSON lines on stderr. Nothing of an event is ever logged: no id, no value, no message that shows one."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Final

_EXTRA: Final = ("socket", "metrics", "operations", "seconds", "policy", "hash", "error", "connections", "version")


class JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, object] = {
            "time": when, "level": record.levelname.lower(), "logger": record.name, "message": record.getMessage(),
        }  # fmt: skip
        line |= {name: getattr(record, name) for name in _EXTRA if hasattr(record, name)}
        if record.exc_info and record.exc_info[2] is not None:  # where, not what: messages show values
            frames = traceback.extract_tb(record.exc_info[2])
            line["where"] = [f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in frames]
        return json.dumps(line, ensure_ascii=True)


def log_json() -> None:
    """From here on the package's logs are JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logger = logging.getLogger("frmcore")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
