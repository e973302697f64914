"""What changes become on a server: arguments of a script inside a slot, commands outside it. Pure: no store.

A `Task` is what one call of apply.lua did, and one entry of the outbox: hashes, and states of them that sets
elsewhere may still show. A state is the fields that decide where a hash stands; over the fields that it has now it
tells where it stood.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, TypeAlias, TypeVar

import msgspec
from msgspec import Struct

from banledger.stores.api import Hash
from banledger.stores.change import Change, Layout, Mark, Ranking, Standing
from banledger.stores.fields import Damaged
from banledger.stores.pages import pages

Command: TypeAlias = tuple[str | bytes | int | float, ...]
"""A command's words."""

State: TypeAlias = tuple[str | None, ...] | Hash
"""The values of `Layout.standing_fields` in their order; or all fields, of a hash that goes."""

_Item = TypeVar("_Item")

_MEMBERS = 2000  # of one command

_pack = msgspec.msgpack.encode
_to_json = msgspec.json.encode


class Entry(Struct, frozen=True, array_like=True, gc=False):
    """A hash in the outbox. The first state is the oldest."""

    key: str
    states: tuple[State, ...]


_entries = msgspec.json.Decoder(tuple[Entry, ...])


class Work(Struct, frozen=True, gc=False):
    """What is to be done outside for one hash. `state`: what all this follows from; None: the hash is gone."""

    entry: Entry
    state: tuple[str | None, ...] | None
    standing: Standing
    leaves: tuple[str, ...] = ()
    rankings: tuple[Ranking, ...] = ()
    unmarked: tuple[tuple[str, str], ...] = ()


class Task(Struct, frozen=True):
    """What is to be done outside before the entry `token` leaves the outbox of a slot."""

    slot: str
    token: str
    work: list[Work]

    def changed(self, numbers: Sequence[int]) -> list[Entry]:
        """The hashes of these numbers (from 1), with what we made true ourselves and is no longer so."""
        several = [self.work[number - 1] for number in numbers]
        return [Entry(one.entry.key, (*one.entry.states, one.state or ())) for one in several]


def entries_of(value: str) -> tuple[Entry, ...]:
    """What a field of the outbox holds; nothing where it says that another is in doubt. Raises `fields.Damaged`."""
    try:
        return _entries.decode(value) if value else ()
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise Damaged("", "holds no work of a recorder") from None


def work_of(layout: Layout, change: Change) -> Work:
    """What follows from a change just applied, without reading its hash again."""
    before, after = change.before, change.after
    if change.guard is None:
        state = _state(layout, change.fields)
        return Work(Entry(change.key, (state,)), state, after, rankings=after.rankings)
    had = {name: value for name, value in change.guard.items() if value is not None}
    has = {name: value for name, value in had.items() if name not in change.drop} | change.fields
    states = (change.gone,) if change.remove else (_state(layout, had), _state(layout, has))
    marked = {(mark.key, mark.member) for mark in after.marks}
    moved = before.sets != after.sets or change.joins or change.leaves
    return Work(
        Entry(change.key, states),
        None if change.remove else _state(layout, has),
        after if moved else Standing(after.member, marks=after.marks),
        tuple(key for key in before.sets if key not in after.sets),
        tuple(dict.fromkeys((*before.rankings, *after.rankings))) if moved else (),
        tuple((mark.key, mark.member) for mark in before.marks if (mark.key, mark.member) not in marked),
    )


def work_again(layout: Layout, entry: Entry, fields: Hash) -> Work:
    """What follows from a hash as it is now, whatever was made true of it before."""
    standing = layout.standing_of(entry.key, fields)
    once = [layout.standing_of(entry.key, fields | _fields(layout, state)) for state in entry.states]
    marked = {(mark.key, mark.member) for mark in standing.marks}
    return Work(
        entry,
        _state(layout, fields) if fields else None,
        standing,
        tuple({key for each in once for key in each.sets} - set(standing.sets)),
        tuple({ranking for each in (standing, *once) for ranking in each.rankings}),
        tuple({(mark.key, mark.member) for each in once for mark in each.marks} - marked),
    )


def _state(layout: Layout, fields: Mapping[str, str]) -> tuple[str | None, ...]:
    return tuple(map(fields.get, layout.standing_fields))


def _fields(layout: Layout, state: State) -> Hash:
    if isinstance(state, dict):
        return state
    return {name: value for name, value in zip(layout.standing_fields, state, strict=False) if value is not None}


class Inside:
    """What apply.lua is called with: every key once, changes that name them by number."""

    def __init__(self, outbox: str, task: Task, changes: Sequence[Change]) -> None:
        self.keys = [outbox]
        self._kinds = ["hash"]
        self._numbers = {outbox: 1}
        singles = [self._single(change) for change in changes]
        entry = (task.token, _to_json([one.entry for one in task.work]).decode())
        self.argument = _pack((self._kinds, singles, (entry, *self._together(changes))))

    def _single(self, change: Change) -> tuple[object, ...]:
        return (
            self._number(change.key, ""),
            change.guard is not None and {name: _or_false(value) for name, value in change.guard.items()},
            () if change.remove else tuple(chain.from_iterable(change.fields.items())),
            () if change.remove else change.drop,
            change.remove,
        )

    def _together(self, changes: Sequence[Change]) -> tuple[dict[int, Any], ...]:
        """What the changes do to keys that several share, coalesced."""
        joins: dict[str, list[str]] = defaultdict(list)
        leaves: dict[str, list[str]] = defaultdict(list)
        scores: dict[str, list[str]] = defaultdict(list)
        unscored: dict[str, list[str]] = defaultdict(list)
        tallies: dict[str, dict[str, int]] = defaultdict(dict)
        for change in changes:
            member = change.after.member or change.before.member
            for key in change.joins:
                joins[key].append(member)
            for key in change.leaves:
                leaves[key].append(member)
            for mark in change.marks:
                if mark.score is None:
                    unscored[mark.key].append(mark.member)
                else:
                    scores[mark.key] += [repr(mark.score), mark.member]
            for key, name, delta in change.tallies:
                tally = tallies[key]
                tally[name] = tally.get(name, 0) + delta
        return (
            self._numbered(joins, "set"),
            self._numbered(leaves, "set"),
            self._numbered(scores, "zset"),
            self._numbered(unscored, "zset"),
            self._numbered(tallies, "zset"),
        )

    def _numbered(self, by_key: Mapping[str, Any], kind: str) -> dict[int, Any]:
        return {self._number(key, kind): value for key, value in by_key.items()}

    def _number(self, key: str, kind: str) -> int:
        number = self._numbers.get(key)
        if number is None:
            self.keys.append(key)
            self._kinds.append(kind)
            number = self._numbers[key] = len(self.keys)
        return number


def finish_arguments(layout: Layout, task: Task, *, doubt: bool) -> tuple[list[str], bytes]:
    """Keys and argument of finish.lua. `doubt`: the hashes are to be looked at."""
    outbox = layout.outbox(task.slot)
    if not doubt:
        return [outbox], _pack((task.token, (), False))
    states = [_or_false(one.state) for one in task.work]
    return [outbox, *[one.entry.key for one in task.work]], _pack((task.token, layout.standing_fields, states))


class Outside:
    """Commands of many pieces of work, coalesced by key."""

    def __init__(self, tasks: Sequence[Task] = ()) -> None:
        self.joins: dict[str, list[str]] = defaultdict(list)
        self.leaves: dict[str, list[str]] = defaultdict(list)
        self._scores: dict[str, list[str | float]] = defaultdict(list)
        self._unmarked: dict[str, list[str]] = defaultdict(list)
        self.rankings: dict[Ranking, None] = {}
        for task in tasks:
            for work in task.work:
                self._add(work)

    def _add(self, work: Work) -> None:
        """Everything that must be true for one hash."""
        member = work.standing.member
        for key in work.standing.sets:
            self.joins[key].append(member)
        for key in work.leaves:
            self.leaves[key].append(member)
        for mark in work.standing.marks:
            self.mark(mark)
        for place in work.unmarked:
            self.mark(Mark(*place, None))
        for ranking in work.rankings:
            self.rankings[ranking] = None

    def mark(self, mark: Mark) -> None:
        """One entry of a sorted set."""
        if mark.score is None:
            self._unmarked[mark.key].append(mark.member)
        else:
            self._scores[mark.key] += (mark.score, mark.member)

    def commands(self) -> list[Command]:
        """All of it, a command a key and as many members as a server likes to take at once."""
        return [
            *_by_key("SADD", self.joins),
            *_by_key("SREM", self.leaves),
            *_by_key("ZADD", self._scores),
            *_by_key("ZREM", self._unmarked),
        ]


def ranking_commands(rankings: Sequence[Ranking], sizes: Sequence[int]) -> list[Command]:
    """Give each ranked member its size."""
    ranked: dict[str, list[str | float]] = defaultdict(list)
    gone: dict[str, list[str]] = defaultdict(list)
    for ranking, size in zip(rankings, sizes, strict=True):
        if size:
            ranked[ranking.key] += (size, ranking.member)
        else:
            gone[ranking.key].append(ranking.member)
    return [*_by_key("ZADD", ranked), *_by_key("ZREM", gone)]


def _by_key(command: str, words: Mapping[str, Sequence[str | float]]) -> Iterator[Command]:
    for key, several in words.items():
        if len(several) <= _MEMBERS:
            yield (command, key, *several)
        else:
            yield from [(command, key, *page) for page in pages(several, _MEMBERS)]


def _or_false(value: _Item | None) -> _Item | bool:
    return False if value is None else value
