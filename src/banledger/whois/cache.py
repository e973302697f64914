"""The ledger's networks and cells in memory. `rule` decides what they prove about an address."""

import sys
from collections.abc import Callable, Iterator
from contextlib import suppress

from banledger.ledger.network import Cell, Network, Outcome
from banledger.ledger.networks import NetworksReader
from banledger.net.prefix import Block, block
from banledger.net.prefix_table import Table
from banledger.whois.rule import CellState, Knowledge, KnownNetwork, find


class Cache:
    """A `View` in memory. `alike`: whether offline data gives two blocks the same country. Used by one thread."""

    def __init__(self, refresh_s: float, alike: Callable[[Block, Block], bool]) -> None:
        self.alike = alike
        self._refresh_s = refresh_s
        self._networks: Table[KnownNetwork] = Table()
        self._cells: dict[Block, CellState] = {}

    def clear(self) -> None:
        """Forget everything."""
        self._networks = Table()
        self._cells.clear()

    def learn(self, network: Network) -> None:
        """Add a record; it replaces the earlier records of its CIDRs."""
        record = network.cidrs[0]
        for cidr in network.cidrs:
            own = record if cidr == record else cidr
            known = KnownNetwork(own, record, _same(network.country), _same(network.org))
            self._networks.put(block(cidr), known)

    def read_networks(self, there: NetworksReader, cidrs: list[str]) -> None:
        """Read these networks of a ledger; forget those that it no longer has. Raises StoreError."""
        for cidr, network in zip(cidrs, there.networks(cidrs), strict=True):
            if network is None:
                self.forget(cidr)
            else:
                self.learn(network)

    def read_cells(self, there: NetworksReader, cidrs: list[str]) -> None:
        """Read these cells of a ledger. Raises StoreError."""
        for cell in there.cells(cidrs):
            if cell is not None:
                self.prove(cell)

    def forget(self, cidr: str) -> None:
        """Remove a network (any text; it may be unknown)."""
        with suppress(OSError, ValueError):
            self._networks.remove(block(cidr))

    def prove(self, cell: Cell) -> None:
        """Add the result of a look-up."""
        there = block(cell.cidr)
        hit = self._networks.longest(there) if cell.result is Outcome.FOUND else None
        record = hit[1].record if hit else None
        nothing = cell.result is Outcome.NONE
        self._cells[there] = CellState(cell.asked, cell.until, record, cell.asn, cell.tries, nothing)

    def inside_of(self, asked: Block, network: Block) -> Iterator[str]:
        """CIDRs of known networks around `asked` that are smaller than `network`."""
        for smaller, known in self._networks.around(asked):
            if smaller.prefix > network.prefix:
                yield known.cidr

    def find(self, asked: Block, now: float) -> Knowledge:
        """What is known about an address or network (UTC epoch `now`)."""
        return find(self, asked, now, self._refresh_s)

    def longest(self, asked: Block) -> tuple[Block, KnownNetwork] | None:
        """See View.longest."""
        return self._networks.longest(asked)

    def states(self, cells: list[Block]) -> list[CellState | None]:
        """See View.states."""
        return [self._cells.get(cell) for cell in cells]


def _same(text: str | None) -> str | None:
    """Share one object among equal texts: thousands of networks have the same country, many the same owner."""
    return None if text is None else sys.intern(text)
