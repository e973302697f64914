"""The registered country of an address, from data on this machine: no network access, no waiting.

`iptocc` maps an address to the country that its registry (RIR) delegated it to. Private and other special addresses
(see `special`) are marked, never guessed. Some platforms have no wheel of `iptocc`: there the country of a public
address is unknown until whois answers, and one warning is logged.
"""

import ipaddress
import logging
from collections.abc import Callable, Iterator
from functools import cache

from banledger.geo.place import Place
from banledger.net.prefix import block
from banledger.net.special import kind_of

UNKNOWN = "XX"
"""The country of a public address that no registry data names."""

SOURCE = "iptocc"

NOWHERE = Place("none")
PRIVATE = Place("private")

_PROBES = 256
_log = logging.getLogger("banledger")


def locate(address: str | None) -> Place:
    """The place of a canonical address or network. A network in several countries is unknown."""
    if address is None:
        return NOWHERE
    if "/" in address:
        return _locate_network(address)
    country = _country_code()(address)
    if country is None and kind_of(block(address)):
        return PRIVATE
    return _public(country or UNKNOWN)


@cache
def _public(country: str) -> Place:
    return Place("public", country, SOURCE)


@cache
def _country_code() -> Callable[[str], str | None]:
    """The function that maps an address to its registered country; without `iptocc`, to none."""
    try:
        import iptocc
    except ImportError:
        _log.warning("iptocc is not installed: countries are %s until whois answers", UNKNOWN)
        return lambda _: None
    return iptocc.country_code


def _locate_network(network: str) -> Place:
    places = {locate(address) for address in _probes(network)}
    return places.pop() if len(places) == 1 else Place("public", UNKNOWN, SOURCE)


def _probes(text: str) -> Iterator[str]:
    """Addresses spread evenly over a network, with its first and last: all of them in a /24 or smaller."""
    network = ipaddress.ip_network(text)
    for number in range(0, network.num_addresses, max(1, network.num_addresses // _PROBES)):
        yield str(network[number])
    yield str(network.broadcast_address)
