"""The keys of a store: its own, which names entities and is kept with it, and the private one, which never is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from frmcore.errors import StoreUnavailable

if TYPE_CHECKING:
    from pathlib import Path

    from frmcore._fast import Core
    from frmcore.policy import Policy

_PROOF: Final = b"frmcore"  # what is hashed to tell one private key from another


class Keys(NamedTuple):
    """What an engine brings to its store."""

    key: bytes | None
    private_key: bytes | None


def has_private(policy: Policy) -> bool:
    """Has the policy anything to hash with a private key?"""
    return any(field.type.private for field in (*policy.fields, *policy.derived))


def private_mark(core: Core) -> bytes:
    """What a store keeps of its private key: enough to know another one."""
    return core.hide(_PROOF)


def check_private_key(folder: Path, core: Core, mark: bytes | None) -> None:
    """Raises StoreUnavailable where the store's mark is of another private key."""
    if mark is not None and mark != private_mark(core):
        raise StoreUnavailable(
            f"{folder}: private_key is not the one that this store's private fields were hashed with"
        )
