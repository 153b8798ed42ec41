"""Policies: text in, one checked and immutable `Policy` out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frmcore.policy.tree import Policy

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from frmcore.plan import Zone

__all__ = ["Policy", "load"]


def load(
    source: str | Path,
    *,
    base: Path | None = None,
    zones: Mapping[str, Zone] | None = None,
    params: Mapping[str, str] | None = None,
) -> Policy:
    """The checked policy of a file, or of a text (a str with a line break).

    `base`: the folder that the `include` and `file` of a text are read from; those of a file are read from its own.
    Nothing outside that folder is read. `zones`: time zones as they were when the policy was first loaded; those that
    are not among them come from the tzdata package. `params`: values that hold instead of those written down, to try
    them. Raises PolicyError with every problem that was found. O(size).
    """
    from frmcore.policy.loading import read_policy  # noqa: PLC0415  brings YAML and the compiler in

    return read_policy(source, base, zones, params)
