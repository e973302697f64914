"""Located country and autonomous system of an address, from the user's own `.mmdb` files (MaxMind DB, any vendor).

The record of an address has one of these shapes; of other shapes, matching fields are read:

    GeoLite2, GeoIP2, DB-IP: Country, City   {"country": {"iso_code": "US", ...}, ...}
    GeoLite2, DB-IP: ASN                     {"autonomous_system_number": 15169, "autonomous_system_organization": ...}
    IPinfo                                   {"country_code" or "country": "US", "asn": "AS15169", "as_name": ...}
    ip-location-db                           {"country_code": "US"}, {"autonomous_system_number": 15169, ...}

MaxMind's `registered_country` is ignored: the registries' own data is better.
Format: https://maxmind.github.io/MaxMind-DB/
"""

import logging
import re
import stat
import time
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from msgspec import Struct

from banledger.net.address import canonical_address
from banledger.net.codes import as_number, country_code
from banledger.net.prefix import Block, block

if TYPE_CHECKING:
    from maxminddb.reader import Reader

_LOOK_S = 2.0
_ORG_MOST = 200
_SOURCE_MOST = 40
_NOT_IN_A_TOKEN = re.compile(r"[^A-Za-z0-9.-]+")

# A mapped file that is truncated kills its reader (SIGBUS), and the fast C reader can only map. So we use the Python
# reader, 10 to 60 times slower and fast enough. A look-up of a country and of a city took 0.11 and 0.23 ms in memory,
# 0.55 and 0.9 ms with reads from the file (C: 0.006 and 0.02). Country and ASN files have about 10 MB and may be in
# memory; city files have 60 MB and more, as much as the rest of a recorder.
_IN_MEMORY_MOST = 16 << 20

_log = logging.getLogger("banledger")


class MmdbPlace(Struct, frozen=True):
    """What the files know about an address. Unknown values are None.

    country  ISO 3166 code of its location
    asn      autonomous system that announces it, `org` its name: one line of up to 200 printable characters
    source   short name of the database that gave the country, e.g. `GeoLite2-Country`: letters, digits, dash, dot
    """

    country: str | None = None
    asn: int | None = None
    org: str | None = None
    source: str | None = None


NOTHING = MmdbPlace()


def read(record: object, source: str) -> MmdbPlace:
    """Parse a database's record of an address. It may hold anything; values of a wrong type are unknown."""
    if not isinstance(record, dict):
        return NOTHING
    country = _country(record)
    asn = as_number(record.get("autonomous_system_number")) or as_number(record.get("asn"))
    names = (record.get(key) for key in ("autonomous_system_organization", "as_name", "as_domain"))
    org = next((name for value in names if (name := _line(value))), None)
    return MmdbPlace(country, asn, org, source if country else None)


def _country(record: Mapping[object, object]) -> str | None:
    country = record.get("country")
    if isinstance(country, dict):
        return country_code(country.get("iso_code"))
    return country_code(record.get("country_code")) or country_code(country)


def _line(value: object) -> str | None:
    if not isinstance(value, str):
        return None
    words = " ".join(value[: 2 * _ORG_MOST].split())
    return "".join(char for char in words if char.isprintable())[:_ORG_MOST].strip() or None


def short_name(database_type: object) -> str:
    """A database's type from its metadata as a token: `DBIP-Country-Lite (compat=Country)` is `DBIP-Country-Lite`."""
    text = database_type if isinstance(database_type, str) else ""
    return _NOT_IN_A_TOKEN.sub("-", text.partition(" (")[0][:_SOURCE_MOST]).strip("-.") or "mmdb"


def merged(known: MmdbPlace, more: MmdbPlace) -> MmdbPlace:
    """Add what another file knows. A name is not taken from a file with another AS number."""
    agree = known.asn is None or more.asn is None or known.asn == more.asn
    return MmdbPlace(
        country=known.country or more.country,
        asn=known.asn or more.asn,
        org=known.org or (more.org if agree else None),
        source=known.source or more.source,
    )


def agreed(first: MmdbPlace, last: MmdbPlace) -> MmdbPlace:
    """The values that both have in common."""
    country = first.country if first.country == last.country else None
    asn = first.asn if first.asn == last.asn else None
    org = first.org if first.org == last.org else None
    return MmdbPlace(country, asn, org, first.source if country else None)


class Files:
    """The user's databases, most trusted first. Thread-safe: look-ups wait for each other.

    A changed file is opened again; changes are checked at most every two seconds (`clock`: elapsed seconds). A missing
    or broken file is ignored, with one warning in the log, until it changes. Replace a file by renaming, as geoipupdate
    does: while a large file is overwritten, its answers may be wrong.
    """

    def __init__(self, paths: Sequence[Path], clock: Callable[[], float] = time.monotonic) -> None:
        self._files = [_OpenFile(path) for path in paths]
        self._clock = clock
        self._due = float("-inf")
        self._lock = Lock()

    def locate(self, address: str) -> MmdbPlace:
        """What is known about a canonical address; for a network, what its first and last address have in common.

        Raises nothing. An invalid address is unknown.
        """
        try:
            asked = block(canonical_address(address) or "")
            ends = [Block(asked.version, end, asked.prefix + asked.host_bits).text for end in (asked.first, asked.last)]
        except (OSError, ValueError):
            return NOTHING
        with self._lock:
            self._look()
            first = self._located(ends[0])
            return agreed(first, self._located(ends[1])) if asked.host_bits else first

    def close(self) -> None:
        """Close the files. The next look-up opens them again."""
        with self._lock:
            self._due = float("-inf")
            for file in self._files:
                file.close()

    def _look(self) -> None:
        now = self._clock()
        if now >= self._due:
            self._due = now + _LOOK_S
            for file in self._files:
                file.look()

    def _located(self, address: str) -> MmdbPlace:
        return reduce(merged, (file.located(address) for file in self._files), NOTHING)


class _OpenFile:
    """One database, while it is readable."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reader: Reader | None = None
        self._source = ""
        self._mark: tuple[int, int, int] | None = None  # of the file that is open, or that is broken
        self._left_out = False

    def look(self) -> None:
        """Open the file if it has changed."""
        try:
            found = self._path.stat()
            mark = (found.st_mtime_ns, found.st_size, found.st_ino)
            if mark == self._mark:
                return
            self._release()
            self._mark = mark
            self._open(found.st_mode, found.st_size)
        except Exception as error:  # noqa: BLE001 - readers of broken files raise anything
            self._leave_out(error)

    def located(self, address: str) -> MmdbPlace:
        """Its record of an address."""
        if self._reader is None:
            return NOTHING
        try:
            if ":" in address and self._reader.metadata().ip_version == 4:
                return NOTHING
            return read(self._reader.get(address), self._source)
        except Exception as error:  # noqa: BLE001 - see above
            self._leave_out(error)
            return NOTHING

    def close(self) -> None:
        """Close it, and check the file before the next look-up."""
        self._mark = None
        self._release()

    def _release(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _open(self, mode: int, size: int) -> None:
        import maxminddb  # slow to import, and often not used

        if not stat.S_ISREG(mode):
            raise OSError("not a regular file")
        small = size <= _IN_MEMORY_MOST
        reader = maxminddb.open_database(self._path, maxminddb.MODE_MEMORY if small else maxminddb.MODE_FILE)
        self._reader, self._source = reader, short_name(reader.metadata().database_type)
        if self._left_out:
            self._left_out = False
            _log.info("%s can be read again", self._path)

    def _leave_out(self, error: Exception) -> None:
        self._release()
        if isinstance(error, OSError):
            self._mark = None  # rights, or too many open files: it may become readable without a change
        if not self._left_out:
            self._left_out = True
            _log.warning("ignoring %s until it can be read: %r", self._path, error)
