"""The positions in a store: see `banledger.spool.position`."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from banledger.ledger.keys import Keyspace
from banledger.spool.position import Position, Writer, from_text, to_text
from banledger.stores.api import Advance, Engine, Hash


class StoredPositions:
    """Reads and raises the positions in a store. Used by the recorder."""

    def __init__(self, engine: Engine, keys: Keyspace) -> None:
        self._engine = engine
        self._keys = keys
        self._there: dict[Writer, int] = {}

    def read(self, servers: Iterable[str]) -> dict[Writer, Position | None]:
        """Return the positions of the writers of these servers; None: damaged. Raises StoreError."""
        names = sorted(servers)
        found: dict[Writer, Position | None] = {}
        for server, fields in zip(names, self._engine.hashes(list(map(self._keys.position, names))), strict=True):
            found |= {(server, writer): from_text(server, writer, text) for writer, text in fields.items()}
        self._there |= {key: position.last for key, position in found.items() if position is not None}
        return found

    def advances(self, positions: Sequence[Position], forgotten: Sequence[Position]) -> list[Advance]:
        """Return the updates that store `positions`, and remove `forgotten`."""
        raised: dict[str, Hash] = defaultdict(dict)
        gone: dict[str, list[str]] = defaultdict(list)
        for position in positions:
            if position.last > self._there.get(position.key, -1):
                raised[self._keys.position(position.server)][position.writer] = to_text(position)
        for position in forgotten:
            gone[self._keys.position(position.server)].append(position.writer)
        return [Advance(key, raised[key], tuple(gone[key])) for key in sorted(raised.keys() | gone.keys())]

    def written(self, positions: Sequence[Position]) -> None:
        """Note that the store has these positions."""
        self._there |= {position.key: position.last for position in positions}
