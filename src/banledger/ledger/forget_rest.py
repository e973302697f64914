"""Remove what is left of forgotten bans outside the sets of bans."""

from collections.abc import Iterator

from banledger.ledger import scan
from banledger.ledger.aside import text_of, waiting
from banledger.ledger.ban import PENDING, Ban
from banledger.ledger.forget_change import forgetting
from banledger.ledger.forget_match import Matcher
from banledger.ledger.found import read_bans
from banledger.ledger.gap import from_hash as gap_from_hash
from banledger.ledger.keys import Keyspace
from banledger.ledger.source import RUNNING
from banledger.ledger.tokens import source_token
from banledger.stores.api import Advance, Engine, Repair
from banledger.stores.change import Change, Score
from banledger.stores.fields import Damaged
from banledger.stores.pages import pages


def forget_rest(engine: Engine, keys: Keyspace, matcher: Matcher, at: float) -> int:
    """Remove amendments that wait, lines set aside, damaged hashes, gaps, networks and jails; return their number.

    `at`: when they are forgotten, UTC epoch.
    """
    rest = _Rest(engine, keys, matcher, at)
    return rest.amendments() + rest.aside() + rest.quarantine() + rest.gaps() + rest.networks() + rest.sources()


class _Rest:
    """One request's. Each method returns how many it removed or changed, and may be repeated."""

    def __init__(self, engine: Engine, keys: Keyspace, matcher: Matcher, at: float) -> None:
        self._engine = engine
        self._keys = keys
        self._matcher = matcher
        self._at = at

    def amendments(self) -> int:
        """Amendments that wait for their ban leave a tombstone, and count as no ban."""
        done = 0
        for month in sorted(self._engine.members(self._keys.months)):
            for page in pages([id_ for id_, _ in self._engine.entries(self._keys.pending(month))]):
                found = read_bans(self._engine, self._keys, page)
                bans = [one for one in found if isinstance(one, Ban) and one.origin == PENDING]
                changes = [forgetting(self._keys, one, self._at) for one in bans if self._matcher.removes_ban(one)]
                done += len(self._engine.apply(changes)) if changes else 0
        return done

    def aside(self) -> int:
        """Lines that were set aside, as the lines about a damaged hash."""
        done = 0
        for lines in waiting(self._engine, self._keys):
            about = {text: line for text, line in lines.items() if self._matcher.concerns_line(line)}
            kept = [self._matcher.without(line) for line in about.values()]
            wanted = {text_of(line) for line in kept if line is not None}
            gone = [text for text in about if text not in wanted]
            joins = [(self._keys.aside, text) for text in sorted(wanted - about.keys())]
            if joins or gone:
                self._engine.mend(Repair(joins, [(self._keys.aside, text) for text in gone]))
                done += len(gone)
        return done

    def quarantine(self) -> int:
        """Damaged hashes that a rebuild moved away."""
        listed = list(self._engine.keys(self._keys.quarantine("*")))
        found = scan.hashes_by_key(self._engine, listed)
        gone = [key for key, fields in found if any(map(self._matcher.in_text, fields.values()))]
        self._engine.put({key: {} for key in gone})
        return len(gone)

    def gaps(self) -> int:
        """Gaps of a forgotten server, and old ones."""
        gone = list(self._gaps())
        if gone:
            self._engine.apply(gone)
        return len(gone)

    def _gaps(self) -> Iterator[Change]:
        for page in pages([id_ for id_, _ in self._engine.entries(self._keys.gaps)]):
            listed = [self._keys.gap(id_) for id_ in page]
            for key, fields in zip(listed, self._engine.hashes(listed), strict=True):
                try:
                    gap = gap_from_hash(fields) if fields else None
                except Damaged:
                    continue
                if gap and self._matcher.concerns_gap(gap):
                    yield Change(key, {**fields}, None, before=self._keys.entries_of(key, fields))

    def networks(self) -> int:
        """Networks and cells inside a forgotten address or network: they are a cache."""
        done = 0
        for index, key in scan.indexes(self._keys).items() if self._matcher.is_place else ():
            gone = [cidr for cidr, _ in self._engine.entries(index) if self._matcher.holds(cidr)]
            for page in pages(gone):
                self._engine.put({key(cidr): {} for cidr in page}, [Score(index, cidr, None) for cidr in page])
            done += len(gone)
        return done

    def sources(self) -> int:
        """The jails of a forgotten server, but those that run, or have a ban since the request."""
        keys, server = self._keys, self._matcher.server
        head = source_token(server, "")
        listed = [tok for tok in self._engine.members(keys.sources) if server and tok.startswith(head)]
        sizes = self._engine.sizes([keys.members("server+jail", tok) for tok in listed])
        each = zip(listed, sizes, self._engine.hashes(list(map(keys.source, listed))), strict=True)
        gone = [tok for tok, bans, fields in each if not bans and fields.get("state") != RUNNING]
        if gone:
            self._engine.put({keys.source(tok): {} for tok in gone} | {keys.imports(server): {}})
            self._engine.mend(Repair(leaves=[(keys.sources, tok) for tok in gone]))
            self._engine.apply([], [Advance(keys.imported, {}, tuple(gone))])
        return len(gone)
