"""IPv4 addresses and networks as numbers: the number of host bits, then (32 bits) the address without them. Pure.

So addresses are numbers below `NETWORKS`, and the networks inside a network are one range for each prefix length. Low
bits differ, as a hash table wants it: an integer is its own hash.
"""

from collections.abc import Iterator
from socket import AF_INET, inet_ntoa, inet_pton

from banledger.net.prefix import Block

NETWORKS = 1 << 32
"""The least number of a network. Smaller ones are addresses."""

_LOW = NETWORKS - 1
_HOST_BITS = {str(prefix): 32 - prefix for prefix in range(32)}


def number_of(text: str) -> int | None:
    """Return the number of a canonical address or network; None: `text` is neither."""
    if text.count(".") != 3:
        return None
    address, slash, prefix = text.partition("/")
    try:
        packed = inet_pton(AF_INET, address)
    except (OSError, ValueError):
        return None
    if inet_ntoa(packed) != address:
        return None
    number = int.from_bytes(packed, "big")
    if not slash:
        return number
    host = _HOST_BITS.get(prefix)
    return None if host is None or number & ((1 << host) - 1) else host << 32 | number >> host


def text_of(number: int) -> str:
    """Return the address or network."""
    host = number >> 32
    address = inet_ntoa((number << host & _LOW).to_bytes(4, "big"))
    return f"{address}/{32 - host}" if host else address


def ranges(network: Block) -> Iterator[tuple[int, int]]:
    """Return the ranges (first, last) of all numbers inside a network."""
    for host in range(network.host_bits + 1):
        yield host << 32 | network.first >> host, host << 32 | network.last >> host
