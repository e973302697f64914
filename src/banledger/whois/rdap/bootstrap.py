"""Find the registry of an address: IANA's bootstrap files (RFC 9224). Pure.

A dated copy comes with the package (`bootstrap/`); `bootstrap_refresh` fetches newer ones. National registries are
not in these files: regional ones redirect to them.
"""

import ipaddress
import re
from collections.abc import Iterator
from importlib.resources import files

import msgspec
from msgspec import Struct

from banledger.net.prefix import Block, block
from banledger.net.prefix_table import Table
from banledger.whois.http.url import Url, https_url

_NAMES = {
    "rdap.arin.net": "arin",
    "rdap.db.ripe.net": "ripe",
    "rdap.apnic.net": "apnic",
    "rdap.lacnic.net": "lacnic",
    "rdap.afrinic.net": "afrinic",
}
_NATIONAL = (
    "idnic.rdap.apnic.net",
    "jpnic.rdap.apnic.net",
    "krnic.rdap.apnic.net",
    "twnic.rdap.apnic.net",
    "rdap.nic.ad.jp",
    "rdap.nic.br",
    "rdap.registro.br",
)
_POLITE_S = 1.0
_INTERVALS_S = {"lacnic": 6.0}  # 10 a minute
_BYTES_MOST = 256 << 10
_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)  # RFC 3339 in UTC: sorts as text


class Registry(Struct, frozen=True):
    """A registry. `urls`: base URLs, each ending in a slash; `interval_s`: minimum seconds between two questions."""

    name: str
    urls: tuple[str, ...] = ()
    interval_s: float = _POLITE_S


def registry_at(host: str, urls: tuple[str, ...] = ()) -> Registry:
    """The registry of a host; a national registry is named by its host."""
    name = _NAMES.get(host, host)
    return Registry(name, urls, _INTERVALS_S.get(name, _POLITE_S))


class Bootstrap:
    """Registries by network. Immutable, thread-safe.

    published  dates of the IPv4 and the IPv6 file, RFC 3339
    hosts      hosts that a registry may redirect to: those of all registries
    """

    def __init__(self, registries: dict[Block, Registry], published: tuple[str, str]) -> None:
        self.published = published
        self._table: Table[Registry] = Table()
        for network, registry in registries.items():
            self._table.put(network, registry)
        own = {https_url(url).host for registry in registries.values() for url in registry.urls}
        self.hosts = frozenset(own | set(_NATIONAL))

    def registry_of(self, address: str) -> Registry | None:
        """The registry of a canonical address or network, by longest match. Raises OSError or ValueError if invalid."""
        found = self._table.longest(block(address))
        return found[1] if found else None

    def permits(self, host: str) -> bool:
        """Whether a registry may redirect to this host: one of `hosts`, or a subdomain."""
        return host in self.hosts or any(host.endswith(f".{registry}") for registry in self.hosts)


def packaged() -> Bootstrap:
    """The copy that comes with the package."""
    place = files("banledger.whois.rdap").joinpath("iana")
    return parse_bootstrap(place.joinpath("ipv4.json").read_bytes(), place.joinpath("ipv6.json").read_bytes())


class _BootstrapFile(Struct):
    """RFC 9224, 3: services are pairs of networks and URLs."""

    version: str
    publication: str
    services: list[tuple[list[str], list[str]]]


_decoder = msgspec.json.Decoder(_BootstrapFile)


def parse_bootstrap(ipv4: bytes, ipv6: bytes) -> Bootstrap:
    """Parse IANA's two files. Services without https are left out. Raises ValueError for invalid files."""
    registries: dict[Block, Registry] = {}
    published = []
    for version, data in ((4, ipv4), (6, ipv6)):
        file = _file(data)
        published.append(file.publication)
        here = dict(_registries(file, version))
        if not here:
            raise ValueError("a bootstrap file without registries")
        registries |= here
    return Bootstrap(registries, (published[0], published[1]))


def _file(data: bytes) -> _BootstrapFile:
    if len(data) > _BYTES_MOST:
        raise ValueError(f"a bootstrap file of {len(data)} bytes")
    try:
        file = _decoder.decode(data)
    except RecursionError as error:
        raise ValueError("a bootstrap file nested too deep") from error
    if file.version != "1.0":
        raise ValueError("a bootstrap file of another version")
    if not _DATE.fullmatch(file.publication):
        raise ValueError("a bootstrap file without a date")
    return file


def _registries(file: _BootstrapFile, version: int) -> Iterator[tuple[Block, Registry]]:
    for networks, urls in file.services:
        secure = [_base(url) for url in urls if url.lower().startswith("https:")]
        if not secure:
            continue
        registry = registry_at(secure[0].host, tuple(str(url) for url in secure))
        for text in networks:
            network = ipaddress.ip_network(text)
            if network.version != version:
                raise ValueError(f"a network of another IP version: {text}")
            yield Block(version, int(network.network_address), network.prefixlen), registry


def _base(text: str) -> Url:
    url = https_url(text)
    if "?" in url.target:
        raise ValueError(f"not a base URL: {text}")
    return url if url.target.endswith("/") else Url(url.host, url.target + "/")
