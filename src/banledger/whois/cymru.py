"""The autonomous system of an address, from Team Cymru over DNS.

    31.108.90.216.origin.asn.cymru.com. TXT "23028 | 216.90.108.0/24 | US | arin | 1998-09-25"

The fields: AS numbers, announced prefix, and the country, registry and date of the delegation
(https://www.team-cymru.com/ip-asn-mapping). Team Cymru asks bulk users to use DNS; a look-up costs one
datagram to this machine's resolver. Answers are not signed: every field is validated, and an answer that does not fit
the address is dropped. A name that does not exist means that the address is not announced.
"""

import ipaddress
import time
from collections.abc import Sequence
from datetime import date
from threading import Lock
from typing import TYPE_CHECKING

from msgspec import Struct

from banledger.ledger.network import SHORTEST
from banledger.net.address import canonical_address
from banledger.net.codes import as_number, country_code
from banledger.net.prefix import Block, block
from banledger.net.special import kind_of
from banledger.whois.http.guard import is_public
from banledger.whois.queue import doubled
from banledger.whois.throttle import Throttle

if TYPE_CHECKING:
    import dns.resolver

RESOLV_CONF = "/etc/resolv.conf"

_ZONES = {4: "origin.asn.cymru.com.", 6: "origin6.asn.cymru.com."}
_REGISTRIES = {"arin": "arin", "ripencc": "ripe", "apnic": "apnic", "lacnic": "lacnic", "afrinic": "afrinic"}
_TEXT_MOST = 512
_TEXTS_MOST = 64

_NAME = "cymru"
_FIRST_PAUSE_S, _LAST_PAUSE_S = 60.0, 900.0


class Announcement(Struct, frozen=True):
    """The announcement of an address. Unknown values are None.

    asn        autonomous system; the first one, if several announce the prefix
    prefix     the announced network around the address, canonical CIDR; `parse` always knows it
    country    ISO 3166 code of the registration
    registry   `arin`, `ripe`, `apnic`, `lacnic`, `afrinic`
    allocated  date of the registration, ISO 8601
    """

    asn: int | None = None
    prefix: str | None = None
    country: str | None = None
    registry: str | None = None
    allocated: str | None = None


def question(address: str) -> str:
    """The absolute name to query (TXT); for a network, of its first address. Raises OSError or ValueError."""
    first = block(address)
    if first.version == 4:
        labels = [str(byte) for byte in first.first.to_bytes(4, "big")]
    else:
        labels = list(f"{first.first:032x}")
    return ".".join([*reversed(labels), _ZONES[first.version]])


def parse(texts: Sequence[bytes], address: str) -> Announcement | None:
    """Parse TXT answers (strings joined) for a canonical address: the longest prefix around it.

    Equally long prefixes: the lowest AS number, because answers come in any order. Any text is safe; an answer whose
    prefix does not contain the address is ignored. Raises OSError or ValueError for an invalid address.
    """
    asked = block(address)
    found = [origin for text in texts[:_TEXTS_MOST] if (origin := _origin(text, asked))]
    return max(found, key=_rank, default=None)


def _rank(origin: Announcement) -> tuple[int, bool, int]:
    return block(origin.prefix).prefix if origin.prefix else 0, origin.asn is not None, -(origin.asn or 0)


def _origin(text: bytes, asked: Block) -> Announcement | None:
    fields = [field.strip() for field in text[:_TEXT_MOST].decode("ascii", "replace").split("|")]
    asns, prefix, country, registry, allocated = (*fields, *[""] * 5)[:5]
    network = around(prefix, asked)
    if network is None:
        return None
    return Announcement(
        asn=next((asn for word in asns.split() if (asn := as_number(word))), None),
        prefix=network.cidr,
        country=country_code(country),
        registry=_REGISTRIES.get(registry),
        allocated=_day(allocated),
    )


def around(prefix: str | None, asked: Block) -> Block | None:
    """The announced network, if it covers the asked block and is not too large."""
    try:
        announced = ipaddress.ip_network(prefix or "", strict=False)
    except ValueError:
        return None
    network = Block(announced.version, int(announced.network_address), announced.prefixlen)
    return network if network.covers(asked) and network.prefix >= SHORTEST[network.version] else None


def _day(text: str) -> str | None:
    try:
        return text if date.fromisoformat(text).isoformat() == text else None
    except ValueError:
        return None


class Cymru:
    """Client of Team Cymru through a resolver. Thread-safe.

    nameservers  addresses of the resolvers at `port`; None: those of `configuration` (resolv.conf(5)), which is read
                 when first needed and again after a failure. ValueError for an invalid address
    lifetime_s   deadline of a look-up in seconds; half of it may be spent waiting for a turn
    interval_s   seconds between two queries over all threads. A query is repeated once if no answer comes, and sent
                 to the next name server if one fails
    throttle     grants the turns
    """

    def __init__(
        self,
        *,
        nameservers: Sequence[str] | None = None,
        port: int = 53,
        lifetime_s: float = 5.0,
        interval_s: float = 0.1,
        throttle: Throttle | None = None,
        configuration: str = RESOLV_CONF,
    ) -> None:
        for server in nameservers or ():
            ipaddress.ip_address(server)
        self._nameservers = nameservers
        self._port = port
        self._lifetime_s = lifetime_s
        self._configuration = configuration
        self._interval_s = interval_s
        self._throttle = throttle or Throttle()
        self._lock = Lock()
        self._failures = 0
        self._made: dns.resolver.Resolver | None = None

    def ask(self, address: str) -> Announcement | None:
        """The announcement of a canonical address, or of a network's first address.

        None: not announced, unknown, no answer, or paused. Private and reserved addresses are never sent. Raises
        nothing, whatever DNS does.
        """
        began = time.monotonic()
        asked = _public(address)
        if asked is None or self._throttle.take(_NAME, self._interval_s, self._lifetime_s / 2) > 0:
            return None
        texts = self._texts(question(asked), self._lifetime_s - (time.monotonic() - began))
        self._note(failed=texts is None)
        return None if texts is None else parse(texts, asked)

    def _note(self, *, failed: bool) -> None:
        """Pause after a failure, longer each time. Queries that were in flight together count as one failure."""
        with self._lock:
            if self._throttle.is_paused(_NAME):
                return
            self._failures = self._failures + 1 if failed else 0
            if failed:
                self._made = None
                self._throttle.pause(_NAME, doubled(_FIRST_PAUSE_S, _LAST_PAUSE_S, self._failures))

    def _texts(self, name: str, lifetime_s: float) -> list[bytes] | None:
        """The TXT answers for a name, empty if it does not exist; None: the resolver failed."""
        import dns.exception  # slow to import, and many recorders never ask
        import dns.resolver

        try:
            answer = self._resolver().resolve(name, "TXT", lifetime=lifetime_s, search=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        except (dns.exception.DNSException, OSError, ValueError):
            return None
        return [b"".join(record.strings) for record in answer]

    def _resolver(self) -> "dns.resolver.Resolver":
        """Build the resolver. Raises DNSException, OSError or ValueError if resolv.conf(5) is not usable."""
        import dns.resolver

        if (made := self._made) is None:
            made = dns.resolver.Resolver(self._configuration, configure=self._nameservers is None)
            if self._nameservers is not None:
                made.nameservers = list(self._nameservers)
            made.port = self._port
            made.timeout = self._lifetime_s / 2.5  # of one attempt: two fit in
            self._made = made
        return made


def _public(text: str) -> str | None:
    """The address, or the network's first address, if it may be looked up."""
    try:
        asked = block(canonical_address(text) or "")
        first = Block(asked.version, asked.first, asked.prefix + asked.host_bits).text
    except (OSError, ValueError):
        return None
    return first if is_public(first) and not kind_of(asked) else None
