"""Import from the predecessor, an action that wrote to Redis: `f2b:<nid>` hashes become lines of the spool.

    f2b:<nid>     hash jail, ip, country, timestamp (UTC epoch); nid is 10 characters of 0-9 and a-z
    f2b:<other>   sets of nids; our own sets replace them
    cidr:<cidr>   a pickled dictionary of `ipwhois` about a network; nothing is unpickled (`plain_pickle`)

A ban's id is computed from server, jail, address and second like any other, so importing twice imports once. The source
is not changed. Its content is treated as hostile: it lay in a store on the network. So the size of a value is checked
before it is fetched, reasons for skipping come from a short list, and one key never stops the rest.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import isfinite
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from banledger.errors import SettingsError, StoreUnavailable
from banledger.geo.countries import is_country
from banledger.importer import plain_pickle
from banledger.importer.networks import network_of
from banledger.importer.stamps import MOST_AHEAD_S
from banledger.ledger.ban import IMPORTED
from banledger.ledger.network_line import line_of
from banledger.ledger.progress import Progress
from banledger.net.address import canonical_address
from banledger.settings import without_password
from banledger.spool.events import VERSION

if TYPE_CHECKING:
    import redis

_BANS = "f2b:" + 10 * "[0-9a-z]"
_NETWORKS = "cidr:*"
_AT_ONCE = 1000
_REASONS_MOST = 100
_OTHER = "for other reasons"
_FIELDS = {b"jail": 4096, b"ip": 256, b"timestamp": 64, b"country": 64}
"""The fields of a ban and how many bytes each may have."""
_TYPES = {b"hash", b"set", b"string", b"list", b"zset", b"stream"}

Write: TypeAlias = Callable[[dict[str, Any]], None]
OldCommand: TypeAlias = tuple[bytes | str | int, ...]
OldHash: TypeAlias = Mapping[bytes, bytes | None]
"""A ban's hash; None for a value that is too long."""


class OldStore(Protocol):
    """Commands of Redis that the import needs, with replies as bytes."""

    def scan(self, cursor: int, match: str, count: int) -> tuple[int, list[bytes]]: ...
    def ask(self, commands: Sequence[OldCommand]) -> list[Any]:
        """The replies in order; None also for a key of another type."""
        ...


class Summary:
    """Counts of an import. `skipped` and `refused` are by reason; the number of reasons is bounded."""

    def __init__(self) -> None:
        self.found = self.written = self.without_country = self.networks = 0
        self.skipped: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()


def _count(reasons: Counter[str], reason: str) -> None:
    reasons[reason if reason in reasons or len(reasons) < _REASONS_MOST else _OTHER] += 1


# Bans.


def import_bans(source: OldStore, server: str, write: Write, summary: Summary, progress: Progress, now: float) -> None:
    """Write every ban of the source as a line of `server`; count it in `summary` (UTC epoch `now`)."""
    for page in _pages(source, _BANS):  # sets are the predecessor's indexes; some names are as long as a nid
        for fields in _hashes(source, _of_type(source, page, b"hash", summary.skipped, besides=b"set")):
            summary.found += 1
            progress("bans", summary.found, 0)
            try:
                line = ban_line(fields, server, now)
            except ValueError as error:
                _count(summary.skipped, str(error))
                continue
            summary.without_country += "country" not in line
            write(line)
            summary.written += 1


def _of_type(
    source: OldStore, page: Sequence[bytes], wanted: bytes, reasons: Counter[str], besides: bytes = b""
) -> list[bytes]:
    """The keys of a page with the wanted type. Others are counted, except type `besides`."""
    types = source.ask([("TYPE", key) for key in page])
    for type_ in types:
        if type_ not in (wanted, besides, b"none"):
            _count(reasons, f"its key holds a {type_.decode()}" if type_ in _TYPES else "its key holds another type")
    return [key for key, type_ in zip(page, types, strict=True) if type_ == wanted]


def _hashes(source: OldStore, keys: Sequence[bytes]) -> Iterator[OldHash]:
    """The fields of each hash; values that are too long are not fetched."""
    places = [(key, name) for key in keys for name in _FIELDS]
    sizes = source.ask([("HSTRLEN", *place) for place in places])
    small = [(size or 0) <= _FIELDS[name] for (_, name), size in zip(places, sizes, strict=True)]
    values = iter(source.ask([("HGET", *place) for place, fits in zip(places, small, strict=True) if fits]))
    fields = iter([(next(values) or b"") if fits else None for fits in small])
    for _ in keys:
        yield {name: next(fields) for name in _FIELDS}


def ban_line(fields: OldHash, server: str, now: float) -> dict[str, Any]:
    """The line of the spool for a ban's hash. Raises ValueError with the reason if it is invalid."""
    jail = _text(fields, b"jail")
    if not jail:
        raise ValueError("it has no jail")
    if not jail.isprintable():
        raise ValueError("its jail has characters that can't be printed")
    address = canonical_address(_text(fields, b"ip"))
    if address is None:
        raise ValueError("its ip is not an address")
    moment = _moment(_text(fields, b"timestamp"), now)
    line = {"v": VERSION, "kind": "ban", "seen": moment, "server": server, "jail": jail, "fid": address}
    country = (fields.get(b"country") or b"").decode("ascii", "replace").strip().upper()
    return line | {"time": moment, "origin": IMPORTED} | ({"country": country} if is_country(country) else {})


def _text(fields: OldHash, name: bytes) -> str:
    """The text of a field; empty if absent. Raises ValueError if it is too long, or not UTF-8."""
    value = fields.get(name, b"")
    if value is None or len(value) > _FIELDS[name]:
        raise ValueError(f"its {name.decode()} is too long")
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise ValueError(f"its {name.decode()} is not UTF-8") from None


def _moment(text: str, now: float) -> float:
    try:
        moment = float(text)
    except ValueError:
        raise ValueError("its timestamp is not a number") from None
    if not isfinite(moment) or moment < 1:
        raise ValueError("its timestamp is out of range")
    if moment > now + MOST_AHEAD_S:
        raise ValueError("its timestamp is more than a year ahead")
    return round(moment, 6)


# Networks.


def import_networks(
    source: OldStore, server: str, write: Write, summary: Summary, progress: Progress, now: float
) -> None:
    """Write the source's networks likewise; invalid ones are counted in `summary`."""
    for page in _pages(source, _NETWORKS):
        for key in _of_type(source, page, b"string", summary.refused):
            try:
                line = _network_line(source, key, server, now)
            except (plain_pickle.NotPlain, ValueError) as error:
                _count(summary.refused, str(error))
                continue
            write(line)
            summary.networks += 1
            progress("networks", summary.networks, 0)


def _network_line(source: OldStore, key: bytes, server: str, now: float) -> dict[str, Any]:
    """The line of the spool for a key's value. Fetches at most one byte more than the limit."""
    (value,) = source.ask([("GETRANGE", key, 0, plain_pickle.MAX_BYTES)])
    plain = plain_pickle.loads(value or b"")
    record = network_of(key.removeprefix(b"cidr:").decode("utf-8", "replace"), plain, now)
    return line_of(record, about="", seen=now, server=server, writer="import")


def _pages(source: OldStore, pattern: str) -> Iterator[list[bytes]]:
    """Every key that matches; SCAN may name one twice, which is harmless."""
    cursor = 0
    while True:
        cursor, page = source.scan(cursor, match=pattern, count=_AT_ONCE)
        if page:
            yield page
        if not int(cursor):
            return


class _Client:
    """A connection to the source. See `OldStore`."""

    def __init__(self, client: "redis.Redis") -> None:
        self._client = client

    def scan(self, cursor: int, match: str, count: int) -> tuple[int, list[bytes]]:
        return self._client.scan(cursor, match=match, count=count)  # type: ignore[return-value]  # maybe awaitable

    def ask(self, commands: Sequence[OldCommand]) -> list[Any]:
        pipeline = self._client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)  # type: ignore[no-untyped-call]
        return [_reply(reply) for reply in pipeline.execute(raise_on_error=False)]


def _reply(reply: object) -> object:
    if isinstance(reply, Exception):
        if str(reply).startswith("WRONGTYPE"):
            return None
        raise reply
    return reply


@contextmanager
def connect(url: str) -> Iterator[OldStore]:
    """The source at a redis:// URL. Raises SettingsError, and StoreUnavailable for errors inside the context."""
    import redis

    from banledger.stores.redis.errors import translate

    try:
        client = redis.Redis.from_url(url, socket_connect_timeout=5, socket_timeout=30)
    except ValueError as error:
        raise SettingsError(f"invalid URL: {error}", hint="redis://host:6379/0") from error
    try:
        yield _Client(client)
    except (redis.RedisError, OSError) as error:
        trouble = translate(error, without_password(url), secret="BANLEDGER_IMPORT_URL")  # noqa: S106
        raise StoreUnavailable(f"can't read the source: {trouble}", hint=trouble.hint) from error
    finally:
        client.close()
