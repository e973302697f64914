"""Where an address is registered, from data on this machine: no network, no waiting.

`iptocc` maps an address to the country its registry (RIR) delegated it to. Private and reserved addresses
(RFC 6890 and the IANA special-purpose registries, as `ipaddress` knows them) are marked, never guessed.
"""

import ipaddress

import iptocc

from banledger.record import Place

UNKNOWN = "XX"
"""The country of a public address that no registry data names."""

SOURCE = "iptocc"


NOWHERE = Place("none")
PRIVATE = Place("private")


def locate(address: str | None) -> Place:
    """The place of a canonical address or network. A network across a border is unknown."""
    if address is None:
        return NOWHERE
    first, last = _ends(address)
    country: str | None = iptocc.country_code(first)
    if country is None and not ipaddress.ip_address(first).is_global:
        return PRIVATE
    if last != first and iptocc.country_code(last) != country:
        country = None
    return Place("public", country or UNKNOWN, SOURCE)


def _ends(address: str) -> tuple[str, str]:
    if "/" not in address:
        return address, address
    network = ipaddress.ip_network(address)
    return str(network.network_address), str(network.broadcast_address)
