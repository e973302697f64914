"""Give a server another label: every ban of it becomes one of the new label, and counts once.

Theory of operation. A ban's id is computed from the label, so each ban gets another one. A record is what its lines
make of it, in any order (`merge`); so the lines of a record (`lines_of`) are recorded again under the new label. A ban
that the new label has already is joined with it, and what logs say is decided as in any import. Then the old record
becomes a tombstone that has the new label: lines of the old one that are read again are known. A run that was killed in
between leaves both records; the next one finds the new one known. Renaming back writes over these tombstones.

Those of forgotten bans stay, since nobody knows whose they are, and so do their counts, gaps, and positions of lines
that are written already.

No other process may write to the ledger meanwhile.
"""

import time
from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct
from msgspec.structs import replace

from banledger.geo.place import Place
from banledger.ledger.ban import PENDING, Ban
from banledger.ledger.dimensions import TABLE
from banledger.ledger.forget_change import renaming
from banledger.ledger.ids import ids_of
from banledger.ledger.import_count import KEPT
from banledger.ledger.keys import Keyspace
from banledger.ledger.lines_of import lines_of
from banledger.ledger.merge import erased
from banledger.ledger.past_writer import PastWriter
from banledger.ledger.progress import Progress, silent
from banledger.ledger.selected import select
from banledger.ledger.tokens import source_token, token
from banledger.stores.api import Advance, Engine, Reader, Repair
from banledger.stores.change import Change
from banledger.stores.fields import Damaged
from banledger.stores.pages import pages
from banledger.stores.selection import Selection

_AT_ONCE = 500
_FOUND = 5000
_SOURCE = "server"


class Renamed(Struct, frozen=True):
    """The result, as numbers.

    bans    bans of the old label
    joined  those that the new label had already, as one or another record
    left    bans that were left because their hash can't be read
    """

    bans: int = 0
    joined: int = 0
    left: int = 0


def sources_of(reader: Reader, keys: Keyspace, server: str) -> list[str]:
    """Return the tokens of a server's sources. A renamed server has none."""
    return sorted(tok for tok in reader.members(keys.sources) if tok.startswith(source_token(server, "")))


class Renaming:
    """Renames one server. May be repeated after any failure. Raises StoreError."""

    def __init__(self, engine: Engine, keys: Keyspace, old: str, new: str) -> None:
        self._engine = engine
        self._keys = keys
        self._old, self._new = old, new
        self._ledger = PastWriter(engine, keys)
        self._now = time.time()
        self._left: set[str] = set()

    def run(self, progress: Progress = silent) -> Renamed:
        """Do it all."""
        self._engine.settle()
        (total,) = self._ledger.sizes("server", [token(self._old)])
        self._begin_sources()
        done = new = 0
        while ids := self._ids():
            for page in pages(ids, _AT_ONCE):
                moved, begun = self._move(page)
                done, new = done + moved, new + begun
                progress("bans", done, max(total, done))
        for page in pages(self._waiting(), _AT_ONCE):
            self._move(page)
        self._end_sources()
        return Renamed(done, done - new, len(self._left))

    # Bans.

    def _ids(self) -> list[str]:
        """Return ids of the old label's bans; none: there are no more."""
        selection = Selection((TABLE["server"].conditions((self._old,)),))
        found = select(self._ledger, selection).newest(_FOUND + len(self._left))
        return [id_ for id_ in found if id_ not in self._left]

    def _waiting(self) -> Iterator[str]:
        """Return the ids of the old label's amendments that wait for their ban."""
        for month in sorted(self._engine.members(self._keys.months)):
            listed = [id_ for id_, _ in self._engine.entries(self._keys.pending(month))]
            for page in pages(listed, _AT_ONCE):
                bans = self._ledger.bans(page)
                yield from [one.id for one in bans if one and one.origin == PENDING and one.server == self._old]

    def _move(self, ids: list[str]) -> tuple[int, int]:
        """Record bans under the new label, and remove the old records; return their number, and how many are new."""
        bans = []
        for id_, found in zip(ids, self._ledger.bans_or_damage(ids), strict=True):
            if isinstance(found, Ban) and found.server == self._old:
                bans.append(found)
            elif isinstance(found, Damaged):
                self._left.add(id_)
        if not bans:
            return 0, 0
        places = {(ban.ip, float(ban.time)): _place(ban) for ban in bans}
        lines = [line for ban in bans for line in lines_of(ban, self._new)]
        before = self._size()
        self._ledger._record_tickets(lines, _Located(places), self._now)
        self._erase([ban for ban in bans if ban.erased is not None])
        begun = self._size() - before
        self._engine.apply([self._end_of(ban) for ban in bans])
        return len(bans), begun

    def _end_of(self, ban: Ban) -> Change:
        """Return the change that ends an old record. An amendment that waits leaves nothing."""
        if ban.origin == PENDING:
            return self._keys.removal(ban)
        return renaming(self._keys, ban, self._now, self._new)

    def _size(self) -> int:
        return self._ledger.sizes("server", [token(self._new)])[0]

    def _erase(self, bans: Iterable[Ban]) -> None:
        """Let what was erased from old records never come back in new ones."""
        for old in bans:
            subject = replace(old.subject, server=self._new)
            for new in self._ledger.bans(ids_of(subject)):
                if new is not None and new.subject == subject:
                    after = replace(erased(new, old.erased or 0, lambda _: False), erased=old.erased)
                    self._engine.apply([self._keys.change(new, after)])

    # What else has the label.

    def _sources(self) -> list[tuple[str, str]]:
        """Return the tokens of the old label's sources, each with that of the same jail under the new one."""
        head, new = source_token(self._old, ""), source_token(self._new, "")
        return [(tok, new + tok.removeprefix(head)) for tok in sources_of(self._engine, self._keys, self._old)]

    def _begin_sources(self) -> None:
        """Let the new label have the sources of the old one, where it has none, and know what was imported."""
        keys = self._keys
        (imported,) = self._engine.hashes([keys.imported])
        for old, new in self._sources():
            have, there = self._engine.hashes([keys.source(old), keys.source(new)])
            if have and not there:
                self._engine.put({keys.source(new): have | {_SOURCE: self._new}})
            self._engine.mend(Repair(joins=[(keys.sources, new)]))
            if old in imported:
                self._engine.apply([], [Advance(keys.imported, {new: imported[old]})])
        counts, there = self._engine.hashes([keys.imports(self._old), keys.imports(self._new)])
        if counts:
            newest = dict(list((counts | there).items())[-KEPT:])
            self._engine.put({keys.imports(self._new): newest, keys.imports(self._old): {}})

    def _end_sources(self) -> None:
        """Remove the sources of the old label, unless bans of it are left."""
        if self._left:
            return
        keys, sources = self._keys, [old for old, _ in self._sources()]
        self._engine.put({keys.source(tok): {} for tok in sources})
        self._engine.mend(Repair(leaves=[(keys.sources, tok) for tok in sources]))
        self._engine.apply([], [Advance(keys.imported, {}, tuple(sources))] if sources else [])


class _Located:
    """See `geo.place.Locate`: the places of records that are recorded again."""

    def __init__(self, places: Mapping[tuple[str | None, float], Place]) -> None:
        self._places = places

    def __call__(self, address: str | None, moment: float) -> Place:
        return self._places.get((address, float(int(moment))), Place("public" if address else "none"))


def _place(ban: Ban) -> Place:
    """Return the place of a record."""
    return Place(**{name: getattr(ban, name) for name in Place.__struct_fields__})
