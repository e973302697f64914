"""Entries outside the slots of their hashes, added up while a check reads the hashes. See `check`."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from banledger.ledger import scan
from banledger.ledger.dimensions import INDEXED
from banledger.ledger.faults import Differences, Fault, Sketch
from banledger.ledger.keys import Keyspace
from banledger.ledger.row_days import RowDays
from banledger.stores.api import Reader
from banledger.stores.change import Entries, Ranking, Score


class Outside:
    """The entries outside the slots of the hashes seen so far.

    sets  by ranking, the members of the sets that it ranks; where sets follow from rows, only how many each has
    rows  the rows of the hashes
    """

    def __init__(self, reader: Reader, keys: Keyspace, now: float) -> None:
        self.sets: dict[str, Sketch] = {keys.top(dimension): Sketch() for dimension in INDEXED}
        self.rows = RowDays(reader, keys)
        self.days: Counter[str] = Counter()
        self.gaps: dict[str, float] = {}
        self.sources: set[str] = set()
        self._keys = keys
        self._now = now
        self._active: dict[str, dict[str, float]] = defaultdict(dict)
        self._differences: dict[str, Differences] = {}
        for tok in scan.sources(reader, keys):
            self._active[keys.active_of(tok)] = dict(reader.entries(keys.active_of(tok)))

    def add(self, entries: Entries, scores: Iterable[Score]) -> None:
        """Add the entries of one hash; `scores`: those outside its slot."""
        for ranking in entries.rankings:
            if ranking.key in self.sets:
                self.sets[ranking.key].add(counted(ranking, None if self.rows.kept else entries.member))
            else:
                self.days[ranking.member] += 1
        for score in scores:
            if score.key == self._keys.gaps:
                self.gaps[score.member] = score.score or 0.0
            else:
                self._look_for(score)

    def _look_for(self, score: Score) -> None:
        there = self._active[score.key].pop(score.member, None)
        if there is None and (score.score or 0.0) > self._now:  # bans that ran out may have been removed
            self._difference(score.key).lacks(score.member)
        elif there is not None and there != score.score:
            self._difference(score.key).wrong(score.member)

    def _difference(self, key: str) -> Differences:
        return self._differences.setdefault(key, Differences(key))

    def active_faults(self) -> Iterator[Fault]:
        """Return the faults of the lists of active bans, after all bans were added."""
        for key, left in self._active.items():
            for id_ in left:
                self._difference(key).dangles(id_)
        for differences in self._differences.values():
            yield from differences.faults()


def counted(ranking: Ranking, member: str | None) -> object:
    """Return what a sketch takes for one member of the set that a ranking counts; None: whichever member."""
    return ranking.sources[0], member
