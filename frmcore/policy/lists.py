"""`lists:`: what a list holds, and the values of those that a policy brings itself (they are read-only)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from frmcore.limits import LIST_FILE_BYTES_MAX, LISTS_MAX
from frmcore.names import nearest
from frmcore.plan import Kind
from frmcore.policy.networks import canonical_network, nearest_network
from frmcore.policy.source import Place
from frmcore.policy.tree import ListSpec, Type
from frmcore.policy.values import describe_kind, parse_value
from frmcore.policy.words import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from frmcore.policy.envelope import Leaf, Node
    from frmcore.policy.files import Files
    from frmcore.policy.reader import Reader, Section
    from frmcore.policy.scope import Scope
    from frmcore.policy.words import Names

_KEYS: Final = ("of", "match", "file", "values")
_SCALARS: Final = {"string": Type(Kind.STRING), "ip": Type(Kind.IP)}


class ListReader:
    """Reads the entries of `lists:` into the scope."""

    def __init__(self, reader: Reader, scope: Scope, names: Names, files: Files) -> None:
        self._reader = reader
        self._problems = reader.problems
        self._scope = scope
        self._names = names
        self._files = files

    def read(self, node: Node) -> None:
        for name, value in self._reader.entries(node, '"lists"'):
            spec = self._list(name, value)
            declared = self._names.declare(name.scalar, "list")
            if declared and spec is not None:
                self._scope.lists[declared] = spec
            elif declared:
                self._scope.broken.add(declared)
            if len(self._scope.lists) > LISTS_MAX:
                self._problems.add(name.place, f"more than {LISTS_MAX} lists")
                return

    def _list(self, name: Leaf, node: Node) -> ListSpec | None:
        section = self._reader.section(node, f"list {quoted(name.text)}", _KEYS)
        leaf = section and section.required("of", "say what it holds: an entity, string or ip")
        type_ = self._type(leaf) if leaf else None
        if section is None or leaf is None or type_ is None:
            return None
        network = section.choice("match", ("exact", "network"), "exact") == "network"
        if network and (type_.kind is not Kind.IP or type_.private):
            section.add(
                "match",
                "networks match ip addresses that are not private",
                f'{quoted(leaf.text)} is none: remove "match"',
            )
            return None
        return ListSpec(name.text, leaf.text, type_, network, self._values(section, type_, network), name.place)

    def _type(self, leaf: Leaf) -> Type | None:
        """Of an entity type if there is one of that name, else the scalar type."""
        field = next((field for field in self._scope.keys.values() if field.entity == leaf.text), None)
        type_ = field.type if field else _SCALARS.get(leaf.text)
        if type_ is None:
            known = sorted(self._scope.entities | _SCALARS.keys())
            hint = nearest(leaf.text, known) or f"known: {', '.join(known)}"
            self._problems.add(leaf.place, f"no entity and no type of a list is called {quoted(leaf.text)}", hint)
        elif type_.kind not in (Kind.STRING, Kind.IP):
            hint = "a list holds strings or ip addresses"
            self._problems.add(leaf.place, f"{quoted(leaf.text)} is of type {type_.kind.name.lower()}", hint)
            return None
        return type_

    def _values(self, section: Section, type_: Type, network: bool) -> tuple[str, ...] | None:
        """Without duplicates, in canonical form; None for a list that changes at run time."""
        inline, file = section.get("values"), section.leaf("file")
        if inline is not None and file is not None:
            section.add("file", f'{section.what} has both "values" and "file"', "keep one of them")
        if inline is not None:
            leaves = [
                leaf for item in self._reader.items(inline, '"values"') if (leaf := self._reader.leaf(item, "a value"))
            ]
            return self._canonical(((leaf.text, leaf.place) for leaf in leaves), type_, network)
        found = self._files.read(file, LIST_FILE_BYTES_MAX) if file else None
        return self._canonical(_lines(*found), type_, network) if found else None

    def _canonical(self, values: Iterable[tuple[str, Place]], type_: Type, network: bool) -> tuple[str, ...]:
        found: dict[str, None] = {}
        for text, place in values:
            value = canonical_network(text) if network else parse_value(text, type_)
            if value is None:
                self._wrong_value(text, place, type_, network)
            else:
                found[str(value)] = None
        return tuple(found)

    def _wrong_value(self, text: str, place: Place, type_: Type, network: bool) -> None:
        hint = f"give {describe_kind(type_)}"
        if network:
            meant = nearest_network(text)
            hint = f"bits beyond the prefix are set: write {meant}" if meant else "write 10.0.0.0/8 or 2001:db8::/32"
        self._problems.add(place, f"{quoted(text)} is no {'network' if network else type_.kind.name.lower()}", hint)


def _lines(file: str, text: str) -> Iterable[tuple[str, Place]]:
    """One value a line; blank lines and lines that start with # are none."""
    for number, line in enumerate(text.split("\n"), 1):
        value = line.strip()
        if value and not value.startswith("#"):
            yield value, Place(file, number, 1, len(value))
