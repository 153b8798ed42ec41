"""A policy as its files' contents, kept by digest: an old one can be loaded again from them alone. Its time zones are
one of them: another version of tzdata does not change what was in force."""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec.structs import replace

from frmcore.errors import PolicyError
from frmcore.plan import Zone
from frmcore.policy import load
from frmcore.policy.files import TEXT_NAME
from frmcore.policy.lookups import PARQUET

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from frmcore.policy.source import Problem
    from frmcore.policy.tree import Policy


ZONES_NAME: Final = "<zones>"
NAME_BYTES_MAX: Final = 3_000  # a path has 4,096 on Linux, the folder's included
PART_BYTES_MAX: Final = 255


def digests(policy: Policy) -> dict[str, str]:
    """Name -> SHA-256 of each file, the main one first."""
    return {name: digest(text) for name, text in contents(policy).items()}


def contents(policy: Policy) -> dict[str, str]:
    """Name -> text of each file, the main one first; the time zones in use last, where there are any."""
    zones = {ZONES_NAME: msgspec.json.encode(policy.zones, order="sorted").decode()} if policy.zones else {}
    return {**policy.files, **policy.list_files, **zones}


def is_binary(name: str) -> bool:
    """Is it kept as text with a character a byte?"""
    return name.lower().endswith(PARQUET)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def load_contents(files: Mapping[str, str]) -> Policy:
    """The policy that consists of these files, the main one first. Raises PolicyError, which has their names;
    ValueError for names that lead elsewhere: the files may come from a snapshot that somebody sent."""
    main, texts = next(iter(files), ""), {name: text for name, text in files.items() if name != ZONES_NAME}
    zones = msgspec.json.decode(files.get(ZONES_NAME, "{}"), type=dict[str, Zone])
    _check_names(texts)
    if "\n" not in texts.get(TEXT_NAME, "\n"):  # `load` would take it for the name of a file
        raise ValueError("a policy's text has more than one line")
    with TemporaryDirectory(prefix="frmcore-") as folder:
        for name, text in texts.items():
            if name != TEXT_NAME:
                path = Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(text.encode("latin-1" if is_binary(name) else "utf-8"))
        try:
            if main == TEXT_NAME:
                return load(files[main], base=Path(folder), zones=zones)
            return load(Path(folder, main), zones=zones)
        except PolicyError as error:
            raise PolicyError(tuple(_as_sent(problem, folder) for problem in error.problems)) from None


def _as_sent(problem: Problem, folder: str) -> Problem:
    """With the file's name as its author knows it."""
    file = problem.place.file.removeprefix(f"{folder}/")
    return replace(problem, place=replace(problem.place, file=file))


def _check_names(names: Collection[str]) -> None:
    """Raises ValueError where files of these names can't be made in one folder, and nowhere else."""
    wrong = [name for name in names if len(name.encode()) > NAME_BYTES_MAX or "\0" in name]
    if not wrong:
        paths = {name: PurePosixPath(name) for name in names}
        folders = {folder for path in paths.values() for folder in path.parents}  # "." is always one
        wrong = [name for name, path in paths.items() if path in folders or not _stays(path)]
    if wrong:
        raise ValueError(f"{wrong[0][:200]!r} is no name of a policy's file")


def _stays(path: PurePosixPath) -> bool:
    parts_fit = all(len(part.encode()) <= PART_BYTES_MAX for part in path.parts)
    return parts_fit and not path.is_absolute() and ".." not in path.parts
