"""What the lists hold, from the recorded changes: a fold over the operations, in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from frmcore.lists import Entry
from frmcore.store.sound import sensible

if TYPE_CHECKING:
    from collections.abc import Iterable

Shape = tuple[Any, ...]


def folded(operations: Iterable[dict[str, Any]]) -> dict[str, dict[str, Entry]]:
    """List name -> value -> entry, after all changes. A policy without a list of the same shape ends its content.
    Raises StoreDamaged."""
    with sensible("the lists can't be read"):
        return _folded(operations)


def _folded(operations: Iterable[dict[str, Any]]) -> dict[str, dict[str, Entry]]:
    shapes: dict[str, Shape] = {}
    lists: dict[str, dict[str, Entry]] = {}
    for content in operations:
        if "lists" in content:
            present = {shape[0]: tuple(shape) for shape in content["lists"]}
            lists = {name: values for name, values in lists.items() if present.get(name) == shapes[name]}
            shapes = present
        elif "list" in content:
            _change(lists.setdefault(content["list"], {}), content)
    return lists


def _change(values: dict[str, Entry], content: dict[str, Any]) -> None:
    for entry in msgspec.convert(content["entries"], list[Entry]):
        values.pop(entry.value, None)
        if content["action"] == "add":
            values[entry.value] = entry
