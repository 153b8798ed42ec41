"""IP addresses and networks as canonical text: what lists hold and literals mean."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network


def canonical_ip(text: str) -> str | None:
    """`"::ffff:10.0.0.1"` -> `"10.0.0.1"`; None where `text` is no address (nor is one with a zone, `%eth0`)."""
    if "%" in text:
        return None
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


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
