"""Where an address is and whose, as a value."""

from collections.abc import Callable
from typing import TypeAlias

from msgspec import Struct


class Place(Struct, frozen=True, gc=False):
    """Where an address is. scope: public, private (or another special one) or none (no address).

    country: ISO 3166 code or XX (unknown); None unless public. `country_from` names its source.
    network (a CIDR), asn, org: whose it is, as far as that is known; `whois` how well: see FIELDS.
    located: where a geolocation database sees it (ISO 3166), `located_from` which one.
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
"""Tells where an address or network is (canonical; None: there is none), for a ban of that time (UTC epoch)."""
