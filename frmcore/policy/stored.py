"""A policy as its files' contents, kept by digest: an old one can be loaded again from them alone."""

from __future__ import annotations

import hashlib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from frmcore.policy.files import TEXT_NAME
from frmcore.policy.load import load
from frmcore.policy.lookups import PARQUET

if TYPE_CHECKING:
    from collections.abc import Mapping

    from frmcore.policy.tree import Policy


def digests(policy: Policy) -> dict[str, str]:
    """Name -> SHA-256 of each file, the main one first."""
    return {name: digest(text) for name, text in contents(policy).items()}


def contents(policy: Policy) -> dict[str, str]:
    """Name -> text of each file, the main one first."""
    return {**policy.files, **policy.list_files}


def is_binary(name: str) -> bool:
    """Is it kept as text with a character a byte?"""
    return name.lower().endswith(PARQUET)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def load_contents(files: Mapping[str, str]) -> Policy:
    """The policy that consists of these files, the main one first. Raises PolicyError; ValueError for names that lead
    elsewhere: the files may come from a snapshot that somebody sent."""
    main = next(iter(files), "")
    for name in files:
        if not name or name.startswith("/") or ".." in Path(name).parts or "\0" in name:
            raise ValueError(f"{name!r} is no name of a policy's file")
    with TemporaryDirectory(prefix="frmcore-") as folder:
        for name, text in files.items():
            if name != TEXT_NAME:
                path = Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(text.encode("latin-1" if is_binary(name) else "utf-8"))
        return load(files[main], base=Path(folder)) if main == TEXT_NAME else load(Path(folder, main))
