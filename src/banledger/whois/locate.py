"""The place of an address: combine everything that is known without a look-up.

    whois (registries' answers in the cache)       country, network, AS, organisation
    iptocc (with the package)                      registered country, if whois has none
    the user's .mmdb files                         located country; AS and organisation if whois has none

A ban whose network is not known *waits* (`whois` of its place): a later look-up amends it.
"""

from collections.abc import Callable
from functools import lru_cache

from banledger.geo import registered as offline
from banledger.geo.mmdb import MmdbPlace
from banledger.geo.place import Place
from banledger.ledger.ban import NONE, PROVEN, STALE, WAITING
from banledger.ledger.network import SHORTEST, cell_of
from banledger.net.prefix import Block, block
from banledger.whois.cache import Cache
from banledger.whois.rule import Knowledge

FROM_WHOIS = "whois"


def offline_only(address: str | None, _time: float) -> Place:
    """A `record.Locate` with only the data that comes with the package."""
    return offline.locate(address)


class Places:
    """See the module. Used by one thread.

    files        look-up in the user's databases; None: there are none
    ask          whether registries may be asked; otherwise no ban waits
    backfill_s   older bans are not looked up

    `ready`: whether the cache has everything that the ledger knows; until then it is not used.
    """

    def __init__(
        self,
        cache: Cache,
        files: Callable[[str], MmdbPlace] | None,
        clock: Callable[[], float],
        *,
        ask: bool,
        backfill_s: float,
    ) -> None:
        self.cache = cache
        self.ready = False
        self._files = files
        self._clock = clock
        self._ask = ask
        self._backfill_s = backfill_s

    def locate(self, address: str | None, time: float) -> Place:
        """The place of a canonical address or network, for a ban at that time (UTC epoch)."""
        registered = offline.locate(address)
        if address is None or registered.scope != "public":
            return registered
        located = self._files(address) if self._files else None
        now = self._clock()
        asks = self._ask and now - time < self._backfill_s
        asked = block(address)
        if asked.prefix < SHORTEST[asked.version]:
            return _place(registered, located, None, None)
        found = self._find(asked, now)
        return _place(registered, located, found, _whois(found, asks=asks))

    def found(self, address: str) -> Knowledge:
        """What the cache knows about a canonical address or network."""
        return self._find(block(address), self._clock())

    def _find(self, asked: Block, now: float) -> Knowledge:
        return self.cache.find(asked, now) if self.ready else Knowledge(WAITING, cell_of(asked, None))


def _whois(found: Knowledge, *, asks: bool) -> str | None:
    """The ban's `whois` field: whether it waits for a look-up."""
    if found.standing in (PROVEN, NONE) or asks:
        return found.standing
    return PROVEN if found.standing == STALE else None


def _place(registered: Place, located: MmdbPlace | None, found: Knowledge | None, whois: str | None) -> Place:
    known = found.known if found and whois not in (None, WAITING) else None
    country, source = registered.country, registered.country_from
    if known and known.country:
        country, source = known.country, FROM_WHOIS
    asn = found.asn if found and known else None
    return Place(
        registered.scope,
        country,
        source,
        network=known.cidr if known else None,
        asn=located.asn if asn is None and located else asn,
        org=(known.org if known else None) or (located.org if located else None),
        whois=whois,
        located=located.country if located else None,
        located_from=located.source if located and located.country else None,
    )


def alike(files: Callable[[str], MmdbPlace] | None) -> Callable[[Block, Block], bool]:
    """Whether offline data gives two blocks the same registered country, and the same AS where both are known."""

    @lru_cache(maxsize=8192)  # cells repeat, and files are slow to read
    def said(there: Block) -> tuple[str | None, int | None]:
        text = there.at(there.prefix + there.host_bits).text
        return offline.locate(text).country, files(text).asn if files else None

    def same(one: Block, other: Block) -> bool:
        (country, asn), (other_country, other_asn) = said(one), said(other)
        return country == other_country and (asn == other_asn or None in (asn, other_asn))

    return same
