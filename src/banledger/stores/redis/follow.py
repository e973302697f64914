"""Writes outside a slot: done, done again if hashes changed meanwhile, and settled after a crash.

    apply: one script a page           settle: what a crash left
              │                                │ work_again
              ▼                                ▼
            tasks ──► _make_true ──► _finish ──► the entry is gone
              ▲                         │ a hash has changed meanwhile
              └────── work_again ◄──────┘

Theory of operation. A task is everything that follows from the hashes of one entry of the outbox, as pipelines of
single-key commands: ids are added to sets or removed, and rankings get the sizes of their sets, which are read again
until they stay the same. Then the ids move to the end of their feed (`feed.lua`, one call for all). At the end the
entry is removed from the outbox (`finish.lua`), but only if the hashes are unchanged since the task was derived from
them; otherwise the task is derived again and repeated. The hashes are compared only in case of doubt: if another
recorder changed hashes of that slot meanwhile, or if the task is repeated. So after any crash, and in any order of
several recorders, the last one to finish leaves what the hashes imply.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, islice
from typing import Any

import msgspec
import redis
from redis import exceptions

from banledger.stores.api import Advance, Hash
from banledger.stores.change import FEED_KEPT, Difference, Layout, Ranking
from banledger.stores.fields import Damaged
from banledger.stores.pages import pages
from banledger.stores.redis.entries import EntriesByKey, ranking_commands
from banledger.stores.redis.errors import translate
from banledger.stores.redis.outbox import (
    Left,
    Task,
    fields_of,
    finish_arguments,
    state_of,
    tag_of,
    unfinished,
    work_again,
)
from banledger.stores.redis.reader import RedisReader
from banledger.stores.redis.scripts import Call, Script
from banledger.stores.redis.wire import Part, in_parts, packed

_PAGE = 1000

_pack = msgspec.msgpack.encode


class Consequence:
    """The commands outside the slots of some tasks, ready to be sent.

    changes   commands for sets and scores
    rankings  entries of rankings that change
    sources   commands that ask for the sizes of their sets
    fed       members that move to the end of a feed, by its key
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        entries, rankings = EntriesByKey(), dict[Ranking, None]()
        self.fed: dict[str, list[str]] = defaultdict(list)
        for task in tasks:
            tag = tag_of(task.slot)
            for work in task.work:
                entries.follow(work.wanted, tag, inside=False)
                rankings |= dict.fromkeys(work.wanted.rankings)
                if work.wanted.feed:
                    self.fed[work.wanted.feed].append(work.wanted.member)
        self.changes = list(in_parts(entries.commands()))
        self.rankings = list(rankings)
        self.sources = _sources(self.rankings)


class Following(RedisReader):
    """Runs scripts, and writes what follows from changed hashes outside their slots."""

    def __init__(self, client: "redis.Redis", where: str, layout: Layout) -> None:
        super().__init__(client, where)
        self._layout = layout
        self._finished = Script("finish.lua")
        self._advance = Script("advance.lua")
        self._feed = Script("feed.lua")
        self._left: dict[str, str] = {}  # invalid entries of outboxes, by key

    def settle(self) -> int:
        """See Engine.settle."""
        done = 0
        for month in list(self.members(self._layout.months)):
            outbox = self._layout.outbox(month)
            cursor = "0"
            while True:
                cursor, page = self.call("HSCAN", outbox, cursor, "COUNT", _PAGE)
                pairs = page.items() if isinstance(page, dict) else zip(page[::2], page[1::2], strict=True)
                tasks = self._again([left for token, value in pairs if (left := self._read(month, token, value))])
                self._follow(tasks, Consequence(tasks), doubt=True)
                done += sum(len(task.work) for task in tasks)
                if cursor in ("0", 0):
                    break
        return done

    def _read(self, slot: str, token: str, value: str) -> Left | None:
        """Return the work in a field of an outbox; None if it is invalid, or marks a doubt. Invalid fields are kept."""
        outbox = self._layout.outbox(slot)
        try:
            hashes = unfinished(value)
        except Damaged as error:
            self._left[outbox] = f"field {token[:64]!r} {error}"
            return None
        head = outbox.removesuffix("outbox")
        if strange := [one.key for one in hashes if not one.key.startswith(head)]:
            self._left[outbox] = f"field {token[:64]!r} is about {strange[0][:128]!r}"
            return None
        return Left(slot, token, hashes) if hashes else None

    def _again(self, several: Iterable[Left]) -> list[Task]:
        """Derive tasks again from the hashes as they are now. Work on a damaged hash stays in the outbox."""
        tasks = []
        for left in several:
            hashes = self.hashes([one.key for one in left.hashes])
            written = left.written or [Difference()] * len(hashes)
            try:
                work = [work_again(self._layout, *one) for one in zip(left.hashes, hashes, written, strict=True)]
            except Damaged as error:
                outbox = self._layout.outbox(left.slot)
                self._left[outbox] = f"field {left.token[:64]!r} is about a damaged hash: {error}"
            else:
                tasks.append(Task(left.slot, left.token, work))
        return tasks

    def _follow(
        self, tasks: list[Task], expected: Consequence, advances: Sequence[Advance] = (), *, doubt: bool = False
    ) -> None:
        """Write outside the slots, again until no hash changed meanwhile. `doubt`: a hash may have changed already."""
        while tasks:
            self._make_true(expected)
            tasks = self._again(self._finish(tasks, advances, doubt=doubt))
            expected, advances, doubt = Consequence(tasks), (), True

    def _make_true(self, wanted: Consequence) -> None:
        """Update sets and scores, give each ranked member the size of its sets, and move members in their feeds.

        The sizes are read again afterwards, until none changed between reading and writing.
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
        self._run([
            self._feed.call([feed], _pack((page, FEED_KEPT)))
            for feed, members in wanted.fed.items()
            for page in pages(members, _PAGE)
        ])  # fmt: skip

    def _finish(self, tasks: list[Task], advances: Sequence[Advance], *, doubt: bool) -> list[Left]:
        """Remove finished tasks from the outbox, and apply the advances. Return the work that must be repeated.

        `doubt`: compare the hashes at once.
        """
        if not doubt:
            scripts = [self._finished.call(*finish_arguments(self._layout, task, doubt=False)) for task in tasks]
            replies = self._run([*scripts, *self._advances(advances)])
            tasks = [task for task, reply in zip(tasks, replies, strict=False) if reply]
        scripts = [self._finished.call(*finish_arguments(self._layout, task, doubt=True)) for task in tasks]
        changed = [(task, dict(reply)) for task, reply in zip(tasks, self._run(scripts), strict=True) if reply]
        for task, states in changed:
            self._make_text(
                {
                    work.about.key: fields_of(self._layout, work.state or ())
                    for number, work in enumerate(task.work, 1)
                    if number in states and tuple(states[number]) == (work.state or state_of(self._layout, {}))
                }
            )
        return [task.changed(list(states)) for task, states in changed]

    def _make_text(self, hashes: Mapping[str, Hash]) -> None:
        """Make these fields the text that is read of them.

        Others may put bytes there that are no UTF-8: they never equal what is read. Nor is a field without a name read.
        """
        for key, fields in hashes.items():
            put = [("HSET", key, *chain.from_iterable(fields.items()))] if fields else []
            self.calls([("HDEL", key, ""), *put])

    def _advances(self, advances: Sequence[Advance]) -> list[Call]:
        return [
            self._advance.call([one.key], _pack(([part for pair in one.raised.items() for part in pair], one.gone)))
            for one in advances
        ]

    def _run(self, scripts: Sequence[Call]) -> list[Any]:
        """Run scripts in one round trip."""
        if not scripts:
            return []
        with self._connection() as connection:
            for script in scripts:
                self._send(connection, script.packed)
            replies = self._receive(connection, len(scripts))
        return [self._reply(script, reply) for script, reply in zip(scripts, replies, strict=True)]

    def _reply(self, script: Call, reply: Any) -> Any:
        """Return the reply to a script. Send the script's text first if the server did not know it."""
        if isinstance(reply, exceptions.NoScriptError):
            with self._connection() as connection:
                self._send(connection, packed([script.long]))
                (reply,) = self._receive(connection, 1)
        if isinstance(reply, exceptions.RedisError):
            raise translate(reply, self._where, script.script.at(str(reply))) from reply
        return reply


def _sources(rankings: Sequence[Ranking]) -> list[Part]:
    """Return commands that ask for the size of each set of the rankings."""
    return list(in_parts([("SCARD", source) for ranking in rankings for source in ranking.sources]))


def _sizes(rankings: Sequence[Ranking], cards: Iterable[int]) -> list[int]:
    """Return the score of each ranking entry, from the sizes of its sets."""
    each = iter(cards)
    return [
        next(each) if len(ranking.sources) == 1 else sum(islice(each, len(ranking.sources))) for ranking in rankings
    ]
