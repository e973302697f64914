"""SSRF guard: resolve a name once, and allow only public addresses.

Theory of operation. A host name in a redirect is hostile: it may point to this machine, its network or a cloud's
metadata service. So it is resolved once, each address is checked, and the connection goes to a checked address. IPv6
addresses that embed an IPv4 address are checked by the embedded one.
"""

import socket
from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TypeAlias

from banledger.net.prefix import Block, block
from banledger.net.special import kind_of
from banledger.whois.http.watchdog import Watchdog

Resolve: TypeAlias = Callable[[str, int], list[tuple[str, int]]]
"""Resolve a host and port to addresses and ports, best first. Raises OSError."""

_ADDRESSES_MOST = 6
_GLOBAL_UNICAST = block("2000::/3")
_MAPPED = block("::ffff:0:0/96")
_NAT64 = block("64:ff9b::/96")  # RFC 6052: IPv4 addresses in a network without IPv4


def is_public(text: str) -> bool:
    """Whether an address is public: not private, local, multicast, reserved or for tests."""
    try:
        there = block(text)
    except (OSError, ValueError):
        return False
    if _MAPPED.covers(there) or _NAT64.covers(there):
        there = Block(4, there.first & 0xFFFF_FFFF, 32)
    elif there.version == 6 and not _GLOBAL_UNICAST.covers(there):
        return False
    return not (there.host_bits or kind_of(there))


def connected(
    host: str, port: int, permitted: Callable[[str], bool], how: Resolve, watchdog: Watchdog
) -> socket.socket:
    """Connect to the first permitted address of a host that answers. Raises OSError."""
    found = resolve_within(watchdog.left_s, how, host, port)
    places = [place for place in found if permitted(place[0])][:_ADDRESSES_MOST]
    trouble = OSError(f"{host} has no public address: {', '.join(place[0] for place in found[:3])}")
    for number, place in enumerate(places):
        watchdog.check()
        try:
            share_s = watchdog.left_s / (len(places) - number)
            connection = socket.create_connection(place, timeout=max(share_s, 0.01))
        except OSError as error:
            trouble = error
            continue
        connection.settimeout(max(watchdog.left_s, 0.01))
        watchdog.watch(connection)
        return connection
    raise trouble


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
    if isinstance(found, socket.gaierror):
        raise OSError(f"the name {host} can't be resolved: {found.strerror}") from found
    if isinstance(found, Exception):
        raise OSError(f"{host}: {found}") from found
    return found
