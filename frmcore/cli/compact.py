"""`frmcore compact`: a closed store's database written anew."""

from __future__ import annotations

from frmcore.cli.arguments import StorePath
from frmcore.cli.console import complain
from frmcore.cli.progress import size_of
from frmcore.store.compact import compact as write_anew


def compact(store: StorePath) -> None:
    """Give back the room that deleted things left in a closed store's file."""
    sizes = write_anew(store)
    complain(f"{store}: {size_of(sizes.before)} before, {size_of(sizes.after)} now")
