"""Compare and set of one hash without entries: leases, the ledger's own hash, heartbeats.

`decide` returns the fields to set, given the hash. It is called again if another process changed one of the fields that
it looks at, so it must be pure.
"""

from collections.abc import Callable, Collection
from typing import TypeAlias

from banledger.errors import StoreUnavailable
from banledger.stores.api import Applied, Engine, Hash
from banledger.stores.change import Change
from banledger.stores.fields import UNREADABLE

_ROUNDS = 50

Decide: TypeAlias = Callable[[Hash], Hash | None]
"""Return the fields to set, given a hash (empty: absent). Empty or None: leave it as it is."""


def swap(engine: Engine, key: str, decide: Decide, looked_at: Collection[str] | None = None) -> tuple[Hash, Hash]:
    """Change a hash; return it as it was, and as it is now. Raises StoreError.

    `looked_at`: the fields that `decide` looks at; None: all. What is returned of the others may be older.
    """
    (have,) = engine.hashes([key])
    for _ in range(_ROUNDS):
        if UNREADABLE in have:
            raise StoreUnavailable(
                f"{key} {have[UNREADABLE]}",
                hint="banledger store check names every such key, banledger store rebuild repairs the ledger",
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
