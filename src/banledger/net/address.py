"""Canonical text of addresses and networks. Pure."""

import ipaddress
import socket
from functools import lru_cache


@lru_cache(maxsize=4096)
def canonical_address(text: str) -> str | None:
    """The canonical text of an address or network, or None if `text` is neither.

    IPv4-mapped IPv6 folds to IPv4, a network of one address to the address, host bits are cleared.
    """
    try:
        return socket.inet_ntop(socket.AF_INET, socket.inet_pton(socket.AF_INET, text))
    except (OSError, ValueError):
        pass
    try:
        if "%" in text:  # a scope: it may be any text, and has no meaning on another machine
            return None
        if "/" not in text:
            packed = socket.inet_pton(socket.AF_INET6, text)
            if packed[:12] == b"\0" * 10 + b"\xff\xff":
                return socket.inet_ntop(socket.AF_INET, packed[12:])
            return socket.inet_ntop(socket.AF_INET6, packed)
        return _canonical_network(text)
    except (OSError, ValueError):
        return None


def _canonical_network(text: str) -> str:
    network = ipaddress.ip_network(text, strict=False)
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            network = ipaddress.ip_network((mapped, network.prefixlen - 96))
    if network.prefixlen == network.max_prefixlen:
        return str(network.network_address)
    return str(network)
