"""Lists: a dict each. A value counts while the event's time is before its expiry."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from frmcore.plan import Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from frmcore.policy.tree import ListSpec


class List:
    """`record` is called for every change: it takes the next sequence number."""

    def __init__(self, spec: ListSpec, record: Callable[[], None]) -> None:
        self.spec = spec
        self.record = record
        self.expiry: dict[str, int | None] = {self.spelled(value): None for value in spec.values or ()}  # None: never

    def spelled(self, value: str) -> str:
        if self.spec.network:
            return str(ipaddress.ip_network(value, strict=False))
        return str(ipaddress.ip_address(value)) if self.spec.type.kind is Kind.IP else value

    def add(self, value: str, expires: int | None = None) -> None:
        self.expiry[self.spelled(value)] = expires
        self.record()

    def remove(self, value: str) -> bool:
        known = self.spelled(value) in self.expiry
        if known:
            del self.expiry[self.spelled(value)]
            self.record()
        return known

    def holds(self, value: str, time: int) -> bool:
        return any(
            (expires is None or time < expires) and (listed == value or (self.spec.network and within(value, listed)))
            for listed, expires in self.expiry.items()
        )


def within(ip: str, network: str) -> bool:
    return ipaddress.ip_address(ip) in ipaddress.ip_network(network)
