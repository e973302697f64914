"""The engine over Redis or Valkey: writes inside a slot are atomic; writes outside are idempotent and resumed.

Theory of operation. A page of changes of one slot is one call of `apply.lua`: it writes the hashes, the days' sets, the
tallies and a field of the *outbox*, or nothing. The server works on one page while the next one is built. Then the
entries in other slots are written (`follow.py`); their commands are built while the server works on the last page.
`outbox.py` makes the arguments of both steps. Changes without entries outside their slot need no second step.

No command touches keys of two slots, and the client repeats no request: after a failure it is unknown what was
written, and the caller replays the batch, which is harmless.
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from typing import Any

import redis
from msgspec import Struct

from banledger.stores.api import Advance, Applied, Conflict, Hash, Repair, Result, Server
from banledger.stores.change import Change, Layout, Score
from banledger.stores.fields import UNREADABLE
from banledger.stores.pages import pages
from banledger.stores.redis.client import cautions
from banledger.stores.redis.entries import EntriesByKey
from banledger.stores.redis.follow import Consequence, Following
from banledger.stores.redis.info import info
from banledger.stores.redis.outbox import Inside, Task, slot_of
from banledger.stores.redis.reader import named_fields
from banledger.stores.redis.scripts import Call, Script

_PAGE = 1000
_AT_ONCE = 500  # changes of one script: the server is blocked while it runs

_applied = Applied()


class _Page(Struct, frozen=True):
    """Changes of one slot, the call of the script that applies them, and the task that must follow."""

    changes: list[Change]
    task: Task
    script: Call


class RedisEngine(Following):
    """See `api.Engine`. Several engines may write to one store at once."""

    shared = True
    replay_s = 120.0  # longer than a replica lags and a failover takes

    def __init__(self, client: "redis.Redis", where: str, layout: Layout) -> None:
        super().__init__(client, where, layout)
        self._apply = Script("apply.lua")
        self._writer = os.urandom(6).hex()
        self._tokens = count()

    def server(self) -> Server:
        """See Engine.server."""
        facts = info(self.call)
        left = [
            f"set aside in {key}: {what}; banledger store check names it, store rebuild removes it"
            for key, what in self._left.items()
        ]
        return Server(facts.get("run_id", ""), (*cautions(facts), *left))

    def purge(self, *, rewrite: bool) -> bool:
        """See Engine.purge."""
        return False

    def sweep(self) -> int:
        """See Engine.sweep. Members that are no text are removed by `mend`, as the text that they are read as."""
        return 0

    def apply(self, changes: Iterable[Change], advances: Sequence[Advance] = ()) -> list[Result]:
        """See Engine.apply. Changes are sent in pages while the next ones are made."""
        outcomes: dict[str, Result] = {}
        filling: dict[str, list[Change]] = defaultdict(list)
        sent: list[_Page] = []
        with self._connection() as connection:
            for change in changes:
                outcomes[change.key] = _applied
                page = filling[slot := slot_of(change.key)]
                page.append(change)
                if len(page) == _AT_ONCE:
                    sent.append(self._page(filling.pop(slot)))
                    self._send(connection, sent[-1].script.packed)
            for rest in filling.values():
                sent.append(self._page(rest))
                self._send(connection, sent[-1].script.packed)
            expected = Consequence([page.task for page in sent])  # made while the server works
            replies = self._receive(connection, len(sent))
        tasks: list[Task] = []
        for done, reply in zip(sent, replies, strict=True):
            tasks += self._tasks(done, self._reply(done.script, reply), outcomes)
        if any(replies):
            expected = Consequence(tasks)
        if any(outcome is not _applied for outcome in outcomes.values()):
            advances = ()
        if not tasks:
            self._run(self._advances(advances))
        self._follow(tasks, expected, advances)
        return list(outcomes.values())

    def _page(self, changes: list[Change]) -> _Page:
        inside = Inside(self._layout, f"{self._writer}:{next(self._tokens)}", changes)
        return _Page(changes, inside.task, self._apply.call(inside.keys, inside.argument))

    def _tasks(self, page: _Page, reply: Any, outcomes: dict[str, Result]) -> list[Task]:
        """What must follow elsewhere; where some changes conflict, the others are tried again without them."""
        text: set[str] = set()
        while reply:
            current = [(page.changes[number - 1], _hash_of(fields)) for number, fields, _ in reply]
            busy = {page.changes[number - 1].key for number, _, is_busy in reply if is_busy}
            odd = [
                change
                for change, have in current
                if change.key not in text | busy and _seems_to_hold(change.guard, have)
            ]
            self._make_text({change.key: _without_absent(change.guard) for change in odd})
            text |= {change.key for change in odd}
            conflicts = {change.key: Conflict(have) for change, have in current if change not in odd}
            outcomes |= conflicts
            others = [change for change in page.changes if change.key not in conflicts]
            if not others:
                return []
            page = self._page(others)
            (reply,) = self._run([page.script])
        return [page.task] if page.task.work else []

    def derives(self, _key: str) -> bool:
        """See Engine.derives. Nothing is derived here."""
        return False

    def put(self, hashes: Mapping[str, Hash], scores: Sequence[Score] = ()) -> None:
        """See Engine.put."""
        for page in pages(list(hashes.items()), _PAGE):
            commands: list[tuple[str, ...]] = []
            for key, fields in page:
                put = [("HSET", key, *(part for pair in fields.items() for part in pair))] if fields else []
                commands += [("MULTI",), ("DEL", key), *put, ("EXEC",)]  # readers never see the key missing
            self.calls(commands)
        if scores:
            self.mend(Repair(scores=scores))

    def mend(self, repair: Repair) -> None:
        """See Engine.mend."""
        entries = EntriesByKey()
        for key, member in repair.joins:
            entries.joins[key].append(member)
        for key, member in repair.leaves:
            entries.leaves[key].append(member)
        for score in (*repair.tallies, *repair.scores):
            entries.score(score)
        entries.remove_raw()
        self.calls(entries.commands())


def _hash_of(said: list[str]) -> Hash:
    """A hash as a script returns it: field, value, field, value …; or one text: why there is none."""
    return {UNREADABLE: said[0]} if len(said) == 1 else named_fields(dict(zip(said[::2], said[1::2], strict=True)))


def _seems_to_hold(guard: Mapping[str, str | None] | None, have: Hash) -> bool:
    """Whether what is read of the hash is as guarded, though the hash is not: some of it is no text."""
    if not guard:
        return guard is None and not have
    return bool(have) and all(have.get(name) == value for name, value in guard.items())


def _without_absent(guard: Mapping[str, str | None] | None) -> Hash:
    return {name: value for name, value in (guard or {}).items() if value is not None}
