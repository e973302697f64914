"""The contract that every engine keeps, small enough for a cluster.

Values are text. A key holds one of three things: a *hash*, a *set*, or a *sorted set* (member to number). Keys and
members are free of control characters (`ledger/keys.py` sees to it); hash values may hold anything.

Lifetime    An engine is opened by a function of its module, used by one thread, and closed.
Atomicity   `apply` writes the hash of a `Change`, and the difference of its entries as far as they lie in the slot of
            the hash, at once or not at all, and only while the hash is as `guard` says. What follows in other slots is
            done after that; whatever a crash leaves is done by `settle`. Which keys share a slot is the engine's
            business: in a cluster those with the same hash tag (`{2611}`), in a file all.
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

from banledger.stores.change import Change, Score

Hash: TypeAlias = dict[str, str]
Scored: TypeAlias = tuple[str, float]
"""A member of a sorted set and its score (tallies and rankings: whole numbers)."""


class Applied(Struct, frozen=True):
    """The change is in the store."""


class Conflict(Struct, frozen=True):
    """The hash was not as guarded, nothing was done. `current` is what it is (empty: there is none)."""

    current: Hash


Outcome: TypeAlias = Applied | Conflict


class Server(Struct, frozen=True):
    """What a server says of itself; nothing where there is none.

    run       which run of the server this is; empty: not known
    cautions  what in the store's own set-up endangers a ledger, in words for the log
    """

    run: str = ""
    cautions: tuple[str, ...] = ()


class Repair(Struct, frozen=True):
    """What must be true of sets and sorted sets. A key that holds nothing any more is gone.

    joins    (key, member) of sets: must be there
    leaves   (key, member) of sets: must not; none of them is among `joins`
    tallies  entries of sorted sets that `apply` counts in (`Entries.tallies`): have this score; None: are not there
    scores   entries of other sorted sets likewise
    """

    joins: Sequence[tuple[str, str]] = ()
    leaves: Sequence[tuple[str, str]] = ()
    tallies: Sequence[Score] = ()
    scores: Sequence[Score] = ()


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

    def sizes(self, keys: Sequence[str], least: float = -inf) -> list[int]:
        """How many members each set or sorted set has; of a sorted set only those with a score of at least `least`."""
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

    def lowest(self, key: str, until: float, count: int) -> list[str]:
        """Up to `count` members of a sorted set with a score of at most `until`, lowest first."""
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

    def apply(self, changes: Iterable[Change], advances: Sequence[Advance] = ()) -> list[Outcome]:
        """Apply each change (all of different keys) or say why not, in the order given.

        They may be made while they are taken, without use of the engine: it may apply the first by then.
        `advances` are made after them, or with them, if none conflicts.
        """
        ...

    def put(self, hashes: Mapping[str, Hash]) -> None:
        """Each key becomes exactly that hash, whatever it held; an empty one is gone. Nothing is guarded."""
        ...

    def mend(self, repair: Repair) -> None:
        """Make it so, whatever was there before. Asks no hash and guards nothing.

        Repeating it is harmless. After a failure any part of it may have been done.
        """
        ...

    def settle(self) -> int:
        """Carry out what a crash left undone; how many changes that were. Called before the first `apply`."""
        ...

    def sweep(self) -> int:
        """Take away entries that no engine can have written (in SQLite's tables: not text, not a number); how many."""
        ...

    def server(self) -> Server:
        """What the server says of itself."""
        ...
