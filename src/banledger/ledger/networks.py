"""Networks, cells, pauses and the look-up lease in the ledger. A hash is written before its entry in the index.

All of them may be written again at any time. If two recorders write the same hash, both are right, and the last wins.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from banledger.clock import is_future
from banledger.ledger.keys import Keyspace
from banledger.ledger.lease import Held, take
from banledger.ledger.network import (
    LONGEST_PAUSE_S,
    Cell,
    Network,
    Pause,
    cell_from_hash,
    cell_of,
    cell_to_hash,
    from_hash,
    to_hash,
)
from banledger.ledger.swap import assign
from banledger.ledger.tokens import token
from banledger.net.prefix import block
from banledger.stores.api import Engine, Hash, Reader, Scored
from banledger.stores.change import Score
from banledger.stores.fields import UNREADABLE, Damaged, is_cidr, moment, text

_PAUSE, _LENGTH = "pause:", "length:"
_NUMBER = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?")


class NetworksReader:
    """Reads networks, cells and pauses. Damaged ones count as absent."""

    def __init__(self, reader: Reader, keys: Keyspace) -> None:
        self._reader = reader
        self._keys = keys

    def network(self, cidr: str) -> Network | None:
        """Return the record of a network (canonical CIDR), with the whole answer."""
        (found,) = self.networks([cidr])
        if found is None or found.raw or found.cidrs[0] == cidr:
            return found
        (whole,) = self.networks([found.cidrs[0]])
        return whole if whole is not None and cidr in whole.cidrs else found

    def networks(self, cidrs: Sequence[str]) -> list[Network | None]:
        """Return the record of each network."""
        hashes = self._reader.hashes([self._keys.network(cidr) for cidr in cidrs])
        return [_network(cidr, fields) for cidr, fields in zip(cidrs, hashes, strict=True)]

    def cells(self, cidrs: Sequence[str]) -> list[Cell | None]:
        """Return each cell; None: not looked up."""
        hashes = self._reader.hashes([self._keys.cell(cidr) for cidr in cidrs])
        return [_cell(cidr, fields) for cidr, fields in zip(cidrs, hashes, strict=True)]

    def newest(self, what: str, start: int, count: int) -> list[Scored]:
        """Return a page of the networks with a record, or of the cells that were looked up, newest first.

        `what`: `networks` or `cells`. Each comes with the moment when it was stored.
        """
        return self._reader.ranking(getattr(self._keys, what), start, count)

    def put_since(self, what: str, moment: float) -> int:
        """Return how many of them were stored at that moment or later."""
        return self._reader.sizes([getattr(self._keys, what)], moment)[0]

    def pauses(self) -> dict[str, Pause]:
        """Return the pauses by registry."""
        fields = self._reader.hashes([self._keys.lookups])[0]
        numbers = {name: float(number) for name, number in fields.items() if _NUMBER.fullmatch(number)}
        names = [name.removeprefix(_PAUSE) for name in numbers if name.startswith(_PAUSE)]
        return {name: Pause(numbers[_PAUSE + name], numbers.get(_LENGTH + name, LONGEST_PAUSE_S)) for name in names}

    def around(self, address: str) -> Iterator[Network]:
        """Return the records of networks around a canonical address or network, smallest first. Tries every length."""
        asked = block(address)
        cidrs = [asked.at(prefix).cidr for prefix in range(asked.prefix, 7, -1)]
        yield from (found for found in self.networks(cidrs) if found is not None)


class Networks(NetworksReader):
    """Writes networks, cells, pauses and the look-up lease. See the module."""

    def __init__(self, engine: Engine, keys: Keyspace) -> None:
        super().__init__(engine, keys)
        self._engine = engine

    def put(self, networks: Iterable[Network], cells: Iterable[Cell], now: float) -> None:
        """Store records and cells; they replace the old ones (UTC epoch `now`)."""
        found, asked = list(networks), list(cells)
        hashes: dict[str, Hash] = {}
        scores: list[Score] = []
        for network in found:
            for cidr in network.cidrs:
                hashes[self._keys.network(cidr)] = to_hash(network, raw=cidr == network.cidrs[0])
                scores.append(Score(self._keys.networks, cidr, now))
        for cell in asked:
            hashes[self._keys.cell(cell.cidr)] = cell_to_hash(cell)
            scores.append(Score(self._keys.cells, cell.cidr, now))
        self._engine.put(hashes, scores)

    def put_older(self, learned: Sequence[tuple[Network, Sequence[Cell]]], now: float) -> int:
        """Store records learned elsewhere, unless the ledger has newer ones; return the number of networks stored."""
        have = self._have([cidr for network, _ in learned for cidr in network.cidrs])
        asked = [cell.cidr for _, cells in learned for cell in cells]
        asked += [cell_of(block(cidr), None).cidr for network, _ in learned for cidr in network.cidrs]
        known = dict(zip(asked, self.cells(asked), strict=True))
        networks, proven = [], []
        for network, cells in learned:
            around = (known[cell_of(block(cidr), None).cidr] for cidr in network.cidrs)
            older = (have[cidr] for cidr in network.cidrs)
            if any(one and _newer(one.fetched, network.fetched, now) for one in older):
                continue
            if any(one and _newer(one.asked, network.fetched, now) for one in around):
                continue
            networks.append(network)
            have_cells = ((cell, known[cell.cidr]) for cell in cells)
            proven += [cell for cell, one in have_cells if one is None or not _newer(one.asked, cell.asked, now)]
        if networks:
            self.put(networks, proven, now)
        return len(networks)

    def _have(self, cidrs: Sequence[str]) -> dict[str, Network | None]:
        return dict(zip(cidrs, self.networks(cidrs), strict=True))

    def remove(self, cidrs: Sequence[str], now: float) -> None:
        """Mark networks as gone (UTC epoch `now`). They stay in the index, so that other recorders notice."""
        gone = {self._keys.network(cidr): {"gone": f"{now:.0f}"} for cidr in cidrs}
        self._engine.put(gone, [Score(self._keys.networks, cidr, now) for cidr in cidrs])

    def lease(self, wanted: Held, seen: Held) -> Held:
        """Take or renew the look-up lease: see `lease.take`."""
        return take(self._engine, self._keys.lookups, wanted, seen)

    def pause(self, registry: str, pause: Pause) -> None:
        """Record a pause of a registry, for every recorder."""
        name = token(registry)
        fields = {_PAUSE + name: repr(pause.until), _LENGTH + name: repr(pause.length_s)}
        assign(self._engine, self._keys.lookups, fields)


def _newer(have: float, moment: float, now: float) -> bool:
    """Whether what the ledger has is at least as new; a moment from a wrong clock is older than any other."""
    return (not is_future(have, now), have) >= (not is_future(moment, now), round(moment))


def _network(cidr: str, fields: Hash) -> Network | None:
    try:
        return parsed_network(cidr, fields) if fields else None
    except Damaged:
        return None


def _cell(cidr: str, fields: Hash) -> Cell | None:
    try:
        return parsed_cell(cidr, fields) if fields else None
    except Damaged:
        return None


def parsed_network(cidr: str, fields: Hash) -> Network | None:
    """The network at a CIDR; None: it is one no more. Raises `fields.Damaged`."""
    if "gone" in fields:
        moment(fields, "gone")
        return None
    network = from_hash(fields)
    if cidr not in network.cidrs:
        raise Damaged("cidrs", "does not contain the network of the key")
    return network


def parsed_cell(cidr: str, fields: Hash) -> Cell:
    """Return the cell of a hash. Raises `fields.Damaged`."""
    if not is_cidr(cidr):
        raise Damaged("", "its key is not a network")
    return cell_from_hash(cidr, fields)


def parsed_lookups(fields: Hash) -> None:
    """Check the hash of leases and pauses. Raises `fields.Damaged`."""
    if UNREADABLE in fields:
        raise Damaged("", fields[UNREADABLE])
    for name in fields:
        if name == "until" or name.startswith((_PAUSE, _LENGTH)):
            moment({name[:80]: fields[name]}, name[:80])
    text(fields, "holder", 256)
