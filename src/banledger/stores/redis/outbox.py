"""What changes become on a server: arguments of a script inside a slot, commands outside it. Pure: no store.

*Inside* is everything in the slot of the hash, as the hash tags of the keys (`{2611}`) show; *outside* is the rest. A
`Task` is the work outside that one call of apply.lua leaves, and one field of the outbox. That field lists hashes, and
the states of them that entries outside may still reflect. A state is the values of the fields that decide the entries
of a hash; together with the other fields as they are now, it gives the entries of that state.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, TypeAlias, TypeVar

import msgspec
from msgspec import Struct

from banledger.stores.api import Hash
from banledger.stores.change import Change, Difference, Entries, Layout, difference
from banledger.stores.fields import Damaged
from banledger.stores.redis.entries import EntriesByKey

HashState: TypeAlias = tuple[str | None, ...] | Hash
"""The values of `Layout.standing_fields` in their order; all fields if the hash is removed or replaced."""

_Item = TypeVar("_Item")

_NONE = Difference()

_pack = msgspec.msgpack.encode
_to_json = msgspec.json.encode


def slot_of(key: str) -> str:
    """Return the hash tag of a key, by which a cluster finds its slot; the key itself if it has none."""
    return key.partition("{")[2].partition("}")[0] or key


class Unfinished(Struct, frozen=True, array_like=True, gc=False):
    """A hash in the outbox, and its states, the oldest first."""

    key: str
    states: tuple[HashState, ...]


class Left(Struct, frozen=True):
    """A field of a slot's outbox: unfinished work. `written`: what was just written for each hash; empty: unknown."""

    slot: str
    token: str
    hashes: Sequence[Unfinished]
    written: Sequence[Difference] = ()


class Work(Struct, frozen=True, gc=False):
    """The work outside for one hash.

    state   the state of the hash that the work follows from; None: the hash is gone
    wanted  the difference to write; its part inside the slot is already written
    """

    about: Unfinished
    state: tuple[str | None, ...] | None
    wanted: Difference


class Task(Struct, frozen=True):
    """The work to do outside a slot before the field `token` is removed from its outbox."""

    slot: str
    token: str
    work: list[Work]

    def changed(self, numbers: Sequence[int]) -> Left:
        """Return the hashes with these numbers (from 1), each with the state just written added to its states."""
        several = [self.work[number - 1] for number in numbers]
        made = [(one.about, (one.state,) if one.state else ()) for one in several]
        hashes = [Unfinished(about.key, (*about.states, *states)) for about, states in made]
        return Left(self.slot, self.token, hashes, [one.wanted for one in several])


_unfinished = msgspec.json.Decoder(tuple[Unfinished, ...])


def unfinished(value: str) -> tuple[Unfinished, ...]:
    """Decode a field of the outbox; empty for a field that marks another one as doubtful. Raises `fields.Damaged`."""
    try:
        return _unfinished.decode(value) if value else ()
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise Damaged("", "is not a valid outbox entry") from None


def work_of(layout: Layout, change: Change, wanted: Difference) -> Work:
    """Return the work that follows from a change just applied, without reading its hash again."""
    fields = change.fields
    if change.guard is None:
        state = state_of(layout, fields or {})
        return Work(Unfinished(change.key, (state,)), state, wanted)
    had = {name: value for name, value in change.guard.items() if value is not None}
    if not change.keeps:
        return Work(Unfinished(change.key, (had,)), None if fields is None else state_of(layout, fields), wanted)
    fields = fields or {}
    has = {name: value for name, value in had.items() if name not in change.drop} | fields
    state = state_of(layout, has)
    return Work(Unfinished(change.key, (state_of(layout, had), state)), state, wanted)


def work_again(layout: Layout, about: Unfinished, fields: Hash, written: Difference = _NONE) -> Work:
    """Return the work that follows from a hash as it is now, after any of its states, and after what was `written`.

    Raises `fields.Damaged`.
    """
    now = layout.entries_of(about.key, fields)
    once = [layout.entries_of(about.key, _then(layout, fields, state)) for state in about.states]
    stale = Entries(  # without the entries of now, so that all of them are written again
        now.member,
        tuple({key for one in once for key in one.sets}.union(written.joins) - set(now.sets)),
        tuple({score for one in once for score in one.scores}.union(written.scores) - set(now.scores)),
        rankings=tuple({place for one in once for place in one.rankings}.union(written.rankings) - set(now.rankings)),
        feed=next((one.feed for one in once if one.feed), ""),
    )
    return Work(about, state_of(layout, fields) if fields else None, difference(stale, now))


def state_of(layout: Layout, fields: Mapping[str, str]) -> tuple[str | None, ...]:
    """Return the state of a hash."""
    return tuple(map(fields.get, layout.standing_fields))


def _then(layout: Layout, fields: Hash, state: HashState) -> Hash:
    """Return the hash as it was in that state."""
    if isinstance(state, dict):
        return state
    lasting = {name: value for name, value in fields.items() if name not in layout.standing_fields}
    return lasting | fields_of(layout, state)


def fields_of(layout: Layout, state: Sequence[str | None]) -> Hash:
    """Return the fields of a state."""
    return {name: value for name, value in zip(layout.standing_fields, state, strict=False) if value is not None}


def tag_of(slot: str) -> str:
    """Return the text that all keys of a slot contain, and no other keys."""
    return f"{{{slot}}}"


def _moves_outside(wanted: Difference, tag: str) -> bool:
    """Whether the difference changes keys of other slots. Rankings and feeds are always outside, tallies never."""
    if wanted.rankings or wanted.feed:  # most changes: a new ban
        return True
    keys = (*wanted.joins, *wanted.leaves, *[score.key for score in wanted.scores])
    return any(tag not in key for key in keys)


class Inside:
    """The arguments of apply.lua (each key once; changes refer to keys by number), and the task that it leaves."""

    def __init__(self, layout: Layout, token: str, changes: Sequence[Change]) -> None:
        self.keys: list[str] = []
        self._kinds: list[str] = []
        self._numbers: dict[str, int] = {}
        self._entries = EntriesByKey()
        self._tallies: dict[str, dict[str, int]] = defaultdict(dict)
        slot = slot_of(changes[0].key)
        work, tag = [], tag_of(slot)
        for change in changes:
            wanted = difference(change.before, change.after)
            self._entries.follow(wanted, tag, inside=True)
            self._count(wanted)
            if _moves_outside(wanted, tag):
                work.append(work_of(layout, change, wanted))
        self.task = Task(slot, token, work)
        singles = [self._single(change) for change in changes]
        self.argument = _pack((singles, self._entry(layout.outbox(slot)), self._together(), self._kinds))

    def _single(self, change: Change) -> tuple[object, ...]:
        return (
            self._number(change.key, ""),
            change.guard is not None and {name: _or_false(value) for name, value in change.guard.items()},
            tuple(chain.from_iterable((change.fields or {}).items())),
            change.drop,
            not change.keeps,
        )

    def _count(self, wanted: Difference) -> None:
        """Collect by tally what the changes count."""
        for key, name in wanted.more:
            tally = self._tallies[key]
            tally[name] = tally.get(name, 0) + 1
        for key, name in wanted.fewer:
            tally = self._tallies[key]
            tally[name] = tally.get(name, 0) - 1

    def _entry(self, outbox: str) -> tuple[object, ...]:
        """Return the outbox and its field; an empty field if no work is left; nothing if only hashes change."""
        if self.task.work:
            about = _to_json([one.about for one in self.task.work]).decode()
            return self._number(outbox, "hash"), self.task.token, about
        if self._entries or self._tallies:
            return self._number(outbox, "hash"), self.task.token, ""
        return ()

    def _together(self) -> tuple[dict[int, Any], ...]:
        entries = self._entries
        return (
            self._numbered(entries.joins, "set"),
            self._numbered(entries.leaves, "set"),
            self._numbered(entries.scores, "zset"),
            self._numbered(entries.unscored, "zset"),
            self._numbered(self._tallies, "zset"),
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
    """Return the keys and the argument of finish.lua. `doubt`: compare the hashes."""
    outbox = layout.outbox(task.slot)
    if not doubt:
        return [outbox], _pack((task.token, (), False))
    states = [_or_false(one.state) for one in task.work]
    return [outbox, *[one.about.key for one in task.work]], _pack((task.token, layout.standing_fields, states))


def _or_false(value: _Item | None) -> _Item | bool:
    return False if value is None else value
