"""What the ledger knows of whose an address is, for a person who asks."""

from math import inf

from msgspec import Struct

from banledger.clock import is_fresh, left_s
from banledger.ledger.ban import INHERITED, NONE, PROVEN, STALE
from banledger.ledger.network import Answer, Cell, Network, Outcome, Pause, cell_of, near_cells
from banledger.ledger.networks import NetworksReader
from banledger.net.prefix import Block, block

AROUND = "around"
NAMED = (PROVEN, STALE, INHERITED)
"""Where an answer, and not the mere place in a larger network, says whose it is."""


class Known(Struct, frozen=True):
    """What is known of an address or network.

    standing  proven, stale (proven long ago), inherited (proven near by), none (no registry has a network there),
              around (the network is known, but nobody asked about this part of it), or empty: nothing is known
    cell      what a look-up of it proves, or has proven
    pauses    registries that want to be left alone
    """

    asked: str
    standing: str
    cell: Block
    network: Network | None
    result: Cell | None
    pauses: dict[str, Pause]


def known(networks: NetworksReader, asked: str, now: float, refresh_s: float) -> Known:
    """What the ledger knows of a canonical address or network (UTC epoch `now`)."""
    there = block(asked)
    network = next(networks.around(asked), None)
    own = network.around(there) if network else None
    cell = cell_of(there, own)
    (result,) = networks.cells([cell.cidr])
    whole = networks.network(own.cidr) if own else None
    standing = _standing(whole, result, now, refresh_s)
    if standing == AROUND and whole and (near := _near(networks, cell, whole)):
        standing, result = INHERITED, near
    return Known(asked, standing, cell, None if standing == NONE else whole, result, networks.pauses())


def named(networks: NetworksReader, asked: str, now: float) -> bool:
    """Whether the ledger knows whose a canonical address or network is, so that nobody need be asked."""
    return known(networks, asked, now, inf).standing in NAMED


def _near(networks: NetworksReader, cell: Block, network: Network) -> Cell | None:
    """What proves the network near by; see `enrich.cache`."""
    from banledger.whois.locate import alike

    same, near = alike(None), list(near_cells(cell))
    for other, found in zip(near, networks.cells([there.cidr for there in near]), strict=True):
        if found and found.result is Outcome.FOUND and found.network in network.cidrs and same(cell, other):
            return found
    return None


def answered(before: Known, answer: Answer, now: float) -> Known:
    """What is known with an answer just given (found; UTC epoch `now`)."""
    there = block(before.asked)
    network = answer.network
    own = network.around(there) if network else None
    cell = cell_of(there, own)
    result = Cell(cidr=cell.cidr, asked=now, result=Outcome.FOUND, network=own.cidr if own else None, asn=answer.asn)
    return Known(before.asked, PROVEN, cell, network, result, before.pauses)


def _standing(network: Network | None, result: Cell | None, now: float, refresh_s: float) -> str:
    if result is not None and result.result is Outcome.NONE and left_s(result.until, now, refresh_s):
        return NONE
    if network is None:
        return ""
    if result is None or result.result is not Outcome.FOUND:
        return AROUND
    return PROVEN if is_fresh(result.asked, now, refresh_s) else STALE
