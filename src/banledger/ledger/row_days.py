"""Compare the rows that an engine keeps beside its hashes with the hashes, by UTC day."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from banledger.ledger.faults import Fault, Sketch
from banledger.ledger.keys import Keyspace
from banledger.stores.api import Engine, Reader, Repair
from banledger.stores.pages import pages
from banledger.stores.selection import Selection

_DAY_S = 86_400
_DAY_LENGTH = 6  # the day in an id


class RowDays:
    """Fingerprints of the rows that hashes imply, by day. On an engine without rows there is nothing to compare."""

    def __init__(self, reader: Reader, keys: Keyspace) -> None:
        self._reader = reader
        self._keys = keys
        self._wanted: dict[str, Sketch] = defaultdict(Sketch)
        self.kept = reader.rows() is not None

    def add(self, id_: str, fields: Mapping[str, str]) -> None:
        """Add the hash of a ban."""
        if self.kept and (cells := self._keys.projection.cells(fields)):
            self._wanted[id_[:_DAY_LENGTH]].add((id_, cells))

    def differing(self) -> list[str]:
        """Return the days (YYMMDD) whose rows differ from their hashes, after all hashes were added."""
        there: dict[str, Sketch] = defaultdict(Sketch)
        for id_, cells in self._reader.rows() or ():
            there[id_[:_DAY_LENGTH]].add((id_, cells))
        return sorted(day for day in self._wanted.keys() | there if self._wanted[day] != there[day])

    def faults(self) -> Iterator[Fault]:
        """Return a fault for each day that differs."""
        for day in self.differing():
            yield Fault(f"{self._keys.ban(day)}*", "the rows of these bans differ from their hashes")

    def mend(self, engine: Engine) -> None:
        """Write the rows of each day that differs."""
        for day in self.differing():
            first = datetime.strptime(day, "%y%m%d").replace(tzinfo=UTC).timestamp()
            selected = engine.select(Selection(since=first, until=first + _DAY_S))
            rows = {self._keys.ban(id_) for id_ in selected.newest()} if selected else set()
            for page in pages(sorted(rows.union(engine.keys(f"{self._keys.ban(day)}*")))):
                engine.mend(Repair(rows=page))
