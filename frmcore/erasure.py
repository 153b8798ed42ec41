"""Erasing subjects: what a person may ask for, as far as no legal hold stands against it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import msgspec

from frmcore._fast import Erasure
from frmcore.lists import checked_note
from frmcore.subjects import kept_form

if TYPE_CHECKING:
    from frmcore._fast import Core
    from frmcore.holds import Holds
    from frmcore.lists import EntityLists
    from frmcore.policy import Policy
    from frmcore.store.erase import Eraser
    from frmcore.subjects import Subject

SLICE_RECORDS: Final = 1000  # of memory, read at once: some 0.2 ms of the GIL


class Snapshot(msgspec.Struct, frozen=True):
    """A snapshot that was taken of a store. `time`: epoch ms of the machine that took it."""

    file: str
    time: int
    seq: int


class Erased(msgspec.Struct, frozen=True):
    """What an erasure did. `seq`: the operation it is; `events`, `records`: how many lost their texts and identifiers.

    lists: the subjects were taken off these; policy_lists: these name them, and only a change of the policy ends that.
    telling_ids: events whose id, which stays, holds an identifier. snapshots: they were taken before, and still hold
    the subjects.
    """

    seq: int
    events: int
    records: int
    lists: tuple[str, ...] = ()
    policy_lists: tuple[str, ...] = ()
    telling_ids: int = 0
    snapshots: tuple[Snapshot, ...] = ()


class Order(msgspec.Struct, frozen=True):
    """An erasure that was asked for."""

    subjects: tuple[Subject, ...]
    reason: str = ""
    source: str = ""
    command: str = ""

    def said(self) -> dict[str, Any]:
        """What its record says beside what was found."""
        told = {"reason": checked_note("reason", self.reason), "source": checked_note("source", self.source)}
        return {**told, **({"command": self.command} if self.command else {})}


def erase(order: Order, core: Core, policy: Policy, lists: EntityLists, holds: Holds, eraser: Eraser | None) -> Erased:
    """Erases subjects. Deciding goes on meanwhile; no policy may be loaded. O(journal). Raises UnderHold, UnknownName,
    InvalidEvent, StoreError."""
    said = order.said()
    for entity, value in order.subjects:
        kept_form(core, policy, entity, value)  # refused before anything is done
    found = Erasure(core, list(order.subjects), holds.held())
    with holds.none_on(order.subjects):
        pass  # refused before the journal is read
    if eraser is not None:
        eraser.find(found)
    else:
        _find_in_memory(found)
    with holds.none_on(order.subjects, found):
        left, staying = _leave_lists(policy, lists, order.subjects)
    if eraser is not None:
        seq, snapshots = eraser.erase(found, order.subjects, said, holds)
    else:
        with holds.none_on(order.subjects, found):
            seq, snapshots = core.erase(found, said), ()
    return Erased(seq, found.events, len(found.records), left, staying, found.telling_ids, snapshots)


def _find_in_memory(found: Erasure) -> None:
    while found.read_memory(SLICE_RECORDS):
        time.sleep(0)  # the deciding thread goes first


def _leave_lists(
    policy: Policy, lists: EntityLists, subjects: tuple[Subject, ...]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Takes the subjects off lists of their entity: those they left; those of the policy, which they can't leave."""
    naming = [
        (spec.name, value)
        for spec in policy.lists
        for entity, value in subjects
        if spec.of == entity and lists[spec.name].keeps(value)
    ]
    changing = [(name, value) for name, value in naming if not lists[name].read_only]
    for name, value in changing:
        lists[name].remove(value, reason="erased")
    staying = {name for name, _ in naming if lists[name].read_only}
    return tuple(sorted({name for name, _ in changing})), tuple(sorted(staying))
