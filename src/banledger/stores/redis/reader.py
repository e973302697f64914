"""Read a ledger on Redis or Valkey: single-key commands, many in one round trip."""

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, islice, repeat
from math import inf
from typing import TYPE_CHECKING, Any

import redis
from redis import exceptions

from banledger.stores.api import Hash, Scored, StoreDetails
from banledger.stores.fields import UNREADABLE, count_of
from banledger.stores.pages import pages
from banledger.stores.redis.entries import Command
from banledger.stores.redis.errors import translate
from banledger.stores.redis.info import details_of, info
from banledger.stores.redis.outbox import slot_of
from banledger.stores.redis.wire import PAGE, Part, in_parts, packed_hmget
from banledger.stores.selection import Cells, Selected, Selection

if TYPE_CHECKING:
    from redis.connection import AbstractConnection

_TALLIES = 8  # fetched at once: each may have a name for every address of a day
_REFUSED = -1  # in place of a size: the key is of another kind
_IN_FLIGHT = 10  # pages of commands whose replies nobody has read
_ENTRIES_PAGE = 10_000
_FIELDS_PAGE = 500
_FIELDS_AHEAD = 4  # pages of fields that are asked for while the caller looks at one
_NO_HASH = {UNREADABLE: "holds no hash"}


class RedisReader:
    """See `api.Reader`. `where`: the store's name in messages, without secrets."""

    merge_limit = 20_000

    def __init__(self, client: "redis.Redis", where: str) -> None:
        self._client = client
        self._where = where

    def close(self) -> None:
        """See Reader.close."""
        self._client.close()

    def call(self, *command: str | bytes | float) -> Any:
        """Run one command; return its reply."""
        with self._translated(_named(command)):
            return self._client.execute_command(*command)  # type: ignore[no-untyped-call]

    def calls(self, commands: Sequence[Command], instead: Any = None) -> list[Any]:
        """Run several commands in one round trip; return their replies. Raises the error of the first that failed.

        `instead`: the reply for a key of another type; None: raise an error.
        """
        return self._ask(in_parts(commands), instead)

    def _ask(self, parts: Iterable["Part"], instead: Any = None) -> list[Any]:
        """Run several commands that may be packed already. See `calls`."""
        replies: list[Any] = []
        rest = iter(parts)
        for first in rest:
            commands: list[Command] = []
            with self._connection() as connection:
                for part in chain([first], islice(rest, _IN_FLIGHT - 1)):  # the server works while we pack
                    self._send(connection, part.packed)
                    commands += part.commands
                answers = self._receive(connection, len(commands))
            for at, (command, answer) in enumerate(zip(commands, answers, strict=True)):
                if instead is not None and is_of_another_kind(answer):
                    answers[at] = instead
                elif isinstance(answer, exceptions.RedisError):
                    raise translate(answer, self._where, _named(command)) from answer
            replies += answers
        return replies

    @contextmanager
    def _connection(self) -> Iterator["AbstractConnection"]:
        """Take a connection from the pool. After an error it is closed: there may be unread replies."""
        pool = self._client.connection_pool
        with self._translated():
            connection = pool.get_connection()
        try:
            yield connection
        except BaseException:
            connection.disconnect()  # type: ignore[no-untyped-call]
            raise
        finally:
            pool.release(connection)

    def _send(self, connection: "AbstractConnection", packed: bytes) -> None:
        """Send without waiting for replies."""
        with self._translated():
            connection.send_packed_command([packed])  # type: ignore[no-untyped-call]

    def _receive(self, connection: "AbstractConnection", count: int) -> list[Any]:
        """Return the replies to `count` commands, in their order; errors of the server are among them."""
        read = connection._parser.read_response  # the connection's own spends as long again on what never applies here
        with self._translated():
            return [read() for _ in range(count)]

    @contextmanager
    def _translated(self, doing: str = "") -> Iterator[None]:
        try:
            yield
        except (exceptions.RedisError, OSError) as error:
            raise translate(error, self._where, doing) from error

    def hashes(self, keys: Sequence[str]) -> list[Hash]:
        """See Reader.hashes."""
        return [
            dict(reply) if reply is _NO_HASH else named_fields(reply)
            for page in pages(keys, PAGE)
            for reply in self.calls([("HGETALL", key) for key in page], _NO_HASH)
        ]

    def fields(self, keys: Sequence[str], names: Sequence[str]) -> Iterator[list[str | None]]:
        """See Reader.fields. The server works on the next pages while the caller looks at one."""
        sent: deque[list[str]] = deque()
        with self._connection() as connection:
            for page in chain(pages(keys, _FIELDS_PAGE), repeat([], _FIELDS_AHEAD)):
                if page:
                    self._send(connection, packed_hmget(page, names))
                sent.append(page)
                if len(sent) > _FIELDS_AHEAD:
                    yield from self._fields(connection, sent.popleft(), len(names))

    def _fields(self, connection: "AbstractConnection", page: Sequence[str], width: int) -> list[list[str | None]]:
        """Return the next page of replies to HMGET. Raises the first error among them."""
        rows = self._receive(connection, len(page))
        for at, row in enumerate(rows):
            if isinstance(row, exceptions.RedisError):
                if not is_of_another_kind(row):
                    raise translate(row, self._where, f"HMGET {page[at]}") from row
                rows[at] = [None] * width
        return rows

    def details(self) -> StoreDetails:
        """See Reader.details."""
        return details_of(self._where, info(self.call))

    def select(self, _selection: Selection) -> Selected | None:
        """See Reader.select. A server keeps no rows."""
        return None

    def rows(self) -> Iterator[tuple[str, Cells]] | None:
        """See Reader.rows."""
        return None

    def members(self, key: str) -> Iterator[str]:
        """See Reader.members."""
        if self.call("SCARD", key) <= PAGE:
            yield from self.call("SMEMBERS", key)
            return
        yield from self._scan("SSCAN", key)

    def sizes(self, keys: Sequence[str], least: float = -inf) -> list[int]:
        """See Reader.sizes. Most keys are sets; for sorted sets SCARD fails, and ZCARD is sent in a second round."""
        found: list[int] = []
        for page in pages(keys, PAGE):
            if least > -inf:
                found += self.calls([("ZCOUNT", key, least, "+inf") for key in page])
                continue
            cards = self.calls([("SCARD", key) for key in page], _REFUSED)
            refused = [key for key, card in zip(page, cards, strict=True) if card == _REFUSED]
            others = iter(self.calls([("ZCARD", key) for key in refused]))
            found += [next(others) if card == _REFUSED else card for card in cards]
        return found

    def tally(self, keys: Sequence[str]) -> dict[str, int]:
        """See Reader.tally. If most scores are 1, read the names only; otherwise the server adds up each slot."""
        if len(keys) > 1:
            sizes = self.calls([command for key in keys for command in (("ZCARD", key), ("ZCOUNT", key, 1, 1))])
            if 2 * sum(sizes[1::2]) > sum(sizes[::2]):
                return self._tally_by_name(keys)
        slots: dict[str, list[str]] = defaultdict(list)
        for key in keys:
            slots[slot_of(key)].append(key)
        total: dict[str, int] = defaultdict(int)
        unions: list[tuple[str | int, ...]] = [
            ("ZUNION", len(several), *several, "WITHSCORES") for several in slots.values()
        ]
        for reply in self.calls(unions):
            for member, score in reply:
                total[member] += count_of(float(score))
        return dict(total)

    def _tally_by_name(self, keys: Sequence[str]) -> dict[str, int]:
        """Add up the tallies here: a name without score costs a third to read, and servers add up much more slowly.

        Each key is read in one transaction.
        """
        total: Counter[str] = Counter()
        for some in pages(keys, _TALLIES):
            replies = self.calls([
                command
                for key in some
                for command in (
                    ("MULTI",),
                    ("ZRANGE", key, 0, -1),
                    ("ZRANGE", key, "-inf", "(1", "BYSCORE", "WITHSCORES"),
                    ("ZRANGE", key, "(1", "+inf", "BYSCORE", "WITHSCORES"),
                    ("EXEC",),
                )
            ])  # fmt: skip
            for names, fewer, more in replies[4::5]:
                total.update(names)
                for member, score in chain(fewer, more):
                    total[member] += count_of(float(score)) - 1
        return dict(total)

    def scores(self, keys: Sequence[str], members: Sequence[str]) -> list[list[float | None]]:
        """See Reader.scores."""
        if not members:
            return [[] for _ in keys]
        return self.calls([("ZMSCORE", key, *members) for key in keys])

    def ranking(self, key: str, start: int, count: int) -> list[Scored]:
        """See Reader.ranking."""
        if count <= 0:
            return []
        reply = self.call("ZRANGE", key, start, start + count - 1, "REV", "WITHSCORES")
        return [(member, float(score)) for member, score in reply]

    def entries(self, key: str) -> Iterator[Scored]:
        """See Reader.entries."""
        start = 0
        while page := self.ranking(key, start, _ENTRIES_PAGE):
            yield from page
            start += len(page)

    def lowest(self, key: str, until: float, count: int, above: float = -inf) -> list[Scored]:
        """See Reader.lowest."""
        least = "-inf" if above == -inf else f"({above!r}"
        reply = self.call("ZRANGE", key, least, until, "BYSCORE", "LIMIT", 0, count, "WITHSCORES")
        return [(member, float(score)) for member, score in reply]

    def damage(self) -> Iterator[str]:
        """See Reader.damage."""
        return iter(())

    def kinds(self, keys: Sequence[str]) -> list[str]:
        """See Reader.kinds."""
        return [str(reply) for page in pages(keys, PAGE) for reply in self.calls([("TYPE", key) for key in page])]

    def keys(self, pattern: str) -> Iterator[str]:
        """See Reader.keys."""
        return self._scan("SCAN", "MATCH", pattern)

    def _scan(self, command: str, *arguments: str) -> Iterator[str]:
        """Return every element of a scan once (a scan may repeat some)."""
        key, more = (arguments[:1], arguments[1:]) if command != "SCAN" else ((), arguments)
        seen: set[str] = set()
        cursor = "0"
        while True:
            cursor, page = self.call(command, *key, cursor, *more, "COUNT", PAGE)
            new = [element for element in page if element not in seen]
            seen.update(new)
            yield from new
            if cursor in ("0", 0):
                return


def named_fields(fields: Mapping[str, str]) -> Hash:
    """The fields of a hash. One without a name is no ledger's, and that name is `UNREADABLE`."""
    named = dict(fields)
    named.pop("", None)
    return named


def _named(command: Command) -> str:
    """Return a command and its key, for a message."""
    return " ".join(map(str, command[:1] if command[0] in ("SCAN", "ZUNION") else command[:2]))


def is_of_another_kind(reply: object) -> bool:
    """Whether a command failed because the key has another type."""
    return isinstance(reply, exceptions.ResponseError) and str(reply).startswith("WRONGTYPE")
