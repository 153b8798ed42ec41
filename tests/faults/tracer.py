"""The preloaded tracer: built, put before libc, and driven. See tracer.c."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import tempfile
from enum import IntEnum
from pathlib import Path

FOR_GOOD = 1 << 40
_SOURCE = Path(__file__).with_name("tracer.c")


class Fault(IntEnum):
    """Which calls fail, and how: any with EIO; those that change a file with ENOSPC, or half done; fsync with EIO."""

    EIO = 1
    ENOSPC = 2
    SHORT = 3
    FSYNC = 4


def preload(module: str) -> None:
    """Starts this process anew with the tracer before libc, unless it is there."""
    if "FAULTS_TRACER" in os.environ:
        return
    with tempfile.TemporaryDirectory(prefix="frmcore-tracer-") as folder:
        library = Path(folder) / "tracer.so"
        subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-pthread", "-o", library, _SOURCE], check=True)
        environment = {**os.environ, "LD_PRELOAD": str(library), "FAULTS_TRACER": str(library)}
        sys.exit(subprocess.run([sys.executable, "-m", module, *sys.argv[1:]], env=environment, check=False).returncode)


class Tracer:
    """The tracer of this process and of those that it forks."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(os.environ["FAULTS_TRACER"])
        self._library.tracer_calls.restype = self._library.tracer_hits.restype = ctypes.c_long

    def watch(self, folder: Path, log: Path | None = None) -> None:
        """From now on calls on files of the folder count, and are logged."""
        self._library.tracer_watch(str(folder).encode(), str(log or "").encode())

    def mark(self, text: str) -> None:
        """Puts a note into the log: what was acknowledged up to here."""
        data = text.encode()
        self._library.tracer_mark(data, ctypes.c_size_t(len(data)))

    def fail(self, fault: Fault | None, first: int = 0, count: int = 1) -> None:
        """`count` calls fail from the one that is `first` from now on; None: none."""
        self._library.tracer_fault(int(fault or 0), ctypes.c_long(first), ctypes.c_long(count))

    @property
    def changes(self) -> int:
        """Calls that changed a file, since `fail`."""
        return int(self._library.tracer_calls(0))

    @property
    def syncs(self) -> int:
        return int(self._library.tracer_calls(1))

    @property
    def hits(self) -> int:
        """Calls that failed by order."""
        return int(self._library.tracer_hits())

    def drop_syncs(self) -> None:
        """A disk that lies: what is synced from now on is not in the log."""
        self._library.tracer_drop_syncs(1)

    def stall(self, on: bool) -> None:
        """Syncs hang while it is on."""
        self._library.tracer_stall(int(on))
