"""What a batch of changes becomes in the embedded ledger's tables. Pure: no database."""

from collections import defaultdict

from banledger.stores.api import Hash
from banledger.stores.change import Change, difference
from banledger.stores.sqlite.file import HASH, RANKING, SET, TALLY


class Batch:
    """What several changes write, each row once."""

    def __init__(self, accepted: list[tuple[Change, Hash]]) -> None:
        self.hashes: list[tuple[str, Hash]] = []
        self.fresh: set[str] = set()
        self.removed: list[str] = []
        self.joins: list[tuple[str, str]] = []
        self.leaves: list[tuple[str, str]] = []
        self.tallies: dict[tuple[str, str], int] = defaultdict(int)
        self.scores: dict[tuple[str, str], float | None] = {}
        self.rankings: dict[tuple[str, str], tuple[str, ...]] = {}
        self.fed: dict[str, list[str]] = defaultdict(list)
        for change, have in accepted:
            self._put(change, have)
            self._follow(change)

    def _put(self, change: Change, have: Hash) -> None:
        if change.fields is None:
            self.removed.append(change.key)
        elif have:
            kept = {name: value for name, value in have.items() if change.keeps and name not in change.drop}
            self.hashes.append((change.key, kept | change.fields))
        else:
            self.fresh.add(change.key)
            self.hashes.append((change.key, change.fields))

    def _follow(self, change: Change) -> None:
        wanted = difference(change.before, change.after)
        member = wanted.member
        self.joins += [(key, member) for key in wanted.joins]
        self.leaves += [(key, member) for key in wanted.leaves]
        for score in wanted.scores:
            self.scores[score.key, score.member] = score.score
        for place in wanted.more:
            self.tallies[place] += 1
        for place in wanted.fewer:
            self.tallies[place] -= 1
        for ranking in wanted.rankings:
            self.rankings[ranking.key, ranking.member] = ranking.sources
        if wanted.feed:
            self.fed[wanted.feed].append(member)

    def kinds(self) -> dict[str, str]:
        """Every key that the batch touches and what it holds."""
        kinds = dict.fromkeys(self.removed, HASH)
        kinds.update((key, HASH) for key, _ in self.hashes)
        kinds.update((key, SET) for key, _ in (*self.joins, *self.leaves))
        kinds.update((key, TALLY) for key, _ in self.tallies)
        kinds.update((key, RANKING) for key, _ in (*self.scores, *self.rankings))
        kinds.update(dict.fromkeys(self.fed, RANKING))
        return kinds
