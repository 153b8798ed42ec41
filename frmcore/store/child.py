"""Work on a store in a child process: what may crash there does not take the caller along, and a long look at a store
neither holds the caller's GIL nor its database."""

from __future__ import annotations

import importlib
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from frmcore import errors
from frmcore.errors import StoreError, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

TOLD_EVERY_S: Final = 0.2
_CODE: Final = "import sys; sys.path.append(sys.argv[1]); from frmcore.store.child import main; main()"


class Crashed(StoreUnavailable):
    """The child ended without an answer."""


def run_child(module: str, function: str, arguments: list[str], progress: Callable[[int, int], None]) -> Any:
    """`module.function(*arguments, progress)` in a child process; what it returns, as plain data. Raises what it
    raised where that is a StoreError, Crashed where it ended."""
    root = str(Path(errors.__file__).parent.parent)
    command = [_python(), "-P", "-c", _CODE, root, module, function, *arguments]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as child:  # noqa: S603  our own
        assert child.stdout is not None  # noqa: S101  it is a pipe
        try:
            for line in child.stdout:
                told = msgspec.json.decode(line)
                if "done" in told:
                    progress(told["done"], told["all"])
                elif "error" in told:
                    raise getattr(errors, told["error"])(told["message"])
                else:
                    return told["result"]
        except BaseException:
            child.kill()
            raise
    raise Crashed(_ended(child.returncode))


def _ended(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit status {code}"


def _python() -> str:
    """The interpreter; a program that embeds Python may name itself in sys.executable."""
    if "python" in Path(sys.executable).name:
        return sys.executable
    return str(Path(sys.prefix) / "bin" / "python3")


def main() -> None:
    """The child: answers in lines of JSON."""
    _, _, module, function, *arguments = sys.argv
    last = time.monotonic()

    def progress(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= TOLD_EVERY_S:
            last = now
            _tell({"done": done, "all": total})

    try:
        _tell({"result": getattr(importlib.import_module(module), function)(*arguments, progress)})
    except StoreError as error:
        _tell({"error": type(error).__name__, "message": str(error)})


def _tell(message: dict[str, Any]) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(message) + b"\n")
    sys.stdout.buffer.flush()
