"""The counts of imports in a ledger. See `import_count`."""

import os
from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from banledger.ledger.import_count import KEPT, ImportCount, LineCounts, continued, from_text, to_text
from banledger.ledger.keys import Keyspace
from banledger.spool.events import BanLine, ImportLine
from banledger.spool.position import Writer
from banledger.stores.api import Advance, Engine, Hash, Reader

_MOST = 1000  # imports that are remembered


def stored_counts(reader: Reader, keys: Keyspace, server: str) -> dict[str, ImportCount]:
    """Return the counts of a server's last imports, by their writer. Damaged ones are left out."""
    fields = reader.hashes([keys.imports(server)])[0]
    return {writer: count for writer, text in fields.items() if (count := from_text(text)) is not None}


class ImportCounts:
    """Counts the lines of imports while they are recorded. Used by the recorder.

    `begin` comes before a batch, `know` before its lines. `advances` returns what is to be stored after the batch, and
    `stored` says that it is.
    """

    def __init__(self, engine: Engine, keys: Keyspace) -> None:
        self._engine = engine
        self._keys = keys
        self._run = os.urandom(4).hex()
        self._counts: dict[Writer, ImportCount] = {}
        self._changed: dict[Writer, ImportCount] = {}

    def begin(self) -> None:
        """Begin a batch."""
        for writer in self._changed:  # the last batch failed: nobody knows how far it came
            self._counts[writer] = replace(self._counts[writer], approximate=True)
        self._changed = {}

    def know(self, lines: Iterable[BanLine | ImportLine], now: float) -> None:
        """Read the counts of these lines' imports, and store that those which are new have begun (UTC epoch `now`)."""
        for server, writer in dict.fromkeys([(line.server, line.writer) for line in lines]):
            if writer and (server, writer) not in self._counts:
                self._counts[server, writer] = self._found(server, writer, now)

    def _found(self, server: str, writer: str, now: float) -> ImportCount:
        there = stored_counts(self._engine, self._keys, server)
        if writer in there:
            return continued(there[writer], self._run)
        begun = ImportCount(begun=int(now), run=self._run)
        gone = sorted(there, key=lambda one: there[one].begun, reverse=True)[KEPT - 1 :]
        self._engine.apply([], [Advance(self._keys.imports(server), {writer: to_text(begun)}, tuple(gone))])
        return begun

    def counted(self, line: BanLine) -> bool:
        """Whether nothing is to be counted for a line: it was, or an earlier line of its import told of the ban."""
        count = self._counts.get((line.server, line.writer))
        return count is None or bool(line.again) or line.seq <= count.seq

    def add(self, lines: Sequence[BanLine], counts: LineCounts) -> None:
        """Add what these lines of one import did."""
        writer = lines[0].server, lines[0].writer
        count = self._of(writer)
        seq = max(count.seq, max([line.seq for line in lines]))
        self._changed[writer] = replace(count, seq=seq, lines=count.lines + counts)

    def end(self, lines: Sequence[ImportLine], now: float) -> None:
        """Note that all lines of these imports were given."""
        self.know(lines, now)
        for line in lines:
            count = self.of(line)
            if line.writer and line.seq > count.seq:
                self._changed[line.server, line.writer] = replace(count, seq=line.seq, bans=line.bans)

    def _of(self, writer: Writer) -> ImportCount:
        return self._changed.get(writer) or self._counts.get(writer) or ImportCount(run=self._run)

    def of(self, line: ImportLine) -> ImportCount:
        """Return the count of an import."""
        return self._of((line.server, line.writer))

    def advances(self) -> list[Advance]:
        """Return what is to be stored."""
        raised: dict[str, Hash] = {}
        for (server, writer), count in self._changed.items():
            raised.setdefault(self._keys.imports(server), {})[writer] = to_text(count)
        return [Advance(key, fields) for key, fields in raised.items()]

    def stored(self) -> None:
        """Note that this is stored."""
        self._counts |= self._changed
        self._changed = {}
        if len(self._counts) > _MOST:
            self._counts = {}
