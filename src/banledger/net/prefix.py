"""Addresses and networks as numbers: containment and text. Pure."""

import socket
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, summarize_address_range

from msgspec import Struct

_BITS = {4: 32, 6: 128}


class Block(Struct, frozen=True):
    """An address or network: IP version (4 or 6), its first address as a number, its prefix length."""

    version: int
    first: int
    prefix: int

    @property
    def host_bits(self) -> int:
        """The number of host bits."""
        return _BITS[self.version] - self.prefix

    @property
    def last(self) -> int:
        """Its last address as a number."""
        return self.first + (1 << self.host_bits) - 1

    def covers(self, other: "Block") -> bool:
        """Whether it contains all of `other`."""
        return (
            self.version == other.version
            and self.prefix <= other.prefix
            and self.first >> self.host_bits == other.first >> self.host_bits
        )

    @property
    def text(self) -> str:
        """Its canonical text: an address, or a network with its prefix length."""
        return f"{self._address}/{self.prefix}" if self.host_bits else self._address

    @property
    def cidr(self) -> str:
        """Its canonical text with the prefix length, even for a single address."""
        return f"{self._address}/{self.prefix}"

    @property
    def _address(self) -> str:
        family, size = (socket.AF_INET, 4) if self.version == 4 else (socket.AF_INET6, 16)
        return socket.inet_ntop(family, self.first.to_bytes(size, "big"))

    def at(self, prefix: int) -> "Block":
        """The network of this prefix length that contains it, or the first one inside it."""
        free = _BITS[self.version] - prefix
        return Block(self.version, self.first >> free << free, prefix)


def block(canonical: str) -> Block:
    """Parse a canonical address or network. Raises OSError or ValueError for anything else."""
    address, _, prefix = canonical.partition("/")
    if ":" in address:
        number = int.from_bytes(socket.inet_pton(socket.AF_INET6, address), "big")
        return Block(6, number, int(prefix or 128))
    return Block(4, int.from_bytes(socket.inet_pton(socket.AF_INET, address), "big"), int(prefix or 32))


def blocks_between(first: str, last: str) -> Iterator[Block]:
    """The fewest blocks that cover exactly a range of addresses, in order. Raises ValueError for an invalid range."""
    kind = IPv6Address if ":" in first else IPv4Address
    for network in summarize_address_range(kind(first), kind(last)):
        yield Block(network.version, int(network.network_address), network.prefixlen)
