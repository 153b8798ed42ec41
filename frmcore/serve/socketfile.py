"""The socket in the file system: 0600, never two owners on one, a dead owner's file taken away."""

from __future__ import annotations

import os
import socket
import stat
import struct
from typing import TYPE_CHECKING, Final

from frmcore.errors import StoreLocked, StoreUnavailable

if TYPE_CHECKING:
    from pathlib import Path

BACKLOG: Final = 256
PATH_BYTES_MAX: Final = 107  # of a unix socket, by the system
PROBE_SECONDS: Final = 1.0
_CREDENTIALS: Final = struct.Struct("3i")


def listen(path: Path) -> socket.socket:
    """A listening socket that only this user can reach. Raises StoreUnavailable, StoreLocked."""
    if len(os.fsencode(path)) > PATH_BYTES_MAX:
        told = f"{path}: a socket's path has at most {PATH_BYTES_MAX} bytes: name a shorter one with --socket"
        raise StoreUnavailable(told)
    _clear(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    before = os.umask(0o177)
    try:
        listener.bind(os.fspath(path))
    except OSError as error:
        listener.close()
        raise StoreUnavailable(f"{path}: {error.strerror}") from error
    finally:
        os.umask(before)
    listener.listen(BACKLOG)
    return listener


def identity(path: Path) -> tuple[int, int] | None:
    """Which file is there: that of the same name may be another owner's by now. None: none that can be reached."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _clear(path: Path) -> None:
    """Takes away what a dead owner left. Anything else stays, and is refused."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise StoreUnavailable(f"{path}: {error.strerror}") from error
    if not stat.S_ISSOCK(mode):
        raise StoreUnavailable(f"{path} is there, and is no socket: name another path with --socket")
    if _answers(path):
        raise StoreLocked(f"{path}: another process listens there: stop it first, or name another path with --socket")
    path.unlink(missing_ok=True)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(PROBE_SECONDS)
        try:
            probe.connect(os.fspath(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:  # somebody is there, if only too busy
            return True
    return True


def is_welcome(peer: socket.socket) -> bool:
    """Is the other side of this user, or root? The file's mode says so too, but a descriptor can be handed on."""
    _, user, _ = _CREDENTIALS.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return user in {0, os.geteuid()}
