"""What a batch of changes becomes in the embedded ledger's tables. Pure: no database."""

from collections import Counter, defaultdict
from collections.abc import Sequence

from banledger.stores.api import Hash
from banledger.stores.change import Change, Difference, difference
from banledger.stores.selection import Cells, Projection
from banledger.stores.sqlite.file import HASH, RANKING, SET, TALLY
from banledger.stores.sqlite.stored_id import ID_LENGTH, Member, item_key, ranked, stored


class Batch:
    """What several changes write, each row once. Members of sets and rankings are as they are stored."""

    def __init__(self, accepted: list[tuple[Change, Hash]], projection: Projection | None = None) -> None:
        self.hashes: list[tuple[str, Hash]] = []
        self.fresh: set[str] = set()
        self.removed: list[str] = []
        self.joins: list[tuple[str, Member]] = []
        self.leaves: list[tuple[str, Member]] = []
        self.tallies: dict[str, Counter[str]] = defaultdict(Counter)
        self.scores: dict[tuple[str, Member], float | None] = {}
        self.ended: list[tuple[str, float | None, Member]] = []
        self.rankings: dict[tuple[str, Member], tuple[str, ...]] = {}
        self.rows: dict[bytes, Cells | None] = {}
        self.ranked: dict[str, Counter[str]] = defaultdict(Counter)
        self.fed: dict[str, list[Member]] = defaultdict(list)
        rows: list[tuple[bytes, str, Hash, Hash]] = []
        for change, have in accepted:
            fields = self._put(change, have)
            if projection and (packed := row_id(projection, change.key)):
                rows.append((packed, change.key[-ID_LENGTH:], have, fields))
                self._follow(change, projection)
            else:
                self._follow(change)
        if projection:
            self._project(projection, rows)

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

    def _project(self, projection: Projection, hashes: Sequence[tuple[bytes, str, Hash, Hash]]) -> None:
        """Note the rows of hashes (packed id, id, as it was, as it is), and what rankings and tallies count of them."""
        come: list[tuple[str, Cells]] = []
        gone: list[tuple[str, Cells]] = []
        before = _rows(projection, [have for _, _, have, _ in hashes])
        after = _rows(projection, [fields for _, _, _, fields in hashes])
        for (packed, id_, _, _), old, new in zip(hashes, before, after, strict=True):
            if old != new:
                self.rows[packed] = new
                if new:
                    come.append((id_, new))
                if old:
                    gone.append((id_, old))
        for rows, add in ((come, Counter.update), (gone, Counter.subtract)):
            counts = projection.counts(rows)
            for kept, found in ((self.ranked, counts.rankings), (self.tallies, counts.tallies)):
                for key, numbers in found.items():
                    add(kept[key], numbers)

    def _follow(self, change: Change, rows: Projection | None = None) -> None:
        """Note what follows from the hash under other keys.

        rows  None: the hash has no row. Otherwise sets, their rankings and tallies follow from it
        """
        wanted = difference(change.before, change.after)
        if rows is None:
            self._join(wanted)
        for score in wanted.scores:
            self.scores[score.key, ranked(score.member)] = score.score
        for score in change.before.scores:
            if score not in change.after.scores:
                self.ended.append((score.key, score.score, ranked(score.member)))
        if wanted.more or wanted.fewer:
            self._tally(wanted, rows)
        if wanted.feed:
            self.fed[wanted.feed].append(ranked(wanted.member))

    def _tally(self, wanted: Difference, rows: Projection | None) -> None:
        for places, step in ((wanted.more, 1), (wanted.fewer, -1)):
            for key, member in places:
                if rows is None or not rows.is_counted(key):
                    self.tallies[key][member] += step

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
        kinds.update(dict.fromkeys(self.tallies, TALLY))
        kinds.update(dict.fromkeys([key for key, _ in (*self.scores, *self.rankings)], RANKING))
        kinds.update(dict.fromkeys((*self.ranked, *self.fed), RANKING))
        return kinds


def _rows(projection: Projection, hashes: Sequence[Hash]) -> list[Cells | None]:
    """Return the row of each hash. None: it has none; most hashes were not there before."""
    rows = iter(projection.rows([fields for fields in hashes if fields]))
    return [next(rows) if fields else None for fields in hashes]


def row_id(projection: Projection, key: str) -> bytes | None:
    """Return the packed id of a hash that may have a row; None: it has none."""
    item = item_key(key)
    return item[1] if item and item[0] == projection.head else None
