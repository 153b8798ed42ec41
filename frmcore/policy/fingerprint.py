"""The hash of a policy: SHA-256 over all it consists of, each part with its length in front, so that no two policies
run together. Line breaks and where the files lie do not count; list values count in canonical form."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from msgspec.structs import astuple

from frmcore.policy.canonical import stored_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from frmcore.plan import Limits, Zone
    from frmcore.policy.tree import ListSpec, LookupTable, RatePoint, Table

_FORMAT: Final = "frmcore policy 1"


def fingerprint(
    texts: Mapping[str, str],
    lists: Iterable[ListSpec],
    lookups: Iterable[LookupTable],
    rates: Iterable[RatePoint],
    limits: Limits,
    zones: Mapping[str, Zone],
    tables: Iterable[Table] = (),
) -> str:
    """64 hex digits. `texts`: the main file first, under any name, then what it includes by path. O(total length)."""
    main, *included = texts.items()
    digest = _Digest()
    digest.add(_FORMAT, main[1])
    digest.add("files", *(part for item in sorted(included) for part in item))
    for spec in lists:
        digest.add("list", spec.name, "open" if spec.values is None else "read-only", *(spec.values or ()))
    for table in lookups:
        rows = sorted((str(key), repr(value)) for key, value in table.rows.items())
        types = (stored_text(table.key), stored_text(table.value))
        digest.add("lookup", table.name, *types, *(part for row in rows for part in row))
    digest.add("rates", *(str(part) for point in rates for part in astuple(point)))
    digest.add("limits", *(str(part) for part in astuple(limits)))
    for name in sorted(zones):
        zone = zones[name]
        digest.add("zone", name, *(str(part) for pair in zip(zone.at_ms, zone.offset_ms, strict=True) for part in pair))
    for decided in tables:
        digest.add("table", decided.name, *(part for row in decided.cells for part in (str(len(row)), *row)))
    return digest.hexdigest()


class _Digest:
    def __init__(self) -> None:
        self._sha = hashlib.sha256()
        self.hexdigest = self._sha.hexdigest

    def add(self, *parts: str) -> None:
        """A group of parts: how many, then each with its length in bytes."""
        self._sha.update(len(parts).to_bytes(8, "little"))
        for part in parts:
            content = part.encode()
            self._sha.update(len(content).to_bytes(8, "little"))
            self._sha.update(content)
