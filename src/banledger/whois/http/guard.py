"""SSRF guard: resolve a name once, and allow only public addresses.

Theory of operation. A host name in a redirect is hostile: it may point to this machine, its network or a cloud's
metadata service. So it is resolved once, each address is checked, and the connection goes to a checked address. IPv6
addresses that embed an IPv4 address are checked by the embedded one.
"""

import ipaddress
import socket
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TypeAlias

Resolve: TypeAlias = Callable[[str, int], list[tuple[str, int]]]
"""Resolve a host and port to addresses and ports, best first. Raises OSError."""

_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: IPv4 addresses in a network without IPv4
_NOBODYS = (
    IPv4Network("0.0.0.0/8"),
    IPv4Network("192.0.0.0/24"),
    IPv4Network("192.88.99.0/24"),
    IPv6Network("2001::/23"),  # Teredo and other protocols' own
    IPv6Network("2002::/16"),  # 6to4
    IPv6Network("3fff::/20"),  # documentation
)


def is_public(text: str) -> bool:
    """Whether an address is public: not private, local, multicast, reserved or for tests."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return _is_public_v4(address) if isinstance(address, IPv4Address) else _is_public_v6(address)


def _is_public_v4(address: IPv4Address) -> bool:
    if address.is_multicast or address.is_reserved or not address.is_global:
        return False
    return not any(address in network for network in _NOBODYS)


def _is_public_v6(address: IPv6Address) -> bool:
    if address.ipv4_mapped is not None:
        return _is_public_v4(address.ipv4_mapped)
    if address in _NAT64:
        return _is_public_v4(IPv4Address(int(address) & 0xFFFF_FFFF))
    if address not in _GLOBAL_UNICAST or not address.is_global:
        return False
    return not any(address in network for network in _NOBODYS)


def resolve(host: str, port: int) -> list[tuple[str, int]]:
    """Resolve by this machine's resolver. See `Resolve`."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys((str(place[0]), port) for *_, place in found))


def resolve_within(seconds: float, how: Resolve, host: str, port: int) -> list[tuple[str, int]]:
    """Resolve with a time limit, which the system's resolver lacks. Raises OSError.

    A call that runs out of time continues in its own thread until the resolver ends it.
    """
    done: SimpleQueue[list[tuple[str, int]] | Exception] = SimpleQueue()

    def work() -> None:
        try:
            done.put(how(host, port))
        except (OSError, ValueError) as error:  # ValueError: a name that can't be one
            done.put(error)

    Thread(target=work, name=f"resolve {host}", daemon=True).start()
    try:
        found = done.get(timeout=max(seconds, 0.0))
    except Empty:
        raise TimeoutError(f"the resolver did not answer for {host}") from None
    if isinstance(found, Exception):
        raise OSError(f"{host}: {found}") from found
    return found
