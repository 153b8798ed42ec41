"""Work in forked processes, which may end in any way."""

from __future__ import annotations

import os
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

FAST = Path("/dev/shm") if Path("/dev/shm").is_dir() else None  # noqa: S108  files in memory, where there are such


def forked(work: Callable[[int], int]) -> tuple[int, list[str]]:
    """How a process ended that did the work (negative: by which signal), and the lines it wrote into its pipe."""
    out, into = os.pipe()
    child = os.fork()
    if not child:
        status = 1
        try:
            os.close(out)
            status = work(into)
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            os._exit(status)
    os.close(into)
    with os.fdopen(out) as said:
        words = said.read().splitlines()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), words
