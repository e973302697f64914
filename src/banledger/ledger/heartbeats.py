"""The heartbeats of all recorders, in the ledger, so that readers know whether bans are recorded.

Theory of operation. All heartbeats are fields of one hash, one for each recorder: a report reads them at once, and a
recorder replaces its own without looking at the others. A recorder writes its heartbeat at its start, at least every
`BEAT_S`, and when it stops. The id of a recorder stays the same when it starts again, so it finds its own last
heartbeat.
"""

from collections.abc import Iterable

from banledger.ledger.heartbeat import Heartbeat, encoded, parsed
from banledger.ledger.keys import Keyspace
from banledger.ledger.swap import assign
from banledger.stores.api import Advance, Engine, Reader
from banledger.stores.fields import Damaged

BEAT_S = 30.0
"""A recorder writes its heartbeat at least this often."""

KEPT_S = 30 * 86_400.0
"""Heartbeats of recorders that are gone for longer are removed."""


def read_heartbeats(reader: Reader, keys: Keyspace) -> tuple[list[Heartbeat], Damaged | None]:
    """Return all heartbeats, and the first damage; damaged ones are left out. Raises StoreError."""
    found: list[Heartbeat] = []
    damage: Damaged | None = None
    for id_, text in reader.hashes([keys.heartbeats])[0].items():
        try:
            found.append(parsed(id_, text))
        except Damaged as error:
            damage = damage or error
    return found, damage


def write(engine: Engine, keys: Keyspace, beat: Heartbeat) -> None:
    """Replace a recorder's heartbeat. Raises StoreError."""
    assign(engine, keys.heartbeats, {beat.id: encoded(beat)})


def remove(engine: Engine, keys: Keyspace, ids: Iterable[str]) -> None:
    """Remove heartbeats. Raises StoreError."""
    engine.apply([], [Advance(keys.heartbeats, {}, tuple(ids))])
