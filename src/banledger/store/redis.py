"""The engine over Redis or Valkey: what is atomic in one slot, the rest idempotent and healed.

Theory of operation. A batch of changes is one call of `scripts/apply.lua` for each month: it writes the hash, the
day's set, the tallies and an *outbox* entry, or nothing. Then what stands in other slots follows from the hash, in
pipelines of single-key commands: an id is added to sets or removed, rankings get the size of their set, read again
until it did not change. Last the entry leaves the outbox (`scripts/finish.lua`), but only if the hash is still the
one that all this followed from; else it is done again from the hash as it is. Each application has an entry of its
own. So whatever dies, and whichever of several recorders is late, the last to finish leaves what the hash says.

No command touches keys of two slots, and no request is repeated by the client: after a failure it is unknown what
was done, and the caller replays, which is harmless.
"""

import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.resources import files
from itertools import count
from typing import Any, TypeVar

import msgspec
import redis
from msgspec import Struct
from redis import exceptions

from banledger.errors import StoreError, StoreUnavailable
from banledger.keyspace import STANDING_FIELDS, Change, Keyspace, Mark, Ranking, Standing, is_sorted_set
from banledger.store.engine import Applied, Conflict, Hash, Outcome, Repair, Scored

_Item = TypeVar("_Item")

_PAGE = 1000
_PIPELINED = 10_000
_ABOUT_A_KEY = frozenset(("HSET", "SADD", "SCARD", "SMEMBERS", "SSCAN", "HSCAN", "ZRANGE", "ZREMRANGEBYSCORE"))
_AT_ONCE = 200  # changes in one script: the server does nothing else meanwhile

_pack = msgspec.msgpack.encode
_to_json = msgspec.json.encode


class _Entry(Struct, frozen=True, array_like=True):
    """An entry of the outbox: a hash, and states of it that sets elsewhere may still show.

    A state is the fields that decide where the hash stands; over the fields it has now it tells where it stood.
    """

    key: str
    states: tuple[Hash, ...]


_entries = msgspec.json.Decoder(_Entry)


class _Work(Struct, frozen=True):
    """What is to be done outside for one hash. `fields`: those the standing follows from; None: the hash is gone."""

    slot: str
    token: str
    entry: _Entry
    fields: Hash | None
    standing: Standing
    leaves: tuple[str, ...] = ()
    rankings: tuple[Ranking, ...] = ()
    unmarked: tuple[tuple[str, str], ...] = ()


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

    def calls(self, commands: Sequence[Sequence[str | bytes | float]]) -> list[Any]:
        """Several commands in one round trip, their plain replies. Raises for the first that failed."""
        replies: list[Any] = []
        for page in _pages(commands, _PIPELINED):
            with self._translated():
                pipeline = self._client.pipeline(transaction=False)
                for command in page:
                    pipeline.execute_command(*command)  # type: ignore[no-untyped-call]
                answers = pipeline.execute(raise_on_error=False)
            for command, answer in zip(page, answers, strict=True):
                if isinstance(answer, exceptions.RedisError):
                    raise translate(answer, self._where, " ".join(map(str, command[:2]))) from answer
            replies += answers
        return replies

    @contextmanager
    def _translated(self, doing: str = "") -> Iterator[None]:
        try:
            yield
        except (exceptions.RedisError, OSError) as error:
            raise translate(error, self._where, doing) from error

    def hashes(self, keys: Sequence[str]) -> list[Hash]:
        """See Reader.hashes."""
        return [reply for page in _pages(keys) for reply in self.calls([("HGETALL", key) for key in page])]

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
            for page in _pages(keys)
            for reply in self.calls([("ZCARD" if is_sorted_set(key) else "SCARD", key) for key in page])
        ]

    def tally(self, keys: Sequence[str]) -> dict[str, int]:
        """See Reader.tally. The server adds up what lies in one slot."""
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

    def apply(self, changes: Sequence[Change]) -> list[Outcome]:
        """See Engine.apply."""
        outcomes: dict[str, Outcome] = {}
        slots: dict[str, list[Change]] = defaultdict(list)
        for change in changes:
            slots[change.slot].append(change)
        work: list[_Work] = []
        for slot, several in slots.items():
            for page in _pages(several, _AT_ONCE):
                work += self._inside(slot, page, outcomes)
        self._follow(work)
        return [outcomes[change.key] for change in changes]

    def _inside(self, slot: str, changes: Sequence[Change], outcomes: dict[str, Outcome]) -> list[_Work]:
        """One script in one slot, again without what conflicts; what must follow elsewhere."""
        while changes:
            work = [_work_of(change, f"{self._writer}:{next(self._tokens)}") for change in changes]
            call = _Call(self._keyspace.outbox(slot), changes, work)
            conflicts = {number: _pairs(fields) for number, fields in self._run(self._apply, call.keys, call.argument)}
            for number, change in enumerate(changes, 1):
                outcomes[change.key] = Conflict(conflicts[number]) if number in conflicts else Applied()
            if not conflicts:
                return work
            changes = [change for number, change in enumerate(changes, 1) if number not in conflicts]
        return []

    def _run(self, script: "_Script", keys: list[str], argument: bytes) -> Any:
        try:
            return self.call("EVALSHA", script.digest, len(keys), *keys, argument)
        except StoreError as error:
            if not isinstance(error.__cause__, exceptions.NoScriptError):
                raise
            return self.call("EVAL", script.text, len(keys), *keys, argument)

    def settle(self) -> int:
        """See Engine.settle."""
        done = 0
        for month in list(self.members(self._keyspace.months)):
            outbox = self._keyspace.outbox(month)
            cursor = "0"
            while True:
                cursor, page = self.call("HSCAN", outbox, cursor, "COUNT", _PAGE)
                pairs = page.items() if isinstance(page, dict) else zip(page[::2], page[1::2], strict=True)
                entries = [(month, token, _entries.decode(value)) for token, value in pairs]
                self._follow(self._again(entries))
                done += len(entries)
                if cursor in ("0", 0):
                    break
        return done

    def _again(self, entries: list[tuple[str, str, _Entry]]) -> list[_Work]:
        """Work derived from the hashes as they are now."""
        hashes = self.hashes([entry.key for _, _, entry in entries])
        return [
            self._derived(slot, token, entry, fields)
            for (slot, token, entry), fields in zip(entries, hashes, strict=True)
        ]

    def _derived(self, slot: str, token: str, entry: _Entry, fields: Hash) -> _Work:
        standing = self._keyspace.standing_of(entry.key, fields)
        once = [self._keyspace.standing_of(entry.key, fields | state) for state in entry.states]
        marked = {(mark.key, mark.member) for mark in standing.marks}
        return _Work(
            slot,
            token,
            entry,
            fields or None,
            standing,
            tuple({key for each in once for key in each.sets} - set(standing.sets)),
            tuple({ranking for each in (standing, *once) for ranking in each.rankings}),
            tuple({(mark.key, mark.member) for each in once for mark in each.marks} - marked),
        )

    def _follow(self, work: list[_Work]) -> None:
        """Make what stands outside true, until no hash changed meanwhile."""
        while work:
            outside = _Outside()
            for one in work:
                outside.add(one)
            self.calls(outside.commands())
            self._rank(list(outside.rankings))
            work = self._again(self._finished(work))

    def _rank(self, rankings: list[Ranking]) -> None:
        """Give each ranked member the size of its sets, until none changed between reading and writing."""
        sizes = self._sizes(rankings)
        while rankings:
            self.calls(_ranking_commands(rankings, sizes))
            again = self._sizes(rankings)
            rankings = [ranking for ranking in rankings if again[ranking] != sizes[ranking]]
            sizes = again

    def _sizes(self, rankings: list[Ranking]) -> dict[Ranking, int]:
        cards = iter(self.calls([("SCARD", source) for ranking in rankings for source in ranking.sources]))
        return {ranking: sum(int(next(cards)) for _ in ranking.sources) for ranking in rankings}

    def _finished(self, work: list[_Work]) -> list[tuple[str, str, _Entry]]:
        """Take what is done out of the outbox; what must be done again."""
        again = []
        slots: dict[str, list[_Work]] = defaultdict(list)
        for one in work:
            slots[one.slot].append(one)
        for slot, several in slots.items():
            for page in _pages(several, _AT_ONCE):
                keys = [self._keyspace.outbox(slot), *(one.entry.key for one in page)]
                argument = _pack((STANDING_FIELDS, [(one.token, *_values(one.fields)) for one in page]))
                changed = [page[number - 1] for number in self._run(self._finish, keys, argument)]
                again += [(slot, one.token, _widened(one)) for one in changed]
        return again

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
        for page in _pages(list(hashes.items())):
            commands: list[tuple[str, ...]] = []
            for key, fields in page:
                put = [("HSET", key, *(part for pair in fields.items() for part in pair))] if fields else []
                commands += [("MULTI",), ("DEL", key), *put, ("EXEC",)]  # nobody sees it gone
            self.calls(commands)

    def lease(self, key: str, holder: str, now: float, until: float) -> bool:
        """See Engine.lease."""
        return bool(self._run(self._lease, [key], _pack((holder, repr(now), repr(until)))))

    def mend(self, repair: Repair) -> None:
        """See Engine.mend."""
        outside = _Outside()
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


class _Call:
    """What apply.lua is called with: every key once, changes that name them by number."""

    def __init__(self, outbox: str, changes: Sequence[Change], work: Sequence[_Work]) -> None:
        self.keys = [outbox]
        self._kinds = ["hash"]
        self._numbers = {outbox: 1}
        singles = [self._single(change) for change in changes]
        entries = [part for one in work for part in (one.token, _to_json(one.entry).decode())]
        self.argument = _pack((self._kinds, singles, (entries, *self._together(changes))))

    def _single(self, change: Change) -> tuple[object, ...]:
        return (
            self._number(change.key, ""),
            change.guard is not None and {name: _or_false(value) for name, value in change.guard.items()},
            () if change.remove else [part for pair in change.fields.items() for part in pair],
            () if change.remove else change.drop,
            change.remove,
        )

    def _together(self, changes: Sequence[Change]) -> tuple[dict[int, Any], ...]:
        """What the changes do to keys that several share, coalesced."""
        joins: dict[int, list[str]] = defaultdict(list)
        leaves: dict[int, list[str]] = defaultdict(list)
        scores: dict[int, list[str]] = defaultdict(list)
        unscored: dict[int, list[str]] = defaultdict(list)
        tallies: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for change in changes:
            member = change.after.member or change.before.member
            for key in change.joins:
                joins[self._number(key, "set")].append(member)
            for key in change.leaves:
                leaves[self._number(key, "set")].append(member)
            for mark in change.marks:
                if mark.score is None:
                    unscored[self._number(mark.key, "zset")].append(mark.member)
                else:
                    scores[self._number(mark.key, "zset")] += [repr(mark.score), mark.member]
            for key, name, delta in change.tallies:
                tallies[self._numbers.get(key) or self._number(key, "zset")][name] += delta
        return joins, leaves, scores, unscored, tallies

    def _number(self, key: str, kind: str) -> int:
        number = self._numbers.get(key)
        if number is None:
            self.keys.append(key)
            self._kinds.append(kind)
            number = self._numbers[key] = len(self.keys)
        return number


class _Outside:
    """Commands of many pieces of work, coalesced by key."""

    def __init__(self) -> None:
        self.joins: dict[str, list[str]] = defaultdict(list)
        self.leaves: dict[str, list[str]] = defaultdict(list)
        self._scores: dict[str, list[str | float]] = defaultdict(list)
        self._unmarked: dict[str, list[str]] = defaultdict(list)
        self.rankings: dict[Ranking, None] = {}

    def add(self, work: _Work) -> None:
        """Everything that must be true for one hash."""
        member = work.standing.member
        for key in work.standing.sets:
            self.joins[key].append(member)
        for key in work.leaves:
            self.leaves[key].append(member)
        for mark in (*work.standing.marks, *(Mark(*place, None) for place in work.unmarked)):
            self.mark(mark)
        self.rankings.update(dict.fromkeys(work.rankings))

    def mark(self, mark: Mark) -> None:
        """One entry of a sorted set."""
        if mark.score is None:
            self._unmarked[mark.key].append(mark.member)
        else:
            self._scores[mark.key] += [mark.score, mark.member]

    def commands(self) -> list[tuple[str | float, ...]]:
        """All of it, a command a key and as many members as a server likes to take at once."""
        return [
            *_by_key("SADD", self.joins),
            *_by_key("SREM", self.leaves),
            *_by_key("ZADD", self._scores),
            *_by_key("ZREM", self._unmarked),
        ]


def _by_key(command: str, words: Mapping[str, Sequence[str | float]]) -> Iterator[tuple[str | float, ...]]:
    for key, several in words.items():
        for page in _pages(several, 2 * _PAGE):
            yield (command, key, *page)


def _entry(change: Change) -> _Entry:
    """What the outbox must remember of a change: how the hash stood, and how it stands with it."""
    guard = change.guard or {}
    before = {name: value for name, value in guard.items() if value is not None and name in STANDING_FIELDS}
    if change.remove:
        return _Entry(change.key, (change.gone,))
    after = before | {name: value for name, value in change.fields.items() if name in STANDING_FIELDS}
    return _Entry(change.key, (after,) if change.guard is None else (before, after))


def _work_of(change: Change, token: str) -> _Work:
    """What follows from a change just applied, without reading its hash again."""
    before, after = change.before, change.after
    marked = {(mark.key, mark.member) for mark in after.marks}
    moved = before.sets != after.sets or change.joins or change.leaves
    guard = change.guard or {}
    kept = {name: value for name, value in guard.items() if value is not None and name not in change.drop}
    return _Work(
        change.slot,
        token,
        _entry(change),
        None if change.remove else kept | change.fields,
        after if moved else Standing(after.member, marks=after.marks),
        tuple(key for key in before.sets if key not in after.sets),
        tuple(dict.fromkeys((*before.rankings, *after.rankings))) if moved else (),
        tuple((mark.key, mark.member) for mark in before.marks if (mark.key, mark.member) not in marked),
    )


def _values(fields: Hash | None) -> tuple[str | bool, ...]:
    return () if fields is None else tuple([fields.get(name, False) for name in STANDING_FIELDS])


def _widened(work: _Work) -> _Entry:
    """The entry with what we made true ourselves of a hash that is no longer so."""
    state = {name: value for name, value in (work.fields or {}).items() if name in STANDING_FIELDS}
    return _Entry(work.entry.key, (*work.entry.states, state)) if state else work.entry


def _or_false(value: str | None) -> str | bool:
    return False if value is None else value


def _ranking_commands(rankings: list[Ranking], sizes: dict[Ranking, int]) -> list[tuple[str | float, ...]]:
    ranked: dict[str, list[str | float]] = defaultdict(list)
    gone: dict[str, list[str]] = defaultdict(list)
    for ranking in rankings:
        if sizes[ranking]:
            ranked[ranking.key] += [sizes[ranking], ranking.member]
        else:
            gone[ranking.key].append(ranking.member)
    return [*_by_key("ZADD", ranked), *_by_key("ZREM", gone)]


def _pairs(flat: Any) -> Hash:
    """A hash as a script returns it: field, value, field, value …"""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _slot(key: str) -> str:
    return key.partition("{")[2].partition("}")[0] or key


def _pages(items: Sequence[_Item], size: int = _PAGE) -> Iterator[Sequence[_Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


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
