"""The place of an address: country, network, autonomous system."""

from collections.abc import Callable
from typing import TypeAlias

from msgspec import Struct


class Place(Struct, frozen=True, gc=False):
    """The place of an address. scope: public, private (or another special kind) or none (no address).

    country: ISO 3166 code or XX (unknown); None unless public. `country_from` names its source.
    network (a CIDR), asn, org: its registration, as far as known; `whois`: how well it is proven, see FIELDS.
    located: country by a geolocation database (ISO 3166), `located_from` its name.
    """

    scope: str
    country: str | None = None
    country_from: str | None = None
    network: str | None = None
    asn: int | None = None
    org: str | None = None
    whois: str | None = None
    located: str | None = None
    located_from: str | None = None


Locate: TypeAlias = Callable[[str | None, float], Place]
"""Return the place of a canonical address or network (None: there is none), for a ban at that time (UTC epoch)."""
