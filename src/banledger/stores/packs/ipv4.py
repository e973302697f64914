"""IPv4 addresses and networks as numbers. Pure.

An address is its 32 bits. A network is `NETWORKS` and, in 32 bits too, 1 and the bits of its prefix: so all networks of
one prefix length stand side by side, in the order of their addresses, and those inside a network are a range of them.
"""

from collections.abc import Iterator
from socket import AF_INET, inet_ntoa, inet_pton

from banledger.net.prefix import Block

NETWORKS = 1 << 32
"""The least number of a network. Smaller ones are addresses."""

END = 2 * NETWORKS
"""All numbers are smaller."""

_HOST_BITS = {str(prefix): 32 - prefix for prefix in range(32)}


def number_of(text: str) -> int | None:
    """Return the number of a canonical address or network; None: `text` is neither.

    `inet_pton` takes an address in canonical form only: four numbers without leading zeros (inet_pton(3)).
    """
    if text.count(".") != 3:
        return None
    address, slash, prefix = text.partition("/")
    try:
        packed = inet_pton(AF_INET, address)
    except (OSError, ValueError):
        return None
    number = int.from_bytes(packed, "big")
    if not slash:
        return number
    host = _HOST_BITS.get(prefix)
    return None if host is None or number & ((1 << host) - 1) else NETWORKS + (1 << (32 - host)) + (number >> host)


def text_of(number: int) -> str:
    """Return the address or network. `number`: smaller than END."""
    if number < NETWORKS:
        return inet_ntoa(number.to_bytes(4, "big"))
    number -= NETWORKS
    prefix = max(number.bit_length() - 1, 0)
    first = (number << (32 - prefix)) - (1 << 32)
    return f"{inet_ntoa(max(first, 0).to_bytes(4, 'big'))}/{prefix}"


def network_text(low: int) -> str:
    """Return the network whose number has these 32 low bits."""
    return text_of(NETWORKS + low)


def ranges(network: Block) -> Iterator[tuple[int, int]]:
    """Return the ranges (first, last) of all numbers inside a network."""
    yield network.first, network.last
    for host in range(1, network.host_bits + 1):
        start = NETWORKS + (1 << (32 - host))
        yield start + (network.first >> host), start + (network.last >> host)
