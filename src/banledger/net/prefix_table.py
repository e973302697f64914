"""Longest-prefix match in memory.

Theory of operation. One dictionary per prefix length, keyed by the bits of the prefix; a look-up tries the existing
lengths, longest first. With 100,000 networks of twenty lengths it takes a few microseconds, and memory for the items
only: a trie in Python is slower and larger.
"""

from collections.abc import Iterator
from typing import Generic, TypeVar

from banledger.net.prefix import Block

_Value = TypeVar("_Value")


class Table(Generic[_Value]):
    """Values by network. Used by one thread."""

    def __init__(self) -> None:
        self._lengths: dict[int, list[int]] = {4: [], 6: []}
        self._values: dict[tuple[int, int], dict[int, _Value]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._values.values()))

    def put(self, network: Block, value: _Value) -> None:
        """Set the network's value."""
        place = network.version, network.prefix
        if place not in self._values:
            self._values[place] = {}
            self._lengths[network.version] = sorted([*self._lengths[network.version], network.prefix], reverse=True)
        self._values[place][network.first >> network.host_bits] = value

    def remove(self, network: Block) -> None:
        """Remove the network, if present."""
        self._values.get((network.version, network.prefix), {}).pop(network.first >> network.host_bits, None)

    def longest(self, asked: Block) -> tuple[Block, _Value] | None:
        """The smallest network that covers all of `asked`, and its value."""
        return next(self.around(asked), None)

    def around(self, asked: Block) -> Iterator[tuple[Block, _Value]]:
        """Every network that covers all of `asked`, smallest first."""
        version, first = asked.version, asked.first
        bits = 32 if version == 4 else 128
        for prefix in self._lengths[version]:
            if prefix <= asked.prefix:
                free = bits - prefix
                value = self._values[version, prefix].get(first >> free)
                if value is not None:
                    yield Block(version, first >> free << free, prefix), value
