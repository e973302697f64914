"""Where an address is registered, from data on this machine: no network, no waiting.

`iptocc` maps an address to the country its registry (RIR) delegated it to. Private and other special addresses (see
`special`) are marked, never guessed.
"""

import ipaddress
from collections.abc import Iterator

import iptocc

from banledger.geo.place import Place
from banledger.net.prefix import block
from banledger.net.special import kind_of

UNKNOWN = "XX"
"""The country of a public address that no registry data names."""

SOURCE = "iptocc"

NOWHERE = Place("none")
PRIVATE = Place("private")

_PROBES = 256


def locate(address: str | None) -> Place:
    """The place of a canonical address or network. A network across a border is unknown."""
    if address is None:
        return NOWHERE
    if "/" in address:
        return _locate_network(address)
    country: str | None = iptocc.country_code(address)
    if country is None and kind_of(block(address)):
        return PRIVATE
    return Place("public", country or UNKNOWN, SOURCE)


def _locate_network(network: str) -> Place:
    places = {locate(address) for address in _probes(network)}
    return places.pop() if len(places) == 1 else Place("public", UNKNOWN, SOURCE)


def _probes(text: str) -> Iterator[str]:
    """Addresses spread evenly over a network, with its first and last: all of them in a /24 or smaller."""
    network = ipaddress.ip_network(text)
    for number in range(0, network.num_addresses, max(1, network.num_addresses // _PROBES)):
        yield str(network[number])
    yield str(network.broadcast_address)
