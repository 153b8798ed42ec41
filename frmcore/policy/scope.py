"""What the names of an expression mean: filled by the loader, section by section, read by the checker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from frmcore.plan import Zone
    from frmcore.policy.source import Place
    from frmcore.policy.tree import Const, Feature, Field, ListSpec, LookupTable

# Where an expression stands decides which names it may read.
ALL: Final = frozenset(
    {"field", "derived", "update", "feature", "list", "lookup"}
)  # rules, and features that are expressions
FILTER: Final = frozenset(
    {"field", "derived", "update", "final", "score", "fired"}
)  # where=, since=, an aggregate's value
DERIVED: Final = frozenset(
    {"field", "derived", "lookup", "clear"}
)  # derived fields; "clear": private fields are read in the clear


class Scope(msgspec.Struct):
    """The names a policy declares. A name belongs to one of fields, derived, updates, params, lists, features only."""

    fields: dict[str, Field] = msgspec.field(default_factory=dict)
    derived: dict[str, Field] = msgspec.field(default_factory=dict)
    updates: dict[str, Field] = msgspec.field(default_factory=dict)
    params: dict[str, Const] = msgspec.field(default_factory=dict)
    lists: dict[str, ListSpec] = msgspec.field(default_factory=dict)
    lookups: dict[str, LookupTable] = msgspec.field(default_factory=dict)
    features: dict[str, Feature] = msgspec.field(default_factory=dict)
    feature_names: frozenset[str] = frozenset()  # all that are declared; `features` holds those checked so far
    rules: set[str] = msgspec.field(default_factory=set)
    broken: set[str] = msgspec.field(
        default_factory=set
    )  # declared, but wrong and reported: using one is no second mistake
    kinds: tuple[str, ...] = ()
    outcomes: tuple[str, ...] = ("allow", "review", "block")
    base_currency: str = ""
    zones: dict[str, Zone] = msgspec.field(default_factory=dict)  # those in use; the checker fills it
    known_zones: Mapping[str, Zone] = msgspec.field(
        default_factory=dict
    )  # what they are, where tzdata is not to be asked
    warnings: list[str] = msgspec.field(default_factory=list)
    kind_field: str = ""
    time_field: str = ""

    def warn(self, place: Place, message: str) -> None:
        """Once, even where an expression is checked twice."""
        warning = f"{place.named}: {message}"
        if warning not in self.warnings:
            self.warnings.append(warning)

    @property
    def known_fields(self) -> dict[str, Field]:
        """Fields, derived fields and updates: what an event has, and what is told of it."""
        return self.fields | self.derived | self.updates

    @property
    def keys(self) -> dict[str, Field]:
        """Fields and derived fields: what can be a key."""
        return self.fields | self.derived

    @property
    def entities(self) -> set[str]:
        return {declared.entity for declared in self.keys.values() if declared.entity}
