"""The contract that every engine keeps, small enough for a cluster.

Values are text. A key holds one of three things: a *hash*, a *set*, or a *sorted set* (member to number). Keys and
members are free of control characters (`keyspace` sees to it); hash values may hold anything.

Lifetime    An engine is opened by a function of its module, used by one thread, and closed.
Atomicity   `apply` does what a `Change` holds for its own slot at once or not at all, and only while the hash is as
            `guard` says. What follows in other slots is done after that; whatever a crash leaves is done by `settle`.
Durability  When `apply` returns, its changes survive the death of the process and, as far as the store is set up
            to, of the machine.
Repetition  The same change applied twice conflicts the second time; a batch replayed after any failure leaves what
            applying it once would have left.
Rubbish     What others put there is read as if absent, but for hashes (see `Reader.hashes`) and, where the store
            minds it, keys of another kind: an error that names the key. Scores may be any number.
Errors      Only `StoreError` and its children. After a `retryable` one: close it, open it again, and go on.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import inf
from typing import Protocol, TypeAlias

from msgspec import Struct

from banledger.stores.change import Change, Mark

Hash: TypeAlias = dict[str, str]
Scored: TypeAlias = tuple[str, float]
"""A member of a sorted set and its score (tallies and rankings: whole numbers)."""


class Applied(Struct, frozen=True):
    """The change is in the store."""


class Conflict(Struct, frozen=True):
    """The hash was not as guarded, nothing was done. `current` is what it is (empty: there is none)."""

    current: Hash


Outcome: TypeAlias = Applied | Conflict


class Held(Struct, frozen=True):
    """A lease as its hash has it: who holds it, and until when (UTC epoch by the holder's clock; 0: given back)."""

    holder: str = ""
    until: str = ""

    def yields_to(self, wanted: "Held", seen: "Held") -> bool:
        """Whether it may become `wanted`: see Engine.lease."""
        return not self.holder or not _number(self.until) or self.holder == wanted.holder or self == seen


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


class Repair(Struct, frozen=True):
    """What must be true of sets and sorted sets. A key that holds nothing any more is gone.

    joins    (key, member) of sets: must be there
    leaves   (key, member) of sets: must not; none of them is among `joins`
    tallies  entries of sorted sets that `apply` counts in (`Change.tallies`): have this score; None: are not there
    marks    entries of other sorted sets likewise
    """

    joins: Sequence[tuple[str, str]] = ()
    leaves: Sequence[tuple[str, str]] = ()
    tallies: Sequence[Mark] = ()
    marks: Sequence[Mark] = ()


class Advance(Struct, frozen=True):
    """Fields of a hash whose values begin with a whole number that only grows.

    raised  each gets its value, unless it has that number, or a higher one, already
    gone    fields that are taken away
    """

    key: str
    raised: Hash
    gone: tuple[str, ...] = ()


class Reader(Protocol):
    """What can be asked of a store. Absent keys are empty, never an error.

    merge_limit  entries of tallies up to which it is faster to add them all up than to look for the largest
    """

    merge_limit: int

    def hashes(self, keys: Sequence[str]) -> list[Hash]:
        """Each key's hash, in the order asked; empty where there is none.

        One that can't be read, or a key that holds something else, has the one field `fields.UNREADABLE`: why.
        """
        ...

    def members(self, key: str) -> Iterator[str]:
        """Every member of a set once, in no order, fetched in pages."""
        ...

    def cards(self, keys: Sequence[str]) -> list[int]:
        """How many members each set has."""
        ...

    def tally(self, keys: Sequence[str]) -> dict[str, int]:
        """Several sorted sets of whole numbers added up."""
        ...

    def scores(self, keys: Sequence[str], members: Sequence[str]) -> list[list[float | None]]:
        """For each sorted set the scores of `members` in the order asked; None where absent."""
        ...

    def ranking(self, key: str, start: int, count: int) -> list[Scored]:
        """A page of a sorted set, highest score first, equal scores by member backwards (as ZREVRANGE)."""
        ...

    def above(self, keys: Sequence[str], least: float = -inf) -> list[int]:
        """How many members of each sorted set have a score of at least `least`: all, unless told."""
        ...

    def kind(self, key: str) -> str:
        """See `kinds`."""
        ...

    def kinds(self, keys: Sequence[str]) -> list[str]:
        """What each key holds, in Redis's words: hash, set, zset or none; or what no ledger has."""
        ...

    def keys(self, pattern: str) -> Iterator[str]:
        """Keys that match a glob pattern (`*`, `?`, `[…]`), each once, in no order."""
        ...

    def close(self) -> None:
        """Let go of the store. The engine can't be used after."""
        ...


class Engine(Reader, Protocol):
    """A reader that may also write. One a ledger where the store needs it; see its module.

    shared    other machines may write to the same store
    replay_s  after a failure, what was applied in the last so many seconds may be lost: apply it again
    """

    shared: bool
    replay_s: float

    def incarnation(self) -> str:
        """Which run of the server this is; empty: not known, or there is no server."""
        ...

    def cautions(self) -> list[str]:
        """What in the store's own set-up endangers a ledger, in words for the log. Said once, at the start."""
        ...

    def apply(self, changes: Iterable[Change], advances: Sequence[Advance] = ()) -> list[Outcome]:
        """Apply each change (all of different keys) or say why not, in the order given.

        They may be made while they are taken, without use of the engine: it may apply the first by then.
        `advances` are made after them, or with them, if there is any change and none conflicts.
        """
        ...

    def settle(self) -> int:
        """Carry out what a crash left undone; how many changes that were. Called before the first `apply`."""
        ...

    def sweep(self) -> int:
        """Take away entries that no engine can have written (in SQLite's tables: not text, not a number); how many."""
        ...

    def mend(self, repair: Repair) -> None:
        """Make it so, whatever was there before. Asks no hash and guards nothing: for who alone writes.

        Repeating it is harmless. After a failure any part of it may have been done.
        """
        ...

    def enlist(self, key: str, members: Sequence[str]) -> None:
        """Make sure that the set has these members."""
        ...

    def claim(self, key: str, fields: Hash) -> Hash:
        """Give the hash those of `fields` that it does not have yet; the whole hash after that."""
        ...

    def assign(self, key: str, fields: Hash) -> None:
        """Give the hash these fields, whatever it had there."""
        ...

    def replace(self, hashes: Mapping[str, Hash]) -> None:
        """Each key becomes exactly that hash, whatever it held; an empty one is gone."""
        ...

    def advance(self, advances: Sequence[Advance]) -> None:
        """Make these."""
        ...

    def lease(self, key: str, wanted: Held, seen: Held) -> Held:
        """Make `wanted` the lease at `key` (fields of a hash) unless another holds it. The lease as it is then.

        It is free if it has no holder or its `until` is 0; its holder may always change it; another may if it is
        still exactly what was `seen`. No clock is asked: see `lease`.
        """
        ...

    def exchange(self, key: str, field: str, among: Sequence[str], fields: Hash, otherwise: Hash) -> Hash:
        """Compare and set, at once: if the hash's `field` is one of `among`, the hash gets `fields`, else `otherwise`.

        An empty text in `among` stands for a field that is empty or absent. Returns the hash as it was before.
        """
        ...

    def due(self, key: str, until: float, count: int) -> list[str]:
        """Up to `count` members of a sorted set with a score of at most `until`, lowest first."""
        ...
