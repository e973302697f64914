"""Compare and set of one hash that nothing else follows from: leases, what the ledger is, who waits.

`decide` says from the hash as it is what fields it gets. It is asked again if somebody else changed one of the fields
that it looks at meanwhile; so it must be pure.
"""

from collections.abc import Callable, Collection
from typing import TypeAlias

from banledger.errors import StoreUnavailable
from banledger.stores.api import Applied, Engine, Hash
from banledger.stores.change import Change
from banledger.stores.fields import UNREADABLE

_ROUNDS = 50

Decide: TypeAlias = Callable[[Hash], Hash | None]
"""From a hash (empty: there is none) to the fields that it gets; none of them, or None: it stays as it is."""


def swap(engine: Engine, key: str, decide: Decide, looked_at: Collection[str] | None = None) -> tuple[Hash, Hash]:
    """The hash as it was, and as it is then. Raises StoreError.

    `looked_at`: the fields that `decide` looks at; None: all. What is returned of the others may be older.
    """
    (have,) = engine.hashes([key])
    for _ in range(_ROUNDS):
        if UNREADABLE in have:
            raise StoreUnavailable(
                f"{key} {have[UNREADABLE]}",
                hint="banledger store check names every such key, banledger store rebuild mends the ledger",
            )
        if not (fields := decide(have)):
            return have, have
        guard = {name: have.get(name) for name in (fields.keys() | have.keys() if looked_at is None else looked_at)}
        (outcome,) = engine.apply([Change(key, guard if have else None, fields)])
        if isinstance(outcome, Applied):
            return have, have | fields
        have = outcome.current
    raise StoreUnavailable(f"{key} keeps changing", hint="it is tried again")


def claim(engine: Engine, key: str, fields: Hash) -> Hash:
    """Give the hash those of the fields that it does not have yet; the whole hash after that."""

    def decide(have: Hash) -> Hash:
        return {name: value for name, value in fields.items() if name not in have}

    return swap(engine, key, decide, fields)[1]


def assign(engine: Engine, key: str, fields: Hash) -> None:
    """Give the hash these fields, whatever it had there."""
    swap(engine, key, lambda _: fields, ())
