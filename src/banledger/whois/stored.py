"""What the ledger knows about an address's network, for `banledger whois`: the rule of the cache over a store."""

from collections.abc import Callable
from math import inf
from typing import TypeAlias

from msgspec import Struct

from banledger.ledger.ban import INHERITED, NONE, PROVEN, STALE, WAITING
from banledger.ledger.network import Answer, Cell, Network, Outcome, Pause, cell_of
from banledger.ledger.networks import NetworksReader
from banledger.net.prefix import Block, block
from banledger.whois.rule import CellState, KnownNetwork, find

Alike: TypeAlias = Callable[[Block, Block], bool]
"""Whether offline data gives two blocks the same country."""

AROUND = "around"
NAMED = (PROVEN, STALE, INHERITED)
"""States in which a registry's answer, and not only a larger network around, gives the network."""


class WhoisAnswer(Struct, frozen=True):
    """What is known about an address or network.

    standing  proven, stale (proven long ago), inherited (proven near by), none (no registry has a network there),
              around (the network is known, but this part was not looked up), or empty: nothing is known
    cell      the part that a look-up proves, or has proven
    pauses    registries that are paused
    """

    asked: str
    standing: str
    cell: Block
    network: Network | None
    result: Cell | None
    pauses: dict[str, Pause]


def registered_alike(one: Block, other: Block) -> bool:
    """Whether two blocks are registered in the same country."""
    from banledger.whois.locate import alike

    return alike(None)(one, other)


class _Stored:
    """A `View` over a store, for one question."""

    def __init__(self, networks: NetworksReader, alike: Alike) -> None:
        self.alike = alike
        self.network: Network | None = None
        self.cells: dict[str, Cell] = {}
        self._networks = networks

    def longest(self, asked: Block) -> tuple[Block, KnownNetwork] | None:
        """See View.longest."""
        self.network = network = next(self._networks.around(asked.cidr), None)
        own = network.around(asked) if network else None
        if network is None or own is None:
            return None
        return own, KnownNetwork(own.cidr, network.cidrs[0], network.country, network.org)

    def states(self, cells: list[Block]) -> list[CellState | None]:
        """See View.states."""
        found = self._networks.cells([cell.cidr for cell in cells])
        self.cells |= {cell.cidr: cell for cell in found if cell is not None}
        return [None if cell is None else self._state(cell) for cell in found]

    def _state(self, cell: Cell) -> CellState:
        known = self.network.cidrs if self.network else ()
        record = known[0] if cell.network in known else cell.network
        proven = record if known and cell.result is Outcome.FOUND else None
        return CellState(cell.asked, cell.until, proven, cell.asn, cell.tries, cell.result is Outcome.NONE)


def known(
    networks: NetworksReader, asked: str, now: float, refresh_s: float, alike: Alike = registered_alike
) -> WhoisAnswer:
    """What the ledger knows about a canonical address or network (UTC epoch `now`). See `rule.find`."""
    view = _Stored(networks, alike)
    found = find(view, block(asked), now, refresh_s)
    whole = networks.network(found.known.cidr) if found.known else view.network
    standing = found.standing
    if standing == WAITING:
        standing = AROUND if view.network else ""
    result = view.cells.get((found.near or found.cell).cidr)
    return WhoisAnswer(asked, standing, found.cell, None if standing == NONE else whole, result, networks.pauses())


def named(networks: NetworksReader, asked: str, now: float) -> bool:
    """Whether the ledger has the network of a canonical address or network, so that no look-up is needed."""
    return known(networks, asked, now, inf).standing in NAMED


def answered(before: WhoisAnswer, answer: Answer, now: float) -> WhoisAnswer:
    """What is known after a new answer (found; UTC epoch `now`)."""
    there = block(before.asked)
    network = answer.network
    own = network.around(there) if network else None
    cell = cell_of(there, own)
    result = Cell(cidr=cell.cidr, asked=now, result=Outcome.FOUND, network=own.cidr if own else None, asn=answer.asn)
    return WhoisAnswer(before.asked, PROVEN, cell, network, result, before.pauses)
