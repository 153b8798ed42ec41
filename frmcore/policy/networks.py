"""Networks as canonical text: what lists with `match: network` hold."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network


def canonical_network(text: str) -> str | None:
    """`"10.0.0.0/8"`, a single address as `/32` or `/128`; None where `text` is neither, or has bits
    beyond its prefix."""
    if "%" in text:
        return None
    try:
        return str(_unmapped(ip_network(text)))
    except ValueError:
        return None


def nearest_network(text: str) -> str:
    """The network that an address with a prefix lies in: `"10.0.0.7/8"` -> `"10.0.0.0/8"`; "" where there is none."""
    try:
        return str(_unmapped(ip_network(text, strict=False)))
    except ValueError:
        return ""


def _unmapped(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    if isinstance(network, IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return IPv4Network((mapped, network.prefixlen - 96))
    return network
