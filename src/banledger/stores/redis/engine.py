"""The engine over Redis or Valkey: what is atomic in one slot, the rest idempotent and healed.

Theory of operation. A page of changes of one month is one call of `scripts/apply.lua`: it writes the hashes, the
days' sets, the tallies and an entry of the *outbox*, or nothing. The server works on one page while the next is made.
Then what stands in other slots follows from the hashes, in pipelines of single-key commands (made while the server is
at the last page): an id is added to sets or removed, rankings get the size of their set, read again until it did not
change. Last the entry leaves the outbox (`scripts/finish.lua`), but only if the hashes are still those that all this
followed from; else it is done again from the hashes as they are. They are looked at only if another recorder changed
hashes of that month meanwhile. Each page has an entry of its own. So whatever dies, and whichever of several recorders
is late, the last to finish leaves what the hashes say. What all this consists of is in `outside.py`.

No command touches keys of two slots, and no request is repeated by the client: after a failure it is unknown what
was done, and the caller replays, which is harmless.
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import count, islice
from typing import Any

import msgspec
import redis
from msgspec import Struct
from redis import exceptions

from banledger.errors import StoreError
from banledger.stores.api import Advance, Applied, Conflict, Hash, Held, Outcome, Repair
from banledger.stores.change import Change, Layout, Ranking
from banledger.stores.fields import Damaged
from banledger.stores.pages import pages
from banledger.stores.redis.errors import translate
from banledger.stores.redis.outbox import (
    Entry,
    Inside,
    Outside,
    Task,
    entries_of,
    finish_arguments,
    ranking_commands,
    work_again,
    work_of,
)
from banledger.stores.redis.reader import Part, RedisReader, in_parts, packed
from banledger.stores.redis.scripts import Call, Script

_PAGE = 1000
_AT_ONCE = 500  # changes in one script: the server does nothing else meanwhile

_pack = msgspec.msgpack.encode
_applied = Applied()


class RedisEngine(RedisReader):
    """See `engine.Engine`. Several may write to one store at once."""

    shared = True
    replay_s = 120.0  # longer than a replica lags and a failover takes

    def __init__(self, client: "redis.Redis", where: str, layout: Layout) -> None:
        super().__init__(client, where)
        self._layout = layout
        self._apply = Script("apply.lua")
        self._finish = Script("finish.lua")
        self._lease = Script("lease.lua")
        self._exchange = Script("exchange.lua")
        self._advance = Script("advance.lua")
        self._writer = os.urandom(6).hex()
        self._tokens = count()
        self._left: dict[str, str] = {}  # what is set aside in outboxes, by key and field

    def cautions(self) -> list[str]:
        """See Engine.cautions."""
        return [*cautions(self), *outbox_cautions(self._left)]

    def sweep(self) -> int:
        """See Engine.sweep. A server knows text and numbers only."""
        return 0

    def incarnation(self) -> str:
        """See Engine.incarnation."""
        try:
            return _facts(self, "server").get("run_id", "")
        except StoreError:  # INFO may be renamed or forbidden
            return ""

    def apply(self, changes: Iterable[Change], advances: Sequence[Advance] = ()) -> list[Outcome]:
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
        clean = all(outcome is _applied for outcome in outcomes.values())
        self._follow(tasks, None if any(replies) else expected, advances if clean else ())
        return list(outcomes.values())

    def _page(self, changes: list[Change]) -> "_Page":
        slot = changes[0].slot
        task = Task(slot, f"{self._writer}:{next(self._tokens)}", [work_of(self._layout, change) for change in changes])
        inside = Inside(self._layout.outbox(slot), task, changes)
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

    def _run(self, scripts: Sequence[Call]) -> list[Any]:
        """Scripts in one round trip."""
        with self._connection() as connection:
            for script in scripts:
                self._send(connection, script.packed)
            replies = self._receive(connection, len(scripts))
        return [self._reply(script, reply) for script, reply in zip(scripts, replies, strict=True)]

    def _reply(self, script: Call, reply: Any) -> Any:
        """The reply to a script, which the server may not have known."""
        if isinstance(reply, exceptions.NoScriptError):
            with self._connection() as connection:
                self._send(connection, packed([script.long]))
                (reply,) = self._receive(connection, 1)
        if isinstance(reply, exceptions.RedisError):
            raise translate(reply, self._where, script.script.at(str(reply))) from reply
        return reply

    def settle(self) -> int:
        """See Engine.settle."""
        done = 0
        for month in list(self.members(self._layout.months)):
            outbox = self._layout.outbox(month)
            cursor = "0"
            while True:
                cursor, page = self.call("HSCAN", outbox, cursor, "COUNT", _PAGE)
                pairs = page.items() if isinstance(page, dict) else zip(page[::2], page[1::2], strict=True)
                left = [
                    (month, token, entries)
                    for token, value in pairs
                    if (entries := self._entries(outbox, token, value))
                ]
                tasks = self._again(left)
                self._follow(tasks, doubt=True)
                done += sum(len(task.work) for task in tasks)
                if cursor in ("0", 0):
                    break
        return done

    def _entries(self, outbox: str, token: str, value: str) -> Sequence[Entry]:
        """What a field of an outbox holds; nothing, and it stays there, if that is no work of ours."""
        try:
            entries = entries_of(value)
        except Damaged as error:
            self._left[outbox] = f"field {token[:64]!r} {error}"
            return ()
        head = outbox.removesuffix("outbox")
        if strange := [entry.key for entry in entries if not entry.key.startswith(head)]:
            self._left[outbox] = f"field {token[:64]!r} is about {strange[0][:128]!r}"
            return ()
        return entries

    def _again(self, left: Iterable[tuple[str, str, Sequence[Entry]]]) -> list[Task]:
        """Work derived from the hashes as they are now. What is about a damaged one stays in the outbox."""
        tasks = []
        for slot, token, entries in left:
            hashes = self.hashes([entry.key for entry in entries])
            try:
                pairs = zip(entries, hashes, strict=True)
                tasks.append(Task(slot, token, [work_again(self._layout, entry, fields) for entry, fields in pairs]))
            except Damaged as error:
                self._left[self._layout.outbox(slot)] = f"field {token[:64]!r} is about a damaged hash: {error}"
        return tasks

    def _follow(
        self,
        tasks: list[Task],
        expected: "_Consequence | None" = None,
        advances: Sequence[Advance] = (),
        *,
        doubt: bool = False,
    ) -> None:
        """Make what stands outside true, until no hash changed meanwhile. `doubt`: whether one may have already."""
        while tasks:
            self._make_true(expected or _Consequence(tasks))
            tasks = self._again(self._finished(tasks, advances, doubt=doubt))
            expected, advances, doubt = None, (), True

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

    def _finished(
        self, tasks: list[Task], advances: Sequence[Advance] = (), *, doubt: bool
    ) -> list[tuple[str, str, Sequence[Entry]]]:
        """Take what is done out of the outbox; what must be done again. `doubt`: look at the hashes at once."""
        if not tasks:
            return []
        calls = [finish_arguments(self._layout, task, doubt=doubt) for task in tasks]
        scripts = [self._finish.call(*call) for call in calls] + self._advances(advances)
        replies = self._run(scripts)[: len(tasks)]
        if not doubt:
            return self._finished([task for task, reply in zip(tasks, replies, strict=True) if reply], doubt=True)
        return [
            (task.slot, task.token, task.changed(reply)) for task, reply in zip(tasks, replies, strict=True) if reply
        ]

    def advance(self, advances: Sequence[Advance]) -> None:
        """See Engine.advance."""
        self._run(self._advances(advances))

    def _advances(self, advances: Sequence[Advance]) -> list[Call]:
        return [
            self._advance.call([one.key], _pack(([part for pair in one.raised.items() for part in pair], one.gone)))
            for one in advances
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

    def lease(self, key: str, wanted: Held, seen: Held) -> Held:
        """See Engine.lease."""
        words = (wanted.holder, wanted.until, seen.holder, seen.until)
        return Held(*self._run([self._lease.call([key], _pack(words))])[0])

    def exchange(self, key: str, field: str, among: Sequence[str], fields: Hash, otherwise: Hash) -> Hash:
        """See Engine.exchange."""
        words = (field, among, *([part for pair in change.items() for part in pair] for change in (fields, otherwise)))
        return _pairs(self._run([self._exchange.call([key], _pack(words))])[0])

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


class _Page(Struct, frozen=True):
    """Changes of one slot, the script that makes them, and what must follow."""

    changes: list[Change]
    task: Task
    script: Call


class _Consequence:
    """What follows elsewhere when tasks are done in their slots, ready to be sent.

    changes  where ids go;  rankings  who gets another size;  sources  questions for the sizes
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        outside = Outside(tasks)
        self.changes = list(in_parts(outside.commands()))
        self.rankings = list(outside.rankings)
        self.sources = _sources(self.rankings)


def _sources(rankings: Sequence[Ranking]) -> list[Part]:
    """Ask for the size of each set that counts in the rankings."""
    return list(in_parts([("SCARD", source) for ranking in rankings for source in ranking.sources]))


def _sizes(rankings: Sequence[Ranking], cards: Iterable[int]) -> list[int]:
    """The size of each ranked member, from the sizes of the sets that count in it."""
    each = iter(cards)
    return [
        next(each) if len(ranking.sources) == 1 else sum(islice(each, len(ranking.sources))) for ranking in rankings
    ]


def _pairs(flat: Any) -> Hash:
    """A hash as a script returns it: field, value, field, value …"""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def cautions(reader: RedisReader) -> list[str]:
    """What in the server's set-up endangers a ledger. Empty where it doesn't say."""
    try:
        facts = _facts(reader, "memory") | _facts(reader, "persistence") | _facts(reader, "stats")
    except StoreError:
        return []
    found = []
    policy = facts.get("maxmemory_policy", "")
    if policy.startswith("allkeys-") and facts.get("maxmemory", "0") != "0":  # no other takes keys that never expire
        evicted = facts.get("evicted_keys", "0")
        already = f", and has evicted {evicted} since it started" if evicted != "0" else ""
        found.append(f"the store may evict keys (maxmemory-policy {policy}){already}: set noeviction")
    if facts.get("aof_enabled") == "0":
        found.append("the store does not keep an append-only file: a crash loses what came since its last snapshot")
    return found


def outbox_cautions(left: Mapping[str, str]) -> list[str]:
    """What was set aside in outboxes."""
    return [
        f"set aside in {key}: {what}; banledger store check names it, store rebuild removes it"
        for key, what in left.items()
    ]


def _facts(reader: RedisReader, section: str) -> dict[str, str]:
    lines = str(reader.call("INFO", section)).splitlines()
    return dict(line.partition(":")[::2] for line in lines if ":" in line)
