"""The spool line of a network: written by a command or an import, read by the recorder."""

from collections.abc import Iterator
from typing import Any

from banledger.clock import AHEAD_S
from banledger.ledger.network import (
    CELL_PREFIX,
    SHORTEST,
    Cell,
    Network,
    Outcome,
    cell_of,
    packed,
    smallest_around,
    unpacked,
)
from banledger.net.address import canonical_address
from banledger.net.prefix import Block, block
from banledger.spool.events import VERSION, NetworkLine

_TEXTS = ("handle", "name", "country", "org", "abuse", "registered", "changed")


def line_of(network: Network, *, about: str, seen: float, server: str, writer: str) -> dict[str, Any]:
    """Return the spool line without its number. `writer`: the command that writes it."""
    fields = {name: value for name in (*_TEXTS, "asn", "remarks") if (value := getattr(network, name))}
    head = {"v": VERSION, "kind": "network", "seen": seen, "server": server, "jail": writer, "about": about}
    head |= {"cidrs": network.cidrs, "source": network.source, "registry": network.registry}
    return head | {"fetched": network.fetched, **fields} | ({"raw": packed(network.raw)} if network.raw else {})


def of_line(line: NetworkLine) -> tuple[Network, tuple[Cell, ...]]:
    """Return the network of a line, and the cells that it proves. Raises ValueError if the line is invalid."""
    blocks = [block(cidr) for text in line.cidrs if (cidr := canonical_address(text))]
    if len(blocks) != len(line.cidrs) or any(there.prefix < SHORTEST[there.version] for there in blocks):
        raise ValueError("cidrs: not networks of a registry")
    if line.fetched > line.seen + AHEAD_S:  # both by the writer's clock; ours may be wrong
        raise ValueError("fetched: later than the line")
    network = Network(
        cidrs=tuple(there.cidr for there in blocks),
        source=line.source,
        registry=line.registry,
        fetched=line.fetched,
        asn=line.asn or None,
        remarks=line.remarks,
        raw=unpacked(line.raw) if line.raw else b"",
        **{name: getattr(line, name) or None for name in _TEXTS},
    )
    return network, tuple(_proven(line, blocks))


def _proven(line: NetworkLine, blocks: list[Block]) -> Iterator[Cell]:
    """Return the cell of the address that was looked up; without one, the networks that are no larger than a cell."""
    about = canonical_address(line.about)
    asked = [block(about)] if about else [there for there in blocks if there.prefix >= CELL_PREFIX[there.version]]
    for one in asked:
        if own := smallest_around(one, blocks):
            cidr, asn = cell_of(one, own).cidr, line.asn or None
            yield Cell(cidr=cidr, asked=line.fetched, result=Outcome.FOUND, network=own.cidr, asn=asn)
