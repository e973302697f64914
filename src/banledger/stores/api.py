"""The contract that every engine keeps, small enough for a cluster.

Values are text. A key holds one of three things: a *hash*, a *set*, or a *sorted set* (member to number). Keys and
members contain no control characters (`ledger/keys.py` ensures it); hash values may hold any text.

Lifetime    An engine is opened by a function of its module, used by one thread, and closed.
Atomicity   `apply` writes the hash of a `Change`, and its entries in the same slot, at once or not at all, and only if
            the hash is still as `guard` says. Entries in other slots are written after that; `settle` completes what
            a crash left undone. The engine decides which keys share a slot: in a cluster those with the same hash tag
            (`{2611}`), in a file all.
Durability  When `apply` returns, its changes survive the death of the process and, as far as the store is configured
            for it, of the machine.
Repetition  The same change applied twice conflicts the second time. A batch replayed after any failure has the same
            result as a batch applied once.
Damage      Data that other programs wrote is read as absent. Exceptions: hashes (see `Reader.hashes`), and keys of
            another type, for which some stores raise an error that names the key. Scores may be any number.
Errors      Only `StoreError` and its subclasses. After a `retryable` one, close the engine and open it again.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import inf
from typing import Protocol, TypeAlias

from msgspec import Struct

from banledger.stores.change import Change, Score
from banledger.stores.selection import Cells, Selected, Selection

Hash: TypeAlias = dict[str, str]
Scored: TypeAlias = tuple[str, float]
"""A member of a sorted set and its score (tallies and rankings: whole numbers)."""


class Applied(Struct, frozen=True):
    """The change is in the store."""


class Conflict(Struct, frozen=True):
    """The hash was not as guarded; nothing was written. `current`: the hash as it is (empty: absent)."""

    current: Hash


Result: TypeAlias = Applied | Conflict


class Server(Struct, frozen=True):
    """Facts about a server; empty for a store without one.

    run       identity of the server's current run; empty: unknown
    cautions  settings of the store that endanger a ledger, as text for the log
    """

    run: str = ""
    cautions: tuple[str, ...] = ()


class StoreDetails(Struct, frozen=True):
    """Details of a store, for people. None or empty: unknown.

    where      its path or address, without secrets
    program    its name and version
    size       bytes: of the ledger's files, or (`of_server`) of memory that a whole server uses
    clock      its clock, UTC epoch seconds; of files: this machine's
    """

    where: str
    program: str
    size: int | None
    of_server: bool
    clock: float | None


class Repair(Struct, frozen=True):
    """The wanted state of members of sets and sorted sets. A key without members is removed.

    joins    (key, member) of sets that must exist
    leaves   (key, member) of sets that must not exist; none of them is among `joins`
    tallies  wanted scores in the sorted sets that `apply` counts in (`Entries.tallies`); None: no entry
    scores   wanted scores in other sorted sets; None: no entry
    rows     keys of hashes whose rows must follow from them, on engines that keep rows
    """

    joins: Sequence[tuple[str, str]] = ()
    leaves: Sequence[tuple[str, str]] = ()
    tallies: Sequence[Score] = ()
    scores: Sequence[Score] = ()
    rows: Sequence[str] = ()


class Advance(Struct, frozen=True):
    """An update of a hash whose values begin with a whole number that only grows.

    raised  new values; a field that already has that number or a higher one is not changed
    gone    fields to remove
    """

    key: str
    raised: Hash
    gone: tuple[str, ...] = ()


class Reader(Protocol):
    """The questions that a store answers. Absent keys are empty, never an error.

    merge_limit  number of tally entries up to which adding them all up is faster than searching for the largest
    """

    merge_limit: int

    def hashes(self, keys: Sequence[str]) -> list[Hash]:
        """Return the hash of each key in the order of `keys`; empty if there is none.

        A hash that can't be read, or a key of another type, has the single field `fields.UNREADABLE`: the reason.
        """
        ...

    def fields(self, keys: Sequence[str], names: Sequence[str]) -> Iterator[list[str | None]]:
        """Return the values of these fields of each hash, in the order of both. None: absent, or no hash to read.

        Fetched in pages, ahead of the caller, who takes all of them before asking anything else.
        """
        ...

    def select(self, selection: Selection) -> Selected | None:
        """Return the rows of a selection; None: this engine keeps no rows beside its hashes."""
        ...

    def rows(self) -> Iterator[tuple[str, Cells]] | None:
        """Return every row with its id, oldest first; None: this engine keeps none. Nothing may write meanwhile."""
        ...

    def members(self, key: str) -> Iterator[str]:
        """Return every member of a set once, in no order, fetched in pages."""
        ...

    def sizes(self, keys: Sequence[str], least: float = -inf) -> list[int]:
        """Return the size of each set or sorted set. `least`: count only members with at least this score."""
        ...

    def tally(self, keys: Sequence[str]) -> dict[str, int]:
        """Return the sum of several sorted sets of whole numbers."""
        ...

    def scores(self, keys: Sequence[str], members: Sequence[str]) -> list[list[float | None]]:
        """Return, for each sorted set, the scores of `members` in their order; None if absent."""
        ...

    def ranking(self, key: str, start: int, count: int) -> list[Scored]:
        """Return a page of a sorted set: highest score first, equal scores by member in reverse (as ZREVRANGE)."""
        ...

    def entries(self, key: str) -> Iterator[Scored]:
        """Return every member of a sorted set with its score, in no order, in pages. Nothing may write meanwhile."""
        ...

    def lowest(self, key: str, until: float, count: int, above: float = -inf) -> list[Scored]:
        """Return up to `count` members of a sorted set with a score of at most `until`, lowest first.

        `above`: only scores higher than that.
        """
        ...

    def details(self) -> StoreDetails:
        """Return details of the store, for people."""
        ...

    def kinds(self, keys: Sequence[str]) -> list[str]:
        """Return the type of each key as Redis names it: hash, set, zset or none; or a type that no ledger uses."""
        ...

    def keys(self, pattern: str) -> Iterator[str]:
        """Return the keys that match a glob pattern (`*`, `?`, `[…]`), each once, in no order."""
        ...

    def damage(self) -> Iterator[str]:
        """Return what is damaged in the store itself, also where no key is read from; nothing for a server's."""
        ...

    def close(self) -> None:
        """Close the store. The engine can't be used afterwards."""
        ...


class Engine(Reader, Protocol):
    """A reader that may also write. Some stores allow only one engine per ledger; see their modules.

    shared    other machines may write to the same store
    replay_s  a failure may lose what was applied in the last `replay_s` seconds: apply it again
    """

    shared: bool
    replay_s: float

    def apply(self, changes: Iterable[Change], advances: Sequence[Advance] = ()) -> list[Result]:
        """Apply each change, and return the outcomes in the same order. No two changes have the same key.

        `changes` may be a generator, which must not use the engine: the first changes may be applied before the last
        are made. A change that does not keep the hash's fields also conflicts while another engine has unfinished work
        about the hash: `current` is as guarded then. Try it again, after `settle` if that lasts.
        `advances` are applied with or after the changes, and only if no change conflicts.
        """
        ...

    def derives(self, key: str) -> bool:
        """Whether the engine derives sets, rankings and tallies from the row of the hash at `key`. Reads no store.

        What a change of that hash says of those is ignored, so it may leave them out.
        """
        ...

    def put(self, hashes: Mapping[str, Hash], scores: Sequence[Score] = ()) -> None:
        """Replace each key by its hash, unconditionally. An empty hash removes the key.

        `scores`: wanted scores in sorted sets, see `Repair`; written after the hashes, or at once with them.
        """
        ...

    def mend(self, repair: Repair) -> None:
        """Write the wanted state, unconditionally. Hashes are neither checked nor changed.

        Sets that an engine derives from its rows can't be mended: what the repair says of them is ignored.

        Repeating it is harmless. A failure may leave any part of it written.
        """
        ...

    def settle(self) -> int:
        """Complete the work that a crash left undone; return the number of changes. Call before the first `apply`."""
        ...

    def sweep(self) -> int:
        """Remove entries that no engine writes (in SQLite: not text, not a number, empty); return their number."""
        ...

    def purge(self, *, rewrite: bool) -> bool:
        """Remove some of what was deleted and is still in the store's files; return whether there is more.

        `rewrite`: also what is left in free room of the files, by writing them anew: in the last step, which may take
        long. A server rewrites its files itself.
        """
        ...

    def server(self) -> Server:
        """Return facts about the server."""
        ...
