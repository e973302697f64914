"""Whether a ban is meant by a question, and what a filter on addresses covers. Pure."""

import socket
from collections.abc import Callable

from msgspec import Struct

from banledger.record import Ban
from banledger.report.query import PRIVATE, Query


class Block(Struct, frozen=True):
    """An address or network: IP version (4 or 6), its first address as a number, its prefix length."""

    version: int
    first: int
    prefix: int

    @property
    def host_bits(self) -> int:
        """How many bits of an address are free in it."""
        return (32 if self.version == 4 else 128) - self.prefix

    def covers(self, other: "Block") -> bool:
        """Whether all of `other` lies in it."""
        return (
            self.version == other.version
            and self.prefix <= other.prefix
            and self.first >> self.host_bits == other.first >> self.host_bits
        )

    @property
    def text(self) -> str:
        """Its canonical text."""
        family, size = (socket.AF_INET, 4) if self.version == 4 else (socket.AF_INET6, 16)
        address = socket.inet_ntop(family, self.first.to_bytes(size, "big"))
        return f"{address}/{self.prefix}" if self.host_bits else address

    def at(self, prefix: int) -> "Block":
        """The network of that prefix length that holds it, or the first one inside it."""
        free = (32 if self.version == 4 else 128) - prefix
        return Block(self.version, self.first >> free << free, prefix)


def block(canonical: str) -> Block:
    """The block of a canonical address or network."""
    address, _, prefix = canonical.partition("/")
    if ":" in address:
        number = int.from_bytes(socket.inet_pton(socket.AF_INET6, address), "big")
        return Block(6, number, int(prefix or 128))
    return Block(4, int.from_bytes(socket.inet_pton(socket.AF_INET, address), "big"), int(prefix or 32))


def matcher(query: Query) -> Callable[[Ban], bool]:
    """A function that says whether a ban is meant."""
    span = query.span
    tests: list[Callable[[Ban], bool]] = [lambda ban: span.holds(ban.day, ban.time)]
    if query.jail:
        jails = frozenset(query.jail)
        tests.append(lambda ban: ban.jail in jails)
    if query.server:
        servers = frozenset(query.server)
        tests.append(lambda ban: ban.server in servers)
    if query.user:
        users = frozenset(query.user)
        tests.append(lambda ban: not users.isdisjoint(ban.users))
    if query.country:
        codes = frozenset(query.country)
        tests.append(lambda ban: (PRIVATE if ban.scope == "private" else ban.country) in codes)
    if query.ip:
        tests.append(_address_test(query.ip))
    return lambda ban: all(test(ban) for test in tests)


def _address_test(wanted: tuple[str, ...]) -> Callable[[Ban], bool]:
    exact = frozenset(wanted)
    networks = [block(text) for text in wanted if "/" in text]

    def test(ban: Ban) -> bool:
        if ban.ip is None or not networks:
            return ban.ip in exact
        if ban.ip in exact:
            return True
        own = block(ban.ip)
        return any(network.covers(own) for network in networks)

    return test
