"""Bans of the ancestor, an action that wrote to Redis: `f2b:<nid>` hashes into lines for the spool.

    f2b:<nid>     hash jail, ip, country, timestamp (UTC epoch); nid is 10 characters of 0-9 and a-z
    f2b:<other>   sets of nids, which our own sets replace
    cidr:<cidr>   a pickled dictionary of `ipwhois` about a network; nothing is unpickled (`plain_pickle`)

A ban's id is computed from server, jail, address and second, as every ban's, so importing twice imports once. Nothing
in the source is changed. Everything in it is taken for hostile: it lay in a store on the network.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from math import isfinite
from typing import Any, Protocol, TypeAlias

from banledger.errors import SettingsError, StoreUnavailable
from banledger.identity import canonical_address
from banledger.importer import plain_pickle
from banledger.importer.networks import network_of
from banledger.model import VERSION
from banledger.network import line_of
from banledger.record import is_country
from banledger.settings import without_password

_NID = re.compile(rb"f2b:[0-9a-z]{10}")
_AT_ONCE = 1000
_LATEST = 32_503_680_000  # the year 3000
_JAIL_MAX = 4096

Write: TypeAlias = Callable[[dict[str, Any]], None]
Progress: TypeAlias = Callable[[str, int, int], None]


class Source(Protocol):
    """What is asked of the ancestor's store: commands of Redis with their replies as bytes (redis-py does)."""

    def scan(self, cursor: int, match: str, count: int) -> tuple[int, list[bytes]]: ...
    def type(self, key: bytes) -> bytes: ...
    def hgetall(self, key: bytes) -> Mapping[bytes, bytes]: ...
    def get(self, key: bytes) -> bytes | None: ...


class Summary:
    """What was found and done. `skipped` and `refused` count reasons."""

    def __init__(self) -> None:
        self.found = self.written = self.without_country = self.networks = 0
        self.skipped: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()


def import_bans(source: Source, server: str, write: Write, summary: Summary, progress: Progress) -> None:
    """Every ban of the source as a line of `server`, handed to `write`; counted in `summary`."""
    for key in _keys(source, "f2b:*"):
        if not _NID.fullmatch(key) or source.type(key) != b"hash":
            continue  # a set: an address, a jail, a day, a country
        summary.found += 1
        progress("bans", summary.found, 0)
        try:
            line = ban_line(source.hgetall(key), server)
        except ValueError as error:
            summary.skipped[str(error)] += 1
            continue
        summary.without_country += "country" not in line
        write(line)
        summary.written += 1


def ban_line(fields: Mapping[bytes, bytes], server: str) -> dict[str, Any]:
    """The line of the spool for a ban's hash. Raises ValueError with the reason why there is none."""
    jail = fields.get(b"jail", b"").decode("utf-8", "surrogateescape")
    if not jail or len(jail) > _JAIL_MAX:
        raise ValueError("it names no jail")
    address = canonical_address(fields.get(b"ip", b"").decode("utf-8", "replace"))
    if address is None:
        raise ValueError("its ip is no address")
    moment = _moment(fields.get(b"timestamp", b""))
    line = {"v": VERSION, "kind": "ban", "seen": moment, "server": server, "jail": jail, "fid": address}
    country = fields.get(b"country", b"").decode("ascii", "replace").strip().upper()
    return line | {"time": moment, "origin": "import"} | ({"country": country} if is_country(country) else {})


def _moment(text: bytes) -> float:
    try:
        moment = float(text)
    except ValueError:
        raise ValueError("its timestamp is no number") from None
    if not isfinite(moment) or not 1 <= moment < _LATEST:
        raise ValueError("its timestamp is no moment of ours")
    return round(moment, 6)


def import_networks(
    source: Source, server: str, write: Write, summary: Summary, progress: Progress, now: float
) -> None:
    """What the source remembers of networks, likewise; what can't be read is counted in `summary`."""
    for key in _keys(source, "cidr:*"):
        if source.type(key) != b"string":
            continue
        try:
            plain = plain_pickle.loads(source.get(key) or b"")
            record = network_of(key.removeprefix(b"cidr:").decode("utf-8", "replace"), plain)
        except (plain_pickle.NotPlain, ValueError) as error:
            summary.refused[str(error)] += 1
            continue
        write(line_of(record, about="", seen=now, server=server, writer="import"))
        summary.networks += 1
        progress("networks", summary.networks, 0)


def _keys(source: Source, pattern: str) -> Iterator[bytes]:
    """Every key that matches; SCAN may name one twice, which is harmless."""
    cursor = 0
    while True:
        cursor, page = source.scan(cursor, match=pattern, count=_AT_ONCE)
        yield from page
        if not int(cursor):
            return


@contextmanager
def connect(url: str) -> Iterator[Source]:
    """The source at a redis:// URL. Raises SettingsError, and StoreUnavailable for whatever goes wrong within."""
    import redis

    from banledger.store.trouble import translate

    try:
        client = redis.Redis.from_url(url, socket_connect_timeout=5, socket_timeout=30)
    except ValueError as error:
        raise SettingsError(f"the URL makes no sense: {error}", hint="redis://host:6379/0") from error
    try:
        yield client  # type: ignore[misc]  # redis-py's replies may be awaitable, say its types
    except (redis.RedisError, OSError) as error:
        trouble = translate(error, without_password(url), secret="BANLEDGER_IMPORT_URL")  # noqa: S106
        raise StoreUnavailable(f"can't read the source: {trouble}", hint=trouble.hint) from error
    finally:
        client.close()
