"""The engine over Redis or Valkey: what is atomic in one slot, the rest idempotent and healed.

Theory of operation. A page of changes of one month is one call of `scripts/apply.lua`: it writes the hashes, the
days' sets, the tallies and an entry of the *outbox*, or nothing. The server works on one page while the next is made.
Then what stands in other slots follows from the hashes, in pipelines of single-key commands: an id is added to sets or
removed, rankings get the size of their set, read again until it did not change. Last the entry leaves the outbox
(`scripts/finish.lua`), but only if the hashes are still those that all this followed from; else it is done again from
the hashes as they are. They are looked at only if another recorder changed hashes of that month meanwhile. Each page
has an entry of its own. So whatever dies, and whichever of several recorders is
late, the last to finish leaves what the hashes say. What all this consists of is in `outside.py`.

No command touches keys of two slots, and no request is repeated by the client: after a failure it is unknown what
was done, and the caller replays, which is harmless.
"""

import hashlib
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.resources import files
from itertools import chain, count, islice
from typing import TYPE_CHECKING, Any

import hiredis
import msgspec
import redis
from msgspec import Struct
from redis import exceptions

from banledger.errors import StoreError, StoreUnavailable
from banledger.keyspace import Change, Keyspace, Ranking, is_sorted_set
from banledger.store.engine import Applied, Conflict, Hash, Outcome, Repair, Scored
from banledger.store.outside import (
    Command,
    Entry,
    Inside,
    Outside,
    Task,
    entries_of,
    finish_arguments,
    pages,
    ranking_commands,
    work_again,
    work_of,
)

if TYPE_CHECKING:
    from redis.connection import AbstractConnection

_PAGE = 1000
_IN_FLIGHT = 10  # pages of commands whose replies nobody has read
_ABOUT_A_KEY = frozenset(("HSET", "SADD", "SCARD", "SMEMBERS", "SSCAN", "HSCAN", "ZRANGE", "ZREMRANGEBYSCORE"))
_AT_ONCE = 500  # changes in one script: the server does nothing else meanwhile

_pack = msgspec.msgpack.encode
_applied = Applied()


class RedisReader:
    """See `engine.Reader`. `where` names the store in messages, without any secret."""

    adds_up = 20_000

    def __init__(self, client: "redis.Redis", where: str) -> None:
        self._client = client
        self._where = where

    def close(self) -> None:
        """See Reader.close."""
        self._client.close()

    def call(self, *command: str | bytes | float) -> Any:
        """One command, its plain reply."""
        with self._translated(f"{command[0]!s} {command[1]!s}" if command[0] in _ABOUT_A_KEY else ""):
            return self._client.execute_command(*command)  # type: ignore[no-untyped-call]

    def calls(self, commands: Sequence[Command]) -> list[Any]:
        """Several commands in one round trip, their plain replies. Raises for the first that failed."""
        return self._ask(_parts(commands))

    def _ask(self, parts: Iterable["_Part"]) -> list[Any]:
        """The same with commands that may have been packed beforehand."""
        replies: list[Any] = []
        rest = iter(parts)
        for first in rest:
            commands: list[Command] = []
            with self._connection() as connection:
                for part in chain([first], islice(rest, _IN_FLIGHT - 1)):  # the server begins while we pack
                    self._send(connection, part.packed)
                    commands += part.commands
                answers = self._receive(connection, len(commands))
            for command, answer in zip(commands, answers, strict=True):
                if isinstance(answer, exceptions.RedisError):
                    raise translate(answer, self._where, " ".join(map(str, command[:2]))) from answer
            replies += answers
        return replies

    @contextmanager
    def _connection(self) -> Iterator["AbstractConnection"]:
        """A connection of our own. It is closed if anything goes wrong: there may be replies that nobody read."""
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
        """Send without waiting for what it is answered."""
        with self._translated():
            connection.send_packed_command([packed])  # type: ignore[no-untyped-call]

    def _receive(self, connection: "AbstractConnection", count: int) -> list[Any]:
        """The replies to so many commands, in their order; errors of the server are among them."""
        with self._translated():
            return [_reply(connection) for _ in range(count)]

    @contextmanager
    def _translated(self, doing: str = "") -> Iterator[None]:
        try:
            yield
        except (exceptions.RedisError, OSError) as error:
            raise translate(error, self._where, doing) from error

    def hashes(self, keys: Sequence[str]) -> list[Hash]:
        """See Reader.hashes."""
        return [reply for page in pages(keys, _PAGE) for reply in self.calls([("HGETALL", key) for key in page])]

    def members(self, key: str) -> Iterator[str]:
        """See Reader.members."""
        if self.call("SCARD", key) <= _PAGE:
            yield from self.call("SMEMBERS", key)
            return
        yield from self._scan("SSCAN", key)

    def cards(self, keys: Sequence[str]) -> list[int]:
        """See Reader.cards."""
        return [
            int(reply)
            for page in pages(keys, _PAGE)
            for reply in self.calls([("ZCARD" if is_sorted_set(key) else "SCARD", key) for key in page])
        ]

    def tally(self, keys: Sequence[str]) -> dict[str, int]:
        """See Reader.tally. Most are ones: their names are enough; else the server adds up what lies in one slot."""
        sizes = self.calls([command for key in keys for command in (("ZCARD", key), ("ZCOUNT", key, 2, "+inf"))])
        if 2 * sum(sizes[1::2]) < sum(sizes[::2]):
            return self._tally_by_name(keys)
        slots: dict[str, list[str]] = defaultdict(list)
        for key in keys:
            slots[_slot(key)].append(key)
        total: dict[str, int] = defaultdict(int)
        unions: list[tuple[str | int, ...]] = [
            ("ZUNION", len(several), *several, "WITHSCORES") for several in slots.values()
        ]
        for reply in self.calls(unions):
            for member, score in reply:
                total[member] += int(score)
        return dict(total)

    def _tally_by_name(self, keys: Sequence[str]) -> dict[str, int]:
        """A name costs a third of a name with its score, and a server adds up several times as slowly as we do."""
        several = [("ZRANGE", key, 2, "+inf", "BYSCORE", "WITHSCORES") for key in keys]
        replies = self.calls([*several, *[("ZRANGE", key, 0, -1) for key in keys]])
        total: Counter[str] = Counter()
        for names in replies[len(keys) :]:
            total.update(names)
        for pairs in replies[: len(keys)]:
            for member, score in pairs:
                total[member] += int(score) - 1
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

    def above(self, key: str, least: float) -> int:
        """See Reader.above."""
        return int(self.call("ZCOUNT", key, least, "+inf"))

    def kind(self, key: str) -> str:
        """See Reader.kind."""
        return str(self.call("TYPE", key))

    def keys(self, pattern: str) -> Iterator[str]:
        """See Reader.keys."""
        return self._scan("SCAN", "MATCH", pattern)

    def _scan(self, command: str, *arguments: str) -> Iterator[str]:
        """Every element of a scan once (a scan may repeat some)."""
        key, more = (arguments[:1], arguments[1:]) if command != "SCAN" else ((), arguments)
        seen: set[str] = set()
        cursor = "0"
        while True:
            cursor, page = self.call(command, *key, cursor, *more, "COUNT", _PAGE)
            new = [element for element in page if element not in seen]
            seen.update(new)
            yield from new
            if cursor in ("0", 0):
                return


class RedisEngine(RedisReader):
    """See `engine.Engine`. Several may write to one store at once."""

    shared = True
    replay_s = 120.0  # longer than a replica lags and a failover takes

    def __init__(self, client: "redis.Redis", where: str, keys: Keyspace) -> None:
        super().__init__(client, where)
        self._keyspace = keys
        self._apply = _Script("apply.lua")
        self._finish = _Script("finish.lua")
        self._lease = _Script("lease.lua")
        self._writer = os.urandom(6).hex()
        self._tokens = count()

    def cautions(self) -> list[str]:
        """See Engine.cautions."""
        return cautions(self)

    def apply(self, changes: Iterable[Change]) -> list[Outcome]:
        """See Engine.apply. Whatever comes is sent a page at a time, so that the server works while we do."""
        outcomes: dict[str, Outcome] = {}
        filling: dict[str, list[Change]] = defaultdict(list)
        sent: list[_Page] = []
        with self._connection() as connection:
            for change in changes:
                outcomes[change.key] = _applied
                page = filling[change.slot]
                page.append(change)
                if len(page) == _AT_ONCE:
                    sent.append(self._page(filling.pop(change.slot)))
                    self._send(connection, sent[-1].script.packed)
            for rest in filling.values():
                sent.append(self._page(rest))
                self._send(connection, sent[-1].script.packed)
            expected = _Consequence([page.task for page in sent])  # made while the server works
            replies = self._receive(connection, len(sent))
        tasks: list[Task] = []
        for done, reply in zip(sent, replies, strict=True):
            tasks += self._inside(done, self._reply(done.script, reply), outcomes)
        self._follow(tasks, None if any(replies) else expected)
        return list(outcomes.values())

    def _page(self, changes: list[Change]) -> "_Page":
        slot = changes[0].slot
        task = Task(slot, f"{self._writer}:{next(self._tokens)}", [work_of(change) for change in changes])
        inside = Inside(self._keyspace.outbox(slot), task, changes)
        return _Page(changes, task, self._apply.call(inside.keys, inside.argument))

    def _inside(self, page: "_Page", reply: Any, outcomes: dict[str, Outcome]) -> list[Task]:
        """What must follow elsewhere; where some changes conflict, the others are tried again without them."""
        while reply:
            conflicts = {page.changes[number - 1].key: Conflict(_pairs(fields)) for number, fields in reply}
            outcomes |= conflicts
            others = [change for change in page.changes if change.key not in conflicts]
            if not others:
                return []
            page = self._page(others)
            (reply,) = self._run([page.script])
        return [page.task]

    def _run(self, scripts: Sequence["_Call"]) -> list[Any]:
        """Scripts in one round trip."""
        with self._connection() as connection:
            for script in scripts:
                self._send(connection, script.packed)
            replies = self._receive(connection, len(scripts))
        return [self._reply(script, reply) for script, reply in zip(scripts, replies, strict=True)]

    def _reply(self, script: "_Call", reply: Any) -> Any:
        """The reply to a script, which the server may not have known."""
        if isinstance(reply, exceptions.NoScriptError):
            return self.call(*script.long)
        if isinstance(reply, exceptions.RedisError):
            raise translate(reply, self._where) from reply
        return reply

    def settle(self) -> int:
        """See Engine.settle."""
        done = 0
        for month in list(self.members(self._keyspace.months)):
            outbox = self._keyspace.outbox(month)
            cursor = "0"
            while True:
                cursor, page = self.call("HSCAN", outbox, cursor, "COUNT", _PAGE)
                pairs = page.items() if isinstance(page, dict) else zip(page[::2], page[1::2], strict=True)
                left = [(month, token, entries) for token, value in pairs if (entries := entries_of(value))]
                self._follow(self._again(left), doubt=True)
                done += sum(len(entries) for _, _, entries in left)
                if cursor in ("0", 0):
                    break
        return done

    def _again(self, left: Iterable[tuple[str, str, Sequence[Entry]]]) -> list[Task]:
        """Work derived from the hashes as they are now."""
        return [
            Task(slot, token, [
                work_again(self._keyspace, entry, fields)
                for entry, fields in zip(entries, self.hashes([entry.key for entry in entries]), strict=True)
            ])
            for slot, token, entries in left
        ]  # fmt: skip

    def _follow(self, tasks: list[Task], expected: "_Consequence | None" = None, *, doubt: bool = False) -> None:
        """Make what stands outside true, until no hash changed meanwhile. `doubt`: whether one may have already."""
        while tasks:
            self._make_true(expected or _Consequence(tasks))
            tasks = self._again(self._finished(tasks, doubt=doubt))
            expected, doubt = None, True

    def _make_true(self, wanted: "_Consequence") -> None:
        """Put ids where they belong, and give each ranked member the size of its sets.

        Sizes are read again after that, until none changed between reading and writing.
        """
        rankings, sources = wanted.rankings, wanted.sources
        cards = self._ask([*wanted.changes, *sources])[sum(len(part.commands) for part in wanted.changes) :]
        sizes = _sizes(rankings, cards)
        while rankings:
            self.calls(ranking_commands(rankings, sizes))
            again = _sizes(rankings, self._ask(sources))
            moved = [at for at, size in enumerate(again) if size != sizes[at]]
            rankings, sizes = [rankings[at] for at in moved], [again[at] for at in moved]
            sources = _sources(rankings)

    def _finished(self, tasks: list[Task], *, doubt: bool) -> list[tuple[str, str, Sequence[Entry]]]:
        """Take what is done out of the outbox; what must be done again. `doubt`: look at the hashes at once."""
        if not tasks:
            return []
        calls = [finish_arguments(self._keyspace.outbox(task.slot), task, doubt=doubt) for task in tasks]
        replies = self._run([self._finish.call(*call) for call in calls])
        if not doubt:
            return self._finished([task for task, reply in zip(tasks, replies, strict=True) if reply], doubt=True)
        return [
            (task.slot, task.token, task.changed(reply)) for task, reply in zip(tasks, replies, strict=True) if reply
        ]

    def enlist(self, key: str, members: Sequence[str]) -> None:
        """See Engine.enlist."""
        if members:
            self.call("SADD", key, *members)

    def claim(self, key: str, fields: Hash) -> Hash:
        """See Engine.claim."""
        commands = [*(("HSETNX", key, name, value) for name, value in fields.items()), ("HGETALL", key)]
        *_, replies = self.calls([("MULTI",), *commands, ("EXEC",)])  # nobody sees half of them
        return dict(replies[-1])

    def assign(self, key: str, fields: Hash) -> None:
        """See Engine.assign."""
        self.call("HSET", key, *(part for pair in fields.items() for part in pair))

    def replace(self, hashes: Mapping[str, Hash]) -> None:
        """See Engine.replace."""
        for page in pages(list(hashes.items()), _PAGE):
            commands: list[tuple[str, ...]] = []
            for key, fields in page:
                put = [("HSET", key, *(part for pair in fields.items() for part in pair))] if fields else []
                commands += [("MULTI",), ("DEL", key), *put, ("EXEC",)]  # nobody sees it gone
            self.calls(commands)

    def lease(self, key: str, holder: str, now: float, until: float) -> bool:
        """See Engine.lease."""
        return bool(self._run([self._lease.call([key], _pack((holder, repr(now), repr(until))))])[0])

    def mend(self, repair: Repair) -> None:
        """See Engine.mend."""
        outside = Outside()
        for key, member in repair.joins:
            outside.joins[key].append(member)
        for key, member in repair.leaves:
            outside.leaves[key].append(member)
        for mark in (*repair.tallies, *repair.marks):
            outside.mark(mark)
        self.calls(outside.commands())

    def due(self, key: str, until: float, count: int) -> list[str]:
        """See Engine.due."""
        return list(self.call("ZRANGE", key, "-inf", until, "BYSCORE", "LIMIT", 0, count))

    def expire(self, key: str, until: float) -> int:
        """See Engine.expire."""
        return int(self.call("ZREMRANGEBYSCORE", key, "-inf", f"({until!r}"))


class _Script:
    """A Lua script of the package and its SHA-1, by which the server knows it."""

    def __init__(self, name: str) -> None:
        self.text = files("banledger.store").joinpath("scripts", name).read_text(encoding="utf-8")
        self.digest = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    def call(self, keys: Sequence[str], argument: bytes) -> "_Call":
        """With these keys and this argument."""
        return _Call(self, (len(keys), *keys, argument))


class _Call(Struct, frozen=True):
    """A script and what it is called with: as a command that names it, and as one that brings it along."""

    script: _Script
    words: Command

    @property
    def packed(self) -> bytes:
        return _packed([("EVALSHA", self.script.digest, *self.words)])

    @property
    def long(self) -> Command:
        return ("EVAL", self.script.text, *self.words)


class _Page(Struct, frozen=True):
    """Changes of one slot, the script that makes them, and what must follow."""

    changes: list[Change]
    task: Task
    script: _Call


class _Part(Struct, frozen=True, gc=False):
    """Some commands, and how they are sent."""

    commands: Sequence[Command]
    packed: bytes


def _parts(commands: Sequence[Command]) -> Iterator[_Part]:
    return (_Part(page, _packed(page)) for page in pages(commands, _PAGE))


def _packed(commands: Iterable[Command]) -> bytes:
    """Packed here: a pipeline of redis-py takes four times as long."""
    return b"".join([hiredis.pack_command(command) for command in commands])  # type: ignore[arg-type]


class _Consequence:
    """What follows elsewhere when tasks are done in their slots, ready to be sent.

    changes  where ids go;  rankings  who gets another size;  sources  questions for the sizes
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        outside = Outside(tasks)
        self.changes = list(_parts(outside.commands()))
        self.rankings = list(outside.rankings)
        self.sources = _sources(self.rankings)


def _sources(rankings: Sequence[Ranking]) -> list[_Part]:
    """Ask for the size of each set that counts in the rankings."""
    return list(_parts([("SCARD", source) for ranking in rankings for source in ranking.sources]))


def _sizes(rankings: Sequence[Ranking], cards: Iterable[int]) -> list[int]:
    """The size of each ranked member, from the sizes of the sets that count in it."""
    each = iter(cards)
    return [
        next(each) if len(ranking.sources) == 1 else sum(islice(each, len(ranking.sources))) for ranking in rankings
    ]


def _pairs(flat: Any) -> Hash:
    """A hash as a script returns it: field, value, field, value …"""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _reply(connection: "AbstractConnection") -> Any:
    try:
        return connection.read_response()
    except exceptions.ResponseError as error:
        return error


def _slot(key: str) -> str:
    return key.partition("{")[2].partition("}")[0] or key


_WORDS: tuple[tuple[str, str, str], ...] = (
    ("HELLO must be called", "asks for a password", "give it by password_file or BANLEDGER_PASSWORD"),
    ("WRONGTYPE", "holds something else at a key of the ledger", "remove that key, or choose another prefix"),
    ("MISCONF", "can't write to its disk and takes nothing more", "see its log"),
    ("NOREPLICAS", "has fewer replicas than it wants", "see its min-replicas-to-write"),
)
_HINTS: tuple[tuple[type[Exception], str, str], ...] = (
    (exceptions.AuthenticationError, "refuses the password", "check password_file or BANLEDGER_PASSWORD"),
    (exceptions.NoPermissionError, "does not let this user do that", "docs/stores.md says what it must be allowed"),
    (exceptions.ReadOnlyError, "is a read-only replica", "give the address of the primary"),
    (exceptions.OutOfMemoryError, "is out of memory", "raise its maxmemory or make room"),
    (exceptions.MovedError, "is a node of a cluster", "give the address of a server that holds all keys"),
    (exceptions.BusyLoadingError, "is still loading its data", "it is tried again when that is done"),
    (exceptions.TimeoutError, "does not answer in time", "is it overloaded, or is something between?"),
    (exceptions.ConnectionError, "can't be reached", "is it running, and is the address right?"),
    (OSError, "can't be reached", "is it running, and is the address right?"),
)
_DISTRUST = "CERTIFICATE_VERIFY_FAILED"


def translate(error: Exception, where: str, doing: str = "") -> StoreError:
    """The one place where redis-py's errors become ours. Bans wait through almost all of them: they are retryable.

    `doing`: the command and the key it was about. A kind of trouble has a hint of its own.
    """
    said = f"{error} ({doing})" if doing and isinstance(error, exceptions.ResponseError) else str(error)
    if isinstance(error, TooOld):
        return StoreError(f"{where} {error}", hint="upgrade it")
    if _DISTRUST in said:
        return StoreUnavailable(f"{where} can't prove who it is: {said}", hint="check tls_ca and the host's name")
    for word, what, hint in _WORDS:
        if said.startswith(word):
            return StoreUnavailable(f"{where} {what}: {said}", hint=hint)
    for kind, what, hint in _HINTS:
        if isinstance(error, kind):
            return StoreUnavailable(f"{where} {what}: {said}", hint=hint)
    return StoreUnavailable(f"{where} answers with an error: {said}")


class TooOld(exceptions.RedisError):
    """The server is older than what we need."""


class Handshake:
    """What is done at each connect: log in, and refuse a server that is too old.

    `once`: never connect again. Who writes must learn that a connection was lost: the server may have come back
    without what was written last.
    """

    def __init__(self, *, once: bool) -> None:
        self._once = once
        self._done = False

    def __call__(self, connection: Any) -> None:
        """Called by redis-py instead of its own `on_connect`."""
        if self._once and self._done:
            raise exceptions.ConnectionError("the connection was lost")
        try:
            connection.on_connect()
        except exceptions.ResponseError as error:
            if "unknown command" in str(error) and "HELLO" in str(error).upper():
                raise TooOld(f"is older than {_name('redis')}, which it must be at least") from error
            raise
        said = connection.handshake_metadata
        if fault := too_old(str(said.get("server")), str(said.get("version"))):
            raise TooOld(fault)
        self._done = True


_OLDEST = {"redis": ("Redis", (6, 2)), "valkey": ("Valkey", (7, 2))}


def too_old(server: str, version: str) -> str:
    """What is wrong with a server of that name and version (as HELLO says them), or nothing."""
    program, oldest = _OLDEST.get(server, ("", ()))
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[: len(oldest)])
    if not numbers or numbers >= oldest:
        return ""
    return f"is {program} {version}; it must be at least {_name(server)}"


def _name(server: str) -> str:
    program, oldest = _OLDEST[server]
    return f"{program} {'.'.join(map(str, oldest))}"


def cautions(reader: RedisReader) -> list[str]:
    """What in the server's set-up endangers a ledger. Empty where it doesn't say."""
    try:
        facts = _facts(reader, "memory") | _facts(reader, "persistence")
    except StoreError:
        return []
    found = []
    policy = facts.get("maxmemory_policy", "noeviction")
    if policy != "noeviction" and facts.get("maxmemory", "0") != "0":
        found.append(f"the store may evict keys (maxmemory-policy {policy}): set noeviction")
    if facts.get("aof_enabled") == "0":
        found.append("the store does not keep an append-only file: a crash loses what came since its last snapshot")
    return found


def _facts(reader: RedisReader, section: str) -> dict[str, str]:
    lines = str(reader.call("INFO", section)).splitlines()
    return dict(line.partition(":")[::2] for line in lines if ":" in line)
