"""`frmcore` and `python -m frmcore`: the command line, which an interrupt ends in silence while it is still loaded."""

from __future__ import annotations

import sys


def main() -> None:
    """The entry point of the `frmcore` script."""
    try:
        from frmcore.cli import main as command_line  # noqa: PLC0415  it takes a second: the time to press Ctrl-C in

        command_line()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
