"""What a batch of changes becomes in the embedded ledger's tables. Pure: no database."""

from collections import defaultdict

from banledger.stores.api import Hash
from banledger.stores.change import Change, Difference, difference
from banledger.stores.selection import Cells, Projection
from banledger.stores.sqlite.file import HASH, RANKING, SET, TALLY
from banledger.stores.sqlite.stored_id import Member, item_key, packed_id, ranked, stored


class Batch:
    """What several changes write, each row once. Members of sets and rankings are as they are stored."""

    def __init__(self, accepted: list[tuple[Change, Hash]], projection: Projection | None = None) -> None:
        self.hashes: list[tuple[str, Hash]] = []
        self.fresh: set[str] = set()
        self.removed: list[str] = []
        self.joins: list[tuple[str, Member]] = []
        self.leaves: list[tuple[str, Member]] = []
        self.tallies: dict[tuple[str, str], int] = defaultdict(int)
        self.scores: dict[tuple[str, Member], float | None] = {}
        self.ended: list[tuple[str, float | None, Member]] = []
        self.rankings: dict[tuple[str, Member], tuple[str, ...]] = {}
        self.rows: dict[bytes, Cells | None] = {}
        self.ranked: dict[tuple[str, str], int] = defaultdict(int)
        self.fed: dict[str, list[Member]] = defaultdict(list)
        for change, have in accepted:
            fields = self._put(change, have)
            derived = projection is not None and self._project(projection, change.key, have, fields)
            self._follow(change, derived)

    def _put(self, change: Change, have: Hash) -> Hash:
        """Note the hash; return its fields."""
        if change.fields is None:
            self.removed.append(change.key)
            return {}
        if have:
            kept = {name: value for name, value in have.items() if change.keeps and name not in change.drop}
            fields = kept | change.fields
        else:
            self.fresh.add(change.key)
            fields = change.fields
        self.hashes.append((change.key, fields))
        return fields

    def _project(self, projection: Projection, key: str, have: Hash, fields: Hash) -> bool:
        """Note the row of the hash, and how often rankings count it. Return whether hashes at that key have rows."""
        id_ = row_id(projection, key)
        if id_ is None:
            return False
        before, after = (have and projection.cells(have)) or None, (fields and projection.cells(fields)) or None
        if before != after:
            self.rows[id_] = after
            for place in projection.ranked(after) if after else ():
                self.ranked[place] += 1
            for place in projection.ranked(before) if before else ():
                self.ranked[place] -= 1
        return True

    def _follow(self, change: Change, derived: bool) -> None:
        """Note what follows from the hash under other keys. `derived`: sets and their rankings follow from its row."""
        wanted = difference(change.before, change.after)
        if not derived:
            self._join(wanted)
        for score in wanted.scores:
            self.scores[score.key, ranked(score.member)] = score.score
        for score in change.before.scores:
            if score not in change.after.scores:
                self.ended.append((score.key, score.score, ranked(score.member)))
        for place in wanted.more:
            self.tallies[place] += 1
        for place in wanted.fewer:
            self.tallies[place] -= 1
        if wanted.feed:
            self.fed[wanted.feed].append(ranked(wanted.member))

    def _join(self, wanted: Difference) -> None:
        member = stored(wanted.member)
        self.joins += [(key, member) for key in wanted.joins]
        self.leaves += [(key, member) for key in wanted.leaves]
        for ranking in wanted.rankings:
            self.rankings[ranking.key, ranked(ranking.member)] = ranking.sources

    def kinds(self) -> dict[str, str]:
        """Every key that the batch touches, except those of items, and what it holds."""
        hashes = (*self.removed, *[key for key, _ in self.hashes])
        kinds = dict.fromkeys([key for key in hashes if not item_key(key)], HASH)
        kinds.update((key, SET) for key, _ in (*self.joins, *self.leaves))
        kinds.update((key, TALLY) for key, _ in self.tallies)
        kinds.update((key, RANKING) for key, _ in (*self.scores, *self.rankings, *self.ranked))
        kinds.update(dict.fromkeys(self.fed, RANKING))
        return kinds


def row_id(projection: Projection, key: str) -> bytes | None:
    """Return the packed id of a hash that may have a row; None: it has none."""
    id_ = projection.id_of(key)
    return packed_id(id_) if id_ else None
