"""The positions that a store has: see `banledger.spool.position`."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from banledger.ledger.keys import Keyspace
from banledger.spool.position import Position, Writer, from_text, to_text
from banledger.stores.api import Advance, Engine, Hash


class StoredPositions:
    """To read and to raise. Used by the one who records."""

    def __init__(self, engine: Engine, keys: Keyspace) -> None:
        self._engine = engine
        self._keys = keys
        self._there: dict[Writer, int] = {}

    def read(self, servers: Iterable[str]) -> dict[Writer, Position | None]:
        """Those of the writers of these servers; None for a damaged one. Raises StoreError."""
        names = sorted(servers)
        found: dict[Writer, Position | None] = {}
        for server, fields in zip(names, self._engine.hashes(list(map(self._keys.position, names))), strict=True):
            found |= {(server, writer): from_text(server, writer, text) for writer, text in fields.items()}
        self._there |= {key: position.last for key, position in found.items() if position is not None}
        return found

    def advances(self, positions: Sequence[Position], forgotten: Sequence[Position]) -> list[Advance]:
        """What must be written for the store to have these, and not those."""
        raised: dict[str, Hash] = defaultdict(dict)
        gone: dict[str, list[str]] = defaultdict(list)
        for position in positions:
            if position.last > self._there.get(position.key, -1):
                raised[self._keys.position(position.server)][position.writer] = to_text(position)
        for position in forgotten:
            gone[self._keys.position(position.server)].append(position.writer)
        return [Advance(key, raised[key], tuple(gone[key])) for key in sorted(raised.keys() | gone.keys())]

    def written(self, positions: Sequence[Position]) -> None:
        """The store has these."""
        self._there |= {position.key: position.last for position in positions}
