"""Whom a connection may go to: names become addresses here, once, and only public ones are let through.

Theory of operation. A name is a stranger's: it may lead to this machine, its neighbours or a cloud's metadata
service. So it is resolved once, each address is judged, and the connection goes to the very address that was judged.
Addresses of IPv6 that carry one of IPv4 inside are judged by that one.
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
"""From the name of a host and a port to addresses and ports, best first. Raises OSError."""

_ADDRESSES_MOST = 6
_GLOBAL_UNICAST = block("2000::/3")
_MAPPED = block("::ffff:0:0/96")
_NAT64 = block("64:ff9b::/96")  # RFC 6052: how a network without IPv4 sees all of IPv4


def is_public(text: str) -> bool:
    """Whether an address belongs to somebody on the internet: not private, local, multicast, reserved or for tests."""
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
    """Connected to the first of a host's permitted addresses that answers. Raises OSError."""
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
    """What this machine's resolver knows of a host. See `Resolve`."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys((str(place[0]), port) for *_, place in found))


def resolve_within(seconds: float, how: Resolve, host: str, port: int) -> list[tuple[str, int]]:
    """The same, given up after a while: a resolver can't be told how long it may take. Raises OSError.

    What was given up goes on in a thread of its own, until the resolver has enough.
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
        raise TimeoutError(f"the resolver was silent about {host}") from None
    if isinstance(found, Exception):
        raise OSError(f"{host}: {found}") from found
    return found
