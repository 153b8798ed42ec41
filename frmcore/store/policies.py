"""The policies that a store has known: their records, and how they are loaded again, each as it was lowered then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from frmcore._fast import record_content, record_head
from frmcore.errors import StoreDamaged
from frmcore.plan import Group
from frmcore.policy.lower import lower
from frmcore.policy.stored import load_contents
from frmcore.store.layout import BLOBS, OPERATIONS, RecordType

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

    from frmcore._fast import Core
    from frmcore.plan import Plan
    from frmcore.policy import Policy
    from frmcore.store.database import Reader

_GROUPS: Final = msgspec.msgpack.Decoder(tuple[Group, ...])


class Operation(msgspec.Struct):
    """A policy, a list's change, a control or alerts, as recorded. `time`: epoch ms."""

    seq: int
    type: int
    time: int
    content: dict[str, Any]


def operation_of(record: bytes) -> Operation:
    seq, type_, time, _ = record_head(record)
    return Operation(seq, type_, time, record_content(record))


def operations(reader: Reader, types: Container[int]) -> Iterator[Operation]:
    """The operations of these types that are kept for good, in order. One at a time: years of them may not fit into
    memory."""
    for _, record in reader.items(OPERATIONS):
        if record_head(record)[1] in types:
            yield operation_of(record)


def policies_of(reader: Reader) -> list[Operation]:
    """Every policy that was in force, by index: as records name them."""
    return list(operations(reader, {RecordType.POLICY}))


def policy_texts(reader: Reader, files: dict[str, str]) -> dict[str, str]:
    """The texts of a policy's files by name, from their digests. Raises StoreDamaged."""
    texts = {}
    for name, digest in files.items():
        blob = reader.get(BLOBS, bytes.fromhex(digest))
        if blob is None:
            raise StoreDamaged(f"the text of a policy is missing: {name}; restore a snapshot")
        texts[name] = blob.decode()
    return texts


def load_policy(reader: Reader, content: dict[str, Any]) -> tuple[Policy, Plan]:
    """A recorded policy and its plan, as they were. Raises StoreDamaged."""
    policy = load_contents(policy_texts(reader, content["files"]))
    groups = _GROUPS.decode(msgspec.msgpack.encode(content["groups"]))
    plan = lower(policy, keep=groups)
    if {group.signature for group in plan.groups} != {group.signature for group in groups}:
        raise StoreDamaged("the text of a policy is not the one whose windows the store keeps; restore a snapshot")
    return policy, plan


def have_book(core: Core, reader: Reader, index: int) -> None:
    """Makes records of that policy readable."""
    if not core.has_book(index):
        _add_book(core, reader, index, policies_of(reader)[index])


def have_books(core: Core, reader: Reader, first: int) -> None:
    """Makes the records from the sequence number `first` on readable."""
    found = policies_of(reader)
    for index, operation in enumerate(found):
        later = found[index + 1].seq if index + 1 < len(found) else None
        if (later is None or later > first) and operation.seq <= core.seq and not core.has_book(index):
            _add_book(core, reader, index, operation)


def _add_book(core: Core, reader: Reader, index: int, operation: Operation) -> None:
    policy, plan = load_policy(reader, operation.content)
    core.add_book(index, plan, policy)
